/* batch - see batch.h */
#include "report/batch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"

/* A transaction that takes longer is held up (a row that somebody locks): others go on beside it.
 * Until then the next one had better gather. */
static const int64_t HELD_UP = CLOCK_SECOND / 20;

struct entry {
    const char *const *values;
    void *message;
    char *word;
    enum batch_outcome outcome;
    struct err err;
    bool prepared, fine; /* `prepare` is done, and said yes */
    bool awaited;        /* a writer waits for that */
    struct err trouble;  /* or why not */
    bool ready;
    bool done;
    pthread_cond_t changed; /* its own: a finished group wakes nobody else */
    struct entry *next;
};

struct batch {
    struct batch_options options;
    pthread_mutex_t lock;
    struct entry *first, **last; /* that wait, in their order */
    pthread_cond_t changed;      /* for an idle writer */
    pthread_cond_t prepared;     /* for one that writes: an entry is */
    pthread_t *writers;
    size_t writing;     /* of them */
    int64_t written_us; /* clock_elapsed_us when the last of these began */
    bool closing;
};

struct group {
    struct batch *batch;
    struct entry *entries[BATCH_MOST];
    size_t count, answered, ready;
    bool looked; /* which of them are ready */
};

/* ---- writing ---- */

/* Statement 0 is "begin". */
static bool take_word(void *context, size_t statement, const struct db_result *result,
                      struct err *err)
{
    struct group *group = context;

    (void)err;
    if (statement == 1 && group->answered < group->count)
        snprintf(group->entries[group->answered++]->word, BATCH_WORD, "%s", db_text(result, 0, 0));
    return true;
}

static void wait_for_prepared(const struct group *group)
{
    struct batch *b = group->batch;

    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < group->count; i++) {
        group->entries[i]->awaited = true;
        while (!group->entries[i]->prepared)
            pthread_cond_wait(&b->prepared, &b->lock);
    }
    pthread_mutex_unlock(&b->lock);
}

/* While PostgreSQL works at the statement, which nothing of this can undo: it is not committed yet.
 * True: it may be. */
static bool are_ready(void *context)
{
    struct group *group = context;
    const struct batch_options *o = &group->batch->options;

    if (!group->looked)
        wait_for_prepared(group);
    for (size_t i = 0; i < group->count && !group->looked; i++) {
        struct entry *e = group->entries[i];
        if (!e->fine)
            e->err = e->trouble;
        e->ready = e->fine && o->ready(o->context, e->message, &e->err);
        group->ready += e->ready;
    }
    group->looked = true;
    return group->ready == group->count;
}

static void gather_column(const struct group *group, size_t column, struct buf *array)
{
    db_texts_begin(array, group->count);
    for (size_t i = 0; i < group->count; i++)
        db_texts_add(array, group->entries[i]->values[column]);
}

static bool write_group(struct db *db, struct group *group, const char *prepared, struct err *err)
{
    const struct batch *b = group->batch;
    struct buf arrays[DB_TEXTS_MOST] = {0};
    size_t columns = b->options.columns;

    for (size_t i = 0; i < columns; i++)
        gather_column(group, i, &arrays[i]);
    const struct db_texts texts = {.sql = b->options.sql,
                                   .prepared = prepared,
                                   .arrays = arrays,
                                   .count = columns,
                                   .meanwhile = are_ready};
    bool fine =
        db_run_texts(db, &texts, take_word, group, err) &&
        (group->answered == group->count ||
         err_set(err, ERR_OTHER, "%zu messages, but %zu answers", group->count, group->answered));
    for (size_t i = 0; i < columns; i++)
        buf_free(&arrays[i]);
    return fine;
}

static void set_all(const struct group *group, enum batch_outcome outcome, const struct err *err)
{
    for (size_t i = 0; i < group->count; i++) {
        group->entries[i]->outcome = outcome;
        group->entries[i]->err = *err;
    }
}

static bool run_prepared(struct db *db, struct group *group, const char *prepared)
{
    struct err err = {0};

    group->answered = 0;
    bool fine = write_group(db, group, prepared, &err);
    if (fine && group->ready < group->count)
        return true; /* rolled back */
    set_all(group, fine ? BATCH_DONE : db_alive(db) ? BATCH_FAILED : BATCH_UNSURE, &err);
    return fine;
}

/* Those that are not ready leave the group. */
static void drop_unready(struct group *group)
{
    size_t count = group->count;

    group->count = 0;
    for (size_t i = 0; i < count; i++) {
        struct entry *e = group->entries[i];
        if (e->ready)
            group->entries[group->count++] = e;
        else
            e->outcome = BATCH_FAILED; /* its err says why */
    }
}

/* Alone: not prepared, as a pooler may have lost that. */
static void run_on(struct db *db, struct group *group)
{
    const char *prepared = pool_prepared(group->batch->options.pool);
    bool fine = run_prepared(db, group, prepared);

    if (group->looked && group->ready < group->count && db_alive(db)) {
        drop_unready(group);
        fine = group->count == 0 || run_prepared(db, group, prepared);
    }
    for (size_t i = 0; !fine && group->looked && i < group->count && db_alive(db); i++) {
        struct group alone = *group;
        alone.entries[0] = group->entries[i];
        alone.count = alone.ready = 1;
        (void)!run_prepared(db, &alone, NULL);
    }
}

static void run(struct group *group)
{
    struct pool *pool = group->batch->options.pool;
    struct db *db = NULL;
    struct err err;

    if (!pool_take(pool, &db, &err)) {
        set_all(group, BATCH_FAILED, &err);
        return;
    }
    run_on(db, group);
    pool_give(pool, &db);
}

/* ---- with the lock ---- */

/* Somebody waits, and the other writers are idle or held up. */
static bool may_write(const struct batch *b)
{
    return b->first != NULL && (b->writing == 0 || clock_elapsed_us() >= b->written_us + HELD_UP);
}

static bool wait_for_group(struct batch *b)
{
    while (!may_write(b)) {
        if (b->closing && b->first == NULL)
            return false;
        pthread_cond_wait(&b->changed, &b->lock);
    }
    return true;
}

static void take_waiting(struct batch *b, struct group *group)
{
    *group = (struct group){.batch = b};
    while (b->first != NULL && group->count < BATCH_MOST) {
        group->entries[group->count++] = b->first;
        b->first = b->first->next;
    }
    if (b->first == NULL)
        b->last = &b->first;
}

static void *run_writer(void *context)
{
    struct batch *b = context;
    struct group group, taken; /* of which it loses those that are not ready */

    pthread_setname_np(pthread_self(), "write");
    pthread_mutex_lock(&b->lock);
    while (wait_for_group(b)) {
        take_waiting(b, &group);
        b->writing++;
        b->written_us = clock_elapsed_us();
        pthread_mutex_unlock(&b->lock);
        taken = group;
        run(&group);
        pthread_mutex_lock(&b->lock);
        b->writing--;
        for (size_t i = 0; i < taken.count; i++) {
            taken.entries[i]->done = true;
            pthread_cond_signal(&taken.entries[i]->changed);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* ---- outside ---- */

struct batch *batch_open(const struct batch_options *options)
{
    struct batch *b = mem_zero(1, sizeof *b);

    b->options = *options;
    b->last = &b->first;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    pthread_cond_init(&b->prepared, NULL);
    b->writers = mem_zero(options->writers, sizeof *b->writers);
    for (size_t i = 0; i < options->writers; i++)
        if (pthread_create(&b->writers[i], NULL, run_writer, b) != 0)
            abort();
    return b;
}

void batch_close(struct batch **batch)
{
    struct batch *b = *batch;

    if (b == NULL)
        return;
    pthread_mutex_lock(&b->lock);
    b->closing = true;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < b->options.writers; i++)
        pthread_join(b->writers[i], NULL);
    pthread_cond_destroy(&b->changed);
    pthread_cond_destroy(&b->prepared);
    pthread_mutex_destroy(&b->lock);
    free(b->writers);
    free(b);
    *batch = NULL;
}

static void open_condition(pthread_cond_t *condition)
{
    pthread_condattr_t clock;

    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &clock);
    pthread_condattr_destroy(&clock);
}

/* Who waits for longer than that sees to it that another writer begins. */
static void wait_for_end(struct batch *b, struct entry *mine)
{
    while (!mine->done) {
        const struct timespec until = clock_until(HELD_UP);
        if (may_write(b))
            pthread_cond_signal(&b->changed);
        pthread_cond_timedwait(&mine->changed, &b->lock, &until);
    }
}

/* The lock is free meanwhile; the entry may be taken by a writer, and even be done. */
static void prepare(struct batch *b, struct entry *mine)
{
    if (may_write(b))
        pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    bool fine = b->options.prepare(b->options.context, mine->message, &mine->trouble);
    pthread_mutex_lock(&b->lock);
    mine->fine = fine;
    mine->prepared = true;
    if (mine->awaited)
        pthread_cond_broadcast(&b->prepared);
}

enum batch_outcome batch_run(struct batch *batch, const char *const *values, void *message,
                             char word[BATCH_WORD], struct err *err)
{
    struct entry mine = {.values = values, .message = message, .word = word};

    open_condition(&mine.changed);
    pthread_mutex_lock(&batch->lock);
    *batch->last = &mine;
    batch->last = &mine.next;
    prepare(batch, &mine);
    wait_for_end(batch, &mine);
    pthread_mutex_unlock(&batch->lock);
    pthread_cond_destroy(&mine.changed);
    *err = mine.err;
    return mine.outcome;
}
