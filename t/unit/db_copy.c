/*
 * db: COPY in and out of a real server. Catches bytes that change on the way, a bad line that is
 * not told, and a connection that is used on after a COPY that nobody ended.
 */
#include "lib/db.h"

#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;

static const char *failure(bool done, const struct err *err)
{
    return done ? "" : err->text;
}

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))

/* What came out, as it was put in. */
struct seen {
    struct buf all;
    size_t lines, stop_at;
};

static bool see_line(void *context, struct span line, struct err *err)
{
    struct seen *seen = context;

    if (seen->stop_at > 0 && seen->lines == seen->stop_at)
        return err_set(err, ERR_OTHER, "enough");
    seen->lines++;
    buf_append(&seen->all, line.at, line.len);
    buf_text(&seen->all, "\n");
    return true;
}

static void check_copy(struct db *db)
{
    static const char nasty[] = "tab\t nl\n cr\r back\\slash \\. \\N ü end";
    enum { LINES = 100000 };
    struct err err;
    BUF_AUTO line = {0};
    BUF_AUTO sent = {0};
    struct seen seen = {.stop_at = 0};
    int64_t rows = 0;
    bool put = true;

    works(db_script(db, "create temp table c (n int, a text)", &err), "a table to copy into");
    works(db_copy_in(db, "copy c from stdin", &err), "COPY begins");
    for (int i = 0; i < LINES; i++) {
        buf_clear(&line);
        buf_printf(&line, "%d\t", i);
        db_copy_escape(&line, i % 10 == 0 ? span_of(NULL, 0) : span_text(nasty));
        buf_text(&line, "\n");
        put = put && db_copy_put(db, line.at, line.len, &err);
        buf_append(&sent, line.at, line.len);
    }
    works(put, "%d lines go in", LINES);
    works(db_copy_end(db, &rows, &err), "COPY ends");
    is_int(rows, LINES, "and counts");
    DB_RESULT_AUTO r = NULL;
    works(db_query(db, &r, "select a, (select a is null from c where n = 10) from c where n = 11",
                   DB_NO_VALUES, &err),
          "read back");
    is_text(db_text(r, 0, 0), nasty, "escapes are undone");
    ok(db_bool(r, 0, 1), "\\N is NULL");
    works(db_copy_out(db, "copy (select * from c order by n) to stdout", see_line, &seen, &err),
          "COPY out");
    ok(seen.all.len == sent.len && memcmp(seen.all.at, sent.at, sent.len) == 0,
       "gives the same bytes");
    works(db_copy_out(db, "copy (select * from c where false) to stdout", see_line, &seen, &err),
          "COPY of nothing");
    ok(!db_copy_out(db, "copy nowhere to stdout", see_line, &seen, &err), "COPY of no table");
    is_text(db_sqlstate(db), "42P01", "is refused");
    buf_free(&seen.all);
}

static void check_copy_trouble(struct db *db)
{
    struct err err;
    struct seen seen = {.stop_at = 2};
    bool put;

    works(db_copy_in(db, "copy c from stdin", &err), "COPY with a bad line");
    put = db_copy_put(db, "1\tok\nx\tno number\n", 17, &err) && db_copy_end(db, NULL, &err);
    ok(!put && err.class == ERR_DATA, "is refused: %s", failure(put, &err));
    works(db_copy_in(db, "copy c from stdin", &err), "COPY with a bad line and much behind it");
    put = db_copy_put(db, "x\tno number\n", 12, &err);
    for (int i = 0; put && i < 500000; i++)
        put = db_copy_put(db, "1\tsome text that fills the line\n", 32, &err);
    put = put && db_copy_end(db, NULL, &err);
    ok(!put && err.class == ERR_DATA, "is refused: %s", failure(put, &err));
    ok(!db_copy_put(db, "1\tx\n", 4, &err) && !db_copy_end(db, NULL, &err), "then COPY is over");
    works(db_script(db, "begin", &err), "a transaction");
    works(db_copy_in(db, "copy c from stdin", &err) && db_copy_put(db, "7\tx\n", 4, &err),
          "COPY that is abandoned");
    works(db_script(db, "rollback", &err), "by a rollback");
    works(db_script(db, "select 1", &err), "leaves the connection usable");
    ok(!db_copy_in(db, "copy c to stdout", &err) && !db_alive(db), "the wrong COPY: %s", err.text);

    struct db *other = private_pg_open(&pg);
    ok(!db_copy_out(other, "copy (select generate_series(1, 1000000)) to stdout", see_line, &seen,
                    &err),
       "a reader that has enough");
    is_text(err.text, "enough", "gives its reason");
    ok(seen.lines == 2 && !db_alive(other), "and the connection is closed");
    buf_free(&seen.all);
    db_close(&other);
}

int main(void)
{
    private_pg_start(&pg);
    struct db *db = private_pg_open(&pg);

    check_copy(db);
    check_copy_trouble(db);
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
