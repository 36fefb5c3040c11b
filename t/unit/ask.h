/* ask - what stands in a database, for comparing; and SQL that has to work */
#ifndef ROLLCALL_ASK_H
#define ROLLCALL_ASK_H

#include "lib/db.h"
#include "tap.h"

/* The text of one value, until the next call; "NULL", "no row", or why not. */
static inline const char *ask_value(struct db *db, const char *sql)
{
    static char text[512];
    DB_RESULT_AUTO r = NULL;
    struct err err;

    if (!db_query(db, &r, sql, DB_NO_VALUES, &err))
        snprintf(text, sizeof text, "%s", err.text);
    else
        snprintf(text, sizeof text, "%s",
                 db_rows(r) == 0 ? "no row" : (db_null(r, 0, 0) ? "NULL" : db_text(r, 0, 0)));
    return text;
}

static inline void ask_run(struct db *db, const char *sql)
{
    struct err err;
    bool done = db_script(db, sql, &err);

    ok(done, "%.60s", sql);
    if (!done)
        printf("# %s\n", err.text);
}

#endif
