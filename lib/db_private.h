/*
 * db_private - what db.c (waits, errors), db_connect.c, db_query.c (statements, results, pipeline)
 * and db_copy.c share; nobody else includes it. Together they are the only users of libpq.
 *
 * libpq is only used non-blocking: bytes are pushed by db_flush and pulled by db_receive, and both
 * wait in db_wait, the one place that knows deadlines and the interrupt descriptor.
 */
#ifndef ROLLCALL_DB_PRIVATE_H
#define ROLLCALL_DB_PRIVATE_H

#include <libpq-fe.h>

#include "db.h"

enum { DB_KEPT_MOST = 16 };

struct db {
    PGconn *conn; /* NULL once it is lost */
    char host[300];
    char sqlstate[6];
    int64_t timeout_us;
    int64_t deadline;         /* elapsed clock, of the running statement */
    bool streaming;           /* the timeout counts for each wait instead of the whole statement */
    int interrupt;            /* descriptor, or -1 */
    bool copying;             /* a COPY … FROM STDIN is open */
    size_t unsent;            /* bytes put into it since the last flush */
    char *kept[DB_KEPT_MOST]; /* texts of the statements whose plans the connection keeps */
    size_t kept_count;
    unsigned kept_names; /* given so far: "kept0", … */
};

/* Forgets which plans the connection keeps (db_kept.c). */
void db_kept_forget(struct db *db);

/* A view of some rows of a libpq result. */
struct db_result {
    PGresult *pg;
    size_t first, rows;
};

/* Starts a statement: refuses on a lost connection, abandons an open COPY, sets the deadline. */
bool db_start(struct db *db, bool streaming, struct err *err) MUST_CHECK;
/* The deadline begins anew: what took the time was not the server. */
void db_renew(struct db *db);
enum db_wait_end { WAIT_READY, WAIT_LATE, WAIT_INTERRUPTED, WAIT_FAILED };
enum db_wait_end db_wait_fd(int fd, short events, int interrupt, int64_t deadline);
/* Waits for POLLIN and/or POLLOUT on the connection; too late or interrupted: closes it. */
bool db_wait(struct db *db, short events, struct err *err) MUST_CHECK;
/* Sends what libpq has buffered, taking in what comes meanwhile. */
bool db_flush(struct db *db, struct err *err) MUST_CHECK;
/* The next result (NULL after the last), once libpq can give it without blocking. */
bool db_receive(struct db *db, PGresult **result, struct err *err) MUST_CHECK;
/*
 * Flushes and receives all results of a statement. *last (may be NULL) gets the last good one, for
 * PQclear. False with the first refusal; the connection stays usable unless it broke.
 */
bool db_finish(struct db *db, PGresult **last, struct err *err) MUST_CHECK;

/* Reads the rest of a statement that failed; closes the connection when that cannot be done. */
void db_skip(struct db *db);

/* The server refused: err gets its words and class. Closes when the connection broke with it. */
bool db_refused(struct db *db, const PGresult *result, struct err *err);
/* The connection is of no use any more: closes it, ERR_TEMPORARY with libpq's reason. */
bool db_lost(struct db *db, struct err *err);
void db_drop(struct db *db); /* closes */
/* A mistake of the calling program: closes, ERR_OTHER. */
bool db_misused(struct db *db, const char *what, struct err *err);

/* A message as one line, single blanks, without the guesses that libpq adds as indented lines. */
void db_flatten(char *out, size_t room, const char *text);

/* db_copy.c */
bool db_copy_abandon(struct db *db, struct err *err) MUST_CHECK;

#endif
