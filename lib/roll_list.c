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

/* Parameters of both statements, of the first, of the second. */
#define OWN     "$1::text" /* this source as a claim reads */
#define REPLACE "$2::boolean"
#define SCOPE   "$3::int[]"
#define FOLLOW  "$3::boolean"

/* The list's addresses, beside their own rows only; or, of a list that speaks for domains,
 * beside all that these have. */
#define MEET_OWN "left join recipient r"
#define MEET_ALL "full join (select * from recipient where domain_id = any (" SCOPE ")) r"

/* Not yet as the list wants it, as far as the row alone tells. */
#define IS_NEWS                                                                                    \
    "(r.kind = l.kind and r.state = case when l.disabled or r.disabled_by_person"                  \
    "   then 'disabled'::recipient_state else 'active' end"                                        \
    " and case when l.disabled then " OWN " || '!' else " OWN " end = any (r.claims)"              \
    " and (not " REPLACE " or cardinality(r.claims) = 1)"                                          \
    " and (l.name is null or l.kind <> 'primary'"                                                  \
    "   or (select u.name from users u where u.id = r.user_id) = l.name)"                          \
    " and coalesce(l.known = r.user_id, true)) is not true"

/*
 * What is not as the list wants it, and every address of an entry that has several, which is looked
 * at whole. `absent`: the list speaks for the domain and does not name the address.
 */
#define MET(meet, otherwise)                                                                       \
    "create temp table roll_met on commit drop as"                                                 \
    " select l.entry, l.place, l.line, l.kind as listed, l.lone, l.disabled, l.name, l.known,"     \
    "   coalesce(l.domain_id, r.domain_id) as domain_id,"                                          \
    "   coalesce(l.local_part, r.local_part) as local_part, r.id as rid,"                          \
    "   coalesce(r.state <> 'removed', false) as here, r.user_id as owner,"                        \
    "   case when r.state <> 'removed' then r.kind end as kind,"                                   \
    "   nullif(r.state, 'removed') as state, case when r.state <> 'removed'"                       \
    "     then r.disabled_by_person end as person, case when r.state <> 'removed'"                 \
    "     then r.claims end as claims, r.born_by as born, l.place is null as absent,"              \
    "   l.place is not null and (l.lone or " IS_NEWS ") as news"                                   \
    " from (select * from roll_list where fault is null) l " meet                                  \
    "   on r.domain_id = l.domain_id and r.local_part = l.local_part"                              \
    " where case when l.place is null then " otherwise " else not l.lone or " IS_NEWS " end"
static const char met_own_sql[] = MET(MEET_OWN, "false");
static const char met_all_sql[] =
    MET(MEET_ALL, "r.state <> 'removed' and (" REPLACE " or r.claims && array[" OWN ", " OWN " || '!'])");

/* What an address that is here has now. */
#define FACT                                                                                       \
    "select m.*, case when m.name is not null then (select u.name from users u where u.id = m.owner)" \
    "   end as owner_name from roll_met m"

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
    "f.place, f.line, f.domain_id, f.local_part, f.disabled, f.name, f.rid, f.here, f.owner, f.kind," \
    " f.state, f.person, f.claims, f.born, f.owner_name, f.problem"

/* Entries of one address each are decided row by row. */
#define LONE                                                                                       \
    "select " ROW ", f.listed as after_kind, case when f.problem is null and f.listed <> 'group'"  \
    "   and f.kind = 'primary' then f.owner end as after_user,"                                    \
    " f.problem is null and f.listed <> 'group'"                                                   \
    "   and (f.kind = 'primary' and f.owner is not null) is not true as new_user"                  \
    " from (select f.*, " PROBLEM("f.kind = 'primary'") " as problem"                              \
    "   from (" FACT " where m.lone and m.here) f) f"

/*
 * Entries of several addresses are looked at whole as soon as one row is news, or is another
 * user's than the others.
 */
#define SEVERAL(which, having, candidates)                                                         \
    "with fact as materialized (" FACT " where " which " and m.entry in (select m.entry"           \
    "     from roll_met m where " which " group by m.entry having (bool_or(m.news)"                \
    "       or min(m.owner) is distinct from max(m.owner))" having ")),"                           \
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
    "   chosen is null as made from head)"
#define OF_SEVERAL                                                                                 \
    "select " ROW ", case when f.listed = 'group' then 'group' when w.place = f.place"             \
    "     then 'primary'::recipient_kind else 'alias' end as after_kind,"                          \
    "   case when f.problem is null and f.listed <> 'group' then w.id end as after_user,"          \
    "   f.problem is null and w.place = f.place and w.made as new_user"                            \
    " from settled f left join who w on w.entry = f.entry"

/* Nobody has any of its addresses, and its first is not a problem: a new user, as it stands. */
#define UNBORN "not bool_or(m.here) and bool_or(m.listed = 'primary')"
static const char several_sql[] =
    SEVERAL("not m.lone", " and not (" UNBORN ")",
        "select entry, owner, first from candidate where whole")
    ", unborn as (select m.entry, nextval('users_id_seq') as id from roll_met m where not m.lone"
    "   group by m.entry having " UNBORN " order by m.entry)";
/* Who an entry is known to be goes first, and is nobody else, whatever address the other has now. */
static const char known_sql[] = SEVERAL("not m.absent", "",
    "select distinct f.entry, f.known as owner, 0 as first from fact f"
    "   join recipient p on p.user_id = f.known and p.kind = 'primary' union all"
    " select entry, owner, first from candidate c where whole and not exists (select"
    "   from roll_list k where k.known = c.owner and k.entry <> c.entry and k.fault is null)");

/* Addresses that nobody had, of entries without any other: a first list is made of them. */
#define FRESH(user, from)                                                                          \
    " union all select '+', null, m.line, m.name, m.rid, null, m.listed = 'primary',"              \
    "   m.domain_id, m.local_part, null, null, null, null, null, " user ", m.listed,"              \
    "   case when m.disabled then 'disabled'::recipient_state else 'active' end, false, null,"     \
    "   m.place"                                                                                   \
    "   from roll_met m " from
static const char fresh_sql[] = FRESH("null", "where m.lone and not m.here");
static const char fresh_several_sql[] = FRESH("w.id", "join unborn w on w.entry = m.entry where not m.lone");

/* An address that the list does not name loses its claims: this source's, or all. */
static const char absent_sql[] =
    " union all select case when stays then '~' else '-' end::\"char\", null, 0, null, rid, born, false,"
    "   domain_id, local_part, owner, kind, state, person, claims, case when stays then owner end,"
    "   case when stays then kind end, case when not stays then null when state = 'retired'"
    "     then 'retired' when person or roll_disables(remain) then 'disabled'"
    "     else 'active' end::recipient_state, case when stays then person end,"
    "   case when stays then remain end, 0"
    " from (select a.*, remain <> '{}' as stays from (select a.*, case when " REPLACE " then '{}'"
    "     else array_remove(array_remove(a.claims, " OWN "), " OWN " || '!') end as remain"
    "   from (select * from roll_met m where m.absent) a) a) a";

/*
 * … and, around it, what becomes of each. "offset 0" keeps the planner from writing what is
 * computed once into every place that uses it. Numbers are given last, domain by domain in the order
 * of the list, so that indexes grow at few places; and what need not be sorted comes last too.
 */
static const char around_sql[] =
    "create temp table roll_diff on commit drop as %s"
    " select sign, problem, line, name, coalesce(rid, case when sign = '+'"
    "     then nextval('recipient_id_seq') end) as rid, rid is null as fresh, born,"
    "   coalesce(new_user, false) as new_user, domain_id, local_part,"
    "   before_user, before_kind, before_state, before_person, before_claims,"
    "   coalesce(after_user, case when new_user then nextval('users_id_seq') end) as after_user,"
    "   after_kind, after_state, after_person, coalesce(after_claims, case when sign = '+'"
    "     then array[" OWN " || case when after_state = 'disabled' then '!' else '' end] end)"
    "     as after_claims"
    " from (select * from (select sign, problem, line, name, rid, born, new_user, domain_id,"
    "   local_part, owner as before_user, kind as before_kind, state as before_state,"
    "   person as before_person, claims as before_claims, after_user, after_kind, after_state,"
    "   after_person, after_claims, place"
    " from (select f.*, (case when f.problem is not null then '!' when not f.here then '+'"
    "     when (f.owner, f.kind, f.state, f.claims) is distinct from"
    "       (f.after_user, f.after_kind, f.after_state, f.after_claims) then '~'"
    "     else '=' end)::\"char\" as sign"
    " from (select f.*, case when f.after_person or roll_disables(f.after_claims)"
    "     then 'disabled'::recipient_state else 'active' end as after_state"
    " from (select f.*, coalesce(f.person, false) as after_person,"
    "     case when " REPLACE " or not f.here then array[f.claim]"
    "     else array(select x collate \"C\" from unnest(f.claims) x where x <> " OWN
    "         and x <> " OWN " || '!' union all select f.claim order by 1) end as after_claims"
    " from (select f.*, " OWN " || case when f.disabled then '!' else '' end as claim"
    " from (%s) f) f offset 0) f offset 0) f) f"
    " where sign <> '=' or (name is not null and after_kind = 'primary' and owner_name <> name)"
    " %s%s%s) f order by (domain_id::bigint << 32) + place) f";

/* clang-format on */

static bool meet(struct roll_job *job, const char *replace, struct err *err)
{
    bool all = job->request->mode != ROLL_ADD;
    BUF_AUTO scope = {0};
    int64_t met;

    roll_ids_text(job->scope.count > 0 ? &job->scope : &job->listed, &scope);
    const char *const values[] = {job->own, replace, scope.at};
    return db_exec(job->db, all ? met_all_sql : met_own_sql, values, all ? 3 : 2, &met, err) &&
           (met < ROLL_LARGE ||
            db_script(job->db, "analyze roll_met (entry, lone, here, absent)", err));
}

bool roll_list_draft(struct roll_job *job, struct err *err)
{
    enum roll_mode mode = job->request->mode;
    const char *replace = mode == ROLL_REPLACE ? "t" : "f";
    const char *several = job->known ? known_sql : job->several ? several_sql : "";
    const char *rows = job->known     ? OF_SEVERAL
                       : job->several ? LONE " union all " OF_SEVERAL
                                      : LONE;
    STR_AUTO sql = mem_printf(around_sql, several, rows, job->known ? "" : fresh_sql,
                              job->several && !job->known ? fresh_several_sql : "",
                              mode != ROLL_ADD ? absent_sql : "");

    return meet(job, replace, err) &&
           db_exec(job->db, sql, DB_VALUES(job->own, replace, mode == ROLL_FOLLOW ? "t" : "f"),
                   NULL, err);
}
