/*
 * roll_tell - see roll_job.h; here: problems and differences in words, for the listener
 *
 * Both are read through a cursor, some hundred rows at a time: there may be a million.
 */
#include <string.h>

#include "roll_job.h"

/* Of whom an address is: columns LOCAL, DOMAIN of the primary address. */
#define PRIMARY_OF(user)                                                                           \
    " left join lateral (select p.local_part, d.name from recipient p"                             \
    "   join domain d on d.id = p.domain_id where p.user_id = " user " and p.kind = 'primary')"

/* line, kind, whole address or null, local part, domain, the owner's local part and domain. Of an
 * address that is told twice and is somebody else's anyway, that is the owner. */
static const char problems_sql[] =
    "declare told no scroll cursor for"
    " with head as (select distinct on (entry) entry, local_part, domain_id from roll_list"
    "   where fault is null order by entry, place)"
    " select l.line, l.fault, case when l.domain_id = 0 then l.name end, l.local_part,"
    "     coalesce(d.name, '?'), coalesce(a.local_part, h.local_part), coalesce(a.name, o.name)"
    "   from roll_list l left join domain d on d.id = l.domain_id"
    "   left join head h on h.entry = l.rival and l.fault in (0, 1) and l.domain_id <> 0"
    "   left join domain o on o.id = h.domain_id"
    "   left join roll_diff r on r.domain_id = l.domain_id and r.local_part = l.local_part"
    "     and r.sign = '!' and r.problem = 1 and l.fault = 1" PRIMARY_OF(
        "r.before_user") " a on true where l.fault >= 0"
                         " union all select r.line, r.problem, null, r.local_part, d.name, "
                         "o.local_part, o.name"
                         "   from roll_diff r join domain d on d.id = r.domain_id" PRIMARY_OF(
                             "r.before_user") " o on true where r.sign = '!' order by 1, 5, 4";

/* sign, local part, domain, then before and after: the user's local part and domain, kind, state,
 * by a person, claims, name. An address that stays itself shows only names. */
static const char differences_sql[] =
    "declare told no scroll cursor for select r.sign, r.local_part, d.name,"
    "   b.local_part, b.name, r.before_kind, r.before_state, r.before_person,"
    "   array_to_string(r.before_claims, ' '), case when r.sign = '=' then u.name end,"
    "   coalesce(n.local_part, a.local_part), coalesce(nd.name, a.name), r.after_kind,"
    "   r.after_state, r.after_person, array_to_string(r.after_claims, ' '),"
    "   case when r.sign = '=' then r.name end"
    " from roll_diff r join domain d on d.id = r.domain_id" PRIMARY_OF(
        "r.before_user") " b on true" PRIMARY_OF("r.after_user") " a on true"
                                                                 " left join roll_diff n on "
                                                                 "n.after_user = r.after_user"
                                                                 "   and n.after_kind = 'primary' "
                                                                 "and n.sign in ('+', '~')"
                                                                 " left join domain nd on nd.id = "
                                                                 "n.domain_id"
                                                                 " left join users u on r.sign = "
                                                                 "'=' and u.id = r.after_user"
                                                                 " where r.sign in ('+', '-', '~')"
                                                                 "   or (r.sign = '=' and r.name "
                                                                 "<> u.name)"
                                                                 " order by d.name, r.local_part";
enum { COLUMN_BEFORE = 3, COLUMN_AFTER = 10 };

typedef void tell_fn(const struct roll_listener *listener, const struct db_result *rows,
                     size_t row);

/* Gives each row of the cursor "told" to `tell`. */
static bool tell_all(struct roll_job *job, const char *sql, tell_fn *tell,
                     const struct roll_listener *listener, struct err *err)
{
    size_t found = 1;

    if (!db_exec(job->db, sql, DB_NO_VALUES, NULL, err))
        return false;
    while (found > 0) {
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(job->db, &rows, "fetch 500 from told", DB_NO_VALUES, err))
            return false;
        found = db_rows(rows);
        for (size_t i = 0; i < found; i++)
            tell(listener, rows, i);
    }
    return db_script(job->db, "close told", err);
}

/* The address in two columns from `column` on; "" when it is NULL. */
static void put_address(char out[ADDR_TEXT_MAX + 1], const struct db_result *rows, size_t row,
                        int column)
{
    out[0] = '\0';
    if (!db_null(rows, row, column))
        addr_format_parts(db_span(rows, row, column), db_span(rows, row, column + 1), out,
                          ADDR_TEXT_MAX + 1);
}

static void tell_problem(const struct roll_listener *listener, const struct db_result *rows,
                         size_t row)
{
    char address[ADDR_TEXT_MAX + 1], owner[ADDR_TEXT_MAX + 1];
    bool whole = !db_null(rows, row, 2);

    put_address(address, rows, row, 3);
    put_address(owner, rows, row, 5);
    listener->problem(listener->context, &(struct roll_problem){
                                             .line = db_int(rows, row, 0),
                                             .kind = (enum roll_problem_kind)db_int(rows, row, 1),
                                             .address = whole ? db_text(rows, row, 2) : address,
                                             .owner = owner,
                                         });
}

bool roll_tell_problems(struct roll_job *job, const struct roll_listener *listener, struct err *err)
{
    return listener->problem == NULL || tell_all(job, problems_sql, tell_problem, listener, err);
}

/* One side of a difference, from its first column on. */
static void put_side(struct buf *out, const struct db_result *rows, size_t row, int column)
{
    char owner[ADDR_TEXT_MAX + 1];

    if (db_null(rows, row, column + 3))
        return;
    put_address(owner, rows, row, column);
    if (owner[0] != '\0')
        buf_printf(out, "user %s, ", owner);
    if (!db_null(rows, row, column + 6)) {
        const char *name = db_text(rows, row, column + 6);
        buf_printf(out, name[0] != '\0' ? "named '%s'" : "without a name", name);
        return;
    }
    buf_printf(out, "%s, %s%s", db_text(rows, row, column + 2), db_text(rows, row, column + 3),
               db_bool(rows, row, column + 4) ? " (by a person)" : "");
    if (db_text(rows, row, column + 5)[0] != '\0')
        buf_printf(out, ", %s", db_text(rows, row, column + 5));
}

static void tell_difference(const struct roll_listener *listener, const struct db_result *rows,
                            size_t row)
{
    BUF_AUTO before = {0};
    BUF_AUTO after = {0};
    char address[ADDR_TEXT_MAX + 1];
    char sign = db_text(rows, row, 0)[0];

    put_address(address, rows, row, 1);
    buf_text(&before, "");
    buf_text(&after, "");
    put_side(&before, rows, row, COLUMN_BEFORE);
    put_side(&after, rows, row, COLUMN_AFTER);
    listener->difference(listener->context,
                         &(struct roll_difference){.sign = sign == '=' ? '~' : sign,
                                                   .address = address,
                                                   .before = before.at,
                                                   .after = after.at});
}

bool roll_tell_differences(struct roll_job *job, const struct roll_listener *listener,
                           struct err *err)
{
    return listener->difference == NULL ||
           tell_all(job, differences_sql, tell_difference, listener, err);
}
