/*
 * db: statements, pipelines and notifications against a real server, and what it refuses. Catches
 * lost errors, results of another statement, and unusable connections. (db_copy.c has COPY,
 * db_connect.c a server that sleeps, dies or is not there.)
 */
#include "lib/db.h"

#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))

static void check_query(struct db *db)
{
    struct err err;
    int64_t touched;
    DB_RESULT_AUTO r = NULL;

    works(db_query(db, &r, "select $1::int + 1 as sum, $2::text, $3::text is null, $4::text",
                   DB_VALUES("41", NULL, NULL, "it's \\ \"ü\""), &err),
          "a query with parameters");
    is_int(db_rows(r), 1, "one row");
    is_int(db_columns(r), 4, "four columns");
    is_text(db_column_name(r, 0), "sum", "a column's name");
    is_int(db_int(r, 0, 0), 42, "a number");
    ok(db_null(r, 0, 1) && db_text(r, 0, 1)[0] == '\0', "NULL reads as empty");
    ok(db_bool(r, 0, 2), "NULL arrived as NULL");
    is_text(db_text(r, 0, 3), "it's \\ \"ü\"", "nothing needs escaping");
    works(db_exec(db, "create temp table t (a int primary key check (a < 1000), b text)",
                  DB_NO_VALUES, NULL, &err),
          "a table");
    works(db_exec(db, "insert into t select generate_series(1, 7)", DB_NO_VALUES, &touched, &err),
          "an insert");
    is_int(touched, 7, "tells how many rows");
    works(db_script(db, "begin; update t set b = 'x'; rollback", &err), "a script");
    ok(!db_script(db, "select 1/0; update t set b = 'x'", &err), "a script ends at its error");
    is_text(db_sqlstate(db), "22012", "and tells which");
}

/* A statement in two halves: the server works while its client does something else. */
static void check_halves(struct db *db)
{
    DB_RESULT_AUTO r = NULL;
    struct err err;

    works(db_send(db, "insert into t values ($1::int)", DB_VALUES("100"), &err) &&
              db_done(db, &err),
          "sent, and done");
    works(db_query(db, &r, "delete from t where a = 100 returning a", DB_NO_VALUES, &err),
          "the connection goes on");
    is_int(db_rows(r), 1, "after what was sent");
    works(db_send(db, "insert into t values (1)", DB_NO_VALUES, &err),
          "a refusal comes at the end");
    ok(!db_done(db, &err) && err.class == ERR_DATA && db_alive(db), "as itself: %s", err.text);
    struct db *other = private_pg_open(&pg);
    works(db_send(other, "select pg_terminate_backend(pg_backend_pid())", DB_NO_VALUES, &err),
          "a server that ends");
    ok(!db_done(other, &err) && err.class == ERR_TEMPORARY, "is told: %s", err.text);
    ok(!db_done(other, &err) && !db_send(other, "select 1", DB_NO_VALUES, &err),
       "and nothing is sent or awaited any more: %s", err.text);
    db_close(&other);
}

static void check_classes(struct db *db)
{
    static const struct {
        const char *sql, *sqlstate;
        enum err_class class;
    } rows[] = {
        {"insert into t values (1)", "23505", ERR_DATA},
        {"insert into t values (5000)", "23514", ERR_DATA},
        {"select 'x'::int", "22P02", ERR_DATA},
        {"select * from nowhere", "42P01", ERR_OTHER},
        {"selec", "42601", ERR_OTHER},
        {"do $$ begin raise exception using errcode = '40001'; end $$", "40001", ERR_TEMPORARY},
        {"do $$ begin raise exception using errcode = '55P03'; end $$", "55P03", ERR_TEMPORARY},
        {"do $$ begin raise exception using errcode = '57P03'; end $$", "57P03", ERR_TEMPORARY},
        {"do $$ begin raise exception using errcode = '53300'; end $$", "53300", ERR_TEMPORARY},
        {"do $$ begin raise exception using errcode = 'RC003'; end $$", "RC003", ERR_DATA},
        {"do $$ begin raise exception using errcode = 'RC001'; end $$", "RC001", ERR_OTHER},
        {"set statement_timeout = 20; select pg_sleep(20)", "57014", ERR_TEMPORARY},
        {"set transaction_read_only = on; create table no()", "25006", ERR_TEMPORARY},
    };
    struct err err;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ok(!db_script(db, rows[i].sql, &err), "refused: %s", rows[i].sql);
        is_text(db_sqlstate(db), rows[i].sqlstate, "its SQLSTATE");
        is_int(err.class, rows[i].class, "its class");
        ok(strstr(err.text, pg.dir) != NULL, "it names the host");
        works(db_script(db, "set statement_timeout = 0", &err), "the connection goes on");
    }
}

struct rows_seen {
    int64_t count[4], sum;
    int64_t stop_after; /* 0: never */
};

static bool see_row(void *context, size_t statement, const struct db_result *result,
                    struct err *err)
{
    struct rows_seen *seen = context;

    seen->count[statement]++;
    seen->sum += db_int(result, 0, 0);
    if (db_rows(result) != 1 || seen->count[statement] == seen->stop_after)
        return err_set(err, ERR_OTHER, "row %" PRId64, seen->count[statement]);
    return true;
}

static void check_pipeline(struct db *db)
{
    const struct db_statement good[] = {
        {"begin isolation level repeatable read read only", DB_NO_VALUES, NULL},
        {"select generate_series(1, $1::int)", DB_VALUES("200000"), NULL},
        {"select 5 where false", DB_NO_VALUES, NULL},
        {"commit", DB_NO_VALUES, NULL},
    };
    const struct db_statement bad[] = {
        {"begin", DB_NO_VALUES, NULL},
        {"select 1 from generate_series(1, 10)", DB_NO_VALUES, NULL},
        {"select 1/(3 - n) from generate_series(1, 10) n", DB_NO_VALUES, NULL},
        {"select 1", DB_NO_VALUES, NULL},
        {"commit", DB_NO_VALUES, NULL},
    };
    const struct db_statement fatal[] = {
        {"select 1", DB_NO_VALUES, NULL},
        {"select pg_terminate_backend(pg_backend_pid())", DB_NO_VALUES, NULL},
        {"select 1", DB_NO_VALUES, NULL},
    };
    struct rows_seen seen = {0};
    struct err err;

    works(db_pipeline(db, good, 4, see_row, &seen, &err), "a pipeline");
    is_int(seen.count[1], 200000, "gives each row");
    is_int(seen.sum, INT64_C(200000) * 200001 / 2, "with its value");
    seen = (struct rows_seen){0};
    ok(!db_pipeline(db, bad, 5, see_row, &seen, &err), "an error in the middle");
    is_int(err.class, ERR_DATA, "is told: %s", err.text);
    ok(seen.count[1] == 10 && seen.count[2] == 2 && seen.count[3] == 0, "the rest is skipped");
    works(db_exec(db, "select 1", DB_NO_VALUES, NULL, &err), "no transaction is left open");
    works(db_pipeline(db, good, 4, see_row, &seen, &err), "and the next pipeline works");
    ok(!db_pipeline(db, fatal, 3, see_row, &seen, &err), "a connection that dies inside");
    ok(err.class == ERR_TEMPORARY && !db_alive(db), "is temporary and closed: %s", err.text);

    struct db *other = private_pg_open(&pg);
    seen = (struct rows_seen){.stop_after = 3};
    ok(!db_pipeline(other, good, 4, see_row, &seen, &err) && !db_alive(other),
       "a reader that has enough closes it: %s", err.text);
    db_close(&other);
}

static void check_prepared(struct db *db)
{
    const struct db_statement statements[] = {
        {"unused", DB_VALUES("3"), "count_up"},
        {"unused", DB_NO_VALUES, "never_made"},
    };
    struct rows_seen seen = {0};
    struct err err;

    works(db_prepare(db, "count_up", "select generate_series(1, $1::int)", &err), "prepare");
    works(db_pipeline(db, statements, 1, see_row, &seen, &err), "a prepared statement");
    ok(seen.count[0] == 3 && seen.sum == 6, "gives its rows");
    ok(!db_pipeline(db, statements, 2, see_row, &seen, &err), "one that is not there");
    is_text(db_sqlstate(db), "26000", "is told so that one can do without");
    works(db_exec(db, "select 1", DB_NO_VALUES, NULL, &err), "the connection goes on");
}

static int64_t kept_number(struct db *db, const char *sql, const char *value)
{
    DB_RESULT_AUTO row = NULL;
    struct err err = {.text = ""};

    works(db_query_kept(db, &row, sql, DB_VALUES(value), &err), "%s", sql);
    return row != NULL ? db_int(row, 0, 0) : -1;
}

static int64_t plans_kept(struct db *db)
{
    DB_RESULT_AUTO row = NULL;
    struct err err;

    works(db_query(db, &row, "select count(*) from pg_prepared_statements where name ~ '^kept'",
                   DB_NO_VALUES, &err),
          "plans");
    return row != NULL ? db_int(row, 0, 0) : -1;
}

static void check_kept(void)
{
    struct db *db = private_pg_open(&pg);
    static const char twice[] = "select 2 * $1::int",
                      changing[] = "select * from kept where a > $1";
    DB_RESULT_AUTO row = NULL;
    struct err err;

    is_int(kept_number(db, twice, "4"), 8, "a kept statement");
    is_int(kept_number(db, twice, "5"), 10, "again");
    is_int(plans_kept(db), 1, "is planned once");
    works(db_script(db, "deallocate all", &err), "a pooler's other server");
    is_int(kept_number(db, twice, "6"), 12, "does without");
    is_int(kept_number(db, twice, "7"), 14, "and plans it anew");
    works(db_script(db, "create temp table kept (a int); insert into kept values (3)", &err),
          "a table");
    is_int(kept_number(db, changing, "0"), 3, "of one column");
    works(db_script(db, "alter table kept add column b int", &err), "that changes");
    is_int(kept_number(db, changing, "0"), 3, "is read all the same");
    ok(!db_query_kept(db, &row, "select 1 / $1::int", DB_VALUES("0"), &err) && db_alive(db),
       "what fails is told: %s", err.text);
    ok(!db_query_kept(db, &row, "nonsense", DB_NO_VALUES, &err) && db_alive(db),
       "what is no SQL too: %s", err.text);
    for (int i = 0; i < 40; i++) {
        STR_AUTO sql = mem_printf("select %d + $1::int", i);
        is_int(kept_number(db, sql, "1"), i + 1, "one of many texts");
    }
    ok(plans_kept(db) <= 16 + 2 /* forgotten above */, "of which it keeps some: %d",
       (int)plans_kept(db));
    works(db_script(db, "begin", &err), "in a transaction");
    is_int(kept_number(db, twice, "8"), 16, "a kept one");
    works(db_script(db, "commit", &err), "that is committed");
    db_close(&db);
}

/* Whatever stands in them. */
static void check_texts(struct db *db)
{
    static const char *const texts[] = {"", NULL, "a,b\"c\\{}", "ü\n", "NULL"};
    struct buf arrays[2] = {0};
    const struct db_texts prepared = {.prepared = "texts", .arrays = arrays, .count = 2},
                          unprepared = {.sql = "select cardinality($1::text[])",
                                        .arrays = arrays,
                                        .count = 1};
    struct rows_seen seen = {0};
    struct err err;

    db_texts_begin(&arrays[0], 5);
    for (size_t i = 0; i < 5; i++)
        db_texts_add(&arrays[0], texts[i]);
    db_texts_begin(&arrays[1], 0);
    works(db_prepare(db, "texts",
                     "select ($1::text[] = array['', null, e'a,b\"c\\\\{}', e'ü\\n', 'NULL']"
                     " and $2::text[] = '{}')::int + 1/(5 - coalesce(array_length($2, 1), 0))",
                     &err),
          "prepare");
    works(db_run_texts(db, &prepared, see_row, &seen, &err), "binary arrays");
    ok(seen.count[1] == 1 && seen.sum == 1, "arrive as they were");
    buf_clear(&arrays[1]);
    db_texts_begin(&arrays[1], 5);
    for (size_t i = 0; i < 5; i++)
        db_texts_add(&arrays[1], "x");
    ok(!db_run_texts(db, &prepared, see_row, &seen, &err), "one that fails");
    works(db_run_texts(db, &unprepared, see_row, &seen, &err), "leaves no transaction open");
    is_int(seen.sum, 6, "and one that is not prepared has them too");
    buf_free(&arrays[0]);
    buf_free(&arrays[1]);
}

static bool no(void *context)
{
    (void)context;
    return false;
}

static bool yes(void *context)
{
    return !no(context);
}

/* What is decided while the server works is how it ends. */
static void check_meanwhile(struct db *db)
{
    struct buf arrays[1] = {0};
    struct db_texts texts = {.sql =
                                 "insert into decided select unnest($1::text[])::int returning n",
                             .arrays = arrays,
                             .count = 1};
    struct rows_seen seen = {0};
    struct err err;

    db_texts_begin(&arrays[0], 1);
    db_texts_add(&arrays[0], "7");
    works(db_script(db, "create temp table decided (n int)", &err), "a table");
    texts.meanwhile = no;
    works(db_run_texts(db, &texts, see_row, &seen, &err), "a statement that is not committed");
    is_int(seen.sum, 7, "answers all the same");
    texts.meanwhile = yes;
    works(db_run_texts(db, &texts, see_row, &seen, &err), "one that is");
    texts.sql = "select count(*) from decided where n::text = any ($1::text[])";
    texts.meanwhile = NULL;
    works(db_run_texts(db, &texts, see_row, &seen, &err), "and one that looks");
    is_int(seen.sum, 7 + 7 + 1, "finds one row");
    buf_free(&arrays[0]);
}

static void check_notify(struct db *db)
{
    struct db *other = private_pg_open(&pg);
    struct err err;
    bool notified = true;

    works(db_script(db, "listen roll", &err), "listen");
    works(db_wait_notify(db, 0, &notified, &err) && !notified, "nothing there");
    works(db_script(other, "notify roll, '1'", &err), "notify");
    works(db_wait_notify(db, 10 * CLOCK_SECOND, &notified, &err) && notified, "arrives");
    works(db_wait_notify(db, 1000, &notified, &err) && !notified, "once");
    works(db_script(other, "notify roll", &err) && db_script(db, "select 1", &err),
          "one that comes with a result");
    works(db_wait_notify(db, 0, &notified, &err) && notified, "counts");
    /* our own pid, so that the other one can end us while we wait */
    DB_RESULT_AUTO r = NULL;
    works(db_query(db, &r, "select pg_backend_pid()", DB_NO_VALUES, &err), "pid");
    works(db_exec(other, "select pg_terminate_backend($1::int)", DB_VALUES(db_text(r, 0, 0)), NULL,
                  &err),
          "terminated");
    ok(!db_wait_notify(db, 10 * CLOCK_SECOND, &notified, &err), "while waiting");
    ok(err.class == ERR_TEMPORARY && !db_alive(db), "is temporary and closed: %s", err.text);
    db_close(&other);
}

int main(void)
{
    private_pg_start(&pg);
    struct db *db = private_pg_open(&pg);

    check_query(db);
    check_halves(db);
    check_classes(db);
    db_close(&db);
    db = private_pg_open(&pg);
    check_prepared(db);
    check_kept();
    check_texts(db);
    check_meanwhile(db);
    check_pipeline(db);
    db_close(&db);
    db = private_pg_open(&pg);
    check_notify(db);
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
