/*
 * domain_change - see domain.h; here: adding, changing and removing domains
 *
 * One call is one transaction with one changeset: the names are checked and become one array, all
 * statements work on the whole set. The rows concerned are locked first, in id order as everywhere,
 * so that what is checked still holds when it is changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain_private.h"

enum { NAMES_MOST = 100000, AUDIT_OBJECT_MOST = 300 };

static void change_free(struct change *change)
{
    buf_free(&change->names);
    buf_free(&change->object);
    domain_patch_free(&change->patch);
}

/* ---- the names ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

typedef char domain_name[ADDR_DOMAIN_MAX + 1];

static bool fill_names(struct change *change, domain_name *sorted, size_t count, struct err *err)
{
    size_t cut = 0;

    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(sorted[i - 1], sorted[i]) == 0)
            return err_set(err, ERR_DATA, "%s: is named twice", sorted[i]);
        db_array_add(&change->names, sorted[i]);
        if (change->object.len + strlen(sorted[i]) <= AUDIT_OBJECT_MOST)
            buf_printf(&change->object, "%s%s", i > 0 ? ", " : "", sorted[i]);
        else
            cut++;
    }
    if (cut > 0)
        buf_printf(&change->object, " and %zu more", cut);
    db_array_end(&change->names);
    return true;
}

static bool take_names(struct change *change, const char *const *names, size_t count,
                       struct err *err)
{
    size_t len;
    bool fine = count > 0 && count <= NAMES_MOST;

    if (!fine)
        return err_set(err, ERR_USAGE, "from 1 to %d domains in one call", NAMES_MOST);
    domain_name *sorted = mem_alloc(count * sizeof *sorted);
    for (size_t i = 0; i < count && fine; i++)
        fine = addr_parse_domain(span_text(names[i]), sorted[i], &len, err);
    if (fine) {
        qsort(sorted, count, sizeof *sorted, by_text);
        fine = fill_names(change, sorted, count, err);
    }
    free(sorted);
    return fine;
}

/* ---- the transaction ---- */

/* Locks the domains by id, and with them every domain that shares a user whom a removal takes, and
 * the target of an alias. */
static bool lock_domains(struct change *change, struct err *err)
{
    return db_exec(change->db,
                   "select from domain where id in (select id from domain where name = any ($1)"
                   "   or name = $2 union select o.domain_id from domain d"
                   "   join recipient p on p.domain_id = d.id and p.kind = 'primary'"
                   "   join recipient o on o.user_id = p.user_id and o.kind = 'alias'"
                   "   where $3::boolean and d.name = any ($1))"
                   " order by id for update",
                   DB_VALUES(change->names.at, change->patch.alias_of,
                             strcmp(change->action, "domain remove") == 0 ? "t" : "f"),
                   NULL, err);
}

static bool refuse_absent(struct change *change, struct err *err)
{
    return domain_refuse(change,
                         "select n from unnest($1::text[]) n where not exists (select from domain d"
                         " where d.name = n and d.state = 'active') order by n",
                         "not served here; `rollcall domain list` shows what is", err);
}

static bool open_changeset(struct change *change, struct err *err)
{
    DB_RESULT_AUTO made = NULL;

    if (!db_query(change->db, &made,
                  "with c as (insert into changeset (customer_id, mode, source, actor, program,"
                  "   note) select coalesce($2::int, case when count(distinct customer_id) = 1"
                  "   then min(customer_id) end), 'settings', 'manual', $3,"
                  "   coalesce(nullif(current_setting('application_name'), ''), 'rollcall'), $4"
                  "   from domain where name = any ($1) and state = 'active' returning id)"
                  " select id, set_config('rollcall.changeset', id::text, true) from c",
                  DB_VALUES(change->names.at, change->customer[0] != '\0' ? change->customer : NULL,
                            change->actor, change->action),
                  err))
        return false;
    snprintf(change->changeset, sizeof change->changeset, "%s", db_text(made, 0, 0));
    return true;
}

static bool write_audit(struct change *change, const struct domain_setting *settings,
                        size_t setting_count, struct err *err)
{
    BUF_AUTO detail = {0};

    buf_printf(&detail, "{\"changeset\":%s,\"settings\":{", change->changeset);
    for (size_t i = 0; i < setting_count; i++) {
        buf_printf(&detail, "%s\"%s\":\"", i > 0 ? "," : "", settings[i].name);
        buf_json(&detail, span_text(settings[i].value));
        buf_text(&detail, "\"");
    }
    buf_text(&detail, "}}");
    return domain_audit(change->db, change->actor, change->action, change->object.at, detail.at,
                        err);
}

/* The version is given by the commit itself. */
static bool commit(struct change *change, int64_t *version, struct err *err)
{
    DB_RESULT_AUTO found = NULL;

    if (!db_script(change->db, "commit", err)) {
        if (!db_alive(change->db))
            err_prefix(err, "lost during the commit, look whether changeset %s is there",
                       change->changeset);
        return false;
    }
    if (!db_query(change->db, &found, "select version from changeset where id = $1::bigint",
                  DB_VALUES(change->changeset), err))
        return err_prefix(err, "done as changeset %s, but its version is unread",
                          change->changeset);
    *version = db_int(found, 0, 0);
    return true;
}

/* ---- add ---- */

/* New rows, and tombstones that come to life with everything as in a new row. */
static bool insert_domains(struct change *change, struct err *err)
{
    return db_exec(change->db,
                   "insert into domain as d (name, customer_id, changed_by)"
                   " select n, $2::int, roll_changeset() from unnest($1::text[]) n order by n"
                   " on conflict (name) do update set customer_id = excluded.customer_id,"
                   " alias_of = null, relay_check = excluded.relay_check, shadow = null,"
                   " next_hop = excluded.next_hop, threshold = excluded.threshold,"
                   " recipient_delimiter = excluded.recipient_delimiter,"
                   " case_sensitive = excluded.case_sensitive, stale_limit = null,"
                   " source_stale_limit = null, guard_percent = null, follows_directory = false,"
                   " synced_at = null, loaded_at = null, state = 'active', removed_at = null,"
                   " created_at = now(), changed_by = excluded.changed_by"
                   " where d.state = 'removed'",
                   DB_VALUES(change->names.at, change->customer), NULL, err);
}

static bool add(struct change *change, const char *customer, struct err *err)
{
    if (!customer_find(change->db, customer, change->customer, err) || !lock_domains(change, err) ||
        !domain_refuse(change, SUCH "d.state = 'active' order by 1",
                       "served here already; `rollcall domain set` changes it", err) ||
        !open_changeset(change, err) || !insert_domains(change, err) ||
        /* a name that somebody else added since that look has another changeset */
        !domain_refuse(change, SUCH "d.changed_by <> roll_changeset() order by 1",
                       "was added by somebody else this moment", err))
        return false;
    change->patch.customer = NULL; /* said by `customer` */
    return domain_patch_prepare(change, err) &&
           domain_patch_run(change, PATCHED " " UPDATE, NULL, err) &&
           db_exec(change->db,
                   HISTORY "select roll_changeset(), id, null, to_jsonb(d) - 'changed_by'"
                           " from domain d where name = any ($1)",
                   DB_VALUES(change->names.at), NULL, err);
}

bool domain_add(struct db *db, const char *const *names, size_t count, const char *customer,
                const struct domain_setting *settings, size_t setting_count, const char *actor,
                int64_t *version, struct err *err)
{
    __attribute__((cleanup(change_free))) struct change change = {
        .db = db, .action = "domain add", .actor = actor};

    *version = 0;
    if (!take_names(&change, names, count, err) ||
        !domain_patch_fill(&change.patch, settings, setting_count, err) ||
        !db_script(db, "begin", err))
        return false;
    if (!add(&change, customer, err) || !write_audit(&change, settings, setting_count, err))
        return db_rollback(db);
    return commit(&change, version, err) || db_rollback(db);
}

/* ---- set ---- */

static bool set(struct change *change, int64_t *touched, struct err *err)
{
    return lock_domains(change, err) && refuse_absent(change, err) && open_changeset(change, err) &&
           domain_patch_prepare(change, err) &&
           domain_patch_run(change,
                            PATCHED ", changed as (" UPDATE " returning d.id,"
                                    " to_jsonb(old) - 'changed_by' as before,"
                                    " to_jsonb(d) - 'changed_by' as after) " HISTORY
                                    "select roll_changeset(), id, before, after from changed",
                            touched, err);
}

bool domain_set(struct db *db, const char *const *names, size_t count,
                const struct domain_setting *settings, size_t setting_count, const char *actor,
                int64_t *version, struct err *err)
{
    __attribute__((cleanup(change_free))) struct change change = {
        .db = db, .action = "domain set", .actor = actor};
    int64_t touched;

    *version = 0;
    if (setting_count == 0)
        return err_set(err, ERR_USAGE, "nothing to set");
    if (!take_names(&change, names, count, err) ||
        !domain_patch_fill(&change.patch, settings, setting_count, err) ||
        !db_script(db, "begin", err))
        return false;
    if (!set(&change, &touched, err))
        return db_rollback(db);
    if (touched == 0) /* everything was so already: no changeset */
        return db_script(db, "rollback", err);
    if (!write_audit(&change, settings, setting_count, err))
        return db_rollback(db);
    return commit(&change, version, err) || db_rollback(db);
}

/* ---- remove ---- */

/*
 * Takes everybody off the roll who lives there: users whose primary address it is, with all their
 * addresses anywhere, and other people's aliases in it. One statement, so that each part sees the
 * roll as it was.
 */
static bool remove_recipients(struct change *change, struct err *err)
{
    return db_exec(
        change->db,
        "with gone as materialized (select r.user_id from recipient r"
        "   join domain d on d.id = r.domain_id where d.name = any ($1) and r.kind = 'primary'"
        "   and r.state <> 'removed' and r.user_id is not null),"
        " leaving as materialized (select r.* from recipient r where r.state <> 'removed' and"
        "   (r.domain_id in (select id from domain where name = any ($1))"
        "     or r.user_id in (select user_id from gone))),"
        " history as (insert into change_line (changeset_id, domain_id, local_part, before_user,"
        "     before_kind, before_state, before_person, before_claims, born_by)"
        "   select roll_changeset(), l.domain_id, l.local_part, l.user_id, l.kind, l.state,"
        "     l.disabled_by_person, l.claims, l.born_by from leaving l),"
        " domains as (insert into changeset_domain (changeset_id, domain_id)"
        "   select distinct roll_changeset(), l.domain_id from leaving l),"
        " off as (update recipient r set state = 'removed', user_id = null,"
        "     disabled_by_person = false, claims = '{}', born_by = null,"
        "     changed_by = roll_changeset() from leaving l where l.id = r.id)"
        " update changeset set removed = (select count(*) from leaving"
        "   where state in ('active', 'disabled')) where id = roll_changeset()",
        DB_VALUES(change->names.at), NULL, err);
}

static bool remove_domains(struct change *change, bool with_users, struct err *err)
{
    if (!lock_domains(change, err) || !refuse_absent(change, err))
        return false;
    if (!domain_refuse(change,
                       SUCH
                       "exists (select from domain a where a.alias_of = d.id and a.state = 'active'"
                       " and a.name <> all ($1)) order by 1",
                       "other domains are aliases of it: remove these first, or with it", err))
        return false;
    if (!with_users &&
        !domain_refuse(change, SUCH HAS_RECIPIENTS " order by 1",
                       "has recipients: remove them first, or ask for --with-users", err))
        return false;
    if (!open_changeset(change, err) || (with_users && !remove_recipients(change, err)))
        return false;
    return db_exec(change->db,
                   "with removed as (update domain d set state = 'removed', removed_at = now(),"
                   "   changed_by = roll_changeset() from domain old where old.id = d.id and"
                   "   d.name = any ($1) returning d.id, to_jsonb(old) - 'changed_by' as before,"
                   "   to_jsonb(d) - 'changed_by' as after) " HISTORY
                   "select roll_changeset(), id, before, after from removed",
                   DB_VALUES(change->names.at), NULL, err);
}

bool domain_remove(struct db *db, const char *const *names, size_t count, bool with_users,
                   const char *actor, int64_t *version, struct err *err)
{
    __attribute__((cleanup(change_free))) struct change change = {
        .db = db, .action = "domain remove", .actor = actor};

    *version = 0;
    if (!take_names(&change, names, count, err) || !db_script(db, "begin", err))
        return false;
    if (!remove_domains(&change, with_users, err) || !write_audit(&change, NULL, 0, err))
        return db_rollback(db);
    return commit(&change, version, err) || db_rollback(db);
}
