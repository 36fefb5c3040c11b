/*
 * pool: connections that threads share, against a real server. Catches a wait without an end, a
 * waiter that is forgotten when one is given back, a dead connection given out again, a new one
 * without its prepared statement, and a log that fills while PostgreSQL is away.
 */
#include "lib/pool.h"

#include <pthread.h>

#include "lib/log.h"
#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;

static struct pool *open_pool(const char *conninfo, size_t most, int64_t timeout_us)
{
    return pool_open(&(struct pool_options){.conninfo = conninfo,
                                            .program = "test",
                                            .timeout_us = timeout_us,
                                            .most = most,
                                            .prepared = "twice",
                                            .sql = "select 2 * $1::int"});
}

#define takes(pool, db, ...)                                                                       \
    ((void)(ok(pool_take((pool), (db), &err), __VA_ARGS__) || printf("# %s\n", err.text)))

static bool keep_number(void *context, size_t statement, const struct db_result *row,
                        struct err *err)
{
    (void)statement;
    (void)err;
    *(int64_t *)context = db_int(row, 0, 0);
    return true;
}

static int64_t twice(const struct pool *pool, struct db *db, const char *number)
{
    const struct db_statement statement = {
        .values = &number, .count = 1, .prepared = pool_prepared(pool)};
    struct err err;
    int64_t got = -1;

    if (!db_pipeline(db, &statement, 1, keep_number, &got, &err))
        printf("# %s\n", err.text);
    return got;
}

static int64_t backend(struct db *db)
{
    struct err err;
    DB_RESULT_AUTO r = NULL;

    return db_query(db, &r, "select pg_backend_pid()", DB_NO_VALUES, &err) ? db_int(r, 0, 0) : -1;
}

static void check_sharing(void)
{
    struct pool *pool = open_pool(pg.conninfo, 2, CLOCK_SECOND / 5);
    struct db *first = NULL, *second = NULL, *third = NULL;
    struct err err;

    takes(pool, &first, "one");
    takes(pool, &second, "another");
    ok(backend(first) != backend(second), "are two");
    is_int(twice(pool, second, "21"), 42, "each with its prepared statement");
    int64_t begun = clock_elapsed_us();
    ok(!pool_take(pool, &third, &err) && third == NULL, "there is no third");
    int64_t waited = clock_elapsed_us() - begun;
    ok(err.class == ERR_TEMPORARY && waited >= CLOCK_SECOND / 5 && waited < 20 * CLOCK_SECOND,
       "which is told after the time-out: %s", err.text);
    int64_t had = backend(first);
    pool_give(pool, &first);
    ok(first == NULL, "what was given back is not ours");
    takes(pool, &third, "then there is one");
    is_int(backend(third), had, "the same");
    pool_give(pool, &third);
    pool_give(pool, &third);
    pool_give(pool, &second);
    pool_close(&pool);
    ok(pool == NULL, "closed");
    pool_close(&pool);
}

struct waiter {
    struct pool *pool;
    bool fine;
};

static void *wait_for_one(void *context)
{
    struct waiter *w = context;
    struct db *db = NULL;
    struct err err;

    w->fine = pool_take(w->pool, &db, &err);
    pool_give(w->pool, &db);
    return NULL;
}

/* Eight that want the only one: each gets it, as soon as the one before gives it back. */
static void check_waiting(void)
{
    enum { WAITERS = 8 };
    struct pool *pool = open_pool(pg.conninfo, 1, 60 * CLOCK_SECOND);
    struct waiter waiters[WAITERS];
    pthread_t threads[WAITERS];
    struct db *db = NULL;
    struct err err;
    int64_t begun = clock_elapsed_us();

    takes(pool, &db, "the only one");
    for (size_t i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.pool = pool};
        if (pthread_create(&threads[i], NULL, wait_for_one, &waiters[i]) != 0)
            abort();
    }
    pool_give(pool, &db);
    bool all = true;
    for (size_t i = 0; i < WAITERS; i++) {
        pthread_join(threads[i], NULL);
        all = all && waiters[i].fine;
    }
    ok(all, "all that waited got it");
    ok(clock_elapsed_us() - begun < 30 * CLOCK_SECOND, "without waiting for the end of their time");
    pool_close(&pool);
}

static void check_dead(void)
{
    struct pool *pool = open_pool(pg.conninfo, 1, 5 * CLOCK_SECOND);
    struct db *db = NULL, *killer = private_pg_open(&pg);
    struct err err;

    takes(pool, &db, "a connection");
    STR_AUTO pid = mem_printf("%" PRId64, backend(db));
    ok(db_exec(killer, "select pg_terminate_backend($1::int, 10000)", DB_VALUES(pid), NULL, &err),
       "that dies");
    ok(!db_script(db, "select 1", &err) && !db_alive(db), "while it is ours");
    pool_give(pool, &db);
    takes(pool, &db, "is not given out again");
    is_int(twice(pool, db, "4"), 8, "its successor has the prepared statement");
    pool_give(pool, &db);
    takes(pool, &db, "the successor");
    pool_give(pool, &db);
    pool_close(&pool);
    db_close(&killer);
}

static size_t count_events(FILE *log, const char *event)
{
    char line[2000];
    size_t count = 0;

    rewind(log);
    while (fgets(line, sizeof line, log) != NULL)
        count += strstr(line, event) != NULL;
    return count;
}

/* A server that is not there, then is: a directory's name that is given to it. */
static void check_told_once(void)
{
    FILE *log = tmpfile();
    int stderr_was = dup(STDERR_FILENO);
    STR_AUTO place = mem_printf("%s.later", pg.dir);
    STR_AUTO conninfo = mem_printf("host=%s user=postgres dbname=postgres", place);
    struct pool *pool = open_pool(conninfo, 2, 5 * CLOCK_SECOND);
    struct db *db = NULL;
    struct err err;

    fflush(stderr);
    dup2(fileno(log), STDERR_FILENO);
    log_open(&(struct log_options){.program = "test", .least = LEVEL_INFO});
    for (int i = 0; i < 5; i++)
        ok(!pool_take(pool, &db, &err) && db == NULL && err.class == ERR_TEMPORARY, "away: %s",
           err.text);
    is_int(count_events(log, "database-lost"), 1, "is told once");
    ok(symlink(pg.dir, place) == 0, "it is back");
    for (int i = 0; i < 3; i++) {
        takes(pool, &db, "taken");
        pool_give(pool, &db);
    }
    is_int(count_events(log, "database-back"), 1, "which is told once too");
    unlink(place);
    pool_close(&pool);
    dup2(stderr_was, STDERR_FILENO);
    close(stderr_was);
    fclose(log);
}

int main(void)
{
    private_pg_start(&pg);
    check_sharing();
    check_waiting();
    check_dead();
    check_told_once();
    return tap_done();
}
