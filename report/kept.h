/*
 * kept - whether the file that a message's row names is that message: before a copy that was given
 * again is thrown away for it, and before anybody is given the message; how a row says that it is
 * not
 */
#ifndef ROLLCALL_KEPT_H
#define ROLLCALL_KEPT_H

#include "lib/db.h"
#include "lib/pool.h"
#include "report/record.h"
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

/* Whether that file is the message of that digest (as bytea): RECORD_STORED; RECORD_HALF, with err
 * saying what is wrong; RECORD_FAILED, it could not be told. Without `whole` only its length and
 * its seal are looked at. */
enum record_outcome kept_look(struct store *store, const char *file, const char *digest, bool whole,
                              struct err *err) MUST_CHECK;

/* The same, whole, and the file open at its message; -1 and *err: ERR_DATA when it is not there or
 * not that message. */
int kept_open(struct store *store, const char *file, const char *digest,
              struct err *err) MUST_CHECK;

/* The row's file is gone or not the message. Nothing when the row names another file by now. */
bool kept_mark_lost(struct db *db, const char *id, const char *file, struct err *err) MUST_CHECK;

#endif
