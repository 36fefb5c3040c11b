/*
 * schema: an empty database becomes one of ours, once, whoever else is at it; a newer one is left
 * alone. Catches half-applied migrations and grants that need an administrator's hand.
 */
#include "lib/schema.h"

#include <pthread.h>

#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))

static void check_fresh(void)
{
    struct db *db = private_pg_open(&pg);
    struct err err;
    int version = -1, from = -1, to = -1;

    works(schema_version(db, &version, &err), "an empty database");
    is_int(version, 0, "has version 0");
    ok(!schema_check(db, &err) && err.class == ERR_CONFIG && strstr(err.text, "db init") != NULL,
       "is told apart: %s", err.text);
    works(schema_upgrade(db, &from, &to, &err), "init");
    ok(from == 0 && to == schema_known(), "from 0 to %d", to);
    works(schema_check(db, &err), "then it is right");
    works(schema_upgrade(db, &from, &to, &err), "init again");
    ok(from == to && to == schema_known(), "does nothing");
    DB_RESULT_AUTO r = NULL;
    works(db_query(db, &r,
                   "select (select count(*) from schema_version), has_table_privilege("
                   "'rollcall_policyd', 'recipient', 'select'), has_table_privilege("
                   "'rollcall_policyd', 'recipient', 'update')",
                   DB_NO_VALUES, &err),
          "look");
    is_int(db_int(r, 0, 0), (int64_t)schema_migration_count, "a row for each migration");
    ok(db_bool(r, 0, 1) && !db_bool(r, 0, 2), "the daemon may read, not write");
    db_close(&db);
}

static void check_newer(void)
{
    struct db *db = private_pg_open(&pg);
    struct err err;
    int from, to;

    works(db_script(db, "insert into schema_version values (9000, 'tomorrow')", &err), "tomorrow");
    ok(!schema_check(db, &err) && err.class == ERR_CONFIG, "is refused: %s", err.text);
    ok(!schema_upgrade(db, &from, &to, &err) && err.class == ERR_CONFIG, "and not upgraded: %s",
       err.text);
    works(db_script(db, "delete from schema_version where version = 9000", &err),
          "and the transaction is over");
    works(schema_check(db, &err), "without it all is well");
    db_close(&db);
}

/* A migration that fails leaves nothing behind. */
static void check_failing(void)
{
    struct db *db = private_pg_open(&pg);
    struct err err;
    int version, from, to;

    works(db_script(db, "create database half", &err), "a database");
    db_close(&db);
    snprintf(pg.conninfo, sizeof pg.conninfo, "host=%s dbname=half user=postgres", pg.dir);
    db = private_pg_open(&pg);
    works(db_script(db, "create table audit (in_the_way int)", &err), "with something in the way");
    ok(!schema_upgrade(db, &from, &to, &err), "cannot be initialised: %s", err.text);
    ok(strstr(err.text, "0001_roll") != NULL, "the migration is named");
    works(schema_version(db, &version, &err) && version == 0, "nothing is left behind");
    db_close(&db);
}

struct upgrader {
    pthread_t thread;
    bool done;
    int from;
    struct err err;
};

static void *upgrade(void *context)
{
    struct upgrader *u = context;
    struct db *db = private_pg_open(&pg);
    int to;

    u->done = schema_upgrade(db, &u->from, &to, &u->err);
    db_close(&db);
    return NULL;
}

static void check_together(void)
{
    enum { MANY = 4 };
    struct upgrader all[MANY];
    struct db *db = private_pg_open(&pg);
    struct err err;
    int first = 0;

    works(db_script(db, "create database together", &err), "another database");
    db_close(&db);
    snprintf(pg.conninfo, sizeof pg.conninfo, "host=%s dbname=together user=postgres", pg.dir);
    for (int i = 0; i < MANY; i++)
        if (pthread_create(&all[i].thread, NULL, upgrade, &all[i]) != 0)
            abort();
    for (int i = 0; i < MANY; i++) {
        pthread_join(all[i].thread, NULL);
        ok(all[i].done, "one of %d at once: %s", MANY, all[i].done ? "done" : all[i].err.text);
        first += all[i].from == 0;
    }
    is_int(first, 1, "only one found it empty");
}

int main(void)
{
    private_pg_start(&pg);
    check_fresh();
    check_newer();
    check_failing();
    check_together();
    private_pg_stop(&pg);
    return tap_done();
}
