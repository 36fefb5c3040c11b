/* sent - see sent.h */
#include "report/sent.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/db.h"

struct sent {
    const struct conf *conf;
    int64_t moment_us;
    pthread_mutex_t lock;
    pthread_cond_t ended;        /* an attempt has */
    pthread_cond_t enough;       /* is noted to be worth a commit */
    struct buf ids;              /* noted and not recorded: "1,2,3" */
    uint64_t noted, recorded;    /* how many ever */
    uint64_t attempts, failures; /* the number of the last attempt that began, that failed */
    bool busy;                   /* somebody records */
    struct err err;              /* why the last failure */
    struct db *db;               /* whoever is busy has it */
};

struct sent *sent_open(const struct conf *conf, int64_t moment_us)
{
    struct sent *s = mem_zero(1, sizeof *s);
    pthread_condattr_t clock;

    s->conf = conf;
    s->moment_us = moment_us;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->ended, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->enough, &clock);
    pthread_condattr_destroy(&clock);
    return s;
}

void sent_close(struct sent **sent)
{
    struct sent *s = *sent;

    if (s == NULL)
        return;
    db_close(&s->db);
    buf_free(&s->ids);
    pthread_cond_destroy(&s->ended);
    pthread_cond_destroy(&s->enough);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *sent = NULL;
}

/* Four fifths of the connections: the others are on the way to their next last dot meanwhile. */
static bool is_enough(const struct sent *s)
{
    return s->noted - s->recorded >= (uint64_t)s->conf->mail_connections * 4 / 5;
}

uint64_t sent_note(struct sent *sent, const char *id)
{
    pthread_mutex_lock(&sent->lock);
    if (sent->ids.len > 0)
        buf_text(&sent->ids, ",");
    buf_text(&sent->ids, id);
    uint64_t place = ++sent->noted;
    if (is_enough(sent))
        pthread_cond_signal(&sent->enough);
    pthread_mutex_unlock(&sent->lock);
    return place;
}

/* ---- what the busy one does, without the lock ---- */

/* Still waiting, said so that no partial index seems fit: planned while the outbox is empty, a scan
 * of all that waits looks as good as the few by their numbers. */
#define SENT                                                                                       \
    "update outbox set state = 'sent', body = null, done_at = now(), trouble = ''"                 \
    " where id = any ($1::bigint[]) and state not in ('sent', 'dead')"

static bool connect_database(struct sent *s, struct err *err)
{
    const struct db_options options = {.conninfo = s->conf->database,
                                       .target = DB_PRIMARY,
                                       .timeout_us = s->conf->database_timeout,
                                       .program = "rollcall-report"};

    if (s->db != NULL && db_alive(s->db))
        return true;
    db_close(&s->db);
    return db_open(&s->db, &options, err) &&
           /* planned once, while the outbox may be empty: by its index */
           db_script(s->db, "set enable_seqscan = off; set plan_cache_mode = force_generic_plan",
                     err) &&
           db_prepare(s->db, "sent", SENT, err);
}

static bool no_row(void *context, size_t statement, const struct db_result *row, struct err *err)
{
    (void)context;
    (void)statement;
    (void)row;
    (void)err;
    return true;
}

static bool record(struct sent *s, const char *ids, struct err *err)
{
    STR_AUTO array = mem_printf("{%s}", ids);
    const char *values[] = {array};
    const struct db_statement statement = {SENT, values, 1, "sent"};

    return connect_database(s, err) && db_pipeline(s->db, &statement, 1, no_row, NULL, err);
}

/* ---- with the lock ---- */

/* The lock is free meanwhile; what is noted then still comes into this attempt. */
static void gather(struct sent *s)
{
    const struct timespec until = clock_until(s->moment_us);
    bool in_time = true;

    while (in_time && !is_enough(s))
        in_time = pthread_cond_timedwait(&s->enough, &s->lock, &until) == 0;
}

/* Records what is noted, after a moment for others; what is noted later is left to the next. */
static void lead(struct sent *s)
{
    struct err err;

    s->busy = true;
    s->attempts++;
    gather(s);
    struct buf ids = s->ids;
    uint64_t upto = s->noted;
    s->ids = (struct buf){0};
    pthread_mutex_unlock(&s->lock);
    bool fine = record(s, ids.at, &err);
    pthread_mutex_lock(&s->lock);
    s->busy = false;
    if (fine) {
        s->recorded = upto;
    } else {
        s->failures = s->attempts;
        s->err = err;
        if (s->ids.len > 0) { /* back, in front of what came meanwhile */
            buf_text(&ids, ",");
            buf_append(&ids, s->ids.at, s->ids.len);
        }
        buf_free(&s->ids);
        s->ids = ids;
        ids = (struct buf){0};
    }
    buf_free(&ids);
    pthread_cond_broadcast(&s->ended);
}

bool sent_record(struct sent *sent, uint64_t place, struct err *err)
{
    pthread_mutex_lock(&sent->lock);
    uint64_t before = sent->attempts - sent->busy; /* who waits for a failure need not repeat it */
    while (sent->recorded < place && sent->failures <= before)
        if (!sent->busy)
            lead(sent);
        else
            pthread_cond_wait(&sent->ended, &sent->lock);
    bool fine = sent->recorded >= place;
    if (!fine)
        *err = sent->err;
    pthread_mutex_unlock(&sent->lock);
    return fine;
}
