/*
 * pool - a few connections to PostgreSQL that many threads share; taken with a deadline, made when
 * needed
 *
 * That PostgreSQL cannot be reached is told once, and so is that it is back: whoever waits for a
 * connection hears it too, but need not log it.
 */
#ifndef ROLLCALL_POOL_H
#define ROLLCALL_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "err.h"

struct pool;
struct pool_options {
    const char *conninfo;
    const char *program; /* application_name */
    int64_t timeout_us;  /* of connecting, of each statement, and of waiting for one that is free */
    size_t most;
    const char *prepared; /* a statement that each connection has, and its text; NULL: none */
    const char *sql;
};
/* Makes no connection yet. The texts stay the caller's. */
struct pool *pool_open(const struct pool_options *options);
/* When everybody has given back what was taken. Nulls; NULL allowed. */
void pool_close(struct pool **pool);
const char *pool_prepared(const struct pool *pool); /* that name */

/* A connection of one's own until pool_give. ERR_TEMPORARY when none is free in time or PostgreSQL
 * cannot be reached. */
bool pool_take(struct pool *pool, struct db **db, struct err *err) MUST_CHECK;
/* Gives it back, and nulls; NULL allowed. It is in no transaction. */
void pool_give(struct pool *pool, struct db **db);
/* One of the caller's own, outside of the number: for what takes minutes. Close with db_close. */
bool pool_extra(const struct pool *pool, struct db **db, struct err *err) MUST_CHECK;

#endif
