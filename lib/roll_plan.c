/*
 * roll_plan - see roll_job.h; here: what would change, worked out inside the database
 *
 * All statements run under the locks of the domains concerned; when the plan turns out to touch a
 * domain that is not locked (a user with addresses elsewhere), it is thrown away and made again
 * with that one locked as well, so that locks are always taken in id order and writers never
 * deadlock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roll_job.h"

enum { ROUNDS_MOST = 20 };

/* ---- addresses named one by one: remove, disable, enable, retire ---- */

/* clang-format off */

/* $1 withdraw, disable, enable or retire. A primary address stands for its user with all addresses,
 * but when it retires: each mailbox dies by itself. */
static const char named_sql[] =
    "create temp table roll_diff on commit drop as"
    " with named as (select l.line, l.domain_id, l.local_part, r.id, r.user_id, r.kind"
    "     from roll_list l left join recipient r on r.domain_id = l.domain_id"
    "       and r.local_part = l.local_part and r.state <> 'removed' where l.fault is null),"
    " target as (select id from named where id is not null union select r.id from named n"
    "     join recipient r on r.user_id = n.user_id and r.kind = 'alias'"
    "       and r.state <> 'removed' where n.kind = 'primary' and $1 <> 'retire'),"
    " fact as (select r.*, case $1 when 'disable' then true"
    "     when 'enable' then false else r.disabled_by_person end as after_person"
    "     from target t join recipient r on r.id = t.id),"
    " fate as (select f.*, case when f.state = 'retired' or $1 = 'retire' then 'retired'"
    "     when f.after_person or roll_disables(f.claims) then 'disabled' else 'active'"
    "     end::recipient_state as after_state, $1 <> 'withdraw' as stays from fact f)"
    " select case when stays then '~' else '-' end::\"char\" as sign, null::int as problem,"
    "   0 as line, null::text as name, id as rid, false as fresh, born_by as born,"
    "   false as new_user,"
    "   domain_id, local_part, user_id as before_user, kind as before_kind,"
    "   state as before_state, disabled_by_person as before_person, claims as before_claims,"
    "   case when stays then user_id end as after_user, case when stays then kind end as after_kind,"
    "   case when stays then after_state end as after_state,"
    "   case when stays then after_person end as after_person,"
    "   case when stays then claims end as after_claims from fate"
    "   where not stays or (after_person, after_state) <> (disabled_by_person, state)"
    " union all select '!', 2, line, null, null, false, null, false, domain_id, local_part, null,"
    "   null, null, null, null, null, null, null, null, null from named where id is null";

/* ---- what follows from it ---- */

/* A user that lost its primary address goes on under the alphabetically first of the others. */
static const char promote_sql[] =
    "with lost as (select before_user as id from roll_diff where sign in ('-', '~')"
    "     and before_kind = 'primary' and (after_user, after_kind) is distinct from"
    "       (before_user, before_kind)"
    "   except select after_user from roll_diff where sign in ('+', '~')"
    "     and after_kind = 'primary'),"
    " other as (select l.id as owner, r.id as rid, r.state, r.domain_id, r.local_part,"
    "     false as planned from lost l join recipient r on r.user_id = l.id"
    "       and r.kind = 'alias' where not exists (select from roll_diff d where d.rid = r.id"
    "       and d.sign in ('-', '~'))"
    "   union all select l.id, d.rid, d.after_state, d.domain_id, d.local_part, true from lost l"
    "     join roll_diff d on d.after_user = l.id and d.sign in ('+', '~')),"
    " heir as (select distinct on (o.owner) o.* from other o join domain d on d.id = o.domain_id"
    "   order by o.owner, o.state = 'retired', o.local_part || '@' || d.name collate \"C\"),"
    " raised as (update roll_diff d set after_kind = 'primary' from heir h where h.planned"
    "   and d.rid = h.rid and d.sign in ('+', '~'))"
    " insert into roll_diff select '~', null, 0, null, r.id, false, r.born_by, false, r.domain_id,"
    "   r.local_part, r.user_id, r.kind, r.state, r.disabled_by_person, r.claims,"
    "   r.user_id, 'primary', r.state, r.disabled_by_person, r.claims"
    "   from heir h join recipient r on r.id = h.rid where not h.planned";

/* One row for each domain that the plan touches. */
static const char summary_sql[] =
    "select d.id, d.name, d.customer_id, coalesce(d.guard_percent, -1), d.loaded_at is null, s.*"
    " from (select domain_id, count(*) filter (where sign = '+'),"
    "     count(*) filter (where sign = '-'), count(*) filter (where sign = '~'),"
    "     count(*) filter (where sign = '!'),"
    "     count(*) filter (where sign in ('-', '~') and before_state = 'active'"
    "       and after_state is distinct from 'active'),"
    "     count(*) filter (where sign = '-' and before_state = 'active'),"
    "     count(*) filter (where sign in ('-', '~') and before_kind = 'primary' and"
    "       (after_user, after_kind) is distinct from (before_user, before_kind)),"
    "     count(*) filter (where sign in ('+', '~') and not fresh and after_kind = 'primary' and"
    "       (after_user, after_kind) is distinct from (before_user, before_kind)),"
    "     count(*) filter (where sign = '+' and fresh),"
    "     count(*) filter (where new_user)"
    "   from roll_diff group by domain_id) s join domain d on d.id = s.domain_id order by d.id";
/* clang-format on */

enum { COLUMN_STATISTICS = 6 };

void roll_plan_free(struct roll_plan *plan)
{
    free(plan->domains);
    *plan = (struct roll_plan){0};
}

void roll_plan_domain_read(struct roll_plan_domain *domain, const struct db_result *rows,
                           size_t row)
{
    *domain = (struct roll_plan_domain){.id = (int32_t)db_int(rows, row, 0),
                                        .customer = (int32_t)db_int(rows, row, 2),
                                        .guard_percent = db_int(rows, row, 3),
                                        .unloaded = db_bool(rows, row, 4)};
    snprintf(domain->name, sizeof domain->name, "%s", db_text(rows, row, 1));
}

static void summarise_row(struct roll_plan *plan, const struct db_result *rows, size_t row)
{
    int64_t *const sums[] = {
        &plan->added, &plan->removed, &plan->changed, &plan->problems, NULL,
        NULL,         &plan->lost,    &plan->rising,  &plan->fresh,    &plan->new_users};
    const int first = COLUMN_STATISTICS;
    struct roll_plan_domain *domain = &plan->domains[row];

    roll_plan_domain_read(domain, rows, row);
    domain->kept = db_int(rows, row, first) + db_int(rows, row, first + 2);
    domain->touched = domain->kept + db_int(rows, row, first + 1) > 0;
    domain->leaving = db_int(rows, row, first + 4);
    domain->removing = db_int(rows, row, first + 5);
    for (size_t i = 0; i < sizeof sums / sizeof sums[0]; i++)
        if (sums[i] != NULL)
            *sums[i] += db_int(rows, row, first + (int)i);
}

static bool summarise(struct roll_job *job, struct roll_plan *plan, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    roll_plan_free(plan);
    if (!db_query(job->db, &rows, summary_sql, DB_NO_VALUES, err))
        return false;
    plan->problems = job->faults;
    plan->domain_count = db_rows(rows);
    plan->domains = mem_zero(plan->domain_count + 1, sizeof *plan->domains);
    for (size_t i = 0; i < plan->domain_count; i++)
        summarise_row(plan, rows, i);
    plan->touched = plan->added + plan->removed + plan->changed - plan->fresh;
    return true;
}

/* Users known already to whom the list gives another name: their primary address counts as
 * changed, if it is not changed anyway. */
static bool count_renamed(struct roll_job *job, struct roll_plan *plan, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!job->names)
        return true;
    if (!db_query(job->db, &rows,
                  "select count(*), count(*) filter (where d.sign = '=') from roll_diff d"
                  " join users u on u.id = d.after_user where d.sign in ('+', '~', '=')"
                  " and d.after_kind = 'primary' and d.name <> u.name",
                  DB_NO_VALUES, err))
        return false;
    plan->renamed = db_int(rows, 0, 0);
    plan->changed += db_int(rows, 0, 1);
    return true;
}

static bool draft(struct roll_job *job, struct err *err)
{
    if (job->undo != NULL)
        return roll_undo_draft(job, err);
    if (job->held != NULL && !roll_held_check(job, err))
        return false;
    if (job->request->mode <= ROLL_FOLLOW)
        return roll_list_draft(job, err);
    return db_exec(job->db, named_sql, DB_VALUES(roll_mode_names[job->request->mode]), NULL, err);
}

bool roll_plan_large(struct roll_job *job, int64_t rows, struct err *err)
{
    return rows < ROLL_LARGE ||
           db_script(job->db,
                     "set local work_mem = '128MB'; set local default_statistics_target = 10;"
                     "analyze roll_diff (sign, fresh, new_user, rid, domain_id, before_user,"
                     " before_kind, after_user, after_kind)",
                     err);
}

/* One round: everything that follows from the list under the present locks. */
static bool make(struct roll_job *job, struct roll_plan *plan, struct err *err)
{
    if (!roll_stage_lock(job, err) || !roll_first_fits(job, &job->first, err))
        return false;
    if (job->first)
        return roll_first_plan(job, plan, err);
    if (!draft(job, err) || !summarise(job, plan, err) ||
        !roll_plan_large(job, plan->fresh + plan->touched + plan->problems, err))
        return false;
    if (plan->lost > 0 && job->undo == NULL &&
        !(db_exec(job->db, promote_sql, DB_NO_VALUES, NULL, err) && summarise(job, plan, err)))
        return false;
    return count_renamed(job, plan, err);
}

/* Whether the plan stays within what is locked; else job->extra has the rest. */
static bool all_locked(struct roll_job *job, const struct roll_plan *plan)
{
    bool all = true;

    for (size_t i = 0; i < plan->domain_count; i++)
        if (!roll_ids_have(&job->locked, plan->domains[i].id))
            roll_ids_add(&job->extra, plan->domains[i].id);
    for (size_t i = 0; i < job->extra.count; i++)
        all = all && roll_ids_have(&job->locked, job->extra.at[i]);
    return all;
}

bool roll_plan_make(struct roll_job *job, struct roll_plan *plan, struct err *err)
{
    if (!db_script(job->db, "savepoint plan", err))
        return false;
    for (int round = 0; round < ROUNDS_MOST; round++) {
        if (!make(job, plan, err))
            return false;
        if (all_locked(job, plan))
            return true;
        if (!db_script(job->db, "rollback to savepoint plan", err))
            return false;
    }
    return err_set(err, ERR_TEMPORARY, "the users concerned change all the time; try again");
}

/* ---- the guard ---- */

/* Whether the list speaks for the domain and names nobody in it. */
static bool list_is_empty(const struct roll_job *job, int32_t domain)
{
    return job->request->mode != ROLL_ADD && roll_ids_have(&job->scope, domain) &&
           !roll_ids_have(&job->listed, domain);
}

static struct roll_guard_case case_of(const struct roll_job *job,
                                      const struct roll_plan_domain *domain)
{
    const struct roll_guard *guard = &job->request->guard;

    return (struct roll_guard_case){
        .leaving = domain->leaving,
        .list_empty = list_is_empty(job, domain->id),
        .least = guard->least,
        .percent = domain->guard_percent >= 0 ? domain->guard_percent : guard->percent,
    };
}

/* Whether its numbers may hold the domain: then its addresses have to be counted. */
static bool is_doubtful(const struct roll_guard_case *c)
{
    return c->leaving > c->least || c->list_empty;
}

/* How many addresses of each doubtful domain are accepted now, as far as that matters: (id, count),
 * by id. */
static bool count_active(struct roll_job *job, const struct roll_plan *plan,
                         struct db_result **counts, struct err *err)
{
    BUF_AUTO ids = {0}, enough = {0};

    for (size_t i = 0; i < plan->domain_count; i++) {
        struct roll_guard_case c = case_of(job, &plan->domains[i]);
        if (!is_doubtful(&c))
            continue;
        int64_t most = roll_guard_enough(&c);
        const char *before = ids.len == 0 ? "{" : ",";
        buf_printf(&ids, "%s%d", before, (int)plan->domains[i].id);
        if (most > 0)
            buf_printf(&enough, "%s%lld", before, (long long)most);
        else
            buf_printf(&enough, "%snull", before);
    }
    if (ids.len == 0)
        return true;
    buf_text(&ids, "}");
    buf_text(&enough, "}");
    return db_query(job->db, counts,
                    "select d, (select count(*) from (select from recipient where domain_id = d"
                    "   and state = 'active' limit n) r)"
                    " from unnest($1::int[], $2::bigint[]) x (d, n) order by d",
                    DB_VALUES(ids.at, enough.at), err);
}

static void tell_case(const struct roll_plan_domain *domain, const struct roll_guard_case *c,
                      char *why, size_t room)
{
    const char *verb = domain->removing == domain->leaving ? "remove" : "remove or disable";

    if (c->list_empty)
        snprintf(why, room,
                 "%s: held: the list names nobody there, would %s %lld of %lld addresses",
                 domain->name, verb, (long long)c->leaving, (long long)c->before);
    else
        snprintf(why, room, "%s: held: would %s %lld of %lld addresses (limit %lld %%)",
                 domain->name, verb, (long long)c->leaving, (long long)c->before,
                 (long long)c->percent);
}

bool roll_plan_held(struct roll_job *job, const struct roll_plan *plan, bool *held, char *why,
                    size_t room, struct err *err)
{
    const struct roll_request *request = job->request;
    DB_RESULT_AUTO counts = NULL;
    size_t count = 0, row = 0;

    *held = false;
    if (request->mode > ROLL_FOLLOW || request->force || job->undo != NULL || job->held != NULL ||
        job->first)
        return true;
    if (!count_active(job, plan, &counts, err))
        return false;
    for (size_t i = 0; i < plan->domain_count; i++) {
        const struct roll_plan_domain *domain = &plan->domains[i];
        struct roll_guard_case c = case_of(job, domain);
        if (!is_doubtful(&c))
            continue;
        c.before = db_int(counts, row++, 1);
        if (roll_guard_holds(&c) && count++ == 0)
            tell_case(domain, &c, why, room);
    }
    *held = count > 0;
    if (count > 1)
        snprintf(why + strlen(why), room - strlen(why), ", and so for %zu more domain%s", count - 1,
                 count == 2 ? "" : "s");
    return true;
}
