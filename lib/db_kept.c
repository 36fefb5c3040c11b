/*
 * db_kept - see db.h; here: statements that a connection plans once
 *
 * For a page that is asked for a thousand times a second planning costs more than what is planned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_private.h"

enum { NAME_ROOM = 24 };

void db_kept_forget(struct db *db)
{
    while (db->kept_count > 0)
        free(db->kept[--db->kept_count]);
}

/* By the place in the list; names are never used twice, so that what was forgotten does no harm. */
static void name_of(const struct db *db, size_t place, char name[NAME_ROOM])
{
    snprintf(name, NAME_ROOM, "kept%u", db->kept_names - (unsigned)(db->kept_count - place));
}

static bool find(const struct db *db, const char *sql, size_t *place)
{
    for (*place = 0; *place < db->kept_count; (*place)++)
        if (strcmp(db->kept[*place], sql) == 0)
            return true;
    return false;
}

static bool keep(struct db *db, const char *sql, struct err *err)
{
    char name[NAME_ROOM];

    snprintf(name, sizeof name, "kept%u", db->kept_names);
    if (!db_prepare(db, name, sql, err))
        return false;
    db->kept_names++;
    db->kept[db->kept_count++] = mem_text(sql);
    return true;
}

static bool run(struct db *db, size_t place, const char *const *values, size_t count,
                struct db_result **result, struct err *err)
{
    char name[NAME_ROOM];
    PGresult *pg = NULL;

    name_of(db, place, name);
    if (!db_start(db, false, err))
        return false;
    if (!PQsendQueryPrepared(db->conn, name, (int)count, values, NULL, NULL, 0))
        return db_lost(db, err);
    if (!db_finish(db, &pg, err))
        return false;
    *result = mem_zero(1, sizeof **result);
    **result = (struct db_result){pg, 0, (size_t)PQntuples(pg)};
    return true;
}

/* A pooler gave us another server, or a migration changed what the plan was made for. */
static bool plan_is_gone(const struct db *db)
{
    static const char unknown[] = "26000", changed[] = "0A000";

    return strcmp(db->sqlstate, unknown) == 0 || strcmp(db->sqlstate, changed) == 0;
}

bool db_query_kept(struct db *db, struct db_result **result, const char *sql,
                   const char *const *values, size_t count, struct err *err)
{
    size_t place;

    *result = NULL;
    if (!find(db, sql, &place)) {
        if (db->kept_count == DB_KEPT_MOST)
            return db_query(db, result, sql, values, count, err);
        if (!keep(db, sql, err))
            return false;
    }
    if (run(db, place, values, count, result, err))
        return true;
    if (db->conn == NULL || !plan_is_gone(db))
        return false;
    db_kept_forget(db);
    bool alone = PQtransactionStatus(db->conn) == PQTRANS_IDLE;
    return alone && db_query(db, result, sql, values, count, err);
}
