/* ahead - see ahead.h */
#include "sync/ahead.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/clock.h"

enum {
    BLOCK = 16384,   /* numbers of users that are reserved together */
    PATIENCE_S = 60, /* a directory that is slower holds its addresses no longer than this */
};

struct ahead {
    const struct ahead_options *options;
    struct spool *spool;
    pthread_t thread;
    int64_t begun;
    bool applied; /* the thread's, until it is joined */
    struct roll_outcome outcome;

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t told;
    enum { STAGE_GOING, STAGE_DONE, STAGE_FAILED } stage;
    enum { WISH_NONE, WISH_FINISH, WISH_STOP } wish;
    int64_t *blocks; /* the first number of each; 0: not reserved yet */
    size_t block_count;
};

/* `job`: whose connection it is, or NULL. */
static bool number_of(struct ahead *ahead, struct db *db, struct roll_job *job, size_t came,
                      int64_t *number, struct err *err)
{
    size_t block = came / BLOCK;
    bool fine = true;

    pthread_mutex_lock(&ahead->lock);
    for (; ahead->block_count <= block; ahead->block_count++) {
        ahead->blocks = mem_grow(ahead->blocks, (ahead->block_count + 1) * sizeof *ahead->blocks);
        ahead->blocks[ahead->block_count] = 0;
    }
    if (ahead->blocks[block] == 0)
        fine = (job == NULL || roll_pause(job, err)) &&
               roll_numbers(db, BLOCK, &ahead->blocks[block], err);
    *number = ahead->blocks[block] + (int64_t)(came % BLOCK);
    pthread_mutex_unlock(&ahead->lock);
    return fine;
}

bool ahead_number(struct ahead *ahead, struct db *db, size_t came, int64_t *number, struct err *err)
{
    return number_of(ahead, db, NULL, came, number, err);
}

/* ---- the thread ---- */

bool ahead_stage(struct roll_job *job, const struct spool_entry *found, size_t place, int64_t user,
                 struct err *err)
{
    struct roll_entry entry = {.line = (int64_t)place + 1,
                               .kind = found->kind,
                               .addresses = found->addresses,
                               .address_count = found->address_count,
                               .name = found->name,
                               .disabled = found->disabled,
                               .user = user};

    if (found->kind == ENTRY_USER)
        return roll_stage(job, &entry, err);
    entry.address_count = 1; /* each address of a group stands by itself */
    for (size_t i = 0; i < found->address_count; i++) {
        entry.addresses = &found->addresses[i];
        if (!roll_stage(job, &entry, err))
            return false;
    }
    return true;
}

static bool stage_entry(struct ahead *ahead, struct db *db, struct roll_job *job,
                        const struct spool_entry *found, size_t came, struct err *err)
{
    int64_t user = 0;

    return (found->kind != ENTRY_USER || number_of(ahead, db, job, came, &user, err)) &&
           ahead_stage(job, found, came, user, err);
}

static bool is_late(const struct ahead *ahead)
{
    return clock_elapsed_us() - ahead->begun > PATIENCE_S * CLOCK_SECOND;
}

/* True when all of the spool is staged. */
static bool stage_all(struct ahead *ahead, struct db *db, struct roll_job *job, struct err *err)
{
    struct spool_cursor *cursor = spool_follow(ahead->spool);
    enum spool_step step;
    struct spool_entry entry;
    size_t came;
    bool fine = true;

    while (fine && (step = spool_next(cursor, &entry, &came, err)) == SPOOL_ENTRY)
        fine = !is_late(ahead) && stage_entry(ahead, db, job, &entry, came, err);
    spool_cursor_free(&cursor);
    return fine && step == SPOOL_END;
}

/* Tells how far it is; then the caller decides what becomes of it. */
static bool is_wanted(struct ahead *ahead, bool staged)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->stage = staged ? STAGE_DONE : STAGE_FAILED;
    pthread_cond_broadcast(&ahead->told);
    while (staged && ahead->wish == WISH_NONE)
        pthread_cond_wait(&ahead->told, &ahead->lock);
    bool wanted = staged && ahead->wish == WISH_FINISH;
    pthread_mutex_unlock(&ahead->lock);
    return wanted;
}

static bool follow(struct ahead *ahead, struct db *db, struct err *err)
{
    const struct ldap_source *source = ahead->options->source;
    struct roll_job *job;

    if (!roll_open(&job, db, &ahead->options->request, err))
        return false;
    bool fine = true;
    for (size_t i = 0; fine && i < source->domain_count; i++)
        fine = !source->domains[i].scope || roll_scope(job, source->domains[i].name, err);
    if (is_wanted(ahead, fine && stage_all(ahead, db, job, err) && roll_staged(job, err))) {
        db_set_timeout(db, 0); /* a large list takes as long as it takes */
        fine = roll_finish(&job, NULL, &ahead->outcome, err);
        return fine && ahead->outcome.state == ROLL_APPLIED;
    }
    roll_abort(&job);
    return false;
}

/* An error is not told: the caller does it again, compares, and tells what is wrong then. */
static void *work(void *context)
{
    struct ahead *ahead = context;
    struct db_options options = {.conninfo = ahead->options->conf->database,
                                 .target = DB_PRIMARY,
                                 .timeout_us = ahead->options->conf->database_timeout,
                                 .program = ahead->options->request.program};
    struct db *db = NULL;
    struct err err;

    ahead->applied = db_open(&db, &options, &err) && follow(ahead, db, &err);
    (void)is_wanted(ahead, false); /* whoever waits need not any more */
    db_close(&db);
    return NULL;
}

/* ---- the caller ---- */

static void tell(struct ahead *ahead, int wish)
{
    pthread_mutex_lock(&ahead->lock);
    if (ahead->wish == WISH_NONE)
        ahead->wish = wish;
    pthread_cond_broadcast(&ahead->told);
    pthread_mutex_unlock(&ahead->lock);
}

static void forget(struct ahead **ahead)
{
    pthread_cond_destroy(&(*ahead)->told);
    pthread_mutex_destroy(&(*ahead)->lock);
    free((*ahead)->blocks);
    free(*ahead);
    *ahead = NULL;
}

struct ahead *ahead_begin(const struct ahead_options *options, struct spool *spool)
{
    struct ahead *ahead = mem_zero(1, sizeof *ahead);

    ahead->options = options;
    ahead->spool = spool;
    ahead->begun = clock_elapsed_us();
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->told, NULL);
    if (pthread_create(&ahead->thread, NULL, work, ahead) != 0)
        forget(&ahead);
    return ahead;
}

bool ahead_staged(struct ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    while (ahead->stage == STAGE_GOING)
        pthread_cond_wait(&ahead->told, &ahead->lock);
    bool staged = ahead->stage == STAGE_DONE;
    pthread_mutex_unlock(&ahead->lock);
    return staged;
}

bool ahead_end(struct ahead **ahead, bool wanted, struct roll_outcome *outcome)
{
    struct err ignored;

    if (*ahead == NULL)
        return false;
    tell(*ahead, wanted ? WISH_FINISH : WISH_STOP);
    if (!spool_end((*ahead)->spool, &ignored))
        ignored.class = ERR_NONE; /* the thread learns of the end all the same */
    pthread_join((*ahead)->thread, NULL);
    bool applied = (*ahead)->applied;
    if (applied)
        *outcome = (*ahead)->outcome;
    forget(ahead);
    return applied;
}
