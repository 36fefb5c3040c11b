/*
 * roll_apply - see roll_job.h; here: roll_diff becomes the roll
 *
 * Only rows that really change are written, in address order, and statements with nothing to do are
 * not sent. Order matters: users before their addresses; addresses that stop being primary before
 * those that become it (an index allows a user one); the history before what it tells of.
 * A user without any address stays as a row: the undo of what took them brings it back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roll_job.h"

#define CHANGESET "$1::bigint"

static const char new_users_sql[] =
    "insert into users (id, customer_id, name) overriding system value"
    " select u.after_user, d.customer_id, coalesce(u.name, '') from roll_diff u"
    " join domain d on d.id = u.domain_id where u.new_user";

/* Users known already: other names. */
static const char rename_sql[] =
    "with fate as (select u.id, u.name as before_name, d.name as after_name from roll_diff d"
    "     join users u on u.id = d.after_user where d.sign in ('+', '~', '=')"
    "     and d.after_kind = 'primary' and not d.new_user and d.name <> u.name),"
    " done as (update users u set name = f.after_name from fate f where u.id = f.id)"
    " insert into user_change (changeset_id, user_id, before_name, after_name)"
    " select " CHANGESET ", id, before_name, after_name from fate";

static const char new_addresses_sql[] =
    "insert into recipient (id, domain_id, local_part, user_id, kind, state, disabled_by_person,"
    "   claims, changed_by, born_by) overriding system value"
    " select rid, domain_id, local_part, after_user, after_kind, after_state, after_person,"
    "   after_claims, " CHANGESET ", " CHANGESET " from roll_diff where sign = '+' and fresh";

/*
 * An address that comes back has no evidence from before; $2: but what an undo brings back has. One
 * that is to be the primary of another user must first stop being one.
 */
#define BORN "born_by = case when d.sign = '+' then " CHANGESET " end"
static const char falling_sql[] =
    "update recipient r set user_id = d.after_user, changed_by = " CHANGESET ","
    "   kind = case when d.after_kind = 'primary' and d.after_user is distinct from d.before_user"
    "     then 'alias' else coalesce(d.after_kind, r.kind) end,"
    "   state = coalesce(d.after_state, 'removed'),"
    "   disabled_by_person = coalesce(d.after_person, false),"
    "   claims = coalesce(d.after_claims, '{}'), " BORN ","
    "   verified_on = case when d.sign = '+' and not $2::boolean then null else r.verified_on end,"
    "   refused_at = case when coalesce(d.before_state, 'retired') = 'retired'"
    "     and d.after_state in ('active', 'disabled') and not $2::boolean then null"
    "     else r.refused_at end"
    " from roll_diff d where r.id = d.rid and d.sign in ('+', '-', '~') and not d.fresh"
    "   and (d.after_kind is distinct from 'primary' or d.before_kind = 'primary')";
static const char rising_sql[] =
    "update recipient r set user_id = d.after_user, changed_by = " CHANGESET ", kind = 'primary',"
    "   state = d.after_state, disabled_by_person = d.after_person, claims = d.after_claims,"
    "   " BORN ","
    "   verified_on = case when d.sign = '+' and not $2::boolean then null else r.verified_on end,"
    "   refused_at = case when coalesce(d.before_state, 'retired') = 'retired'"
    "     and d.after_state in ('active', 'disabled') and not $2::boolean then null"
    "     else r.refused_at end"
    " from roll_diff d where r.id = d.rid and d.sign in ('+', '~') and not d.fresh"
    "   and d.after_kind = 'primary' and (d.after_user, d.after_kind) is distinct from"
    "     (d.before_user, d.before_kind)";

/* What comes is its own history: see recipient.born_by. */
static const char history_sql[] =
    "insert into change_line (changeset_id, domain_id, local_part, before_user, before_kind,"
    "   before_state, before_person, before_claims, after_user, after_kind, after_state,"
    "   after_person, after_claims, born_by)"
    " select " CHANGESET ", domain_id, local_part, before_user, before_kind, before_state,"
    "   before_person, before_claims, after_user, after_kind, after_state, after_person,"
    "   after_claims, born from roll_diff where sign in ('-', '~')";

/* $2: the domains. */
static const char domains_sql[] =
    "insert into changeset_domain (changeset_id, domain_id) select " CHANGESET
    ", unnest($2::int[])";

/* The first list with anybody in it makes a domain's list a complete one. $2: the domains. */
static const char loaded_sql[] =
    "with done as (update domain d set loaded_at = now(), changed_by = " CHANGESET
    "   from domain old where old.id = d.id and d.id = any ($2::int[]) and d.loaded_at is null"
    "   returning d.id, to_jsonb(old) - 'changed_by' as before,"
    "     to_jsonb(d) - 'changed_by' as after)"
    " insert into domain_change (changeset_id, domain_id, before, after)"
    " select " CHANGESET ", id, before, after from done";

static bool say(struct roll_job *job, const char *sql, const char *changeset, struct err *err)
{
    return db_exec(job->db, sql, DB_VALUES(changeset), NULL, err);
}

static bool say_undo(struct roll_job *job, const char *sql, const char *changeset, struct err *err)
{
    return db_exec(job->db, sql, DB_VALUES(changeset, job->undo != NULL ? "t" : "f"), NULL, err);
}

/* ---- the changeset ---- */

/* The one customer of all domains touched, or NULL. */
static const char *customer_of(const struct roll_plan *plan, char text[16])
{
    for (size_t i = 1; i < plan->domain_count; i++)
        if (plan->domains[i].customer != plan->domains[0].customer)
            return NULL;
    if (plan->domain_count == 0)
        return NULL;
    snprintf(text, 16, "%d", (int)plan->domains[0].customer);
    return text;
}

bool roll_apply_changeset(struct roll_job *job, const struct roll_plan *plan, const char *state,
                          struct err *err)
{
    const struct roll_request *request = job->request;
    DB_RESULT_AUTO made = NULL;
    char customer[16], added[24], removed[24], changed[24];

    snprintf(added, sizeof added, "%lld", (long long)plan->added);
    snprintf(removed, sizeof removed, "%lld", (long long)plan->removed);
    snprintf(changed, sizeof changed, "%lld", (long long)(plan->changed));
    const char *const values[] = {
        customer_of(plan, customer),
        job->undo != NULL ? "undo" : roll_mode_names[request->mode],
        job->source,
        job->source_id,
        request->actor,
        request->program,
        state,
        request->force ? "t" : "f",
        request->note != NULL ? request->note : "",
        added,
        removed,
        changed,
        job->undo,
        job->held,
    };
    const char *sql =
        job->held == NULL
            ? "with made as (insert into changeset (customer_id, mode, source, source_id, actor,"
              "   program, state, forced, note, added, removed, changed, undoes) values ($1::int,"
              "   $2::roll_mode, $3::source_kind, $4::int, $5, $6, $7::changeset_state,"
              "   $8::boolean, $9, $10::int, $11::int, $12::int, $13::bigint) returning id)"
              " select id, set_config('rollcall.changeset', id::text, true),"
              "   set_config('rollcall.checked', 'on', true) from made"
            : "with made as (update changeset set state = $2::changeset_state, decided_at = now(),"
              "   added = $3::int, removed = $4::int, changed = $5::int where id = $1::bigint"
              "   returning id)"
              " select id, set_config('rollcall.changeset', id::text, true),"
              "   set_config('rollcall.checked', 'on', true) from made";
    bool fine = job->held == NULL
                    ? db_query(job->db, &made, sql, values, 13, err)
                    : db_query(job->db, &made, sql,
                               DB_VALUES(job->held, state, added, removed, changed), err);
    if (fine)
        snprintf(job->changeset, sizeof job->changeset, "%s", db_text(made, 0, 0));
    return fine;
}

/* ---- the roll ---- */

static bool apply_addresses(struct roll_job *job, const struct roll_plan *plan,
                            const char *changeset, struct err *err)
{
    return (plan->touched == 0 || say_undo(job, falling_sql, changeset, err)) &&
           (plan->fresh == 0 || say(job, new_addresses_sql, changeset, err)) &&
           (plan->rising == 0 || say_undo(job, rising_sql, changeset, err));
}

/* Which domains it is about. */
static bool apply_domains(struct roll_job *job, const struct roll_plan *plan, const char *changeset,
                          struct err *err)
{
    struct roll_ids ids = {0};
    BUF_AUTO text = {0};

    for (size_t i = 0; i < plan->domain_count; i++)
        if (plan->domains[i].touched)
            roll_ids_add(&ids, plan->domains[i].id);
    roll_ids_text(&ids, &text);
    bool none = ids.count == 0;
    roll_ids_free(&ids);
    return none || db_exec(job->db, domains_sql, DB_VALUES(changeset, text.at), NULL, err);
}

static bool apply_loaded(struct roll_job *job, const struct roll_plan *plan, const char *changeset,
                         struct err *err)
{
    struct roll_ids ids = {0};
    BUF_AUTO text = {0};

    for (size_t i = 0; i < plan->domain_count; i++)
        if (plan->domains[i].unloaded && plan->domains[i].kept > 0)
            roll_ids_add(&ids, plan->domains[i].id);
    roll_ids_text(&ids, &text);
    bool none = ids.count == 0 || job->undo != NULL || job->request->mode > ROLL_FOLLOW;
    roll_ids_free(&ids);
    return none || db_exec(job->db, loaded_sql, DB_VALUES(changeset, text.at), NULL, err);
}

static bool apply_all(struct roll_job *job, const struct roll_plan *plan, const char *changeset,
                      struct err *err)
{
    if (job->first)
        return roll_first_write(job, changeset, err) && apply_domains(job, plan, changeset, err) &&
               apply_loaded(job, plan, changeset, err);
    return (plan->new_users == 0 || db_exec(job->db, new_users_sql, DB_NO_VALUES, NULL, err)) &&
           (plan->renamed == 0 || say(job, rename_sql, changeset, err)) &&
           (plan->removed + plan->changed == 0 || say(job, history_sql, changeset, err)) &&
           apply_addresses(job, plan, changeset, err) && apply_domains(job, plan, changeset, err) &&
           apply_loaded(job, plan, changeset, err);
}

/* ---- older held lists ---- */

/* A newer list of the same directory takes the place of those that wait. $1 … the new one. */
static const char supersede_sql[] =
    "with old as (update changeset c set state = 'rejected', decided_at = now(),"
    "     note = concat_ws('; ', nullif(note, ''), 'a newer list took its place')"
    "   where c.state = 'held' and c.mode = 'follow' and c.source = $2::source_kind"
    "     and c.source_id = $3::int and c.id <> " CHANGESET " and exists (select from held_domain h"
    "       where h.changeset_id = c.id and h.domain_id = any ($4::int[])) returning id),"
    " domains as (delete from held_domain h using old where h.changeset_id = old.id)"
    " delete from held_entry h using old where h.changeset_id = old.id";

static bool supersede(struct roll_job *job, const char *changeset, struct err *err)
{
    BUF_AUTO scope = {0};

    if (job->request->mode != ROLL_FOLLOW || job->undo != NULL || job->held != NULL)
        return true;
    roll_ids_text(job->scope.count > 0 ? &job->scope : &job->listed, &scope);
    return db_exec(job->db, supersede_sql,
                   DB_VALUES(changeset, job->source, job->source_id, scope.at), NULL, err);
}

bool roll_apply_nothing(struct roll_job *job, struct err *err)
{
    if (!supersede(job, "0", err) || !db_script(job->db, "commit", err))
        return false;
    job->over = true;
    return true;
}

/* ---- the end ---- */

static bool commit(struct roll_job *job, const char *changeset, struct roll_outcome *outcome,
                   struct err *err)
{
    DB_RESULT_AUTO found = NULL;

    if (!db_script(job->db, "commit", err)) {
        if (!db_alive(job->db))
            err_prefix(err, "lost during the commit, look whether changeset %s is there",
                       changeset);
        return false;
    }
    job->over = true;
    if (!db_query(job->db, &found, "select version from changeset where id = $1::bigint",
                  DB_VALUES(changeset), err))
        return err_prefix(err, "done as changeset %s, but its version is unread", changeset);
    outcome->changeset = strtoll(changeset, NULL, 10);
    outcome->version = db_int(found, 0, 0);
    return true;
}

bool roll_apply(struct roll_job *job, const struct roll_plan *plan, struct roll_outcome *outcome,
                struct err *err)
{
    const char *changeset = job->changeset;

    if (!roll_apply_changeset(job, plan, "applied", err) || !apply_all(job, plan, changeset, err) ||
        !supersede(job, changeset, err) ||
        (job->undo != NULL && !roll_undo_done(job, changeset, err)) ||
        (job->held != NULL && !roll_held_done(job, err)))
        return false;
    outcome->state = ROLL_APPLIED;
    return commit(job, changeset, outcome, err);
}

bool roll_apply_eager(struct roll_job *job, const struct roll_plan *plan,
                      struct roll_outcome *outcome, struct err *err)
{
    char customer[16], added[24];

    snprintf(added, sizeof added, "%lld", (long long)plan->added);
    if (!db_exec(
            job->db,
            "update changeset set customer_id = $2::int, added = $3::int where id = $1::bigint",
            DB_VALUES(job->changeset, customer_of(plan, customer), added), NULL, err) ||
        !apply_domains(job, plan, job->changeset, err) ||
        !apply_loaded(job, plan, job->changeset, err) || !supersede(job, job->changeset, err))
        return false;
    outcome->state = ROLL_APPLIED;
    return commit(job, job->changeset, outcome, err);
}

bool roll_apply_hold(struct roll_job *job, const struct roll_plan *plan,
                     struct roll_outcome *outcome, struct err *err)
{
    const char *changeset = job->changeset;
    BUF_AUTO scope = {0};

    roll_ids_text(job->scope.count > 0 ? &job->scope : &job->listed, &scope);
    if (!roll_apply_changeset(job, plan, "held", err) ||
        !db_exec(job->db,
                 "insert into held_entry (changeset_id, entry, place, line, domain_id, local_part,"
                 "   kind, disabled, name, known)"
                 " select $1::bigint, entry, place, line, domain_id, local_part, kind, disabled,"
                 "   name, known from roll_list where fault is null",
                 DB_VALUES(changeset), NULL, err) ||
        !db_exec(job->db,
                 "insert into held_domain (changeset_id, domain_id)"
                 " select $1::bigint, unnest($2::int[])",
                 DB_VALUES(changeset, scope.at), NULL, err) ||
        !supersede(job, changeset, err))
        return false;
    outcome->state = ROLL_HELD;
    if (!commit(job, changeset, outcome, err))
        return false;
    size_t used = strlen(outcome->why);
    snprintf(outcome->why + used, sizeof outcome->why - used,
             "; see 'rollcall change show %s', apply with 'rollcall change approve %s'", changeset,
             changeset);
    return true;
}
