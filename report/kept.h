/*
 * kept - whether the file that a message's row names is that message, before a copy that was given
 * again is thrown away for it
 */
#ifndef ROLLCALL_KEPT_H
#define ROLLCALL_KEPT_H

#include "lib/pool.h"
#include "report/store.h"

struct kept {
    struct pool *pool;
    struct store *store;
    const char *gateway, *queue_id;
    const char *digest; /* of the message, as bytea */
};

/* Reads the whole of the file. *lost: it is not there or not the message; the row is marked as
 * lost, so that the next copy takes its place, and `file` is what it named. False: it could not be
 * told. */
bool kept_check(const struct kept *kept, bool *lost, char file[STORE_NAME + 1],
                struct err *err) MUST_CHECK;

#endif
