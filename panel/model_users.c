/* model_users - see model.h; here: users, page by page, and one with everything about it */
#include <stdio.h>
#include <string.h>

#include "lib/sql.h"
#include "panel/model.h"
#include "panel/view.h"

/* clang-format off */
/* What a row shows; `found` are the recipients of the page. */
#define ROWS                                                                                       \
    " select r.id, r.local_part, " SQL_ADDRESS("r.local_part", "d.name") " as address, r.kind,"    \
    " coalesce(u.name, '') as name, r.state, r.state = 'disabled' as is_disabled,"                 \
    " r.state = 'retired' as is_retired, r.kind = 'group' as is_group, r.kind = 'alias' as is_alias,"\
    " case when r.kind = 'alias' then (select " SQL_ADDRESS("p.local_part", "pd.name")             \
    "   from recipient p join domain pd on pd.id = p.domain_id"                                    \
    "   where p.user_id = r.user_id and p.kind = 'primary') end as owner,"                         \
    " (select string_agg(" SQL_ADDRESS("a.local_part", "ad.name") ", ', '"                         \
    "    order by ad.name, a.local_part) from recipient a join domain ad on ad.id = a.domain_id"   \
    "  where a.user_id = r.user_id and a.kind = 'alias' and a.state <> 'removed'"                  \
    "  and r.kind = 'primary') as aliases,"                                                        \
    " replace(" SQL_SOURCES ", e'\\n', ', ') as sources, c.created_at as at_changed"               \
    " from found join recipient r on r.id = found.id join domain d on d.id = r.domain_id"          \
    " left join users u on u.id = r.user_id left join changeset c on c.id = r.changed_by"          \
    " order by found.place, r.local_part"
static const char all_sql[] =
    "with found as materialized (select r.id, 0 as place from recipient r where r.domain_id = $1"
    " and r.local_part > $2 and r.kind <> 'alias' and r.state <> 'removed'"
    " and ($3 = '' or r.state::text = $3) order by r.local_part limit 51)" ROWS;
static const char search_sql[] = "select id, local_part from panel_search($1::int, $3, $2, 51)";
static const char found_sql[] = 
    "with found as (select * from unnest($1::bigint[]) with ordinality f (id, place))" ROWS;
/* clang-format on */

/* A page of the search. Where it has not got to the end for lack of time, the next one goes on. */
static bool search_users(struct db *db, const struct model_search *search, struct data *page,
                         struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO ids = {0};
    size_t count;

    if (!db_query(db, &found, search_sql,
                  DB_VALUES(search->domain, search->after, search->fragment), err))
        return false;
    count = db_rows(found);
    buf_text(&ids, "{");
    for (size_t i = 0; i < count && i < MODEL_PAGE && !db_null(found, i, 0); i++)
        buf_printf(&ids, "%s%s", i > 0 ? "," : "", db_text(found, i, 0));
    buf_text(&ids, "}");
    if (count > 0 && db_null(found, count - 1, 0)) {
        data_span(page, "next", db_span(found, count - 1, 1));
        data_flag(page, "unfinished", true);
        data_flag(page, "go_on", count == 1);
    } else if (count > MODEL_PAGE)
        data_span(page, "next", db_span(found, MODEL_PAGE - 1, 1));
    if (!db_query(db, &rows, found_sql, DB_VALUES(ids.at), err))
        return false;
    view_rows(page, "users", rows);
    return true;
}

bool model_users(struct db *db, const struct model_search *search, struct data *page,
                 struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (search->fragment[0] != '\0')
        return search_users(db, search, page, err);
    if (!db_query(db, &rows, all_sql, DB_VALUES(search->domain, search->after, search->state), err))
        return false;
    view_some(page, "users", rows, MODEL_PAGE);
    if (db_rows(rows) > MODEL_PAGE)
        data_span(page, "next", db_span(rows, MODEL_PAGE - 1, 1));
    return true;
}

static const char one_sql[] =
    "select r.id, r.user_id, coalesce(u.name, '') as name, d.id as domain_id, d.name as domain,"
    " " SQL_ADDRESS(
        "p.local_part",
        "pd.name") " as address, p.id as primary_id,"
                   " p.state = 'disabled' as is_disabled, p.kind = 'group' as is_group"
                   " from recipient r left join users u on u.id = r.user_id"
                   " join recipient p on p.id = coalesce((select x.id from recipient x"
                   "   where x.user_id = r.user_id and x.kind = 'primary'), r.id)"
                   " join domain pd on pd.id = p.domain_id join domain d on d.id = pd.id"
                   " where r.id = $1 and r.state <> 'removed'";
static const char addresses_sql[] = "select r.id, " SQL_ADDRESS(
    "r.local_part",
    "d.name") " as address, r.kind,"
              " r.kind = 'alias' as is_alias, r.state, r.state = 'disabled' as is_disabled,"
              " r.disabled_by_person as is_by_person, replace(" SQL_SOURCES
              ", e'\\n', ', ') as sources,"
              " coalesce(r.verified_on::text, '') as verified, r.refused_at as at_refused,"
              " r.changed_by as changeset, c.actor, c.created_at as at_changed"
              " from recipient r join domain d on d.id = r.domain_id"
              " left join changeset c on c.id = r.changed_by"
              " where ((r.user_id = nullif($1, '')::bigint and r.state <> 'removed') or r.id = "
              "$2::bigint)"
              " order by r.kind, d.name, r.local_part";

bool model_user(struct db *db, const char *recipient, struct data *page, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    DB_RESULT_AUTO addresses = NULL;

    if (!db_query(db, &row, one_sql, DB_VALUES(recipient), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "Nobody of that number is on the roll.");
    if (!db_query(db, &addresses, addresses_sql, DB_VALUES(db_text(row, 0, 1), db_text(row, 0, 0)),
                  err))
        return false;
    view_row(data_child(page, "user"), row, 0);
    view_rows(page, "addresses", addresses);
    return true;
}
