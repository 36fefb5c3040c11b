/* counts - see counts.h */
#include "sync/counts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/clock.h"

enum { ROWS_AT_ONCE = 10000 };

/* ---- domains ---- */

bool counts_domains(struct served *served, struct db *db, struct err *err)
{
    DB_RESULT_AUTO r = NULL;

    if (!db_query(db, &r,
                  "select t.id, d.name, coalesce(nullif(d.next_hop, ''), t.next_hop),"
                  " t.recipient_delimiter, t.case_sensitive from domain d"
                  " join domain t on t.id = coalesce(d.alias_of, d.id) where d.state = 'active'",
                  DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(r); i++)
        served_add(served, &(struct served_row){.id = (int32_t)db_int(r, i, 0),
                                                .name = db_text(r, i, 1),
                                                .next_hop = db_text(r, i, 2),
                                                .delimiter = db_text(r, i, 3),
                                                .case_sensitive = db_bool(r, i, 4)});
    return true;
}

/* ---- rows ---- */

struct row {
    struct evidence_count count;
    char local[ADDR_LOCAL_MAX];
};
struct rows {
    struct row *at;
    size_t count, room;
};

static bool take_row(void *context, const struct evidence_count *count, struct err *err)
{
    struct rows *rows = context;
    struct row *row;

    (void)err;
    if (rows->count == rows->room) {
        rows->room = rows->room > 0 ? rows->room * 2 : 1024;
        rows->at = mem_grow(rows->at, rows->room * sizeof *rows->at);
    }
    row = &rows->at[rows->count++];
    row->count = *count;
    memcpy(row->local, count->local.at, count->local.len);
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    size_t shared =
        x->count.local.len < y->count.local.len ? x->count.local.len : y->count.local.len;
    int order;

    if (x->count.domain_id != y->count.domain_id)
        return x->count.domain_id < y->count.domain_id ? -1 : 1;
    order = memcmp(x->local, y->local, shared);
    if (order != 0)
        return order;
    if (x->count.local.len != y->count.local.len)
        return x->count.local.len < y->count.local.len ? -1 : 1;
    return (x->count.day > y->count.day) - (x->count.day < y->count.day);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of rows in order: those of one key become one. */
static void merge(struct rows *rows)
{
    size_t last = 0;

    for (size_t i = 1; i < rows->count; i++) {
        struct evidence_count *into = &rows->at[last].count;
        const struct evidence_count *more = &rows->at[i].count;
        if (by_key(&rows->at[last], &rows->at[i]) != 0) {
            if (++last != i)
                rows->at[last] = rows->at[i];
            continue;
        }
        into->accepted += more->accepted;
        into->deliverable += more->deliverable;
        into->refused += more->refused;
        into->unknown += more->unknown;
        into->late += more->late;
        into->last_yes_us = later(into->last_yes_us, more->last_yes_us);
        into->last_no_us = later(into->last_no_us, more->last_no_us);
    }
    rows->count = rows->count > 0 ? last + 1 : 0;
}

/* ---- arrays, as PostgreSQL writes them ---- */

enum column { DAY, DOMAIN, LOCAL, ACCEPTED, DELIVERABLE, REFUSED, UNKNOWN, LATE, YES, NO, COLUMNS };

static void put_quoted(struct buf *out, struct span text)
{
    buf_text(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"' || text.at[i] == '\\')
            buf_text(out, "\\");
        buf_append(out, &text.at[i], 1);
    }
    buf_text(out, "\"");
}

static void put_time(struct buf *out, int64_t us)
{
    char text[32];

    if (us == 0) {
        buf_text(out, "null");
        return;
    }
    clock_rfc3339(text, sizeof text, us);
    buf_text(out, text);
}

static void put_row(struct buf columns[COLUMNS], const struct row *row)
{
    const struct evidence_count *c = &row->count;
    const int64_t numbers[] = {c->accepted, c->deliverable, c->refused, c->unknown, c->late};
    char day[32];

    for (int i = 0; i < COLUMNS; i++)
        buf_text(&columns[i], columns[i].len > 0 ? "," : "{");
    clock_rfc3339(day, sizeof day, c->day * 86400 * CLOCK_SECOND);
    buf_printf(&columns[DAY], "%.10s", day);
    buf_printf(&columns[DOMAIN], "%" PRId32, c->domain_id);
    put_quoted(&columns[LOCAL], span_of(row->local, c->local.len));
    for (int i = 0; i < 5; i++)
        buf_printf(&columns[ACCEPTED + i], "%" PRId64, numbers[i]);
    put_time(&columns[YES], c->last_yes_us);
    put_time(&columns[NO], c->last_no_us);
}

static void columns_fill(struct buf columns[COLUMNS], const struct row *rows, size_t count)
{
    for (int i = 0; i < COLUMNS; i++)
        buf_clear(&columns[i]);
    for (size_t i = 0; i < count; i++)
        put_row(columns, &rows[i]);
    for (int i = 0; i < COLUMNS; i++)
        buf_text(&columns[i], "}");
}

static bool columns_send(const struct buf columns[COLUMNS], struct db *db, const char *gateway,
                         struct err *err)
{
    const char *values[1 + COLUMNS] = {gateway};

    for (int i = 0; i < COLUMNS; i++)
        values[1 + i] = columns[i].at;
    return db_send(db,
                   "select observe_add($1, $2::date[], $3::int[], $4::text[], $5::int[],"
                   " $6::int[], $7::int[], $8::int[], $9::int[], $10::timestamptz[],"
                   " $11::timestamptz[])",
                   values, 1 + COLUMNS, err);
}

/* While PostgreSQL adds some, the next ones are written. */
static bool send_rows(const struct rows *rows, struct db *db, const char *gateway, struct err *err)
{
    struct buf columns[COLUMNS] = {{0}};
    bool fine = true, working = false;

    for (size_t i = 0; fine && i < rows->count; i += ROWS_AT_ONCE) {
        size_t some = rows->count - i < ROWS_AT_ONCE ? rows->count - i : ROWS_AT_ONCE;
        columns_fill(columns, rows->at + i, some);
        fine = (!working || db_done(db, err)) && columns_send(columns, db, gateway, err);
        working = true;
    }
    fine = fine && (!working || db_done(db, err));
    for (int i = 0; i < COLUMNS; i++)
        buf_free(&columns[i]);
    return fine;
}

bool counts_send(const struct evidence *evidence, struct db *db, const char *gateway, int64_t *sent,
                 struct err *err)
{
    struct rows rows = {0};
    bool fine = evidence_counts(evidence, take_row, &rows, err);

    if (rows.count > 0)
        qsort(rows.at, rows.count, sizeof *rows.at, by_key);
    merge(&rows);
    fine = fine && send_rows(&rows, db, gateway, err);
    *sent = (int64_t)rows.count;
    free(rows.at);
    return fine;
}
