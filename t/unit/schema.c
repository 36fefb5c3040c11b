/*
 * schema: an empty database becomes one of ours, once, whoever else is at it; a newer one is left
 * alone. Catches half-applied migrations, grants that need an administrator's hand, and a roll that
 * is not the same after an upgrade.
 */
#include "lib/schema.h"

#include <pthread.h>
#include <string.h>

#include "lib/roll.h"

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

/* A number below the newest that is missing: a branch that landed later. It is applied; a database
 * that has newer ones as well is left alone, and told what it lacks. */
static void check_gap(void)
{
    struct db *db = private_pg_open(&pg);
    const struct schema_migration *gap = &schema_migrations[schema_migration_count - 2];
    char number[16];
    struct err err;
    int version, from, to;

    snprintf(number, sizeof number, "%d", gap->version);
    works(db_script(db, "create database gap", &err), "a database");
    db_close(&db);
    snprintf(pg.conninfo, sizeof pg.conninfo, "host=%s dbname=gap user=postgres", pg.dir);
    db = private_pg_open(&pg);
    for (size_t i = 0; i < schema_migration_count; i++) {
        const struct schema_migration *m = &schema_migrations[i];
        char text[16];
        snprintf(text, sizeof text, "%d", m->version);
        if (m != gap)
            works(db_script(db, m->sql, &err) &&
                      db_exec(db, "insert into schema_version values ($1::int, $2)",
                              DB_VALUES(text, m->name), NULL, &err),
                  "%s", m->name);
    }
    works(schema_version(db, &version, &err), "without %s", gap->name);
    is_int(version, gap[-1].version, "its version is that before");
    ok(!schema_check(db, &err) && err.class == ERR_CONFIG && strstr(err.text, "db upgrade") != NULL,
       "it is not right: %s", err.text);
    works(db_script(db, "insert into schema_version values (9000, 'tomorrow')", &err), "newer too");
    ok(!schema_upgrade(db, &from, &to, &err) && strstr(err.text, gap->name) != NULL,
       "is refused, and told what is missing: %s", err.text);
    ok(!schema_check(db, &err) && strstr(err.text, gap->name) != NULL, "checked, likewise: %s",
       err.text);
    works(db_script(db, "delete from schema_version where version = 9000", &err), "without it");
    works(schema_upgrade(db, &from, &to, &err), "what is missing is applied");
    ok(from == gap[-1].version && to == schema_known(), "from %d to %d", from, to);
    DB_RESULT_AUTO r = NULL;
    works(db_query(db, &r,
                   "select count(*), count(*) filter (where version = $1::int)"
                   " from schema_version",
                   DB_VALUES(number), &err),
          "look");
    ok(db_int(r, 0, 0) == (int64_t)schema_migration_count && db_int(r, 0, 1) == 1, "each once");
    works(schema_check(db, &err), "and it is right");
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

/* ---- claims: they move into the rows, the history stays ---- */

/* A roll as it was before: anna, added and then disabled by her directory; bert, removed; the group
 * all, which two claim. Changesets 1 to 4, and 5 that observation made. */
static const char old_roll_sql[] =
    "insert into customer (name) values ('Old');"
    "begin; select roll_begin('1'); insert into domain (name, customer_id) values ('o.test', 1);"
    " commit;"
    "begin; select roll_begin('2'); insert into users (customer_id, name) values (1, 'Anna'), (1, "
    "'');"
    " insert into recipient (domain_id, local_part, user_id, kind) values (1, 'anna', 1, "
    "'primary'),"
    "   (1, 'bert', 2, 'primary'), (1, 'all', null, 'group');"
    " insert into recipient_source (recipient_id, source, source_id) values (1, 'ldap', 7),"
    "   (2, 'import', 0), (3, 'manual', 0), (3, 'ldap', 7);"
    " insert into change (changeset_id, domain_id, local_part, after_user, after_kind, after_state,"
    "   after_person, after_claims) select 2, 1, local_part, user_id, kind, state, false,"
    "   roll_claims(id) from recipient;"
    " update changeset set mode = 'add', added = 3 where id = 2; commit;"
    "begin; select roll_begin('3'); insert into change select 3, 1, local_part, user_id, kind,"
    "   'active', false, '{ldap:7}', user_id, kind, 'disabled', false, '{ldap:7!}' from recipient"
    "   where id = 1;"
    " update recipient_source set disabled = true where recipient_id = 1;"
    " update recipient set state = 'disabled', changed_by = roll_changeset() where id = 1;"
    " update changeset set mode = 'follow', source = 'ldap', source_id = 7, changed = 1 where id = "
    "3;"
    " commit;"
    "begin; select roll_begin('4'); insert into change select 4, 1, local_part, user_id, kind,"
    "   state, false, '{import}' from recipient where id = 2;"
    " delete from recipient_source where recipient_id = 2;"
    " update recipient set state = 'removed', user_id = null, changed_by = roll_changeset()"
    "   where id = 2;"
    " update changeset set mode = 'withdraw', removed = 1 where id = 4; commit;"
    "begin; select roll_begin('5'); update recipient set verified_on = '2026-01-01',"
    "   changed_by = roll_changeset() where id = 3;"
    " update changeset set mode = 'evidence' where id = 5; commit";

#define ROWS_OF(what, order)                                                                       \
    "select coalesce(string_agg(x::text, ' ' order by " order "), '') from (select " what ") x"
static const char *const roll_pictures[] = {
    ROWS_OF("changeset_id, domain_id, local_part, before_user, before_kind, before_state,"
            " before_person, before_claims, after_user, after_kind, after_state, after_person,"
            " after_claims from change",
            "changeset_id, local_part"),
    ROWS_OF("recipient_id, source, source_id, disabled from recipient_source",
            "recipient_id, source"),
    ROWS_OF("id, local_part, user_id, kind, state, verified_on, changed_by, roll_claims(id)"
            " from recipient",
            "id"),
};
enum { PICTURES = sizeof roll_pictures / sizeof roll_pictures[0], PICTURE_TEXT = 1000 };

static void take_pictures(struct db *db, char text[PICTURES][PICTURE_TEXT])
{
    struct err err;

    for (int i = 0; i < PICTURES; i++) {
        DB_RESULT_AUTO rows = NULL;
        bool fine = db_query(db, &rows, roll_pictures[i], DB_NO_VALUES, &err);
        ok(fine, "a picture of the roll: %s", fine ? "taken" : err.text);
        snprintf(text[i], PICTURE_TEXT, "%s", fine ? db_text(rows, 0, 0) : "");
    }
}

/* The number of NNNN_name. */
static int version_of(const char *name)
{
    for (size_t i = 0; i < schema_migration_count; i++)
        if (strcmp(strchr(schema_migrations[i].name, '_') + 1, name) == 0)
            return schema_migrations[i].version;
    return 0;
}

/* Every migration before that version, as a program of that time has applied them. */
static void upgrade_before(struct db *db, int version)
{
    struct err err;

    for (size_t i = 0; i < schema_migration_count && schema_migrations[i].version < version; i++) {
        const struct schema_migration *m = &schema_migrations[i];
        char number[16];
        snprintf(number, sizeof number, "%d", m->version);
        works(db_script(db, m->sql, &err) &&
                  db_exec(db, "insert into schema_version values ($1::int, $2)",
                          DB_VALUES(number, m->name), NULL, &err),
              "%s", m->name);
    }
}

static void undo(struct db *db, int64_t changeset, const char *what)
{
    struct roll_request request = {.source = SOURCE_MANUAL, .actor = "a", .program = "test"};
    struct roll_outcome outcome;
    struct err err;

    works(roll_undo(db, changeset, &request, NULL, &outcome, &err), "%s", what);
}

static void check_claims(void)
{
    const int claims = version_of("claims");
    char before[PICTURES][PICTURE_TEXT], after[PICTURES][PICTURE_TEXT];
    struct db *db = private_pg_open(&pg);
    struct err err;
    int from, to;

    works(db_script(db, "create database claims", &err), "one database more");
    db_close(&db);
    snprintf(pg.conninfo, sizeof pg.conninfo, "host=%s dbname=claims user=postgres", pg.dir);
    db = private_pg_open(&pg);
    upgrade_before(db, claims);
    works(db_script(db, old_roll_sql, &err), "a roll of former times");
    take_pictures(db, before);
    works(schema_upgrade(db, &from, &to, &err) && from == claims - 1, "is upgraded from %d", from);
    take_pictures(db, after);
    for (int i = 0; i < PICTURES; i++)
        is_text(after[i], before[i], "and reads as before");
    undo(db, 4, "what was done then can be undone: bert is back");
    undo(db, 3, "anna is not disabled any more");
    undo(db, 2, "and then nobody is there");
    DB_RESULT_AUTO left = NULL;
    works(db_query(db, &left, "select count(*) from recipient where state <> 'removed'",
                   DB_NO_VALUES, &err),
          "look");
    is_int(db_int(left, 0, 0), 0, "nobody");
    db_close(&db);
}

int main(void)
{
    private_pg_start(&pg);
    check_fresh();
    check_newer();
    check_gap();
    check_failing();
    check_together();
    check_claims();
    private_pg_stop(&pg);
    return tap_done();
}
