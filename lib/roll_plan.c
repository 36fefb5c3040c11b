/*
 * roll_plan - see roll_job.h; here: what would change, worked out inside the database
 *
 * The list meets the roll once: rows that are already as the list wants them fall away in that
 * first join, so that a list without news costs no more than being read. What is left becomes
 * roll_diff: owners are found, conflicts marked, the state after it computed. All statements run
 * under the locks of the domains concerned; when the plan turns out to touch a domain that is not
 * locked (a user with addresses elsewhere), it is thrown away and made again with that one locked
 * as well, so that locks are always taken in id order and writers never deadlock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roll_job.h"

enum { ROUNDS_MOST = 20 };

/* ---- lists of users and groups: add, replace, follow ---- */

/* Parameters of all statements about lists. */
#define SOURCE    "$1::source_kind"
#define SOURCE_ID "$2::int"
#define OWN       "$3::text" /* this source as a claim reads */
#define REPLACE   "$4::boolean"
#define FOLLOW    "$5::boolean"
#define NAMES     "$6::boolean"
#define SCOPE     "$5::int[]" /* of withdrawals */

#define HAS_DISABLING(claims) "position('!' in array_to_string(" claims ", ' ')) > 0"

/* The list beside the roll. */
#define MEETS                                                                                      \
    " from roll_list l"                                                                            \
    " left join recipient r on r.domain_id = l.domain_id and r.local_part = l.local_part"          \
    " left join recipient_source c on c.recipient_id = r.id and c.source = " SOURCE                \
    "   and c.source_id = " SOURCE_ID " left join users u on " NAMES " and u.id = r.user_id"
/* Not yet as the list wants it, as far as the row alone tells. */
#define IS_NEWS                                                                                    \
    "(r.kind = l.kind and c.disabled = l.disabled and r.state = case when l.disabled"              \
    "   or r.disabled_by_person then 'disabled' else 'active' end::recipient_state"                \
    " and (l.name = '' or l.kind <> 'primary' or not " NAMES " or u.name = l.name)"                \
    " and (not " REPLACE " or not exists (select from recipient_source o where"                    \
    "   o.recipient_id = r.id and (o.source, o.source_id) <> (" SOURCE ", " SOURCE_ID "))))"       \
    " is not true"

/* Each such row with what the roll has there now; `here`: it is on the roll. A list's order of
 * places is kept by `place`. */
#define FACTS                                                                                      \
    "select l.entry, l.place, l.line, l.domain_id, l.local_part, l.kind as listed, l.disabled,"    \
    " l.name, r.id as rid, coalesce(r.state <> 'removed', false) as here, r.user_id as owner,"     \
    " case when r.state <> 'removed' then r.kind end as kind, nullif(r.state, 'removed') as "      \
    "state,"                                                                                       \
    " case when r.state <> 'removed' then r.disabled_by_person end as person,"                     \
    " case when r.state <> 'removed' then roll_claims(r.id) end as claims,"                        \
    " u.name as owner_name" MEETS " where l.fault is null"

/* Free to go to whom the list says: nobody else speaks for it. */
#define MOVABLE                                                                                    \
    "(not f.here or " REPLACE " or (" FOLLOW " and f.claims <@ array[" OWN ", " OWN " || '!']))"
_Static_assert(PROBLEM_CONFLICT == 1 && PROBLEM_ABSENT == 2 && PROBLEM_KIND == 3, "as in the SQL");
/* roll_problem_kind, or null; `whole`: its owner's primary address is in the same entry. */
#define PROBLEM(whole)                                                                             \
    "case when " MOVABLE " then null"                                                              \
    " when (f.kind = 'group') <> (f.listed = 'group') then 3"                                      \
    " when f.owner is not null and not (" whole ") then 1 end"

/* A list in which each entry is one address is decided row by row. */
static const char lone_sql[] =
    "create temp table roll_diff on commit drop as"
    " with settled as (select f.*, " PROBLEM(
        "f.kind = 'primary'") " as problem from (" FACTS "   and " IS_NEWS ") f),"
                              " owned as (select f.*, f.listed as after_kind, case when f.problem "
                              "is null and"
                              "     f.listed <> 'group' then case when f.kind = 'primary' and "
                              "f.owner is not null"
                              "     then f.owner else nextval('users_id_seq') end end as "
                              "after_user,"
                              "   f.problem is null and f.listed <> 'group' and (f.kind = "
                              "'primary' and f.owner is not null)"
                              "     is not true as new_user from settled f order by domain_id, "
                              "local_part)";

/*
 * Entries of several addresses. An entry's user is the owner of its first address whose owner's
 * primary address is in the entry too; else a new user. Other such owners merge into it.
 */
static const char several_sql[] =
    "create temp table roll_diff on commit drop as"
    " with fact as materialized (" FACTS " and l.entry in (select l.entry" MEETS
    "   where l.fault is null group by l.entry having bool_or(" IS_NEWS ")"
    "     or min(r.user_id) is distinct from max(r.user_id))),"
    " candidate as (select entry, owner, min(place) as first, bool_or(kind = 'primary') as whole"
    "   from fact where owner is not null and listed <> 'group' group by entry, owner),"
    " chosen as (select distinct on (entry) entry, owner from candidate where whole"
    "   order by entry, first),"
    " settled as (select f.*, " PROBLEM(
        "c.whole") " as problem, h.owner as chosen from fact f"
                   "   left join candidate c on c.entry = f.entry and c.owner = f.owner"
                   "   left join chosen h on h.entry = f.entry),"
                   " head as (select distinct on (entry) entry, place, chosen from settled"
                   "   where problem is null and listed <> 'group' order by entry, (listed = "
                   "'primary') desc,"
                   "     coalesce(kind = 'primary' and owner = chosen, false) desc, place),"
                   " who as materialized (select entry, place, coalesce(chosen, "
                   "nextval('users_id_seq')) as id,"
                   "   chosen is null as made from head),"
                   " owned as (select f.*, case when f.listed = 'group' then 'group' when w.place "
                   "= f.place"
                   "     then 'primary' else 'alias' end::recipient_kind as after_kind,"
                   "     case when f.problem is null and f.listed <> 'group' then w.id end as "
                   "after_user,"
                   "     f.problem is null and w.place = f.place and w.made as new_user"
                   "   from settled f left join who w on w.entry = f.entry order by domain_id, "
                   "local_part)";

/* … and what becomes of each; what stays as it is falls away. "offset 0" keeps the planner from
 * writing what is computed once into every place that uses it. */
static const char after_sql[] =
    ", claimed as (select f.*, coalesce(f.person, false) as after_person, case"
    "     when " REPLACE " or not f.here then array[" OWN " || case when f.disabled then '!'"
    "       else '' end]"
    "     else array(select x collate \"C\" from unnest(f.claims) x where x <> " OWN
    "         and x <> " OWN " || '!' union all select " OWN " || case when f.disabled then '!'"
    "         else '' end order by 1) end as after_claims from owned f offset 0),"
    " stated as (select f.*, case when f.after_person or " HAS_DISABLING(
        "f.after_claims") "     then 'disabled' else 'active' end::recipient_state as after_state "
                          "from claimed f),"
                          " signed as (select f.*, (case when f.problem is not null then '!' when "
                          "not f.here then '+'"
                          "     when (f.owner, f.kind, f.state, f.claims) is distinct from"
                          "       (f.after_user, f.after_kind, f.after_state, f.after_claims) then "
                          "'~'"
                          "     else '=' end)::\"char\" as sign from stated f offset 0)"
                          " select sign, problem, line, nullif(name, '') as name, coalesce(rid, "
                          "case when sign = '+' then"
                          "   nextval('recipient_id_seq') end) as rid, rid is null as fresh,"
                          "   coalesce(new_user, false) as new_user, domain_id, local_part,"
                          "   owner as before_user, kind as before_kind, state as before_state,"
                          "   person as before_person, claims as before_claims, after_user, "
                          "after_kind, after_state,"
                          "   after_person, after_claims from signed"
                          "   where sign <> '=' or (name <> '' and after_kind = 'primary' and "
                          "owner_name <> name)";

/* An address in the scope that the list does not name loses its claims: this source's, or all. */
static const char withdraw_sql[] =
    "insert into roll_diff"
    " with fact as (select r.*, roll_claims(r.id) as claims from recipient r"
    "     where r.domain_id = any (" SCOPE ") and r.state <> 'removed'"
    "     and (" REPLACE " or exists (select from recipient_source s where s.recipient_id = r.id"
    "       and s.source = " SOURCE " and s.source_id = " SOURCE_ID "))"
    "     and not exists (select from roll_list l where l.domain_id = r.domain_id"
    "       and l.local_part = r.local_part and l.fault is distinct from 0)),"
    " kept as (select f.*, case when " REPLACE " then '{}' else array_remove(array_remove("
    "     f.claims, " OWN "), " OWN " || '!') end as left from fact f),"
    " fate as (select k.*, k.left <> '{}' as stays, case when k.state = 'retired' then 'retired'"
    "     when k.disabled_by_person or " HAS_DISABLING(
        "k.left") " then 'disabled'"
                  "     else 'active' end::recipient_state as after_state from kept k)"
                  " select case when stays then '~' else '-' end::\"char\", null, 0, null, id, "
                  "false, false,"
                  "   domain_id, local_part, user_id, kind, state, disabled_by_person, claims,"
                  "   case when stays then user_id end, case when stays then kind end,"
                  "   case when stays then after_state end, case when stays then "
                  "disabled_by_person end,"
                  "   case when stays then fate.left end from fate";

/* ---- addresses named one by one: remove, disable, enable ---- */

/* $1 withdraw, disable or enable. A primary address stands for its user with all addresses. */
static const char named_sql[] =
    "create temp table roll_diff on commit drop as"
    " with named as (select l.line, l.domain_id, l.local_part, r.id, r.user_id, r.kind"
    "     from roll_list l left join recipient r on r.domain_id = l.domain_id"
    "       and r.local_part = l.local_part and r.state <> 'removed' where l.fault is null),"
    " target as (select id from named where id is not null union select r.id from named n"
    "     join recipient r on r.user_id = n.user_id and r.kind = 'alias'"
    "       and r.state <> 'removed' where n.kind = 'primary'),"
    " fact as (select r.*, roll_claims(r.id) as claims, case $1 when 'disable' then true"
    "     when 'enable' then false else r.disabled_by_person end as after_person"
    "     from target t join recipient r on r.id = t.id),"
    " fate as (select f.*, case when f.state = 'retired' then 'retired' when f.after_person"
    "     or " HAS_DISABLING(
        "f.claims") " then 'disabled' else 'active' end::recipient_state"
                    "     as after_state, $1 <> 'withdraw' as stays from fact f)"
                    " select case when stays then '~' else '-' end::\"char\" as sign, null::int as "
                    "problem,"
                    "     0 as line, null::text as name, id as rid, false as fresh, false as "
                    "new_user,"
                    "     domain_id, local_part, user_id as before_user, kind as before_kind, "
                    "state as before_state,"
                    "     disabled_by_person as before_person, claims as before_claims,"
                    "     case when stays then user_id end as after_user,"
                    "     case when stays then kind end as after_kind,"
                    "     case when stays then after_state end as after_state,"
                    "     case when stays then after_person end as after_person,"
                    "     case when stays then claims end as after_claims from fate"
                    "   where not stays or (after_person, after_state) <> (disabled_by_person, "
                    "state)"
                    " union all select '!', 2, line, null, null, false, false, domain_id, "
                    "local_part, null,"
                    "     null, null, null, null, null, null, null, null, null from named where id "
                    "is null";

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
    " insert into roll_diff select '~', null, 0, null, r.id, false, false, r.domain_id,"
    "   r.local_part, r.user_id, r.kind, r.state, r.disabled_by_person, roll_claims(r.id), "
    "r.user_id,"
    "   'primary', r.state, r.disabled_by_person, roll_claims(r.id)"
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
    "     count(*) filter (where sign in ('-', '~') and after_user is distinct from before_user),"
    "     count(*) filter (where sign in ('+', '~') and not fresh and after_kind = 'primary' and"
    "       (after_user, after_kind) is distinct from (before_user, before_kind)),"
    "     count(*) filter (where sign = '+' and fresh),"
    "     count(*) filter (where new_user)"
    "   from roll_diff group by domain_id) s join domain d on d.id = s.domain_id order by d.id";
enum { COLUMN_STATISTICS = 6 };

void roll_plan_free(struct roll_plan *plan)
{
    free(plan->domains);
    *plan = (struct roll_plan){0};
}

static void summarise_row(struct roll_plan *plan, const struct db_result *rows, size_t row)
{
    int64_t *const sums[] = {&plan->added,  &plan->removed, &plan->changed,  &plan->problems,
                             NULL,          NULL,           &plan->lost,     &plan->moved,
                             &plan->rising, &plan->fresh,   &plan->new_users};
    const int first = COLUMN_STATISTICS;
    struct roll_plan_domain *domain = &plan->domains[row];

    *domain = (struct roll_plan_domain){
        .id = (int32_t)db_int(rows, row, 0),
        .customer = (int32_t)db_int(rows, row, 2),
        .guard_percent = db_int(rows, row, 3),
        .unloaded = db_bool(rows, row, 4),
        .kept = db_int(rows, row, first) + db_int(rows, row, first + 2),
        .leaving = db_int(rows, row, first + 4),
        .removing = db_int(rows, row, first + 5),
    };
    snprintf(domain->name, sizeof domain->name, "%s", db_text(rows, row, 1));
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

static bool draft_list(struct roll_job *job, struct err *err)
{
    enum roll_mode mode = job->request->mode;
    const char *replace = mode == ROLL_REPLACE ? "t" : "f",
               *follow = mode == ROLL_FOLLOW ? "t" : "f";
    STR_AUTO sql = mem_printf("%s%s", job->several ? several_sql : lone_sql, after_sql);
    BUF_AUTO scope = {0};

    roll_ids_text(job->scope.count > 0 ? &job->scope : &job->listed, &scope);
    return db_exec(job->db, sql,
                   DB_VALUES(job->source, job->source_id, job->own, replace, follow,
                             job->names ? "t" : "f"),
                   NULL, err) &&
           (mode == ROLL_ADD ||
            db_exec(job->db, withdraw_sql,
                    DB_VALUES(job->source, job->source_id, job->own, replace, scope.at), NULL,
                    err));
}

static bool draft(struct roll_job *job, struct err *err)
{
    if (job->undo != NULL)
        return roll_undo_draft(job, err);
    if (job->held != NULL && !roll_held_check(job, err))
        return false;
    if (job->request->mode <= ROLL_FOLLOW)
        return draft_list(job, err);
    return db_exec(job->db, named_sql, DB_VALUES(roll_mode_names[job->request->mode]), NULL, err);
}

/* One round: everything that follows from the list under the present locks. */
static bool make(struct roll_job *job, struct roll_plan *plan, struct err *err)
{
    if (!roll_stage_lock(job, err) || !draft(job, err) || !summarise(job, plan, err))
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

static bool count_active(struct roll_job *job, int32_t domain, int64_t *count, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char id[16];

    snprintf(id, sizeof id, "%d", (int)domain);
    if (!db_query(job->db, &rows,
                  "select count(*) from recipient where domain_id = $1::int and state = 'active'",
                  DB_VALUES(id), err))
        return false;
    *count = db_int(rows, 0, 0);
    return true;
}

/* Whether the list speaks for the domain and names nobody in it. */
static bool list_is_empty(const struct roll_job *job, int32_t domain)
{
    return job->request->mode != ROLL_ADD && roll_ids_have(&job->scope, domain) &&
           !roll_ids_have(&job->listed, domain);
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
    size_t count = 0;

    *held = false;
    if (request->mode > ROLL_FOLLOW || request->force || job->undo != NULL || job->held != NULL)
        return true;
    for (size_t i = 0; i < plan->domain_count; i++) {
        const struct roll_plan_domain *domain = &plan->domains[i];
        struct roll_guard_case c = {
            .leaving = domain->leaving,
            .list_empty = list_is_empty(job, domain->id),
            .least = request->guard.least,
            .percent = domain->guard_percent >= 0 ? domain->guard_percent : request->guard.percent,
        };
        if (c.leaving == 0 && !c.list_empty)
            continue;
        if (!count_active(job, domain->id, &c.before, err))
            return false;
        if (roll_guard_holds(&c) && count++ == 0)
            tell_case(domain, &c, why, room);
    }
    *held = count > 0;
    if (count > 1)
        snprintf(why + strlen(why), room - strlen(why), ", and so for %zu more domain%s", count - 1,
                 count == 2 ? "" : "s");
    return true;
}
