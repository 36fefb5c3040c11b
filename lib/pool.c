/* pool - see pool.h */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "log.h"

struct pool {
    struct pool_options options;
    pthread_mutex_t lock;
    pthread_cond_t given;
    struct db **idle;
    size_t idle_count, taken;
    bool lost; /* the last attempt to connect failed: told once */
};

struct pool *pool_open(const struct pool_options *options)
{
    struct pool *pool = mem_zero(1, sizeof *pool);
    pthread_condattr_t clock;

    pool->options = *options;
    pool->idle = mem_zero(options->most, sizeof(struct db *));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->given, &clock);
    pthread_condattr_destroy(&clock);
    return pool;
}

void pool_close(struct pool **pool)
{
    struct pool *p = *pool;

    if (p == NULL)
        return;
    for (size_t i = 0; i < p->idle_count; i++)
        db_close(&p->idle[i]);
    pthread_cond_destroy(&p->given);
    pthread_mutex_destroy(&p->lock);
    free(p->idle);
    free(p);
    *pool = NULL;
}

const char *pool_prepared(const struct pool *pool)
{
    return pool->options.prepared;
}

/* Waits for a place; true with *db set to an idle connection, or to NULL when one is to be made. */
static bool take_place(struct pool *pool, struct db **db)
{
    const struct timespec until = clock_until(pool->options.timeout_us);
    int why = 0;

    *db = NULL;
    pthread_mutex_lock(&pool->lock);
    while (pool->taken == pool->options.most && why != ETIMEDOUT)
        why = pthread_cond_timedwait(&pool->given, &pool->lock, &until);
    bool fine = pool->taken < pool->options.most;
    if (fine) {
        pool->taken++;
        if (pool->idle_count > 0)
            *db = pool->idle[--pool->idle_count];
    }
    pthread_mutex_unlock(&pool->lock);
    return fine;
}

static void give_place(struct pool *pool, struct db *db)
{
    pthread_mutex_lock(&pool->lock);
    pool->taken--;
    if (db != NULL)
        pool->idle[pool->idle_count++] = db;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}

/* Tells once that PostgreSQL is gone, and once that it is back. */
static void tell(struct pool *pool, bool lost, const char *why)
{
    pthread_mutex_lock(&pool->lock);
    bool news = pool->lost != lost;
    pool->lost = lost;
    pthread_mutex_unlock(&pool->lock);
    if (news)
        log_write(lost ? LOG_DATABASE_LOST : LOG_DATABASE_BACK, "%s", why);
}

bool pool_extra(const struct pool *pool, struct db **db, struct err *err)
{
    const struct pool_options *o = &pool->options;
    const struct db_options options = {.conninfo = o->conninfo,
                                       .target = DB_PRIMARY,
                                       .timeout_us = o->timeout_us,
                                       .program = o->program,
                                       .interrupt = -1};

    if (!db_open(db, &options, err))
        return false;
    if (o->prepared == NULL || db_prepare(*db, o->prepared, o->sql, err))
        return true;
    db_close(db);
    return false;
}

bool pool_take(struct pool *pool, struct db **db, struct err *err)
{
    if (!take_place(pool, db))
        return err_set(err, ERR_TEMPORARY, "no connection to PostgreSQL became free");
    if (*db != NULL && db_alive(*db))
        return true;
    db_close(db);
    if (!pool_extra(pool, db, err)) {
        give_place(pool, NULL);
        tell(pool, true, err->text);
        err->class = ERR_TEMPORARY;
        return false;
    }
    tell(pool, false, db_host(*db));
    return true;
}

void pool_give(struct pool *pool, struct db **db)
{
    if (*db == NULL)
        return;
    if (!db_alive(*db))
        db_close(db);
    else
        db_set_timeout(*db, pool->options.timeout_us);
    give_place(pool, *db);
    *db = NULL;
}
