/*
 * batch - the rows of several messages in one statement and one commit: who waits shares the next
 *
 * A writer takes what has gathered while it wrote the last ones, writes it and tells those who
 * wait. When it is refused, each is tried by itself, so that nobody fails for another.
 */
#ifndef ROLLCALL_BATCH_H
#define ROLLCALL_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/pool.h"

enum {
    BATCH_WORD = 16, /* room for what the statement returns for a message */
    BATCH_MOST = 64, /* messages of a transaction */
};

struct batch_options {
    /* What its connections have prepared has parameters that are arrays (text[]), `columns` of
     * them, each with an element for each message; it returns a row with a short text for each
     * message, in their order. */
    struct pool *pool;
    const char *sql; /* the same */
    size_t columns;
    /* Threads that write, each with a connection: a second one only while the first is held up, as
     * few large groups cost less than many small ones. */
    size_t writers;
    /* What must be done before the commit is done while PostgreSQL works at the statement, which
     * begins anew without those of whom one of these says no (false, with err). For each message
     * once: `prepare` by the thread that gives it, while it waits in the queue or is written; then
     * `ready` by the writer. */
    bool (*prepare)(void *context, void *message, struct err *err);
    bool (*ready)(void *context, void *message, struct err *err);
    void *context;
};

struct batch;

struct batch *batch_open(const struct batch_options *options);
void batch_close(struct batch **batch);

enum batch_outcome {
    BATCH_DONE,   /* committed; `word` is what it returned */
    BATCH_FAILED, /* not committed (err) */
    BATCH_UNSURE, /* the connection broke (err) */
};
/* `values`: one for each column, NULL for the SQL NULL. `message` is what the functions are told.
 */
enum batch_outcome batch_run(struct batch *batch, const char *const *values, void *message,
                             char word[BATCH_WORD], struct err *err) MUST_CHECK;

#endif
