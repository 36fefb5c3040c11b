/*
 * pool - a few connections to PostgreSQL that many threads share
 */
#ifndef ROLLCALL_POOL_H
#define ROLLCALL_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"

struct pool;

/* Makes no connection yet. Each prepares `sql` as `prepared`, unless that is NULL. */
struct pool *pool_open(const struct db_options *options, size_t most, const char *prepared,
                       const char *sql);
const char *pool_prepared(const struct pool *pool); /* that name */
/* When everybody has given back what was taken. */
void pool_close(struct pool **pool);

/* A connection of one's own until pool_give, made when it has to be. ERR_TEMPORARY when none can be
 * made, or none is given back within the time-out of a statement. */
bool pool_take(struct pool *pool, struct db **db, struct err *err) MUST_CHECK;
void pool_give(struct pool *pool, struct db **db);

#endif
