/*
 * roll_list - see roll_job.h; here: what a list of users and groups wants (add, replace, follow)
 *
 * The list meets the roll once: what is already as the list wants it falls away in that join, so
 * that a list without news costs little more than being read. What is left becomes roll_diff:
 * owners are found, conflicts marked, the state after it computed.
 *
 * An entry's user is who it is known to be; else the owner of the first of its addresses whose
 * owner's primary address is in the entry too; else it is a new user. Other such owners merge into
 * it. Any other address of somebody else is a conflict, unless this list alone speaks for it: then
 * it goes where the list says.
 */
#include "roll_job.h"

/* clang-format off */

/* Parameters of the list's statement. */
#define SOURCE    "$1::source_kind"
#define SOURCE_ID "$2::int"
#define OWN       "$3::text"    /* this source as a claim reads */
#define REPLACE   "$4::boolean"
#define FOLLOW    "$5::boolean"

/* What the owner of a row is called; asked only where the list has a name. */
#define OWNER_NAME "(select u.name from users u where u.id = r.user_id)"
/* The list beside the roll. */
#define MEETS                                                                                      \
    " from roll_list l"                                                                            \
    " left join recipient r on r.domain_id = l.domain_id and r.local_part = l.local_part"          \
    " left join recipient_source c on c.recipient_id = r.id and c.source = " SOURCE                \
    "   and c.source_id = " SOURCE_ID " where l.fault is null"
/* Not yet as the list wants it, as far as the row alone tells. */
#define IS_NEWS                                                                                    \
    "(r.kind = l.kind and c.disabled = l.disabled and r.state = case when l.disabled"              \
    "   or r.disabled_by_person then 'disabled' else 'active' end::recipient_state"                \
    " and (l.name = '' or l.kind <> 'primary' or " OWNER_NAME " = l.name)"                         \
    " and (not " REPLACE " or not exists (select from recipient_source o where"                    \
    "   o.recipient_id = r.id and (o.source, o.source_id) <> (" SOURCE ", " SOURCE_ID ")))"        \
    " and coalesce(l.known = r.user_id, true)) is not true"
/* What the roll has for a row of the list now; `here`: it is on the roll. */
#define FACT                                                                                       \
    "select l.entry, l.place, l.line, l.domain_id, l.local_part, l.kind as listed, l.disabled,"    \
    " l.name, r.id as rid, coalesce(r.state <> 'removed', false) as here, r.user_id as owner,"     \
    " case when r.state <> 'removed' then r.kind end as kind,"                                     \
    " nullif(r.state, 'removed') as state,"                                                        \
    " case when r.state <> 'removed' then r.disabled_by_person end as person,"                     \
    " case when r.state <> 'removed' then " ROLL_CLAIMS_OF("r.id") " end as claims,"               \
    " case when l.name <> '' then " OWNER_NAME " end as owner_name"

_Static_assert(PROBLEM_CONFLICT == 1 && PROBLEM_KIND == 3, "as in the SQL");
/* roll_problem_kind, or null. Movable is what nobody else speaks for. `whole`: its owner's primary
 * address is in the same entry. */
#define PROBLEM(whole)                                                                             \
    "case when not f.here or " REPLACE " or (" FOLLOW                                              \
    "       and f.claims <@ array[" OWN ", " OWN " || '!']) then null"                             \
    " when (f.kind = 'group') <> (f.listed = 'group') then 3"                                      \
    " when f.owner is not null and not (" whole ") then 1 end"
/* What the next step needs of a row. */
#define ROW                                                                                        \
    "f.line, f.domain_id, f.local_part, f.disabled, f.name, f.rid, f.here, f.owner, f.kind,"       \
    " f.state, f.person, f.claims, f.owner_name, f.problem"

/* Entries of one address each are decided row by row. */
#define LONE                                                                                       \
    "select " ROW ", f.listed as after_kind, case when f.problem is null and f.listed <> 'group'"  \
    "   then case when f.kind = 'primary' and f.owner is not null then f.owner"                    \
    "     else nextval('users_id_seq') end end as after_user,"                                     \
    " f.problem is null and f.listed <> 'group'"                                                   \
    "   and (f.kind = 'primary' and f.owner is not null) is not true as new_user"                  \
    " from (select f.*, " PROBLEM("f.kind = 'primary'") " as problem"                              \
    "   from (" FACT MEETS " and l.lone and " IS_NEWS ") f) f"

/* Entries of several addresses are looked at whole as soon as one row is news, or is another
 * user's than the others. */
#define SEVERAL(which, candidates)                                                                 \
    "with fact as materialized (" FACT MEETS " and " which " and l.entry in (select l.entry"       \
        MEETS " and " which " group by l.entry having bool_or(" IS_NEWS ")"                       \
    "     or min(r.user_id) is distinct from max(r.user_id))),"                                    \
    " candidate as (select entry, owner, min(place) as first, bool_or(kind = 'primary') as whole"  \
    "   from fact where owner is not null and listed <> 'group' group by entry, owner),"           \
    " chosen as (select distinct on (entry) entry, owner from (" candidates ") c"                  \
    "   order by entry, first),"                                                                   \
    " settled as (select f.*, " PROBLEM("c.whole or f.owner is not distinct from h.owner")         \
    "   as problem, h.owner as chosen from fact f"                                                 \
    "   left join candidate c on c.entry = f.entry and c.owner = f.owner"                          \
    "   left join chosen h on h.entry = f.entry),"                                                 \
    " head as (select distinct on (entry) entry, place, chosen from settled"                       \
    "   where problem is null and listed <> 'group' order by entry, (listed = 'primary') desc,"    \
    "     coalesce(kind = 'primary' and owner = chosen, false) desc, place),"                      \
    " who as materialized (select entry, place, coalesce(chosen, nextval('users_id_seq')) as id,"  \
    "   chosen is null as made from head)"                                                         \
    " select " ROW ", case when f.listed = 'group' then 'group' when w.place = f.place"            \
    "     then 'primary' else 'alias' end::recipient_kind as after_kind,"                          \
    "   case when f.problem is null and f.listed <> 'group' then w.id end as after_user,"          \
    "   f.problem is null and w.place = f.place and w.made as new_user"                            \
    " from settled f left join who w on w.entry = f.entry"

static const char lone_sql[] = LONE;
static const char several_sql[] =
    SEVERAL("not l.lone", "select entry, owner, first from candidate where whole");
/* Who an entry is known to be goes first, and is nobody else, whatever address the other has now. */
static const char known_sql[] = SEVERAL("true",
    "select distinct l.entry, l.known as owner, 0 as first from roll_list l"
    "   join users u on u.id = l.known and u.live where l.fault is null union all"
    " select entry, owner, first from candidate c where whole and not exists (select"
    "   from roll_list k where k.known = c.owner and k.entry <> c.entry and k.fault is null)");

/*
 * … and, around it, what becomes of each. "offset 0" keeps the planner from writing what is
 * computed once into every place that uses it.
 */
static const char around_sql[] =
    "create temp table roll_diff on commit drop as"
    " select sign, problem, line, nullif(name, '') as name, coalesce(rid, case when sign = '+'"
    "     then nextval('recipient_id_seq') end) as rid, rid is null as fresh,"
    "   coalesce(new_user, false) as new_user, domain_id, local_part,"
    "   owner as before_user, kind as before_kind, state as before_state,"
    "   person as before_person, claims as before_claims,"
    "   after_user, after_kind, after_state, after_person, after_claims"
    " from (select f.*, (case when f.problem is not null then '!' when not f.here then '+'"
    "     when (f.owner, f.kind, f.state, f.claims) is distinct from"
    "       (f.after_user, f.after_kind, f.after_state, f.after_claims) then '~'"
    "     else '=' end)::\"char\" as sign"
    " from (select f.*, case when f.after_person or roll_disables(f.after_claims)"
    "     then 'disabled' else 'active' end::recipient_state as after_state"
    " from (select f.*, coalesce(f.person, false) as after_person,"
    "     case when " REPLACE " or not f.here then array[f.claim]"
    "     else array(select x collate \"C\" from unnest(f.claims) x where x <> " OWN
    "         and x <> " OWN " || '!' union all select f.claim order by 1) end as after_claims"
    " from (select f.*, " OWN " || case when f.disabled then '!' else '' end as claim"
    " from (%s%s%s%s order by domain_id, local_part) f) f offset 0) f offset 0) f) f"
    " where sign <> '='"
    "   or (name <> '' and after_kind = 'primary' and owner_name <> name)";

/* An address in the scope that the list does not name loses its claims: this source's, or all.
 * $5 the scope. */
static const char withdraw_sql[] =
    "insert into roll_diff"
    " with fact as (select r.*, " ROLL_CLAIMS_OF("r.id") " as claims from recipient r"
    "     where r.domain_id = any ($5::int[]) and r.state <> 'removed'"
    "     and (" REPLACE " or exists (select from recipient_source s where s.recipient_id = r.id"
    "       and s.source = " SOURCE " and s.source_id = " SOURCE_ID "))"
    "     and not exists (select from roll_list l where l.domain_id = r.domain_id"
    "       and l.local_part = r.local_part and l.fault is distinct from 0)),"
    " kept as (select f.*, case when " REPLACE " then '{}' else array_remove(array_remove("
    "     f.claims, " OWN "), " OWN " || '!') end as left from fact f),"
    " fate as (select k.*, k.left <> '{}' as stays, case when k.state = 'retired' then 'retired'"
    "     when k.disabled_by_person or roll_disables(k.left) then 'disabled'"
    "     else 'active' end::recipient_state as after_state from kept k)"
    " select case when stays then '~' else '-' end::\"char\", null, 0, null, id, false, false,"
    "   domain_id, local_part, user_id, kind, state, disabled_by_person, claims,"
    "   case when stays then user_id end, case when stays then kind end,"
    "   case when stays then after_state end, case when stays then disabled_by_person end,"
    "   case when stays then fate.left end from fate";

/* clang-format on */

bool roll_list_draft(struct roll_job *job, struct err *err)
{
    enum roll_mode mode = job->request->mode;
    const char *replace = mode == ROLL_REPLACE ? "t" : "f";
    const char *follow = mode == ROLL_FOLLOW ? "t" : "f";
    bool both = job->several && !job->known;
    STR_AUTO sql = mem_printf(around_sql, job->known ? known_sql : lone_sql,
                              both ? " union all (" : "", both ? several_sql : "", both ? ")" : "");
    BUF_AUTO scope = {0};

    roll_ids_text(job->scope.count > 0 ? &job->scope : &job->listed, &scope);
    return db_exec(job->db, sql, DB_VALUES(job->source, job->source_id, job->own, replace, follow),
                   NULL, err) &&
           (mode == ROLL_ADD ||
            db_exec(job->db, withdraw_sql,
                    DB_VALUES(job->source, job->source_id, job->own, replace, scope.at), NULL,
                    err));
}
