/* domain - see domain.h; here: reading, and what reading and changing share */
#include <stdio.h>
#include <string.h>

#include "domain_private.h"

/* ---- shared ---- */

bool domain_refuse_rows(struct db *db, const char *sql, const char *const *values, size_t count,
                        const char *complaint, struct err *err)
{
    enum { SHOWN = 5 };
    DB_RESULT_AUTO found = NULL;
    BUF_AUTO names = {0};

    if (!db_query(db, &found, sql, values, count, err))
        return false;
    size_t rows = db_rows(found);
    if (rows == 0)
        return true;
    for (size_t i = 0; i < rows && i < SHOWN; i++)
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", db_text(found, i, 0));
    if (rows > SHOWN)
        buf_printf(&names, " and %zu more", rows - SHOWN);
    return err_set(err, ERR_DATA, "%s: %s", names.at, complaint);
}

bool domain_audit(struct db *db, const char *actor, const char *action, const char *object,
                  const char *detail, struct err *err)
{
    return db_exec(db,
                   "insert into audit (actor, program, action, object, detail) values ($1, "
                   "coalesce(nullif(current_setting('application_name'), ''), 'rollcall'), "
                   "$2, $3, $4::jsonb)",
                   DB_VALUES(actor, action, object, detail), NULL, err);
}

/* ---- reading ---- */

#define ROW_SQL                                                                                    \
    "select d.id, d.name, coalesce(u.name, ''), coalesce(t.name, ''), d.relay_check,"              \
    " coalesce(d.shadow::text, ''), d.next_hop, d.recipient_delimiter, d.case_sensitive,"          \
    " d.threshold, coalesce(d.stale_limit, -1), coalesce(d.source_stale_limit, -1),"               \
    " coalesce(d.guard_percent, -1), d.follows_directory,"                                         \
    " (extract(epoch from d.synced_at) * 1000000)::bigint,"                                        \
    " (extract(epoch from d.loaded_at) * 1000000)::bigint, d.state = 'removed', d.changed_by,"     \
    " (select count(*) from recipient r where r.domain_id = coalesce(d.alias_of, d.id)"            \
    "   and r.state = 'active' and d.state = 'active')"                                            \
    " from domain d left join customer u on u.id = d.customer_id"                                  \
    " left join domain t on t.id = d.alias_of "

static void read_row(struct domain_row *row, const struct db_result *r, size_t i)
{
    *row = (struct domain_row){
        .id = (int32_t)db_int(r, i, 0),
        .check = relay_check_by_name(db_span(r, i, 4)),
        .shadow = relay_check_by_name(db_span(r, i, 5)),
        .case_sensitive = db_bool(r, i, 8),
        .threshold = (int32_t)db_int(r, i, 9),
        .stale_limit = (int32_t)db_int(r, i, 10),
        .source_stale_limit = (int32_t)db_int(r, i, 11),
        .guard_percent = (int32_t)db_int(r, i, 12),
        .follows_directory = db_bool(r, i, 13),
        .synced_at_us = db_int(r, i, 14),
        .loaded_at_us = db_int(r, i, 15),
        .removed = db_bool(r, i, 16),
        .changeset = db_int(r, i, 17),
        .recipients = db_int(r, i, 18),
    };
    snprintf(row->name, sizeof row->name, "%s", db_text(r, i, 1));
    snprintf(row->customer, sizeof row->customer, "%s", db_text(r, i, 2));
    snprintf(row->alias_of, sizeof row->alias_of, "%s", db_text(r, i, 3));
    snprintf(row->next_hop, sizeof row->next_hop, "%s", db_text(r, i, 6));
    snprintf(row->delimiter, sizeof row->delimiter, "%s", db_text(r, i, 7));
}

bool domain_list(struct db *db, const char *customer, const char *like, domain_row_fn *row,
                 void *context, struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    struct domain_row one;
    char id[16];

    if (customer != NULL && !customer_find(db, customer, id, err))
        return false;
    if (!db_query(db, &found,
                  ROW_SQL "where d.state = 'active' and ($1::int is null or d.customer_id = $1)"
                          " and ($2::text is null or position(lower($2) in d.name) > 0)"
                          " order by d.name",
                  DB_VALUES(customer != NULL ? id : NULL, like), err))
        return false;
    for (size_t i = 0; i < db_rows(found); i++) {
        read_row(&one, found, i);
        if (!row(context, &one, err))
            return false;
    }
    return true;
}

bool domain_get(struct db *db, const char *name, bool with_removed, struct domain_row *row,
                struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    char normal[ADDR_DOMAIN_MAX + 1];
    size_t len;

    if (!addr_parse_domain(span_text(name), normal, &len, err) ||
        !db_query(db, &found, ROW_SQL "where d.name = $1 and ($2::boolean or d.state = 'active')",
                  DB_VALUES(normal, with_removed ? "t" : "f"), err))
        return false;
    if (db_rows(found) == 0)
        return err_set(err, ERR_DATA, "%s: not served here; `rollcall domain list` shows what is",
                       normal);
    read_row(row, found, 0);
    return true;
}
