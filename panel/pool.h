/*
 * pool - connections to PostgreSQL that requests share; taken with a deadline, made when needed
 */
#ifndef ROLLCALL_PANEL_POOL_H
#define ROLLCALL_PANEL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"

struct pool;
struct pool_options {
    const char *conninfo;
    int64_t timeout_us; /* of connecting, of each statement, and of waiting for one that is free */
    size_t most;
};
struct pool *pool_new(const struct pool_options *options);
void pool_free(struct pool **pool);

/* ERR_TEMPORARY when none is free in time or PostgreSQL cannot be reached. */
bool pool_take(struct pool *pool, struct db **db, struct err *err) MUST_CHECK;
/* Gives it back, and nulls; a transaction that is open, or a broken connection, ends with it. */
void pool_give(struct pool *pool, struct db **db);
/* One of the caller's own, outside of the number: for what takes minutes. Close with db_close. */
bool pool_extra(const struct pool *pool, struct db **db, struct err *err) MUST_CHECK;

#endif
