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
#include "lib/job_run.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "lib/submit.h"
#include "report/asked.h"
#include "report/changed.h"
#include "report/clean.h"
#include "report/figures.h"
#include "report/letter.h"
#include "report/notice.h"
#include "report/sent.h"
#include "report/take.h"

static const int64_t IDLE = 30 * CLOCK_SECOND;    /* how long a follower waits for a word */
static const int64_t FIGURES = 15 * CLOCK_SECOND; /* between two writings of them */
static const int64_t PAUSE = 5 * CLOCK_SECOND;    /* after trouble that is not a mail's own */
static const int64_t CONNECT = 30 * CLOCK_SECOND; /* to the mail server */
static const int64_t MESSAGE = 600 * CLOCK_SECOND;
static const int64_t HOLD = CLOCK_SECOND * 3 / 10; /* before what was taken is given back */
static const int64_t MOMENT = CLOCK_SECOND / 250;  /* for others to be recorded with one */
enum { TRIES_DOUBLE = 6 };                         /* the wait grows from a minute to an hour */

struct sender {
    const struct outbox_options *options;
    struct outbox_tally *tally;
    bool first; /* writes letters and cleans up too */
    const uint8_t *seal;
    const struct compose *shared;
    struct sent *sent;
    pthread_t thread;
    struct db *db;
    struct submit *submit;
    struct take take;
    size_t done;    /* how many of what was taken were handed over, or tried */
    size_t want;    /* how many to take next */
    uint64_t place; /* in `sent`, of the mail that was handed over last */
    bool stuck;     /* that one cannot be recorded, or the next is not ours any more (err) */
    int64_t cleaned_us, figured_us; /* elapsed */
    bool told_figures;
    bool failed;
    struct err err;
};

/* ---- handing over ---- */

#define LATE                                                                                       \
    "update outbox set tries = tries + 1, trouble = $2,"                                           \
    " next_at = now() + $3::int * interval '1 second' where id = $1 and state = 'waiting'"
#define DEAD                                                                                       \
    "update outbox set state = 'dead', body = null, done_at = now(), tries = tries + 1,"           \
    " trouble = $2 where id = $1 and state = 'waiting'"

/* The message as it goes out. */
static bool open_body(const struct sender *s, const struct take_mail *job, struct buf *plain)
{
    char context[256];

    letter_context(job->message_id, context, sizeof context);
    return secret_open(plain, span_of(job->body.at, job->body.len), context, s->seal);
}

/* In front of the last dot: the mail before is recorded now, and this one is still ours, or it is
 * not handed over. */
static bool end_of_mail(void *context, char *out, size_t room, size_t *got)
{
    struct sender *s = context;
    bool notified;

    (void)out;
    (void)room;
    *got = 0;
    s->stuck = !sent_record(s->sent, s->place, &s->err) ||
               !db_wait_notify(s->db, 0, &notified, &s->err); /* the connection lives */
    return !s->stuck;
}

static void hand_over(struct sender *s, const struct take_mail *job, struct submit_result *result)
{
    const char *recipients[] = {job->to};
    const struct take_mail *next =
        s->done < s->take.taken ? &s->take.mails[s->done] : NULL; /* s->done counts this one */
    BUF_AUTO plain = {0};

    if (job->sealed && !open_body(s, job, &plain)) {
        *result = (struct submit_result){.outcome = SUBMIT_PERMANENT};
        snprintf(result->text, sizeof result->text, "it was sealed under another key");
        return;
    }
    const struct buf *body = job->sealed ? &plain : &job->body;
    const struct submit_message message = {.sender = job->from,
                                           .recipients = recipients,
                                           .recipient_count = 1,
                                           .body = span_of(body->at, body->len),
                                           .read = end_of_mail,
                                           .context = s,
                                           .next_sender = next != NULL ? next->from : NULL,
                                           .next_recipient = next != NULL ? next->to : NULL};
    if (submit_send(s->submit, &message, result) == SUBMIT_SENT)
        log_write(LOG_MAIL_SENT, "<%s> to %s", job->message_id, job->to);
    if (plain.at != NULL)
        secret_forget(plain.at, plain.len);
}

/* ---- what became of it ---- */

static bool record_trouble(struct sender *s, const struct take_mail *job,
                           const struct submit_result *result, struct err *err)
{
    char wait[24], text[600];
    bool dead = result->outcome == SUBMIT_PERMANENT ||
                job->age * CLOCK_SECOND >= s->options->conf->mail_give_up;
    int64_t doubled = job->tries < TRIES_DOUBLE ? job->tries : TRIES_DOUBLE;

    snprintf(text, sizeof text, "%s%s%s", result->status, result->status[0] != '\0' ? " " : "",
             result->text);
    snprintf(wait, sizeof wait, "%" PRId64, (INT64_C(60) << doubled) * 60 / 64);
    log_write(dead ? LOG_MAIL_DEAD : LOG_MAIL_TROUBLE, "<%s> to %s: %s", job->message_id, job->to,
              text);
    if (dead) {
        s->tally->dead++;
        return db_exec(s->db, DEAD, DB_VALUES(job->id, text), NULL, err);
    }
    s->tally->late++;
    return db_exec(s->db, LATE, DB_VALUES(job->id, text, wait), NULL, err);
}

/* One mail. *on: the next may follow; *reached: whether the mail server speaks with us. */
static bool send_job(struct sender *s, const struct take_mail *job, bool *on, bool *reached,
                     struct err *err)
{
    struct submit_result result;

    s->stuck = false;
    hand_over(s, job, &result);
    if (s->stuck) {
        *err = s->err;
        return false;
    }
    *on = result.outcome == SUBMIT_SENT;
    if (*on) {
        s->place = sent_note(s->sent, job->id);
        s->tally->sent++;
        return true;
    }
    *reached = result.outcome != SUBMIT_TEMPORARY || result.code != 0;
    if (!record_trouble(s, job, &result, err))
        return false;
    if (!*reached)
        err_set(err, ERR_TEMPORARY, "mail_server %s: %s", s->options->conf->mail_server,
                result.text);
    return true;
}

/* What was taken, until there is trouble, or it takes so long that somebody else had better send
 * the rest, and that what is urgent waits. */
static bool send_jobs(struct sender *s, bool *reached, struct err *err)
{
    int64_t begun_us = clock_elapsed_us();
    bool on = true;

    while (on && s->done < s->take.taken && !*s->options->stop &&
           (s->done == 0 || clock_elapsed_us() - begun_us < HOLD))
        if (!send_job(s, &s->take.mails[s->done++], &on, reached, err))
            return false;
    s->want = !on || s->done < s->take.taken ? 1
              : s->want * 2 < TAKE_MOST      ? s->want * 2
                                             : TAKE_MOST;
    return true;
}

/* ---- one sender ---- */

static bool connect_database(struct sender *s, struct err *err)
{
    const struct conf *conf = s->options->conf;

    if (s->db != NULL && db_alive(s->db))
        return true;
    db_close(&s->db);
    s->take.open = false;
    return db_open(&s->db,
                   &(struct db_options){.conninfo = conf->database,
                                        .target = DB_PRIMARY,
                                        .timeout_us = conf->database_timeout,
                                        .program = "rollcall-report"},
                   err) &&
           /* planned while the outbox is empty, and used when it is long: by its index; what a plan
            * costs on paper then is no reason to compile it */
           db_script(s->db,
                     "listen rollcall_outbox; set enable_seqscan = off; set enable_sort = off; set "
                     "jit = off;"
                     "set plan_cache_mode = force_generic_plan",
                     err) &&
           take_prepare(s->db, err);
}

static bool clean_up(struct sender *s, struct err *err)
{
    if (s->cleaned_us != 0 && clock_elapsed_us() - s->cleaned_us < 3600 * CLOCK_SECOND)
        return true;
    s->cleaned_us = clock_elapsed_us();
    return job_run_tell_over(s->db, s->options->conf, JOB_RUN_SEND, NULL, err) &&
           clean_mails(s->db, s->options->conf->mail_keep, err);
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
    for (any = true; any && !*s->options->stop;)
        if (!changed_next(&compose, &any, err))
            return false;
    for (any = true; any && !*s->options->stop;)
        if (!asked_next(&compose, &any, err))
            return false;
    return true;
}

/* What was handed over is recorded, the rest is given back; then, with `next`, more is taken. */
static bool end_jobs(struct sender *s, bool next, struct err *err)
{
    bool left = s->done < s->take.taken;

    s->done = 0;
    take_forget(&s->take);
    return sent_record(s->sent, s->place, err) &&
           take_next(&s->take, s->db, left, next ? s->want : 0, err);
}

/* Sends until nothing is due. *reached: whether the mail server speaks with us. */
static bool send_all(struct sender *s, bool *reached, struct err *err)
{
    int64_t looked_us = 0;
    struct err why;

    *reached = true;
    s->want = 1;
    while (*reached) {
        if (s->first && clock_elapsed_us() - looked_us > CLOCK_SECOND) {
            if (!end_jobs(s, false, err) || !write_letters(s, err))
                return false;
            if (clock_elapsed_us() - s->figured_us > FIGURES)
                write_figures(s);
            looked_us = clock_elapsed_us();
        }
        if (!end_jobs(s, true, err))
            return false;
        if (s->take.taken == 0 || *s->options->stop)
            return end_jobs(s, false, err);
        if (!send_jobs(s, reached, &why)) {
            *err = why;
            return false;
        }
    }
    if (!end_jobs(s, false, err))
        return false;
    *err = why;
    return true;
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
    if (fine && !notified)
        submit_rest(s->submit);
    return fine;
}

static bool work(struct sender *s, struct err *err)
{
    bool reached = true;
    bool fine = connect_database(s, err) && end_jobs(s, false, err) &&
                (!s->first || clean_up(s, err)) && send_all(s, &reached, err) && reached;
    bool due = s->options->follow && clock_elapsed_us() - s->figured_us > FIGURES;

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
    if (!s->first)
        db_close(&s->db);
    submit_close(&s->submit);
    take_free(&s->take);
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

/* The first sender's connection outlives its thread: what the others did counts, too. */
static void end_first(struct sender *s)
{
    if (s->db != NULL && db_alive(s->db))
        write_figures(s);
    db_close(&s->db);
}

bool outbox_send(const struct outbox_options *options, struct outbox_tally *tally, struct err *err)
{
    size_t count = (size_t)options->conf->mail_connections, started = 0;
    struct sender *senders = mem_zero(count, sizeof *senders);
    struct compose shared = {.conf = options->conf};
    struct sent *sent = sent_open(options->conf, MOMENT);
    struct take_place place;
    uint8_t seal[SECRET_KEY];
    bool fine = compose_prepare(&shared, err) &&
                secret_key_load(options->conf->secret_key_file, true, seal, err);

    take_place_begin(&place);
    for (; fine && started < count; started += fine) {
        senders[started] = (struct sender){.options = options,
                                           .tally = tally,
                                           .first = started == 0,
                                           .seal = seal,
                                           .shared = &shared,
                                           .sent = sent,
                                           .take.place = &place};
        fine = start_sender(&senders[started], err);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(senders[i].thread, NULL);
        if (fine && senders[i].failed) {
            *err = senders[i].err;
            fine = false;
        }
    }
    if (started > 0)
        end_first(&senders[0]);
    sent_close(&sent);
    secret_forget(seal, sizeof seal);
    free(senders);
    return fine;
}
