/* history - see history.h */
#include "history.h"

#include "sql.h"

/* clang-format off */
/* The names of the first five domains of a changeset, and a sign that there are more. */
#define DOMAINS                                                                                    \
    "(with every(id) as (select domain_id from changeset_domain where changeset_id = c.id union"   \
    "    select domain_id from held_domain where changeset_id = c.id union"                        \
    "    select domain_id from domain_change where changeset_id = c.id limit 6)"                   \
    "  select string_agg(case when n > 5 then '…' else name end, e'\\n' order by n) from"          \
    "    (select row_number() over (order by d.name) as n, d.name from every e"                    \
    "     join domain d on d.id = e.id) x)"
#define CHANGESETS                                                                                 \
    "select c.id, c.version, c.state, c.mode,"                                                     \
    " c.source || case when c.source_id <> 0 then ':' || c.source_id else '' end as source, k.name as customer, c.actor,"\
    " c.program, " SQL_TIME("coalesce(c.decided_at, c.created_at)") " as done_at, c.added, c.removed,"        \
    " c.changed, c.forced, " DOMAINS " as domains, nullif(c.note, '') as note,"                                        \
    " coalesce(c.decided_at, c.created_at) as here"                                                                    \
    " from changeset c left join customer k on k.id = c.customer_id"
static const char list_sql[] =
    CHANGESETS " where ($1::changeset_state is null or c.state = $1::changeset_state)"
    " and ($2::text is null or lower(k.name) = lower($2)) and c.mode <> 'evidence'"
    " and ($4::bigint is null or c.id < $4::bigint)"
    " order by c.id desc limit $3::bigint";
static const char one_sql[] = CHANGESETS " where c.id = $1::bigint";

/* One side of the change of an address, as a dry run words it. The user is called by the primary
 * address that the changeset itself found or left, or else by the one there is now. */
#define PRIMARY_OF(user)                                                                           \
    "coalesce((select " SQL_ADDRESS("p.local_part", "pd.name")                                     \
    " from recipient p join domain pd on pd.id = p.domain_id"                                      \
    " where p.user_id = " user " and p.kind = 'primary'), 'number ' || " user ")"
#define HEADS(which)                                                                               \
    which "(id, address) as (select h." which "_user, " SQL_ADDRESS("h.local_part", "d.name")      \
    " from change h join domain d on d.id = h.domain_id where h.changeset_id = $1::bigint"         \
    " and h." which "_kind = 'primary' and h." which "_user in (select " which "_user from page))"
#define SIDE(which)                                                                                \
    "case when h." which "_state is null then '' else concat_ws(', ',"                             \
    " 'user ' || coalesce(" which ".address, " PRIMARY_OF("h." which "_user") "),"                 \
    " h." which "_kind,"                                                                           \
    " h." which "_state || case when h." which "_person then ' (by a person)' else '' end,"        \
    " array_to_string(h." which "_claims, ' ')) end"
static const char addresses_sql[] =
    "with page as materialized (select h.*, d.name as domain from change h"
    "   join domain d on d.id = h.domain_id where h.changeset_id = $1::bigint"
    "   order by h.domain_id, h.local_part limit $2::bigint),"
    " " HEADS("before") ", " HEADS("after")
    " select case when coalesce(h.after_state, 'removed') = 'removed' then '-'"
    " when coalesce(h.before_state, 'removed') = 'removed' then '+' else '~' end,"
    " " SQL_ADDRESS("h.local_part", "h.domain") ", " SIDE("before") ", " SIDE("after")
    " from page h left join before on before.id = h.before_user"
    " left join after on after.id = h.after_user order by h.domain_id, h.local_part";

/* Only the settings that differ. */
#define DIFFERING(mine, other)                                                                     \
    "(select string_agg(e.key || '=' || e.value, ' ' order by e.key)"                              \
    "  from jsonb_each_text(" mine ") e"                                                           \
    "  where e.key not in ('id', 'name', 'customer_id', 'created_at', 'changed_by')"               \
    "  and e.value is distinct from (" other " ->> e.key))"
static const char domains_sql[] =
    "select case when h.before is null then '+' when h.after ->> 'state' = 'removed' then '-'"
    " else '~' end, d.name, " DIFFERING("h.before", "h.after") ","
    " " DIFFERING("h.after", "coalesce(h.before, '{}')")
    " from domain_change h join domain d on d.id = h.domain_id"
    " where h.changeset_id = $1::bigint order by d.name limit $2::bigint";
#define NAME(column) "case " column " when '' then 'without a name' else " column " end"
/* Names are a user's, shown at its primary address. */
static const char names_sql[] =
    "select '~', " PRIMARY_OF("h.user_id") ", " NAME("h.before_name") ", " NAME("h.after_name")
    " from user_change h where h.changeset_id = $1::bigint and h.before_name <> h.after_name"
    " order by 2 limit $2::bigint";
/* clang-format on */

bool history_list(struct db *db, const char *state, const char *customer, const char *before,
                  const char *limit, struct db_result **rows, struct err *err)
{
    return db_query(db, rows, list_sql, DB_VALUES(state, customer, limit, before), err);
}

bool history_get(struct db *db, const char *id, struct db_result **row, struct err *err)
{
    return db_query(db, row, one_sql, DB_VALUES(id), err);
}

bool history_differences(struct db *db, enum history_part part, const char *id, const char *limit,
                         struct db_result **rows, struct err *err)
{
    static const char *const sql[] = {[HISTORY_DOMAINS] = domains_sql,
                                      [HISTORY_ADDRESSES] = addresses_sql,
                                      [HISTORY_NAMES] = names_sql};

    return db_query(db, rows, sql[part], DB_VALUES(id, limit), err);
}
