/* server - see server.h. Here: accepting, the workers' loop, deadlines, starting and stopping */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "policyd/server_parts.h"

enum { EVENTS_MOST = 64 /* taken from the kernel at once */ };
static const int64_t ACCEPT_PAUSE = CLOCK_SECOND / 10;

/* ---- accepting ---- */

static void accept_watch(struct worker *w, bool on)
{
    struct server *s = w->server;

    if (w->accepting == on)
        return;
    w->accepting = on;
    for (size_t i = 0; i < s->options.listener_count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE,
                                    .data.ptr = &s->listeners[i]};
        epoll_ctl(w->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->listeners[i].fd, &event);
    }
}

/* The waiting clients keep the listener readable: look away for a moment. */
static void accept_pause(struct worker *w)
{
    accept_watch(w, false);
    w->accept_again_at = w->now_us + ACCEPT_PAUSE;
    add_one(&w->accept_pauses);
}

static struct worker *least_busy(struct server *s)
{
    struct worker *best = s->workers[0];

    for (size_t i = 1; i < s->options.workers; i++)
        if (atomic_load_explicit(&s->workers[i]->connections, memory_order_relaxed) <
            atomic_load_explicit(&best->connections, memory_order_relaxed))
            best = s->workers[i];
    return best;
}

static void hand_over(struct worker *to, struct conn *c)
{
    pthread_mutex_lock(&to->lock);
    c->next = to->handed;
    to->handed = c;
    pthread_mutex_unlock(&to->lock);
    eventfd_write(to->wake.fd, 1);
}

static void take_handed(struct worker *w)
{
    eventfd_t ignored;

    eventfd_read(w->wake.fd, &ignored);
    pthread_mutex_lock(&w->lock);
    struct conn *chain = w->handed;
    w->handed = NULL;
    pthread_mutex_unlock(&w->lock);
    while (chain != NULL) {
        struct conn *c = chain;
        chain = c->next;
        conn_adopt(w, c);
    }
}

static void welcome(struct worker *w, int fd)
{
    struct server *s = w->server;
    struct conn *c = mem_zero(1, sizeof *c);
    const int on = 1;
    struct worker *to = least_busy(s);

    /* meant for inet sockets; others refuse, which does not matter */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    c->source = (struct source){FROM_CLIENT, fd};
    atomic_fetch_add(&s->connections, 1);
    atomic_fetch_add(&to->connections, 1);
    add_one(&w->accepted);
    if (to == w)
        conn_adopt(w, c);
    else
        hand_over(to, c);
}

static void accept_one(struct worker *w, int listener)
{
    struct server *s = w->server;

    if (atomic_load(&s->connections) >= s->options.max_connections) {
        log_write(LOG_CLIENTS_FULL, "%zu connections (policy_max_connections)",
                  s->options.max_connections);
        accept_pause(w);
        return;
    }
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        welcome(w, fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        log_write(LOG_ACCEPT_PAUSED, "accept: %s", strerror(errno));
        accept_pause(w);
    }
}

/* ---- the loop ---- */

static void end_late(struct worker *w)
{
    int64_t request_limit =
        atomic_load_explicit(&w->server->request_limit_us, memory_order_relaxed);
    int64_t idle_limit = atomic_load_explicit(&w->server->idle_limit_us, memory_order_relaxed);

    while (w->busy.first != NULL && w->now_us - w->busy.first->since >= request_limit) {
        const struct conn *c = w->busy.first;
        log_write(LOG_CLIENT_LATE, "%s for %.1f s; disconnected",
                  c->state == CONN_PARTIAL ? "a request was incomplete" : "an answer was not taken",
                  (double)(w->now_us - c->since) / CLOCK_SECOND);
        add_one(&w->late);
        conn_end(w, w->busy.first);
    }
    while (w->idle.first != NULL && w->now_us - w->idle.first->since >= idle_limit) {
        add_one(&w->idle_closed);
        conn_end(w, w->idle.first);
    }
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until something is due; -1: nothing is. */
static int wait_ms(const struct worker *w)
{
    const struct server *s = w->server;
    int64_t due = INT64_MAX, stop_at = atomic_load(&s->stop_at);

    if (w->busy.first != NULL)
        due = sooner(due, w->busy.first->since + atomic_load(&s->request_limit_us));
    if (w->idle.first != NULL)
        due = sooner(due, w->idle.first->since + atomic_load(&s->idle_limit_us));
    if (!w->accepting && stop_at == 0)
        due = sooner(due, w->accept_again_at);
    if (stop_at != 0)
        due = sooner(due, stop_at);
    if (due == INT64_MAX)
        return -1;
    int64_t ms = (due - w->now_us) / 1000 + 1;
    return ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

static void serve_event(struct worker *w, const struct epoll_event *event)
{
    struct source *source = event->data.ptr;

    if (source->kind == FROM_LISTENER)
        accept_one(w, source->fd);
    else if (source->kind == FROM_OTHERS)
        take_handed(w);
    else
        conn_writable(w, event->data.ptr);
}

/* Each client is answered after the next one was looked at. */
static void serve_events(struct worker *w, const struct epoll_event *events, int count)
{
    struct lane *waiting = NULL;

    for (int i = 0; i < count; i++) {
        const struct source *source = events[i].data.ptr;
        struct conn *c = source->kind == FROM_CLIENT ? events[i].data.ptr : NULL;
        struct lane *looked = NULL;
        bool readable = c != NULL && c->state != CONN_WRITING;
        if (readable)
            looked = conn_readable(w, c, events[i].events);
        if (waiting != NULL)
            lane_answer(w, waiting);
        waiting = looked;
        if (!readable)
            serve_event(w, &events[i]);
    }
    if (waiting != NULL)
        lane_answer(w, waiting);
}

/* False: nothing was waiting. */
static bool serve_once(struct worker *w, int timeout_ms)
{
    const struct server_options *o = &w->server->options;
    struct epoll_event events[EVENTS_MOST];
    int count = epoll_wait(w->epoll, events, EVENTS_MOST, timeout_ms);

    w->now_us = clock_elapsed_us();
    if (count > 0) {
        o->handler->enter(o->context, w->number);
        serve_events(w, events, count);
        o->handler->leave(o->context, w->number);
    }
    end_late(w);
    return count > 0;
}

static void tell_round(struct worker *w)
{
    uint64_t asked = atomic_load_explicit(&w->server->asked_round, memory_order_relaxed);

    atomic_store_explicit(&w->gone_round, asked, memory_order_relaxed);
}

static void finish(struct worker *w)
{
    int64_t stop_at = atomic_load(&w->server->stop_at);

    accept_watch(w, false);
    take_handed(w);
    while (serve_once(w, 0) && w->now_us < stop_at)
        ; /* what has arrived is answered */
    while (w->idle.first != NULL)
        conn_end(w, w->idle.first);
    while (w->busy.first != NULL && w->now_us < stop_at) {
        serve_once(w, wait_ms(w));
        while (w->idle.first != NULL)
            conn_end(w, w->idle.first);
    }
    while (w->busy.first != NULL)
        conn_end(w, w->busy.first);
}

static void *work(void *context)
{
    struct worker *w = context;
    char name[16];

    snprintf(name, sizeof name, "worker-%zu", w->number);
    pthread_setname_np(pthread_self(), name);
    while (atomic_load(&w->server->stop_at) == 0) {
        if (!w->accepting && w->now_us >= w->accept_again_at)
            accept_watch(w, true);
        serve_once(w, wait_ms(w));
        tell_round(w);
    }
    finish(w);
    return NULL;
}

/* ---- starting and stopping ---- */

static struct worker *worker_new(struct server *s, size_t number)
{
    struct worker *w = mem_zero(1, sizeof *w);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &w->wake};

    w->server = s;
    w->number = number;
    w->now_us = clock_elapsed_us();
    pthread_mutex_init(&w->lock, NULL);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake = (struct source){FROM_OTHERS, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (w->epoll < 0 || w->wake.fd < 0 ||
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake.fd, &event) != 0)
        abort(); /* out of descriptors before the first client */
    return w;
}

struct server *server_start(const struct server_options *options)
{
    struct server *s = mem_zero(1, sizeof *s);

    s->options = *options;
    server_set_limits(s, options->idle_limit_us, options->request_limit_us);
    s->listeners = mem_zero(options->listener_count, sizeof *s->listeners);
    for (size_t i = 0; i < options->listener_count; i++)
        s->listeners[i] = (struct source){FROM_LISTENER, options->listeners[i]};
    s->workers = mem_zero(options->workers, sizeof(struct worker *));
    for (size_t i = 0; i < options->workers; i++)
        s->workers[i] = worker_new(s, i);
    for (size_t i = 0; i < options->workers; i++)
        if (pthread_create(&s->workers[i]->thread, NULL, work, s->workers[i]) != 0)
            abort();
    return s;
}

void server_set_limits(struct server *server, int64_t idle_limit_us, int64_t request_limit_us)
{
    atomic_store(&server->idle_limit_us, idle_limit_us);
    atomic_store(&server->request_limit_us, request_limit_us);
}

bool server_goes_round(struct server *s)
{
    uint64_t asked = atomic_load_explicit(&s->asked_round, memory_order_relaxed);

    for (size_t i = 0; i < s->options.workers; i++)
        if (atomic_load_explicit(&s->workers[i]->gone_round, memory_order_relaxed) != asked)
            return false;
    atomic_store(&s->asked_round, asked + 1);
    for (size_t i = 0; i < s->options.workers; i++)
        eventfd_write(s->workers[i]->wake.fd, 1);
    return true;
}

static void worker_free(struct worker *w)
{
    while (w->handed != NULL) { /* came too late to be adopted */
        struct conn *c = w->handed;
        w->handed = c->next;
        conn_free(w->server, w, c);
    }
    close(w->epoll);
    close(w->wake.fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void server_stop(struct server **server, int64_t grace_us)
{
    struct server *s = *server;

    if (s == NULL)
        return;
    atomic_store(&s->stop_at, clock_elapsed_us() + grace_us);
    for (size_t i = 0; i < s->options.workers; i++)
        eventfd_write(s->workers[i]->wake.fd, 1);
    for (size_t i = 0; i < s->options.workers; i++)
        pthread_join(s->workers[i]->thread, NULL);
    for (size_t i = 0; i < s->options.workers; i++)
        worker_free(s->workers[i]);
    free(s->workers);
    free(s->listeners);
    free(s);
    *server = NULL;
}

void server_figures(const struct server *s, struct server_figures *figures)
{
    *figures = (struct server_figures){.connections = atomic_load(&s->connections)};
    for (size_t i = 0; i < s->options.workers; i++) {
        const struct worker *w = s->workers[i];
        figures->accepted += atomic_load_explicit(&w->accepted, memory_order_relaxed);
        figures->late += atomic_load_explicit(&w->late, memory_order_relaxed);
        figures->idle_closed += atomic_load_explicit(&w->idle_closed, memory_order_relaxed);
        figures->disconnected += atomic_load_explicit(&w->disconnected, memory_order_relaxed);
        figures->accept_pauses += atomic_load_explicit(&w->accept_pauses, memory_order_relaxed);
    }
}
