/* intake - see intake.h */
#include "report/intake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "report/envelope.h"
#include "report/lmtp.h"
#include "report/tally.h"

enum { PIECE = 64 * 1024, PAUSE_MS = 200 };
static const int64_t WRITE_LIMIT = 60 * CLOCK_SECOND;

struct session {
    struct intake *intake;
    int fd;
    _Atomic bool busy; /* a message is in hand: not to be cut off at once */
    struct session *next, **place;
    struct lmtp lmtp;
    struct store_writing writing;
    bool open;          /* `writing` is */
    struct err trouble; /* why the message cannot be kept; class ERR_NONE: it can */
    char in[PIECE];
};

struct intake {
    struct intake_options options;
    pthread_t thread;
    int stop_fd;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct session *sessions;
    size_t count;
};

/* ---- a message ---- */

static void answer_rcpt(struct session *s, struct span address)
{
    STR_AUTO text = mem_span(address);
    BUF_AUTO plain = {0};
    struct err err;
    bool served;

    lmtp_unquote(text, &plain);
    if (!recorder_serves(s->intake->options.recorder, plain.at, &served, &err)) {
        log_write(LOG_QUARANTINE_TROUBLE, "<%s>: %s", text, err.text);
        tally_add(TALLY_PUT_OFF, 1);
        lmtp_answer(&s->lmtp, "451 4.3.0 Try again later");
    } else {
        tally_add(TALLY_REFUSED, !served);
        lmtp_answer(&s->lmtp, served ? "250 2.1.5 Ok" : "550 5.1.2 Domain not served here");
    }
}

static void begin_message(struct session *s)
{
    const struct lmtp *l = &s->lmtp;
    const struct envelope envelope = {.received_us = clock_wall_us(),
                                      .sender = l->sender,
                                      .smtputf8 = l->smtputf8,
                                      .forward = l->forward,
                                      .recipients = (const char *const *)l->recipients,
                                      .recipient_count = l->recipient_count};
    BUF_AUTO front = {0};

    envelope_write(&front, &envelope);
    s->trouble = (struct err){0};
    s->open = store_begin(s->intake->options.store, span_of(front.at, front.len), &s->writing,
                          &s->trouble);
    s->busy = s->open;
    if (s->open) {
        lmtp_answer(&s->lmtp, "354 End with a dot");
        return;
    }
    log_write(LOG_QUARANTINE_TROUBLE, "%s", s->trouble.text);
    tally_add(TALLY_PUT_OFF, 1);
    lmtp_answer(&s->lmtp, "452 4.3.1 Cannot keep it now");
}

static void take_body(struct session *s, struct span bytes)
{
    if (!s->open || store_write(&s->writing, bytes, &s->trouble))
        return;
    s->open = false; /* the rest is read and forgotten */
}

static void answer_all(struct session *s, const char *reply)
{
    for (size_t i = 0, count = s->lmtp.recipient_count; i < count; i++)
        lmtp_answer(&s->lmtp, reply);
}

static void forget_file(struct session *s)
{
    struct err err;

    if (!store_remove(s->intake->options.store, s->writing.name, &err))
        log_write(LOG_QUARANTINE_TROUBLE, "%s", err.text);
}

/* File and rows. True: everything is safe. */
static bool keep(struct session *s)
{
    if (!s->open)
        return false;
    s->open = false;
    if (!store_commit(&s->writing, &s->trouble))
        return false;
    switch (recorder_add_written(s->intake->options.recorder, &s->writing, &s->trouble)) {
    case RECORD_STORED:
        return true;
    case RECORD_AGAIN:
        forget_file(s);
        return true;
    case RECORD_NOBODY:
        err_set(&s->trouble, ERR_TEMPORARY, "no recipient's domain is served any more");
        forget_file(s);
        return false;
    case RECORD_HALF:
    case RECORD_FAILED:
        forget_file(s);
        return false;
    case RECORD_UNSURE:
        return false; /* the sweep finds out */
    }
    return false;
}

static void end_message(struct session *s)
{
    const struct lmtp *l = &s->lmtp;
    char reply[64];

    if (l->too_large) {
        if (s->open)
            store_abandon(&s->writing);
        s->open = false;
        tally_add(TALLY_REFUSED, 1);
        answer_all(s, "552 5.3.4 Message is larger than we take");
    } else if (keep(s)) {
        log_write(LOG_QUARANTINED, "%s: queue id %s, %llu bytes, %zu recipients, from <%s>",
                  s->writing.name, l->forward.ident[0] != '\0' ? l->forward.ident : "unknown",
                  (unsigned long long)s->writing.size, l->recipient_count, l->sender);
        tally_add(TALLY_MESSAGES, 1);
        tally_add(TALLY_RECIPIENTS, l->recipient_count);
        tally_add(TALLY_BYTES, s->writing.size);
        snprintf(reply, sizeof reply, "250 2.0.0 Kept as %s", s->writing.name + 3);
        answer_all(s, reply);
    } else {
        log_write(LOG_QUARANTINE_TROUBLE, "queue id %s: %s",
                  l->forward.ident[0] != '\0' ? l->forward.ident : "unknown", s->trouble.text);
        tally_add(TALLY_PUT_OFF, 1);
        answer_all(s, "451 4.3.0 Cannot keep it now");
    }
    store_abandon(&s->writing); /* what is not committed */
    s->busy = false;
}

/* ---- a session ---- */

static bool send_all(int fd, struct buf *out)
{
    size_t done = 0;

    while (done < out->len) {
        ssize_t n = send(fd, out->at + done, out->len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    buf_clear(out);
    return true;
}

/* Does what the bytes ask for; false: the session is over. */
static bool work(struct session *s, struct span in)
{
    struct span what;

    for (;;) {
        switch (lmtp_next(&s->lmtp, &in, &what)) {
        case LMTP_MORE:
            return send_all(s->fd, &s->lmtp.out);
        case LMTP_RCPT:
            answer_rcpt(s, what);
            break;
        case LMTP_DATA:
            begin_message(s);
            break;
        case LMTP_BODY:
            take_body(s, what);
            break;
        case LMTP_END:
            end_message(s);
            break;
        case LMTP_STOP:
            send_all(s->fd, &s->lmtp.out);
            return false;
        }
    }
}

static void set_limits(int fd, int64_t idle_us)
{
    const struct timeval idle = {.tv_sec = idle_us / CLOCK_SECOND,
                                 .tv_usec = idle_us % CLOCK_SECOND},
                         writing = {.tv_sec = WRITE_LIMIT / CLOCK_SECOND};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &writing, sizeof writing);
}

static void converse(struct session *s)
{
    const struct intake_options *o = &s->intake->options;
    ssize_t n = 0;

    set_limits(s->fd, o->idle_us);
    lmtp_begin(&s->lmtp, o->host, o->size_most);
    bool on = send_all(s->fd, &s->lmtp.out);
    while (on && ((n = recv(s->fd, s->in, sizeof s->in, 0)) > 0 || (n < 0 && errno == EINTR)))
        on = n < 0 || work(s, span_of(s->in, (size_t)n));
    if (on && n < 0) { /* silent for too long */
        lmtp_close(&s->lmtp, "421 4.4.2 Nothing was said for too long");
        send_all(s->fd, &s->lmtp.out);
    }
    if (s->open)
        store_abandon(&s->writing);
    lmtp_free(&s->lmtp);
}

static void *run_session(void *context)
{
    struct session *s = context;
    struct intake *intake = s->intake;

    pthread_setname_np(pthread_self(), "session");
    converse(s);
    pthread_mutex_lock(&intake->lock);
    *s->place = s->next;
    if (s->next != NULL)
        s->next->place = s->place;
    close(s->fd); /* under the lock: intake_stop shuts down what is in the list */
    intake->count--;
    pthread_cond_signal(&intake->ended);
    pthread_mutex_unlock(&intake->lock);
    free(s);
    return NULL;
}

/* ---- accepting ---- */

static void refuse(int fd)
{
    static const char busy[] = "421 4.3.2 Too many sessions, try again\r\n";

    log_write(LOG_CLIENTS_FULL, "quarantine_max_connections is reached: refused with 421");
    tally_add(TALLY_SESSIONS_REFUSED, 1);
    (void)!send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void begin_session(struct intake *intake, int fd)
{
    struct session *s = mem_zero(1, sizeof *s);
    pthread_t thread;

    s->intake = intake;
    s->fd = fd;
    s->writing.fd = -1;
    pthread_mutex_lock(&intake->lock);
    bool room = intake->count < intake->options.most;
    if (room) {
        s->next = intake->sessions;
        s->place = &intake->sessions;
        if (s->next != NULL)
            s->next->place = &s->next;
        intake->sessions = s;
        intake->count++;
        room = pthread_create(&thread, NULL, run_session, s) == 0;
        if (room) {
            pthread_detach(thread);
        } else {
            intake->sessions = s->next;
            if (s->next != NULL)
                s->next->place = &intake->sessions;
            intake->count--;
        }
    }
    pthread_mutex_unlock(&intake->lock);
    if (room)
        return;
    refuse(fd);
    free(s);
}

static void accept_one(struct intake *intake, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0) {
        begin_session(intake, fd);
        return;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return;
    log_write(LOG_ACCEPT_PAUSED, "%s", strerror(errno));
    poll(NULL, 0, PAUSE_MS);
}

static void *run_accept(void *context)
{
    struct intake *intake = context;
    const struct listeners *l = intake->options.listeners;
    struct pollfd fds[LISTENERS_MOST + 1];

    pthread_setname_np(pthread_self(), "accept");
    for (size_t i = 0; i < l->count; i++)
        fds[i] = (struct pollfd){.fd = l->fds[i], .events = POLLIN};
    fds[l->count] = (struct pollfd){.fd = intake->stop_fd, .events = POLLIN};
    for (;;) {
        if (poll(fds, l->count + 1, -1) < 0)
            continue;
        if (fds[l->count].revents != 0)
            return NULL;
        for (size_t i = 0; i < l->count; i++)
            if (fds[i].revents != 0)
                accept_one(intake, l->fds[i]);
    }
}

struct intake *intake_start(const struct intake_options *options)
{
    struct intake *intake = mem_zero(1, sizeof *intake);

    intake->options = *options;
    intake->stop_fd = eventfd(0, EFD_CLOEXEC);
    pthread_mutex_init(&intake->lock, NULL);
    pthread_cond_init(&intake->ended, NULL);
    if (intake->stop_fd < 0 || pthread_create(&intake->thread, NULL, run_accept, intake) != 0)
        abort();
    return intake;
}

/* Sessions without a message in hand hear the end of their input; with `all` everybody does. */
static void hang_up(struct intake *intake, bool all)
{
    for (struct session *s = intake->sessions; s != NULL; s = s->next)
        if (all || !s->busy)
            shutdown(s->fd, all ? SHUT_RDWR : SHUT_RD);
}

void intake_stop(struct intake **intake, int64_t grace_us)
{
    struct intake *i = *intake;
    int64_t end = clock_elapsed_us() + grace_us;

    if (i == NULL)
        return;
    eventfd_write(i->stop_fd, 1);
    pthread_join(i->thread, NULL);
    pthread_mutex_lock(&i->lock);
    while (i->count > 0) {
        struct timespec soon;
        hang_up(i, clock_elapsed_us() >= end);
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 50000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&i->ended, &i->lock, &soon);
    }
    pthread_mutex_unlock(&i->lock);
    pthread_cond_destroy(&i->ended);
    pthread_mutex_destroy(&i->lock);
    close(i->stop_fd);
    free(i);
    *intake = NULL;
}
