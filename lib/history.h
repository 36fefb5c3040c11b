/*
 * history - changesets and what each did, as people read it
 */
#ifndef ROLLCALL_HISTORY_H
#define ROLLCALL_HISTORY_H

#include "db.h"
#include "err.h"

/* Columns of the two below. */
enum history_column {
    HISTORY_ID,
    HISTORY_VERSION,
    HISTORY_STATE,
    HISTORY_MODE,
    HISTORY_SOURCE,
    HISTORY_CUSTOMER,
    HISTORY_ACTOR,
    HISTORY_PROGRAM,
    HISTORY_AT, /* RFC 3339: decided, or made */
    HISTORY_ADDED,
    HISTORY_REMOVED,
    HISTORY_CHANGED,
    HISTORY_FORCED,
    HISTORY_DOMAINS_OF, /* a line each */
    HISTORY_NOTE,
    HISTORY_COLUMNS,
    HISTORY_HERE = HISTORY_COLUMNS /* HISTORY_AT as a timestamptz, in the zone of the session */
};
/* The newest first; state, customer, before (an id): NULL for any. Evidence is left out. */
bool history_list(struct db *db, const char *state, const char *customer, const char *before,
                  const char *limit, struct db_result **rows, struct err *err) MUST_CHECK;
/* No row: there is none of that number. */
bool history_get(struct db *db, const char *id, struct db_result **row, struct err *err) MUST_CHECK;

/* What it did: rows of a sign ('+', '-', '~'), what it was done to, before, after. */
enum history_part { HISTORY_DOMAINS, HISTORY_ADDRESSES, HISTORY_NAMES };
bool history_differences(struct db *db, enum history_part part, const char *id, const char *limit,
                         struct db_result **rows, struct err *err) MUST_CHECK;

#endif
