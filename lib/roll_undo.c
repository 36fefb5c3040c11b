/*
 * roll_undo - see roll.h and roll_job.h; here: undoing a changeset, deciding about a held one
 *
 * An undo compares what a changeset left behind (the after-images of its history) with the roll as
 * it is. Where both agree, the before-images become the plan, which is applied like any other.
 * Where they differ, or where a user would be left without or with two primary addresses, others
 * have changed the same since: the undo is refused and names them.
 *
 * Locks are taken as everywhere: domains first, in id order, then the changeset's row.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "roll_job.h"

enum { NAMED_MOST = 5 };

/* ---- what both need ---- */

static bool fill_ids(struct roll_job *job, const char *sql, const char *const *values, size_t count,
                     struct roll_ids *ids, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(job->db, &rows, sql, values, count, err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++)
        roll_ids_add(ids, (int32_t)db_int(rows, i, 0));
    return true;
}

static bool write_audit(struct db *db, const struct roll_request *request, const char *action,
                        const char *changeset, struct err *err)
{
    return db_exec(db,
                   "insert into audit (actor, program, action, object, detail) values"
                   " ($1, $2, $3, 'changeset ' || $4, jsonb_build_object('note', $5::text))",
                   DB_VALUES(request->actor, request->program, action, changeset,
                             request->note != NULL ? request->note : ""),
                   NULL, err);
}

static bool refuse_state(const char *id, const struct db_result *rows, const char *wanted,
                         struct err *err)
{
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "there is no changeset %s; 'rollcall change list'", id);
    const char *state = db_text(rows, 0, 0);
    if (strcmp(state, wanted) == 0)
        return true;
    if (strcmp(state, "undone") == 0)
        return err_set(err, ERR_DATA, "changeset %s was undone already, by changeset %s", id,
                       db_text(rows, 0, 1));
    return err_set(err, ERR_DATA, "changeset %s is %s, not %s", id, state, wanted);
}

/* Locks the changeset's row and looks whether it is still in that state. */
static bool lock_changeset(struct db *db, const char *id, const char *wanted, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    return db_query(db, &rows,
                    "select state, undone_by from changeset where id = $1::bigint for update",
                    DB_VALUES(id), err) &&
           refuse_state(id, rows, wanted, err);
}

#define MAYBE_CAPITAL(local) "(" local " ~ '[A-Z]' or octet_length(" local ") <> length(" local "))"

/* An address with capital letters is never found in a domain that does not tell them apart (any
 * more). `sql` gives local part and domain. */
static bool check_case(struct roll_job *job, const char *sql, const char *const *values,
                       size_t count, const char *changeset, const char *done, struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    char folded[ADDR_LOCAL_MAX + 1];
    size_t len;

    if (!db_query(job->db, &found, sql, values, count, err))
        return false;
    for (size_t i = 0; i < db_rows(found); i++) {
        struct span local = db_span(found, i, 0);
        const char *name = db_text(found, i, 1);
        if (!addr_normal_local(local, true, folded, &len) || len != local.len ||
            memcmp(folded, local.at, len) != 0)
            return err_set(err, ERR_DATA,
                           "changeset %s cannot be %s: %s@%s is written with capital letters, "
                           "which %s does not tell apart any more",
                           changeset, done, db_text(found, i, 0), name, name);
    }
    return true;
}

/* ---- undo ---- */

/* clang-format off */

/*
 * What the history has, turned round: its lines beside the rows as they are now, and what the
 * changeset brought and nobody touched since, which is as it left it.
 */
#define LINES                                                                                      \
    "select domain_id, local_part, before_user, before_kind, before_state, before_person,"        \
    "   before_claims, after_user, after_kind, after_state, after_person, after_claims"            \
    "   from change_line where changeset_id = $1::bigint"                                          \
    " union all select domain_id, local_part, null, null, null, null, null, before_user,"          \
    "   before_kind, before_state, before_person, before_claims from change_line"                  \
    "   where born_by = $1::bigint"
static const char inverse_sql[] =
    "create temp table roll_diff on commit drop as"
    " with fact as (select h.*, r.id as rid, r.user_id, case when r.state <> 'removed' then r.kind"
    "     end as kind, nullif(r.state, 'removed') as state, case when r.state <> 'removed'"
    "     then r.disabled_by_person end as person, case when r.state <> 'removed'"
    "     then r.claims end as claims, r.born_by as born from (" LINES ") h left join recipient r"
    "     on r.domain_id = h.domain_id and r.local_part = h.local_part)"
    " select case when before_state is null then '-' when state is null then '+' else '~'"
    "     end::\"char\" as sign, null::int as problem, 0 as line, null::text as name,"
    "   coalesce(rid, nextval('recipient_id_seq')) as rid, rid is null as fresh, born,"
    "   false as new_user, domain_id, local_part, user_id as before_user, kind as before_kind,"
    "   state as before_state, person as before_person, claims as before_claims,"
    "   before_user as after_user, before_kind as after_kind, before_state as after_state,"
    "   before_person as after_person, before_claims as after_claims,"
    "   (user_id, kind, state, person, claims) is distinct from (after_user, after_kind,"
    "     after_state, after_person, after_claims) as stale from fact"
    " union all select '-', null, 0, null, id, false, born_by, false, domain_id, local_part,"
    "   user_id, kind, state, disabled_by_person, claims, null, null, null, null, null, false"
    "   from recipient where born_by = changed_by and changed_by = $1::bigint"
    " union all select '-', null, 0, null, id, false, born_by, false, domain_id, local_part,"
    "   user_id, kind, state, disabled_by_person, claims, null, null, null, null, null, false"
    "   from recipient where born_by <> changed_by and born_by = $1::bigint";

/* clang-format on */

enum { LOOKED_UP_MOST = 50000 }; /* addresses looked up one by one; for more the roll is read */

/* A history that was written a moment ago is longer than the statistics say: nobody shall look up
 * each address of a long one. */
static bool invert(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO counts = NULL;
    int64_t rows;

    if (!db_query(job->db, &counts,
                  "select added + removed + changed from changeset where id = $1::bigint",
                  DB_VALUES(job->undo), err))
        return false;
    bool large = db_int(counts, 0, 0) > LOOKED_UP_MOST;
    return (!large || db_script(job->db, "set local enable_nestloop = off", err)) &&
           db_exec(job->db, inverse_sql, DB_VALUES(job->undo), &rows, err) &&
           (!large || db_script(job->db, "set local enable_nestloop = on", err)) &&
           roll_plan_large(job, rows, err);
}

/* Names that the changeset gave are taken back with the user's primary address. */
static const char names_back_sql[] =
    "with back as (select user_id as id, before_name as name from user_change"
    "     where changeset_id = $1::bigint and before_name <> after_name),"
    " told as (update roll_diff d set name = b.name from back b where d.after_user = b.id"
    "     and d.after_kind = 'primary' returning b.id)"
    " insert into roll_diff select '=', null, 0, b.name, r.id, false, null, false, r.domain_id,"
    "   r.local_part, r.user_id, r.kind, r.state, r.disabled_by_person, null, r.user_id, r.kind,"
    "   r.state, r.disabled_by_person, null, false from back b"
    "   join recipient r on r.user_id = b.id and r.kind = 'primary'"
    "   where not exists (select from roll_diff d where d.rid = r.id)";

/* Users that would not have exactly one primary address, those that are gone with their customer,
 * and those renamed since. */
static const char broken_users_sql[] =
    "with met as (select before_user as id from roll_diff where before_user is not null"
    "   union select after_user from roll_diff where after_user is not null),"
    " held as (select after_user as id, after_kind as kind from roll_diff where sign <> '-'"
    "   union all select m.id, r.kind from met m join recipient r on r.user_id = m.id"
    "     and r.kind in ('primary', 'alias')"
    "     where not exists (select from roll_diff d where d.rid = r.id))"
    " select array_agg(id) from (select id from held where id is not null group by id"
    "     having count(*) filter (where kind = 'primary') <> 1"
    "   union select d.after_user from roll_diff d where d.after_user is not null"
    "     and not exists (select from users u where u.id = d.after_user)"
    "   union select u.id from user_change h join users u on u.id = h.user_id"
    "     where h.changeset_id = $1::bigint and h.before_name <> h.after_name"
    "       and u.name <> h.after_name) x";

/* Later changesets that touched stale addresses, or the users $2. */
static const char later_sql[] =
    "with stale as (select domain_id, local_part, rid from roll_diff where stale),"
    " later as (select h.changeset_id as id from change h where exists (select from stale s"
    "     where s.domain_id = h.domain_id and s.local_part = h.local_part)"
    "     or h.before_user = any ($2::bigint[]) or h.after_user = any ($2::bigint[])"
    "   union select changeset_id from user_change where user_id = any ($2::bigint[])"
    "   union select r.changed_by from stale s join recipient r on r.id = s.rid)"
    " select c.id from later l join changeset c on c.id = l.id where c.version >"
    "   (select version from changeset where id = $1::bigint) order by c.version limit 6";

static bool refuse_later(struct roll_job *job, const char *users, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO names = {0};

    if (!db_query(job->db, &rows, later_sql, DB_VALUES(job->undo, users), err))
        return false;
    for (size_t i = 0; i < db_rows(rows) && i < NAMED_MOST; i++)
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", db_text(rows, i, 0));
    if (names.len == 0)
        return err_set(err, ERR_DATA,
                       "changeset %s cannot be undone: the addresses it changed are not as it left "
                       "them",
                       job->undo);
    return err_set(err, ERR_DATA,
                   "changeset %s cannot be undone: the same addresses or users were changed since, "
                   "by changeset%s %s%s; undo %s first",
                   job->undo, db_rows(rows) > 1 ? "s" : "", names.at,
                   db_rows(rows) > NAMED_MOST ? " and more" : "",
                   db_rows(rows) > 1 ? "these" : "it");
}

static bool check_later(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO stale = NULL;
    DB_RESULT_AUTO users = NULL;

    if (!db_query(job->db, &stale, "select exists (select from roll_diff where stale)",
                  DB_NO_VALUES, err) ||
        !db_query(job->db, &users, broken_users_sql, DB_VALUES(job->undo), err))
        return false;
    if (!db_bool(stale, 0, 0) && db_null(users, 0, 0))
        return true;
    return refuse_later(job, db_null(users, 0, 0) ? "{}" : db_text(users, 0, 0), err);
}

/* What is no change of addresses is not undone here. */
static bool check_kind(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(job->db, &rows,
                  "select exists (select from domain_change h where h.changeset_id = c.id and"
                  "     coalesce(h.before, '{}') - 'loaded_at' <> h.after - 'loaded_at'),"
                  "   not exists (select from change h where h.changeset_id = c.id)"
                  "     and not exists (select from user_change h where h.changeset_id = c.id)"
                  " from changeset c where c.id = $1::bigint",
                  DB_VALUES(job->undo), err))
        return false;
    if (db_bool(rows, 0, 0))
        return err_set(err, ERR_DATA,
                       "changeset %s changed domains; set them back with 'rollcall domain set' or "
                       "'rollcall domain add'",
                       job->undo);
    if (db_bool(rows, 0, 1))
        return err_set(err, ERR_DATA, "changeset %s changed no address: there is nothing to undo",
                       job->undo);
    return true;
}

/* What has become of the domains meanwhile and is in the way: the first that is found is named. */
static const struct obstacle {
    const char *sql, *before, *after;
} obstacles[] = {
    {"select name from domain where id in (select domain_id from roll_diff where sign <> '-')"
     "   and (state <> 'active' or alias_of is not null) order by name limit 1",
     "its addresses were in ", ", which is removed or an alias now"},
    /* whoever has no address stays where he was when a domain goes to another customer */
    {"select d.name from roll_diff r join users u on u.id = r.after_user"
     "   join domain d on d.id = r.domain_id where r.sign <> '-'"
     "   and u.customer_id <> d.customer_id order by 1 limit 1",
     "its users are another customer's than ", " now is"},
};

static bool check_domains(struct roll_job *job, struct err *err)
{
    for (size_t i = 0; i < sizeof obstacles / sizeof obstacles[0]; i++) {
        const struct obstacle *o = &obstacles[i];
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(job->db, &rows, o->sql, DB_NO_VALUES, err))
            return false;
        if (db_rows(rows) > 0)
            return err_set(err, ERR_DATA, "changeset %s cannot be undone: %s%s%s", job->undo,
                           o->before, db_text(rows, 0, 0), o->after);
    }
    return check_case(job,
                      "select r.local_part, d.name from roll_diff r join domain d"
                      " on d.id = r.domain_id where r.sign = '+' and not d.case_sensitive"
                      "   and " MAYBE_CAPITAL("r.local_part") " order by 1",
                      DB_NO_VALUES, job->undo, "undone", err);
}

bool roll_undo_draft(struct roll_job *job, struct err *err)
{
    /* a user's liveness is guarded by the lock on its primary address's domain: that of a user of
     * whom only aliases are touched may be another */
    static const char primaries_sql[] =
        "select distinct p.domain_id from (select before_user as id from roll_diff"
        "     where before_kind = 'alias' union select after_user from roll_diff"
        "     where after_kind = 'alias') m join recipient p on p.user_id = m.id"
        "   and p.kind = 'primary' where not exists (select from roll_diff d"
        "     where d.before_user = m.id and d.before_kind = 'primary')";

    job->names = true;
    return lock_changeset(job->db, job->undo, "applied", err) && check_kind(job, err) &&
           invert(job, err) && db_exec(job->db, names_back_sql, DB_VALUES(job->undo), NULL, err) &&
           check_domains(job, err) && check_later(job, err) &&
           fill_ids(job, primaries_sql, DB_NO_VALUES, &job->extra, err);
}

/* A list that was complete only by that changeset is complete no more. */
static const char unloaded_sql[] =
    "with done as (update domain d set loaded_at = (h.before ->> 'loaded_at')::timestamptz,"
    "     changed_by = $2::bigint from domain_change h, domain old"
    "     where h.changeset_id = $1::bigint and h.domain_id = d.id and old.id = d.id"
    "       and d.loaded_at is not distinct from (h.after ->> 'loaded_at')::timestamptz"
    "     returning d.id, to_jsonb(old) - 'changed_by' as before,"
    "       to_jsonb(d) - 'changed_by' as after)"
    " insert into domain_change (changeset_id, domain_id, before, after)"
    " select $2::bigint, id, before, after from done";

bool roll_undo_done(struct roll_job *job, const char *changeset, struct err *err)
{
    return db_exec(job->db, unloaded_sql, DB_VALUES(job->undo, changeset), NULL, err) &&
           db_exec(job->db,
                   "update changeset set state = 'undone', undone_by = $2::bigint"
                   " where id = $1::bigint",
                   DB_VALUES(job->undo, changeset), NULL, err) &&
           write_audit(job->db, job->request, "change undo", job->undo, err);
}

bool roll_undo(struct db *db, int64_t id, const struct roll_request *request,
               const struct roll_listener *listener, struct roll_outcome *outcome, struct err *err)
{
    struct roll_job *job;
    char text[24];

    *outcome = (struct roll_outcome){0};
    snprintf(text, sizeof text, "%" PRId64, id);
    if (!roll_job_open(&job, db, request, err))
        return false;
    job->undo = text;
    bool fine =
        fill_ids(job, "select domain_id from changeset_domain where changeset_id = $1::bigint",
                 DB_VALUES(text), &job->extra, err) &&
        roll_job_prepare(job, err) && roll_job_run(job, listener, outcome, err);
    roll_abort(&job);
    return fine;
}

/* ---- held lists ---- */

/* Its domains were locked: they are still whose list it is. */
static bool check_owner(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(job->db, &rows,
                  "select d.name from changeset c join domain d on d.customer_id <> c.customer_id"
                  " where c.id = $1::bigint and d.state = 'active' and d.id in"
                  "   (select domain_id from held_entry where changeset_id = $1::bigint"
                  "   union select domain_id from held_domain where changeset_id = $1::bigint)"
                  " order by 1 limit 1",
                  DB_VALUES(job->held), err))
        return false;
    return db_rows(rows) == 0 ||
           err_set(err, ERR_DATA,
                   "changeset %s cannot be approved: %s belongs to another customer now; reject it",
                   job->held, db_text(rows, 0, 0));
}

bool roll_held_check(struct roll_job *job, struct err *err)
{
    return lock_changeset(job->db, job->held, "held", err) && check_owner(job, err) &&
           check_case(
               job,
               "select h.local_part, d.name from held_entry h join domain d"
               " on d.id = h.domain_id where h.changeset_id = $1::bigint"
               "   and not d.case_sensitive and " MAYBE_CAPITAL("h.local_part") " order by 1",
               DB_VALUES(job->held), job->held, "approved", err);
}

static bool forget_list(struct db *db, const char *changeset, struct err *err)
{
    return db_exec(db, "delete from held_entry where changeset_id = $1::bigint",
                   DB_VALUES(changeset), NULL, err) &&
           db_exec(db, "delete from held_domain where changeset_id = $1::bigint",
                   DB_VALUES(changeset), NULL, err);
}

bool roll_held_done(struct roll_job *job, struct err *err)
{
    return forget_list(job->db, job->held, err) &&
           write_audit(job->db, job->request, "change approve", job->held, err);
}

/* The list as it was held; what is in domains that are gone since is a problem. */
static const char restage_sql[] =
    "insert into roll_list (entry, place, line, domain_id, local_part, kind, lone, again,"
    "   disabled, fault, rival, name, known)"
    " select h.entry, h.place, h.line, h.domain_id, h.local_part, h.kind,"
    "   count(*) over (partition by h.entry) = 1, false, h.disabled,"
    "   case when d.id is null then 0 end, 0, h.name, h.known from held_entry h"
    "   left join domain d on d.id = h.domain_id and d.state = 'active' and d.alias_of is null"
    "   where h.changeset_id = $1::bigint";

static bool restage(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO seen = NULL;

    if (!db_exec(job->db, restage_sql, DB_VALUES(job->held), NULL, err) ||
        !db_query(job->db, &seen,
                  "select count(*), coalesce(bool_or(not lone), false),"
                  "   coalesce(bool_or(name is not null), false), count(fault), count(known) > 0"
                  " from roll_list",
                  DB_NO_VALUES, err))
        return false;
    job->places = (int32_t)db_int(seen, 0, 0);
    job->several = db_bool(seen, 0, 1);
    job->names = db_bool(seen, 0, 2);
    job->faults = db_int(seen, 0, 3);
    job->known = db_bool(seen, 0, 4);
    return fill_ids(job,
                    "select distinct domain_id from held_entry where changeset_id = $1::bigint",
                    DB_VALUES(job->held), &job->listed, err) &&
           fill_ids(job,
                    "select domain_id from held_domain h join domain d on d.id = h.domain_id"
                    " and d.state = 'active' and d.alias_of is null"
                    " where h.changeset_id = $1::bigint",
                    DB_VALUES(job->held), &job->scope, err);
}

/* What kind of list waits there: mode and source of the request come from it. */
static bool read_held(struct db *db, const char *id, struct roll_request *request, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select state, undone_by, mode, source, source_id from changeset"
                  " where id = $1::bigint",
                  DB_VALUES(id), err) ||
        !refuse_state(id, rows, "held", err))
        return false;
    for (int mode = ROLL_ADD; mode <= ROLL_FOLLOW; mode++)
        if (strcmp(roll_mode_names[mode], db_text(rows, 0, 2)) == 0)
            request->mode = (enum roll_mode)mode;
    for (int source = SOURCE_SMTP; source <= SOURCE_PANEL; source++)
        if (strcmp(source_names[source], db_text(rows, 0, 3)) == 0)
            request->source = (enum source_kind)source;
    request->source_id = (int32_t)db_int(rows, 0, 4);
    return true;
}

bool roll_approve(struct db *db, int64_t id, const struct roll_request *request,
                  const struct roll_listener *listener, struct roll_outcome *outcome,
                  struct err *err)
{
    struct roll_request held = *request;
    struct roll_job *job;
    char text[24];

    *outcome = (struct roll_outcome){0};
    snprintf(text, sizeof text, "%" PRId64, id);
    if (!read_held(db, text, &held, err) || !roll_job_open(&job, db, &held, err))
        return false;
    job->held = text;
    bool fine = restage(job, err) && roll_job_prepare(job, err);
    for (size_t i = 0; i < job->listed.count; i++)
        roll_ids_add(&job->extra, job->listed.at[i]);
    for (size_t i = 0; i < job->scope.count; i++)
        roll_ids_add(&job->extra, job->scope.at[i]);
    fine = fine && roll_job_run(job, listener, outcome, err);
    roll_abort(&job);
    return fine;
}

static bool reject(struct db *db, const char *id, const struct roll_request *request,
                   struct err *err)
{
    return lock_changeset(db, id, "held", err) &&
           db_exec(db,
                   "update changeset set state = 'rejected', decided_at = now()"
                   " where id = $1::bigint",
                   DB_VALUES(id), NULL, err) &&
           forget_list(db, id, err) && write_audit(db, request, "change reject", id, err) &&
           db_script(db, "commit", err);
}

bool roll_reject(struct db *db, int64_t id, const struct roll_request *request, struct err *err)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, id);
    if (!db_script(db, "begin", err))
        return false;
    return reject(db, text, request, err) || db_rollback(db);
}
