/* schema - see schema.h */
#include "schema.h"

#include <stdio.h>

/* Whoever upgrades this database holds it, for one transaction at a time. "rollcall" in letters. */
#define LOCK_SQL "begin; select pg_advisory_xact_lock(x'726f6c6c'::int, x'63616c6c'::int)"

int schema_known(void)
{
    return schema_migrations[schema_migration_count - 1].version;
}

bool schema_version(struct db *db, int *version, struct err *err)
{
    DB_RESULT_AUTO there = NULL;
    DB_RESULT_AUTO newest = NULL;

    *version = 0;
    if (!db_query(db, &there, "select to_regclass('public.schema_version') is not null",
                  DB_NO_VALUES, err))
        return false;
    if (!db_bool(there, 0, 0))
        return true;
    if (!db_query(db, &newest, "select max(version) from public.schema_version", DB_NO_VALUES, err))
        return false;
    *version = (int)db_int(newest, 0, 0);
    return true;
}

static bool refuse_newer(const struct db *db, int version, struct err *err)
{
    return err_set(err, ERR_CONFIG,
                   "database %s: its version is %d, this program knows none above %d: install the "
                   "Rollcall that goes with it",
                   db_host(db), version, schema_known());
}

/* Inside the transaction that LOCK_SQL began. */
static bool apply(struct db *db, const struct schema_migration *migration, struct err *err)
{
    char version[16];

    snprintf(version, sizeof version, "%d", migration->version);
    if (!db_script(db, migration->sql, err) ||
        !db_exec(db, "insert into schema_version (version, name) values ($1, $2)",
                 DB_VALUES(version, migration->name), NULL, err))
        return err_prefix(err, "migration %s", migration->name);
    return true;
}

/* One migration, unless somebody else has applied it; *before tells the version found. */
static bool step(struct db *db, const struct schema_migration *migration, int *before,
                 struct err *err)
{
    if (!db_script(db, LOCK_SQL, err) || !schema_version(db, before, err))
        return false;
    if (*before > schema_known())
        return refuse_newer(db, *before, err);
    if (*before < migration->version && !apply(db, migration, err))
        return false;
    return db_script(db, "commit", err);
}

static bool grant_roles(struct db *db, struct err *err)
{
    if (!db_script(db, LOCK_SQL, err))
        return false;
    if (!db_script(db, schema_roles_sql, err))
        return err_prefix(err, "roles and grants");
    return db_script(db, "commit", err);
}

bool schema_upgrade(struct db *db, int *from, int *to, struct err *err)
{
    for (size_t i = 0; i < schema_migration_count; i++) {
        int before;
        if (!step(db, &schema_migrations[i], &before, err))
            return db_rollback(db);
        if (i == 0)
            *from = before;
    }
    *to = schema_known();
    return grant_roles(db, err) || db_rollback(db);
}

bool schema_check(struct db *db, struct err *err)
{
    int version;

    if (!schema_version(db, &version, err))
        return false;
    if (version > schema_known())
        return refuse_newer(db, version, err);
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
