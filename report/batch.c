/* batch - see batch.h */
#include "report/batch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const char *const *values;
    size_t count;
    char *word;
    enum batch_outcome outcome;
    struct err err;
    bool taken, done;
    pthread_cond_t changed; /* its own: a finished batch wakes nobody else */
    struct entry *next;
};

struct batch {
    struct pool *pool;
    const char *sql;
    pthread_mutex_t lock;
    size_t leaders, leaders_most;
    struct entry *first, **last; /* that wait, in their order */
};

struct batch *batch_open(struct pool *pool, const char *sql, size_t leaders)
{
    struct batch *b = mem_zero(1, sizeof *b);

    b->pool = pool;
    b->sql = sql;
    b->leaders_most = leaders;
    b->last = &b->first;
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

void batch_close(struct batch **batch)
{
    if (*batch == NULL)
        return;
    pthread_mutex_destroy(&(*batch)->lock);
    free(*batch);
    *batch = NULL;
}

/* ---- what a leader does, without the lock ---- */

static void keep_word(struct entry *e, const struct db_result *result)
{
    snprintf(e->word, BATCH_WORD, "%s", db_rows(result) > 0 ? db_text(result, 0, 0) : "");
}

/* Statement 0 is "begin". */
static bool take_row(void *context, size_t statement, const struct db_result *result,
                     struct err *err)
{
    struct entry **entries = context;

    (void)err;
    keep_word(entries[statement - 1], result);
    return true;
}

static bool run_together(struct db *db, const struct batch *b, struct entry **entries, size_t count,
                         struct err *err)
{
    struct db_statement statements[BATCH_MOST + 2] = {{.sql = "begin"}};

    for (size_t i = 0; i < count; i++)
        statements[i + 1] = (struct db_statement){.sql = b->sql,
                                                  .values = entries[i]->values,
                                                  .count = entries[i]->count,
                                                  .prepared = pool_prepared(b->pool)};
    statements[count + 1] = (struct db_statement){.sql = "commit"};
    return db_pipeline(db, statements, count + 2, take_row, entries, err);
}

static void run_one(struct db *db, const struct batch *b, struct entry *e)
{
    DB_RESULT_AUTO rows = NULL;

    if (db_query(db, &rows, b->sql, e->values, e->count, &e->err)) {
        keep_word(e, rows);
        e->outcome = BATCH_DONE;
    } else {
        e->outcome = db_alive(db) ? BATCH_FAILED : BATCH_UNSURE;
    }
}

static void set_all(struct entry **entries, size_t count, enum batch_outcome outcome,
                    const struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        entries[i]->outcome = outcome;
        entries[i]->err = *err;
    }
}

static void run_on(struct db *db, const struct batch *b, struct entry **entries, size_t count)
{
    struct err err = {0};

    if (run_together(db, b, entries, count, &err)) {
        set_all(entries, count, BATCH_DONE, &err);
    } else if (!db_alive(db)) {
        set_all(entries, count, BATCH_UNSURE, &err);
    } else {
        set_all(entries, count, BATCH_FAILED, &err);
        for (size_t i = 0; i < count && db_alive(db); i++)
            run_one(db, b, entries[i]);
    }
}

static void run(const struct batch *b, struct entry **entries, size_t count)
{
    struct db *db = NULL;
    struct err err;

    if (!pool_take(b->pool, &db, &err)) {
        set_all(entries, count, BATCH_FAILED, &err);
        return;
    }
    run_on(db, b, entries, count);
    pool_give(b->pool, &db);
}

/* ---- with the lock ---- */

static size_t take_waiting(struct batch *b, struct entry **entries)
{
    size_t count = 0;

    while (b->first != NULL && count < BATCH_MOST) {
        entries[count] = b->first;
        entries[count++]->taken = true;
        b->first = b->first->next;
    }
    if (b->first == NULL)
        b->last = &b->first;
    return count;
}

static void lead(struct batch *b)
{
    struct entry *entries[BATCH_MOST];
    size_t count = take_waiting(b, entries);

    b->leaders++;
    pthread_mutex_unlock(&b->lock);
    run(b, entries, count);
    pthread_mutex_lock(&b->lock);
    b->leaders--;
    for (size_t i = 0; i < count; i++) {
        entries[i]->done = true;
        pthread_cond_signal(&entries[i]->changed);
    }
    if (b->first != NULL) /* who leads next */
        pthread_cond_signal(&b->first->changed);
}

enum batch_outcome batch_run(struct batch *batch, const char *const *values, size_t count,
                             char word[BATCH_WORD], struct err *err)
{
    struct entry mine = {.values = values, .count = count, .word = word};

    pthread_cond_init(&mine.changed, NULL);
    pthread_mutex_lock(&batch->lock);
    *batch->last = &mine;
    batch->last = &mine.next;
    while (!mine.done) {
        if (!mine.taken && batch->leaders < batch->leaders_most)
            lead(batch);
        else
            pthread_cond_wait(&mine.changed, &batch->lock);
    }
    pthread_mutex_unlock(&batch->lock);
    pthread_cond_destroy(&mine.changed);
    *err = mine.err;
    return mine.outcome;
}
