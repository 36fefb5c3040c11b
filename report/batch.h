/*
 * batch - the rows of several messages in one transaction: who waits for a commit shares the next
 *
 * Whoever comes while nobody leads takes what has gathered, runs it and tells the others. When one
 * of them is refused, each is tried by itself, so that nobody fails for another.
 */
#ifndef ROLLCALL_BATCH_H
#define ROLLCALL_BATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/pool.h"

enum {
    BATCH_WORD = 16, /* room for what the statement returns */
    BATCH_MOST = 32, /* messages of a transaction */
};

struct batch;

/* `sql` is what the pool's connections have prepared; it returns one row with one short text.
 * `leaders`: transactions at the same time. */
struct batch *batch_open(struct pool *pool, const char *sql, size_t leaders);
void batch_close(struct batch **batch);

enum batch_outcome {
    BATCH_DONE,   /* committed; `word` is what it returned */
    BATCH_FAILED, /* not committed (err) */
    BATCH_UNSURE, /* the connection broke (err) */
};
enum batch_outcome batch_run(struct batch *batch, const char *const *values, size_t count,
                             char word[BATCH_WORD], struct err *err) MUST_CHECK;

#endif
