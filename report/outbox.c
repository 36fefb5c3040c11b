/* outbox - see outbox.h */
#include "report/outbox.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/db.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "lib/submit.h"
#include "report/figures.h"
#include "report/letter.h"
#include "report/notice.h"

static const int64_t IDLE = 30 * CLOCK_SECOND;    /* how long a follower waits for a word */
static const int64_t FIGURES = 15 * CLOCK_SECOND; /* between two writings of them */
static const int64_t PAUSE = 5 * CLOCK_SECOND;    /* after trouble that is not a mail's own */
static const int64_t CONNECT = 30 * CLOCK_SECOND; /* to the mail server */
static const int64_t MESSAGE = 600 * CLOCK_SECOND;
enum { TRIES_DOUBLE = 6 }; /* the wait grows from a minute to an hour */

/* The mail in hand. */
struct job {
    bool any;
    char id[24], from[400], to[420], message_id[220];
    bool sealed;
    int64_t tries, age; /* seconds */
    struct buf body;
};

struct sender {
    const struct outbox_options *options;
    struct outbox_tally *tally;
    bool first; /* writes letters and cleans up too */
    const uint8_t *seal;
    const struct compose *shared;
    pthread_t thread;
    struct db *db;
    struct submit *submit;
    struct job job;
    int64_t cleaned_us, figured_us; /* elapsed */
    bool told_figures;
    bool failed;
    struct err err;
};

/* ---- the mail in hand ---- */

#define CLAIM                                                                                      \
    "select id, envelope_from, envelope_to, message_id, sealed,"                                   \
    " case when sealed then encode(body, 'hex') else convert_from(body, 'UTF8') end, tries,"       \
    " extract(epoch from now() - made_at)::bigint from outbox"                                     \
    " where id = (select id from outbox where state = 'waiting' and next_at <= now()"              \
    "   order by urgent desc, next_at, id limit 1 for update skip locked)"
#define SENT                                                                                       \
    "update outbox set state = 'sent', body = null, done_at = now(), trouble = '' where id = $1"
#define LATE                                                                                       \
    "update outbox set tries = tries + 1, trouble = $2,"                                           \
    " next_at = now() + $3::int * interval '1 second' where id = $1"
#define DEAD                                                                                       \
    "update outbox set state = 'dead', body = null, done_at = now(), tries = tries + 1,"           \
    " trouble = $2 where id = $1"

static bool take_job(void *context, size_t statement, const struct db_result *row, struct err *err)
{
    struct job *job = context;

    (void)statement;
    (void)err;
    job->any = true;
    snprintf(job->id, sizeof job->id, "%s", db_text(row, 0, 0));
    snprintf(job->from, sizeof job->from, "%s", db_text(row, 0, 1));
    snprintf(job->to, sizeof job->to, "%s", db_text(row, 0, 2));
    snprintf(job->message_id, sizeof job->message_id, "%s", db_text(row, 0, 3));
    job->sealed = db_bool(row, 0, 4);
    struct span body = db_span(row, 0, 5);
    buf_append(&job->body, body.at, body.len);
    job->tries = db_int(row, 0, 6);
    job->age = db_int(row, 0, 7);
    return true;
}

/* Records what became of the last mail (sql NULL: there was none) and takes the next, in one round
 * trip. */
static bool next_job(struct sender *s, const char *sql, const char *prepared,
                     const char *const *values, size_t count, struct err *err)
{
    struct db_statement statements[4] = {
        {sql, values, count, prepared},
        {"commit", NULL, 0, NULL},
        {"begin", NULL, 0, NULL},
        {CLAIM, NULL, 0, "claim"},
    };
    size_t skip = sql == NULL ? 2 : 0;

    if (s->job.body.at != NULL)
        secret_forget(s->job.body.at, s->job.body.len);
    buf_clear(&s->job.body);
    s->job.any = false;
    return db_pipeline(s->db, statements + skip, 4 - skip, take_job, &s->job, err);
}

static bool from_hex(struct buf *out, const struct buf *hex)
{
    for (size_t i = 0; i + 1 < hex->len; i += 2) {
        unsigned byte;
        if (sscanf(hex->at + i, "%2x", &byte) != 1)
            return false;
        unsigned char c = (unsigned char)byte;
        buf_append(out, &c, 1);
    }
    return true;
}

/* The message as it goes out. */
static bool open_body(const struct sender *s, struct buf *plain)
{
    char context[256];
    BUF_AUTO sealed = {0};

    letter_context(s->job.message_id, context, sizeof context);
    return from_hex(&sealed, &s->job.body) &&
           secret_open(plain, span_of(sealed.at, sealed.len), context, s->seal);
}

static void hand_over(struct sender *s, struct submit_result *result)
{
    const char *recipients[] = {s->job.to};
    BUF_AUTO plain = {0};

    if (s->job.sealed && !open_body(s, &plain)) {
        *result = (struct submit_result){.outcome = SUBMIT_PERMANENT};
        snprintf(result->text, sizeof result->text, "it was sealed under another key");
        return;
    }
    const struct buf *body = s->job.sealed ? &plain : &s->job.body;
    const struct submit_message message = {.sender = s->job.from,
                                           .recipients = recipients,
                                           .recipient_count = 1,
                                           .body = span_of(body->at, body->len)};
    if (submit_send(s->submit, &message, result) == SUBMIT_SENT)
        log_write(LOG_MAIL_SENT, "<%s> to %s", s->job.message_id, s->job.to);
    if (plain.at != NULL)
        secret_forget(plain.at, plain.len);
}

/* ---- what became of it ---- */

static bool record_sent(struct sender *s, struct err *err)
{
    char id[24];

    snprintf(id, sizeof id, "%s", s->job.id);
    s->tally->sent++;
    return next_job(s, SENT, "sent", DB_VALUES(id), err);
}

static bool record_trouble(struct sender *s, const struct submit_result *result, struct err *err)
{
    char id[24], wait[24], text[600];
    bool dead = result->outcome == SUBMIT_PERMANENT ||
                s->job.age * CLOCK_SECOND >= s->options->conf->mail_give_up;
    int64_t doubled = s->job.tries < TRIES_DOUBLE ? s->job.tries : TRIES_DOUBLE;

    snprintf(id, sizeof id, "%s", s->job.id);
    snprintf(text, sizeof text, "%s%s%s", result->status, result->status[0] != '\0' ? " " : "",
             result->text);
    snprintf(wait, sizeof wait, "%" PRId64, (INT64_C(60) << doubled) * 60 / 64);
    log_write(dead ? LOG_MAIL_DEAD : LOG_MAIL_TROUBLE, "<%s> to %s: %s", s->job.message_id,
              s->job.to, text);
    if (dead) {
        s->tally->dead++;
        return next_job(s, DEAD, "dead", DB_VALUES(id, text), err);
    }
    s->tally->late++;
    return next_job(s, LATE, "late", DB_VALUES(id, text, wait), err);
}

/* ---- one sender ---- */

static bool connect_database(struct sender *s, struct err *err)
{
    const struct conf *conf = s->options->conf;

    if (s->db != NULL && db_alive(s->db))
        return true;
    db_close(&s->db);
    return db_open(&s->db,
                   &(struct db_options){.conninfo = conf->database,
                                        .target = DB_PRIMARY,
                                        .timeout_us = conf->database_timeout,
                                        .program = "rollcall-report"},
                   err) &&
           /* planned while the outbox is empty, and used when it is long: by its index */
           db_script(s->db,
                     "listen rollcall_outbox; set enable_seqscan = off; set enable_sort = off;"
                     "set plan_cache_mode = force_generic_plan",
                     err) &&
           db_prepare(s->db, "claim", CLAIM, err) && db_prepare(s->db, "sent", SENT, err) &&
           db_prepare(s->db, "late", LATE, err) && db_prepare(s->db, "dead", DEAD, err);
}

/* A later report has taken a report's place, or whoever got it is gone: the last one of each can be
 * sent again. */
#define OVER(same, table, column)                                                                  \
    "(exists (select from report_run n where " same " and n.slot > r.slot and not n.again)"        \
    " or not exists (select from " table " t where t.id = r." column "))"

/* What is over and needs no remembering. */
static bool clean_up(struct sender *s, struct err *err)
{
    char keep[40];

    if (s->cleaned_us != 0 && clock_elapsed_us() - s->cleaned_us < 3600 * CLOCK_SECOND)
        return true;
    s->cleaned_us = clock_elapsed_us();
    snprintf(keep, sizeof keep, "%" PRId64 " seconds", s->options->conf->mail_keep / CLOCK_SECOND);
    return db_exec(s->db,
                   "delete from outbox where state <> 'waiting' and done_at < now() - $1::interval",
                   DB_VALUES(keep), NULL, err) &&
           db_exec(s->db, "delete from token where expires_at < now() - interval '1 day'",
                   DB_NO_VALUES, NULL, err) &&
           db_exec(s->db, "delete from mail_request where made_at < now() - interval '1 day'",
                   DB_NO_VALUES, NULL, err) &&
           db_exec(s->db,
                   /* a user's last one stays: it can be sent again */
                   "delete from report_run r where made_at < now() - $1::interval - interval"
                   " '60 days' and (again or case when r.user_id is not null then " OVER(
                       "n.user_id = r.user_id", "users",
                       "user_id") " else " OVER("n.user_id is null and n.domain_id = r.domain_id",
                                                "domain", "domain_id") " end)",
                   DB_VALUES(keep), NULL, err);
}

/* Of the first sender; figures that cannot be written stop nothing. */
static void write_figures(struct sender *s)
{
    int64_t now = clock_elapsed_us();
    struct err err;

    s->figured_us = now;
    bool fine = figures_outbox(s->options->conf, s->db, &err);
    if (!fine && !s->told_figures)
        log_write(LOG_MAIL_TROUBLE, "%s", err.text);
    s->told_figures = !fine;
}

static bool write_letters(struct sender *s, struct err *err)
{
    struct compose compose = *s->shared;
    bool any = true;

    compose.db = s->db;
    while (any && !*s->options->stop)
        if (!letter_next(&compose, s->seal, &any, err))
            return false;
    for (any = true; any && !*s->options->stop;)
        if (!notice_next(&compose, &any, err))
            return false;
    return true;
}

/* Sends until nothing is due. *reached: whether the mail server speaks with us. */
static bool send_all(struct sender *s, bool *reached, struct err *err)
{
    int64_t looked_us = 0;

    *reached = true;
    for (;;) {
        if (s->first && clock_elapsed_us() - looked_us > CLOCK_SECOND) {
            if (!write_letters(s, err))
                return false;
            if (clock_elapsed_us() - s->figured_us > FIGURES)
                write_figures(s);
            looked_us = clock_elapsed_us();
        }
        if (!next_job(s, NULL, NULL, NULL, 0, err))
            return false;
        while (s->job.any && !*s->options->stop && *reached &&
               !(s->first && clock_elapsed_us() - looked_us > CLOCK_SECOND)) {
            struct submit_result result;
            hand_over(s, &result);
            *reached = result.outcome != SUBMIT_TEMPORARY || result.code != 0;
            if (!(result.outcome == SUBMIT_SENT ? record_sent(s, err)
                                                : record_trouble(s, &result, err)))
                return false;
            if (!*reached)
                err_set(err, ERR_TEMPORARY, "mail_server %s: %s", s->options->conf->mail_server,
                        result.text);
        }
        bool more = s->job.any;
        db_rollback(s->db);
        if (!more || *s->options->stop || !*reached)
            return true;
    }
}

static void pause_for(const struct sender *s, int64_t us)
{
    struct pollfd wake = {.fd = s->options->wake, .events = POLLIN};

    poll(&wake, 1, (int)(us / 1000));
}

/* Until something may be due; false: the connection is lost. */
static bool wait_for_work(struct sender *s, struct err *err)
{
    bool notified;

    db_set_interrupt(s->db, s->options->wake);
    bool fine = db_wait_notify(s->db, IDLE, &notified, err);
    db_set_interrupt(s->db, -1);
    return fine;
}

static bool work(struct sender *s, struct err *err)
{
    bool reached = true;
    bool fine = connect_database(s, err) && (!s->first || clean_up(s, err)) &&
                send_all(s, &reached, err) && reached;
    bool due = !s->options->follow || clock_elapsed_us() - s->figured_us > FIGURES;

    if (s->first && due && s->db != NULL && db_alive(s->db))
        write_figures(s);

    if (!s->options->follow || *s->options->stop)
        return fine;
    if (fine)
        return wait_for_work(s, err);
    return false;
}

static void *run_sender(void *context)
{
    struct sender *s = context;

    do {
        bool fine = work(s, &s->err);
        s->failed = !fine && !*s->options->stop;
        if (s->failed && s->options->follow) {
            log_write(LOG_MAIL_TROUBLE, "%s", s->err.text);
            pause_for(s, PAUSE);
        }
    } while (s->options->follow && !*s->options->stop);
    db_close(&s->db);
    submit_close(&s->submit);
    buf_free(&s->job.body);
    return NULL;
}

/* ---- all of them ---- */

static bool start_sender(struct sender *s, struct err *err)
{
    const struct conf *conf = s->options->conf;
    const struct submit_options options = {.server = conf->mail_server,
                                           .connect_us = CONNECT,
                                           .response_us = conf->mail_timeout,
                                           .timeout_us = MESSAGE + conf->mail_timeout};

    if (!submit_open(&s->submit, &options, err))
        return false;
    if (pthread_create(&s->thread, NULL, run_sender, s) == 0)
        return true;
    submit_close(&s->submit);
    return err_set(err, ERR_TEMPORARY, "no thread can be started");
}

bool outbox_send(const struct outbox_options *options, struct outbox_tally *tally, struct err *err)
{
    size_t count = (size_t)options->conf->mail_connections, started = 0;
    struct sender *senders = mem_zero(count, sizeof *senders);
    struct compose shared = {.conf = options->conf};
    uint8_t seal[SECRET_KEY];
    bool fine = compose_prepare(&shared, err) &&
                secret_key_load(options->conf->secret_key_file, true, seal, err);

    for (; fine && started < count; started += fine) {
        senders[started] = (struct sender){.options = options,
                                           .tally = tally,
                                           .first = started == 0,
                                           .seal = seal,
                                           .shared = &shared};
        fine = start_sender(&senders[started], err);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(senders[i].thread, NULL);
        if (fine && senders[i].failed) {
            *err = senders[i].err;
            fine = false;
        }
    }
    secret_forget(seal, sizeof seal);
    free(senders);
    return fine;
}
