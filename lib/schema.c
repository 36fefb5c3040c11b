/* schema - see schema.h */
#include "schema.h"

#include <stdio.h>
#include <string.h>

/* Whoever upgrades this database holds it, for one transaction at a time. "rollcall" in letters. */
#define LOCK_SQL "begin; select pg_advisory_xact_lock(x'726f6c6c'::int, x'63616c6c'::int)"

int schema_known(void)
{
    return schema_migrations[schema_migration_count - 1].version;
}

/* What a database has of the migrations that this program knows. */
struct state {
    int newest;                           /* number of all that it has; 0: none */
    const struct schema_migration *lacks; /* the first that it has not; NULL: it has all */
    bool has_wanted;                      /* the one that was asked about */
};

static bool has(const struct db_result *rows, int version)
{
    for (size_t i = 0; i < db_rows(rows); i++)
        if (db_int(rows, i, 0) == version)
            return true;
    return false;
}

/* Numbers may be missing below the newest: a program that lay between two others has made it. */
static bool look(struct db *db, int wanted, struct state *state, struct err *err)
{
    DB_RESULT_AUTO there = NULL;
    DB_RESULT_AUTO rows = NULL;

    *state = (struct state){.lacks = schema_migrations};
    if (!db_query(db, &there, "select to_regclass('public.schema_version') is not null",
                  DB_NO_VALUES, err))
        return false;
    if (!db_bool(there, 0, 0))
        return true;
    if (!db_query(db, &rows, "select version from public.schema_version order by version desc",
                  DB_NO_VALUES, err))
        return false;
    state->newest = db_rows(rows) > 0 ? (int)db_int(rows, 0, 0) : 0;
    state->has_wanted = has(rows, wanted);
    state->lacks = NULL;
    for (size_t i = schema_migration_count; i-- > 0;)
        if (!has(rows, schema_migrations[i].version))
            state->lacks = &schema_migrations[i];
    return true;
}

static int version_of(const struct state *state)
{
    if (state->lacks == NULL || state->newest > schema_known())
        return state->newest;
    return state->lacks == schema_migrations ? 0 : state->lacks[-1].version;
}

bool schema_version(struct db *db, int *version, struct err *err)
{
    struct state state;

    *version = 0;
    if (!look(db, 0, &state, err))
        return false;
    *version = version_of(&state);
    return true;
}

/* A database that lacks what we know and has what we do not know is of another line: it takes a
 * program that knows both. */
static bool refuse_newer(const struct db *db, const struct state *state, struct err *err)
{
    if (state->lacks != NULL)
        return err_set(err, ERR_CONFIG,
                       "database %s: its version is %d, this program knows none above %d, and "
                       "migration %s is missing there: install a Rollcall that knows both, and run "
                       "its `rollcall db upgrade`",
                       db_host(db), state->newest, schema_known(), state->lacks->name);
    return err_set(err, ERR_CONFIG,
                   "database %s: its version is %d, this program knows none above %d: install the "
                   "Rollcall that goes with it",
                   db_host(db), state->newest, schema_known());
}

/* SQLSTATE lock_not_available, deadlock_detected */
static const char LOCK_TIMEOUT[] = "55P03", DEADLOCK[] = "40P01";
enum { DEADLOCKS_MOST = 10 /* in one step, before it is left to a person */ };

/* Who waits for a lock on a table keeps everybody who comes later from it: not for long. */
static bool limit_waiting(struct db *db, int64_t patience_us, struct err *err)
{
    char milliseconds[24];

    snprintf(milliseconds, sizeof milliseconds, "%lld", (long long)(patience_us / 1000));
    return db_exec(db, "select set_config('lock_timeout', $1, true)", DB_VALUES(milliseconds), NULL,
                   err);
}

/* Inside the transaction that LOCK_SQL began. */
static bool apply(struct db *db, const struct schema_migration *migration, int64_t patience_us,
                  struct err *err)
{
    char version[16];

    snprintf(version, sizeof version, "%d", migration->version);
    if (limit_waiting(db, patience_us, err) && db_script(db, migration->sql, err) &&
        db_exec(db, "insert into schema_version (version, name) values ($1, $2)",
                DB_VALUES(version, migration->name), NULL, err))
        return true;
    if (strcmp(db_sqlstate(db), LOCK_TIMEOUT) == 0)
        return err_set(err, ERR_TEMPORARY,
                       "migration %s: others were at work on its tables for longer than "
                       "database_timeout; nothing of it was done, what came before it is: run "
                       "`rollcall db upgrade` again, with the daemons stopped if that does not help",
                       migration->name);
    return err_prefix(err, "migration %s", migration->name);
}

/* One migration, unless somebody else has applied it; *before tells the version found. */
static bool step(struct db *db, const struct schema_migration *migration, int64_t patience_us,
                 int *before, struct err *err)
{
    struct state state;

    if (!db_script(db, LOCK_SQL, err) || !look(db, migration->version, &state, err))
        return false;
    *before = version_of(&state);
    if (state.newest > schema_known())
        return refuse_newer(db, &state, err);
    if (!state.has_wanted && !apply(db, migration, patience_us, err))
        return false;
    return db_script(db, "commit", err);
}

/* Others at work take their locks in an order of their own. The step may be taken again: it left
 * nothing, and they have gone on meanwhile. */
static bool deadlocked(struct db *db, int *times)
{
    if (strcmp(db_sqlstate(db), DEADLOCK) != 0 || ++*times == DEADLOCKS_MOST)
        return false;
    db_rollback(db);
    return db_alive(db);
}

static bool grant_roles(struct db *db, struct err *err)
{
    if (!db_script(db, LOCK_SQL, err))
        return false;
    if (!db_script(db, schema_roles_sql, err))
        return err_prefix(err, "roles and grants");
    return db_script(db, "commit", err);
}

/* Behind the last migration stand roles and grants, which lock tables as well. */
static bool take_step(struct db *db, size_t i, int64_t patience_us, int *before, struct err *err)
{
    return i < schema_migration_count ? step(db, &schema_migrations[i], patience_us, before, err)
                                      : grant_roles(db, err);
}

static bool upgrade(struct db *db, int64_t patience_us, int *from, struct err *err)
{
    for (size_t i = 0; i <= schema_migration_count; i++) {
        int before = 0, times = 0;
        while (!take_step(db, i, patience_us, &before, err))
            if (!deadlocked(db, &times))
                return false;
        if (i == 0)
            *from = before;
    }
    return true;
}

bool schema_upgrade(struct db *db, int *from, int *to, struct err *err)
{
    const int64_t patience_us = db_timeout(db);
    bool done;

    db_set_timeout(db, 0); /* a large table is rewritten for as long as that takes */
    *to = schema_known();
    done = upgrade(db, patience_us, from, err);
    db_set_timeout(db, patience_us);
    return done || db_rollback(db);
}

bool schema_check(struct db *db, struct err *err)
{
    struct state state;

    if (!look(db, 0, &state, err))
        return false;
    if (state.newest > schema_known())
        return refuse_newer(db, &state, err);
    int version = version_of(&state);
    if (version == 0)
        return err_set(err, ERR_CONFIG,
                       "database %s: not initialised: run `rollcall db init` as its owner",
                       db_host(db));
    return version == schema_known() ||
           err_set(err, ERR_CONFIG,
                   "database %s: its version is %d, this program needs %d: run `rollcall db "
                   "upgrade` as its owner",
                   db_host(db), version, schema_known());
}
