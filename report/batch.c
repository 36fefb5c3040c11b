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
    const void *message;
    char *word;
    enum batch_outcome outcome;
    struct err err;
    bool done;
    pthread_cond_t changed; /* its own: a finished group wakes nobody else */
    struct entry *next;
};

struct batch {
    struct batch_options options;
    pthread_mutex_t lock;
    struct entry *first, **last; /* that wait, in their order */
    pthread_cond_t changed;      /* for an idle writer */
    pthread_t *writers;
    size_t writing;     /* of them */
    int64_t written_us; /* clock_elapsed_us when the last of these began */
    bool closing;
};

struct group {
    struct entry *entries[BATCH_MOST];
    size_t count, answered;
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

static void gather_column(const struct group *group, size_t column, struct buf *array)
{
    db_texts_begin(array, group->count);
    for (size_t i = 0; i < group->count; i++)
        db_texts_add(array, group->entries[i]->values[column]);
}

static bool write_group(struct db *db, const struct batch *b, struct group *group,
                        const char *prepared, struct err *err)
{
    struct buf arrays[DB_TEXTS_MOST] = {0};
    size_t columns = b->options.columns;

    for (size_t i = 0; i < columns; i++)
        gather_column(group, i, &arrays[i]);
    const struct db_texts texts = {
        .sql = b->options.sql, .prepared = prepared, .arrays = arrays, .count = columns};
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

static bool run_prepared(struct db *db, const struct batch *b, struct group *group,
                         const char *prepared)
{
    struct err err = {0};
    bool fine = write_group(db, b, group, prepared, &err);

    set_all(group, fine ? BATCH_DONE : db_alive(db) ? BATCH_FAILED : BATCH_UNSURE, &err);
    return fine;
}

/* Alone: not prepared, as a pooler may have lost that. */
static void run_on(struct db *db, const struct batch *b, struct group *group)
{
    if (run_prepared(db, b, group, pool_prepared(b->options.pool)))
        return;
    for (size_t i = 0; i < group->count && db_alive(db); i++) {
        struct group alone = {.entries = {group->entries[i]}, .count = 1};
        (void)!run_prepared(db, b, &alone, NULL);
    }
}

/* Those that are not ready leave the group. */
static void drop_unready(const struct batch *b, struct group *group)
{
    size_t ready = 0;

    for (size_t i = 0; i < group->count; i++) {
        struct entry *e = group->entries[i];
        e->outcome = BATCH_FAILED;
        if (b->options.ready(b->options.context, e->message, &e->err))
            group->entries[ready++] = e;
    }
    group->count = ready;
}

static void run(const struct batch *b, struct group group)
{
    struct db *db = NULL;
    struct err err;

    drop_unready(b, &group);
    if (group.count == 0)
        return;
    if (!pool_take(b->options.pool, &db, &err)) {
        set_all(&group, BATCH_FAILED, &err);
        return;
    }
    run_on(db, b, &group);
    pool_give(b->options.pool, &db);
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
    group->count = group->answered = 0;
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
    struct group group;

    pthread_setname_np(pthread_self(), "write");
    pthread_mutex_lock(&b->lock);
    while (wait_for_group(b)) {
        take_waiting(b, &group);
        b->writing++;
        b->written_us = clock_elapsed_us();
        pthread_mutex_unlock(&b->lock);
        run(b, group);
        pthread_mutex_lock(&b->lock);
        b->writing--;
        for (size_t i = 0; i < group.count; i++) {
            group.entries[i]->done = true;
            pthread_cond_signal(&group.entries[i]->changed);
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

enum batch_outcome batch_run(struct batch *batch, const char *const *values, const void *message,
                             char word[BATCH_WORD], struct err *err)
{
    struct entry mine = {.values = values, .message = message, .word = word};

    open_condition(&mine.changed);
    pthread_mutex_lock(&batch->lock);
    *batch->last = &mine;
    batch->last = &mine.next;
    wait_for_end(batch, &mine);
    pthread_mutex_unlock(&batch->lock);
    pthread_cond_destroy(&mine.changed);
    *err = mine.err;
    return mine.outcome;
}
