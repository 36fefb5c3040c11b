/* pool - see pool.h */
#include "report/pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lib/clock.h"

struct pool {
    struct db_options options;
    const char *prepared, *sql;
    pthread_mutex_t lock;
    pthread_cond_t given;
    size_t most, taken;
    size_t idle_count;
    struct db **idle;
};

struct pool *pool_open(const struct db_options *options, size_t most, const char *prepared,
                       const char *sql)
{
    struct pool *p = mem_zero(1, sizeof *p);

    p->options = *options;
    p->prepared = prepared;
    p->sql = sql;
    p->most = most;
    p->idle = mem_zero(most, sizeof(struct db *));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->given, NULL);
    return p;
}

const char *pool_prepared(const struct pool *pool)
{
    return pool->prepared;
}

void pool_close(struct pool **pool)
{
    struct pool *p = *pool;

    if (p == NULL)
        return;
    while (p->idle_count > 0)
        db_close(&p->idle[--p->idle_count]);
    pthread_cond_destroy(&p->given);
    pthread_mutex_destroy(&p->lock);
    free(p->idle);
    free(p);
    *pool = NULL;
}

/* A place, with a connection or without one (*db NULL). */
static bool take_place(struct pool *p, struct db **db)
{
    struct timespec end;
    bool late = false;

    clock_gettime(CLOCK_REALTIME, &end); /* what pthread_cond_timedwait goes by */
    end.tv_sec += p->options.timeout_us / CLOCK_SECOND + 1;
    pthread_mutex_lock(&p->lock);
    while (p->taken == p->most && !late)
        late = pthread_cond_timedwait(&p->given, &p->lock, &end) != 0;
    bool fine = p->taken < p->most;
    *db = fine && p->idle_count > 0 ? p->idle[--p->idle_count] : NULL;
    p->taken += fine;
    pthread_mutex_unlock(&p->lock);
    return fine;
}

bool pool_take(struct pool *pool, struct db **db, struct err *err)
{
    if (!take_place(pool, db))
        return err_set(err, ERR_TEMPORARY,
                       "PostgreSQL: every connection has been busy for too long");
    if (*db != NULL ||
        (db_open(db, &pool->options, err) &&
         (pool->prepared == NULL || db_prepare(*db, pool->prepared, pool->sql, err))))
        return true;
    db_close(db);
    pool_give(pool, db);
    return false;
}

void pool_give(struct pool *pool, struct db **db)
{
    if (*db != NULL && !db_alive(*db))
        db_close(db);
    pthread_mutex_lock(&pool->lock);
    if (*db != NULL)
        pool->idle[pool->idle_count++] = *db;
    pool->taken--;
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
    *db = NULL;
}
