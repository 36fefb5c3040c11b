/* customer - see domain.h; here: the organisations whose domains are served */
#include <stdio.h>
#include <string.h>

#include "domain_private.h"

enum { NAME_MOST = 200 }; /* characters */

static bool check_name(const char *name, struct err *err)
{
    struct span rest = span_text(name), trimmed = span_trim(rest);
    size_t characters = 0;

    if (rest.len == 0 || trimmed.len != rest.len)
        return err_set(err, ERR_DATA, "'%s': a customer's name is not empty, no blanks around it",
                       name);
    for (size_t n; rest.len > 0; rest = span_of(rest.at + n, rest.len - n), characters++) {
        n = str_utf8_sequence(rest);
        unsigned char c = (unsigned char)rest.at[0];
        if (n == 0 || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)rest.at[1] < 0xa0))
            return err_set(err, ERR_DATA, "'%s': a customer's name is UTF-8 on one line", name);
    }
    return characters <= NAME_MOST ||
           err_set(err, ERR_DATA, "'%s': a customer's name has at most %d characters", name,
                   NAME_MOST);
}

bool customer_find(struct db *db, const char *name, char id[16], struct err *err)
{
    DB_RESULT_AUTO found = NULL;

    if (!check_name(name, err) ||
        !db_query(db, &found, "select id from customer where lower(name) = lower($1)",
                  DB_VALUES(name), err))
        return false;
    if (db_rows(found) == 0)
        return err_set(err, ERR_DATA,
                       "%s: no such customer; `rollcall customer list` shows those there are",
                       name);
    snprintf(id, 16, "%s", db_text(found, 0, 0));
    return true;
}

static bool add(struct db *db, const char *name, const char *actor, struct err *err)
{
    int64_t added;

    if (!db_exec(db, "insert into customer (name) values ($1) on conflict do nothing",
                 DB_VALUES(name), &added, err))
        return false;
    if (added == 0)
        return err_set(err, ERR_DATA, "%s: there is such a customer already", name);
    return domain_audit(db, actor, "customer add", name, "{}", err);
}

bool customer_add(struct db *db, const char *name, const char *actor, struct err *err)
{
    if (!check_name(name, err) || !db_script(db, "begin", err))
        return false;
    if (!add(db, name, actor, err))
        return db_rollback(db);
    return db_script(db, "commit", err);
}

/* Tombstones of its domains stay until they are purged, as nobody's. */
static bool disown_tombstones(struct db *db, const char *id, const char *actor, struct err *err)
{
    int64_t touched;

    if (!db_exec(db,
                 "with c as (insert into changeset (mode, source, actor, program, note)"
                 " select 'settings', 'manual', $2,"
                 " coalesce(nullif(current_setting('application_name'), ''), 'rollcall'),"
                 " 'customer removed'"
                 " where exists (select from domain where customer_id = $1::int) returning id)"
                 " select set_config('rollcall.changeset', id::text, true) from c",
                 DB_VALUES(id, actor), &touched, err))
        return false;
    return touched == 0 ||
           db_exec(db,
                   "update domain set customer_id = null, changed_by = roll_changeset()"
                   " where customer_id = $1::int",
                   DB_VALUES(id), NULL, err);
}

static bool remove_customer(struct db *db, const char *name, const char *actor, struct err *err)
{
    char id[16];

    return customer_find(db, name, id, err) &&
           db_exec(db, "select from customer where id = $1 for update", DB_VALUES(id), NULL, err) &&
           domain_refuse_rows(db,
                              "select name from domain where customer_id = $1::int"
                              " and state = 'active' order by name",
                              DB_VALUES(id), "served for that customer: remove them first", err) &&
           disown_tombstones(db, id, actor, err) &&
           db_exec(db, "delete from customer where id = $1", DB_VALUES(id), NULL, err) &&
           domain_audit(db, actor, "customer remove", name, "{}", err);
}

bool customer_remove(struct db *db, const char *name, const char *actor, struct err *err)
{
    if (!db_script(db, "begin", err))
        return false;
    if (!remove_customer(db, name, actor, err))
        return db_rollback(db);
    return db_script(db, "commit", err);
}

/* ---- who may release its viruses ---- */

static bool put_release_virus(struct db *db, const char *id, const char *who, struct err *err)
{
    if (who == NULL)
        return db_exec(db, "delete from quarantine_release where customer_id = $1::int",
                       DB_VALUES(id), NULL, err);
    return db_exec(db,
                   "insert into quarantine_release (customer_id, virus) values ($1::int, $2)"
                   " on conflict (customer_id) do update set virus = excluded.virus",
                   DB_VALUES(id, who), NULL, err);
}

static bool set_release_virus(struct db *db, const char *name, const char *who, const char *actor,
                              struct err *err)
{
    char id[16];
    STR_AUTO detail = mem_printf("{\"to\": \"%s\"}", who != NULL ? who : "default");

    return customer_find(db, name, id, err) && put_release_virus(db, id, who, err) &&
           domain_audit(db, actor, "quarantine viruses", name, detail, err);
}

bool customer_set_release_virus(struct db *db, const char *name, const char *who, const char *actor,
                                struct err *err)
{
    enum conf_release_virus ignored;

    if (who != NULL && !conf_release_virus_find(who, &ignored))
        return err_set(err, ERR_USAGE, "%s: not operators, admins, users, nor default", who);
    if (!db_script(db, "begin", err))
        return false;
    if (!set_release_virus(db, name, who, actor, err))
        return db_rollback(db);
    return db_script(db, "commit", err);
}

bool customer_release_virus(struct db *db, const char *name, enum conf_release_virus preset,
                            enum conf_release_virus *who, bool *own, struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    char id[16];

    if (!customer_find(db, name, id, err) ||
        !db_query(db, &found, "select virus from quarantine_release where customer_id = $1::int",
                  DB_VALUES(id), err))
        return false;
    *own = db_rows(found) > 0;
    *who = preset;
    if (*own)
        conf_release_virus_find(db_text(found, 0, 0), who);
    return true;
}

bool customer_list(struct db *db, const char *name, customer_row_fn *row, void *context,
                   struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    char id[16];

    if (name != NULL && !customer_find(db, name, id, err))
        return false;
    if (!db_query(
            db, &found,
            "select c.id, c.name, coalesce(d.domains, 0), coalesce(u.users, 0),"
            " coalesce(d.recipients, 0),"
            " to_char(c.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
            " from customer c"
            " left join (select customer_id, count(*) as users from users where"
            "   ($1::int is null or customer_id = $1) and exists (select from recipient r"
            "     where r.user_id = users.id and r.kind = 'primary') group by 1) u"
            "   on u.customer_id = c.id"
            " left join (select customer_id, count(*) as domains, sum((select count(*)"
            "     from recipient r where r.domain_id = domain.id and r.state = 'active'))::bigint"
            "     as recipients from domain"
            "   where state = 'active' and ($1::int is null or customer_id = $1) group by 1) d"
            "   on d.customer_id = c.id"
            " where $1::int is null or c.id = $1 order by lower(c.name)",
            DB_VALUES(name != NULL ? id : NULL), err))
        return false;
    for (size_t i = 0; i < db_rows(found); i++) {
        struct customer_row one = {
            .id = (int32_t)db_int(found, i, 0),
            .name = db_text(found, i, 1),
            .domains = db_int(found, i, 2),
            .users = db_int(found, i, 3),
            .recipients = db_int(found, i, 4),
            .created_at = db_text(found, i, 5),
        };
        if (!row(context, &one, err))
            return false;
    }
    return true;
}
