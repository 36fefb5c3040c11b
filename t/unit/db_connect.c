/*
 * db: a server that sleeps, ends a connection, refuses it, is another than was wanted, or is not
 * there. Catches hangs, trouble of the wrong class, and passwords in messages.
 */
#include "lib/db.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;

static const char *failure(bool done, const struct err *err)
{
    return done ? "" : err->text;
}

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))

static void check_late(void)
{
    struct err err;
    struct db *db = private_pg_open(&pg);
    int64_t start = clock_elapsed_us();
    int pipe_ends[2];

    db_set_timeout(db, CLOCK_SECOND / 5);
    ok(!db_script(db, "select pg_sleep(30)", &err), "a server that sleeps");
    ok(clock_elapsed_us() - start < 5 * CLOCK_SECOND, "is not waited for");
    is_int(err.class, ERR_TEMPORARY, "late is temporary: %s", err.text);
    ok(!db_alive(db), "the connection is closed");
    ok(!db_script(db, "select 1", &err), "and stays so");
    is_int(err.class, ERR_TEMPORARY, "closed is temporary: %s", err.text);
    db_close(&db);
    ok(db == NULL, "closing nulls");

    db = private_pg_open(&pg);
    db_set_timeout(db, 0);
    if (pipe(pipe_ends) != 0)
        abort();
    db_set_interrupt(db, pipe_ends[0]);
    works(db_script(db, "select 1", &err), "a silent interrupt descriptor changes nothing");
    ok(write(pipe_ends[1], "x", 1) == 1, "interrupt");
    bool notified = true;
    works(db_wait_notify(db, 30 * CLOCK_SECOND, &notified, &err) && !notified,
          "waiting for a notification ends at once, without error");
    ok(!db_script(db, "select pg_sleep(30)", &err), "a statement is given up");
    ok(strstr(err.text, "interrupted") != NULL, "and says why: %s", err.text);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    db_close(&db);
}

static void terminate(struct db *victim)
{
    struct db *other = private_pg_open(&pg);
    struct err err;
    DB_RESULT_AUTO r = NULL;

    works(db_query(victim, &r, "select pg_backend_pid()", DB_NO_VALUES, &err), "pid");
    works(db_exec(other, "select pg_terminate_backend($1::int, 10000)", DB_VALUES(db_text(r, 0, 0)),
                  NULL, &err),
          "terminated");
    db_close(&other);
}

static void check_terminated(void)
{
    struct db *db = private_pg_open(&pg);
    struct err err;
    bool put;

    terminate(db);
    ok(!db_script(db, "select 1", &err), "a statement after it");
    ok(err.class == ERR_TEMPORARY && !db_alive(db), "is temporary and closed: %s", err.text);
    db_close(&db);
    db = private_pg_open(&pg);
    works(db_script(db, "create temp table c (a text)", &err), "a table");
    terminate(db);
    put = db_copy_in(db, "copy c from stdin", &err);
    ok(!put && err.class == ERR_TEMPORARY && !db_alive(db), "COPY after it: %s",
       failure(put, &err));
    db_close(&db);

    db = private_pg_open(&pg);
    works(db_script(db, "create temp table c (a text)", &err) &&
              db_copy_in(db, "copy c from stdin", &err),
          "COPY");
    struct db *other = private_pg_open(&pg);
    works(db_exec(other,
                  "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                  " where query like 'copy%'",
                  DB_NO_VALUES, NULL, &err),
          "terminated in the middle");
    db_close(&other);
    put = true;
    for (int i = 0; put && i < 1000000; i++)
        put = db_copy_put(db, "text\n", 5, &err);
    put = put && db_copy_end(db, NULL, &err);
    ok(!put && err.class == ERR_TEMPORARY && !db_alive(db), "is temporary and closed: %s",
       failure(put, &err));
    ok(!db_copy_put(db, "x\n", 2, &err) && !db_copy_end(db, NULL, &err), "and nothing goes on");
    db_close(&db);
}

/* A port of the loopback where connections are taken but never answered. */
static int silent_port(int *fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&at, len) != 0 || listen(*fd, 5) != 0 ||
        getsockname(*fd, (struct sockaddr *)&at, &len) != 0)
        abort();
    return ntohs(at.sin_port);
}

static bool try_open(const char *conninfo, enum db_target target, int64_t timeout_us,
                     struct db **db, struct err *err)
{
    struct db_options options = {
        .conninfo = conninfo, .target = target, .timeout_us = timeout_us, .program = "test"};
    bool done = db_open(db, &options, err);

    ok(done == (*db != NULL), "a connection or none");
    return done;
}

/* What waiting does not mend is told from what it may. */
static void check_refusals(void)
{
    static const struct {
        const char *rest, *words;
        enum err_class class;
    } rows[] = {
        {" user=nobody-here dbname=postgres", "role \"nobody-here\" does not exist", ERR_CONFIG},
        {" user=postgres dbname=nothing", "database \"nothing\" does not exist", ERR_CONFIG},
        {",/nonexistent user=postgres dbname=nothing", "/nonexistent", ERR_TEMPORARY},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        STR_AUTO conninfo = mem_printf("host=%s%s", pg.dir, rows[i].rest);
        struct db *db;
        struct err err;
        ok(!try_open(conninfo, DB_ANY, 5 * CLOCK_SECOND, &db, &err), "refused: %s", err.text);
        is_int(err.class, rows[i].class, "its class");
        ok(strstr(err.text, rows[i].words) != NULL, "says why");
        ok(strstr(err.text, "LOCATION") == NULL && strstr(err.text, "28000") == NULL &&
               strstr(err.text, "3D000") == NULL,
           "without what only programs read");
    }
}

static void check_hosts(void)
{
    struct db *db;
    struct err err;
    int silent, port = silent_port(&silent);
    char text[300];
    int64_t start = clock_elapsed_us();

    ok(!try_open("host=/nonexistent,127.0.0.1 port=1 user=u password=s3cret", DB_ANY,
                 5 * CLOCK_SECOND, &db, &err),
       "nobody there");
    ok(err.class == ERR_TEMPORARY && strstr(err.text, "/nonexistent") != NULL &&
           strstr(err.text, "127.0.0.1:1") != NULL && strstr(err.text, "s3cret") == NULL,
       "names the hosts, not the password: %s", err.text);
    ok(!try_open("password=s3 cret", DB_ANY, CLOCK_SECOND, &db, &err), "bad connection string");
    ok(err.class == ERR_CONFIG && strstr(err.text, "cret") == NULL, "is told: %s", err.text);
    ok(!try_open("host=a,b,c port=1,2", DB_ANY, CLOCK_SECOND, &db, &err), "hosts and ports");
    is_int(err.class, ERR_CONFIG, "must agree: %s", err.text);

    snprintf(text, sizeof text, "host=127.0.0.1 port=%d user=u", port);
    start = clock_elapsed_us();
    ok(!try_open(text, DB_ANY, CLOCK_SECOND / 2, &db, &err), "a silent host");
    ok(err.class == ERR_TEMPORARY && clock_elapsed_us() - start < 5 * CLOCK_SECOND,
       "is not waited for: %s", err.text);
    snprintf(text, sizeof text, "host=127.0.0.1,/nonexistent,%s port=%d,1,5432 user=postgres",
             pg.dir, port);
    works(try_open(text, DB_ANY, 3 * CLOCK_SECOND, &db, &err), "the third of three hosts");
    if (db != NULL)
        is_text(db_host(db), pg.dir, "it is named");
    db_close(&db);
    close(silent);
}

static void check_target(void)
{
    struct db *db = private_pg_open(&pg);
    struct err err;
    char text[300];

    works(db_script(db,
                    "create role reader login; alter role reader"
                    " set default_transaction_read_only = on",
                    &err),
          "a role that reads only");
    db_close(&db);
    snprintf(text, sizeof text, "host=%s dbname=postgres user=reader", pg.dir);
    works(try_open(text, DB_ANY, 5 * CLOCK_SECOND, &db, &err), "any session will do");
    db_close(&db);
    ok(!try_open(text, DB_PRIMARY, 5 * CLOCK_SECOND, &db, &err), "a writer wants one that writes");
    is_int(err.class, ERR_TEMPORARY, "and is told: %s", err.text);
    snprintf(text, sizeof text, "host=%s,%s user=postgres target_session_attrs=prefer-standby",
             pg.dir, pg.dir);
    works(try_open(text, DB_ANY, 5 * CLOCK_SECOND, &db, &err), "no standby to prefer");
    DB_RESULT_AUTO r = NULL;
    works(db_query(db, &r,
                   "select current_setting('application_name'), current_setting('client_encoding')",
                   DB_NO_VALUES, &err),
          "the session");
    is_text(db_text(r, 0, 0), "test", "has its name");
    is_text(db_text(r, 0, 1), "UTF8", "and speaks UTF-8");
    db_close(&db);
}

static void check_restart(void)
{
    struct db *db = private_pg_open(&pg);
    struct err err;

    ok(private_pg_down(&pg), "the server stops");
    ok(!db_script(db, "select 1", &err) && err.class == ERR_TEMPORARY, "noticed: %s", err.text);
    db_close(&db);
    ok(!try_open(pg.conninfo, DB_ANY, CLOCK_SECOND, &db, &err), "no new connection: %s", err.text);
    ok(private_pg_up(&pg), "the server starts");
    works(try_open(pg.conninfo, DB_ANY, 5 * CLOCK_SECOND, &db, &err), "then there is one");
    db_close(&db);
}

int main(void)
{
    private_pg_start(&pg);
    check_late();
    check_terminated();
    check_refusals();
    check_hosts();
    check_target();
    check_restart();
    private_pg_stop(&pg);
    return tap_done();
}
