/* server - see server.h */
#include "policyd/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

enum {
    EVENTS_MOST = 64,        /* taken from the kernel at once */
    SCRATCH_IN = 64 * 1024,  /* read at once from a client */
    SCRATCH_OUT = 32 * 1024, /* answers gathered before they are written */
    KEPT_ROOM = 4096,        /* to begin with, for the rest of a request */
};
static const int64_t ACCEPT_PAUSE = CLOCK_SECOND / 10;

/* What an epoll event points to. */
struct source {
    enum { FROM_LISTENER, FROM_OTHERS, FROM_CLIENT } kind;
    int fd;
};

enum conn_state {
    CONN_IDLE,    /* between requests; in the list `idle` */
    CONN_PARTIAL, /* part of a request is here; in the list `busy` since its first byte */
    CONN_WRITING, /* part of the answers could not be sent yet; in the list `busy` since then */
};

struct conn {
    struct source source; /* first, as epoll events point to it */
    enum conn_state state;
    struct conn *prev, *next;
    int64_t since;
    char *in; /* the incomplete request and what follows it; NULL: nothing is kept */
    size_t in_len, in_room, seen;
    char *out; /* what could not be sent; NULL: nothing */
    size_t out_len, out_sent;
};

/* Oldest first. */
struct conn_list {
    struct conn *first, *last;
};

/* A client whose first request is looked at and not answered yet. */
struct lane {
    struct conn *conn;
    const char *bytes; /* in `in`, or in what the connection keeps */
    size_t len;
    enum server_outcome outcome;
    size_t used;
    char in[SCRATCH_IN];
};

struct worker {
    struct server *server;
    size_t number;
    pthread_t thread;
    int epoll;
    struct source wake; /* eventfd: connections from other workers, the end */
    struct conn_list idle, busy;
    int64_t now_us;
    bool accepting;
    int64_t accept_again_at;
    pthread_mutex_t lock;
    struct conn *handed; /* by other workers, under the lock */
    _Atomic uint64_t connections, accepted, late, idle_closed, disconnected, accept_pauses;
    struct lane lanes[SERVER_LANES];
    size_t lane; /* the next one */
    char out[SCRATCH_OUT];
};

struct server {
    struct server_options options;
    struct source *listeners;
    struct worker **workers;
    _Atomic int64_t idle_limit_us, request_limit_us;
    _Atomic uint64_t connections;
    _Atomic int64_t stop_at; /* clock_elapsed_us; 0: go on */
};

static void add_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- lists ---- */

static struct conn_list *list_of(struct worker *w, const struct conn *c)
{
    return c->state == CONN_IDLE ? &w->idle : &w->busy;
}

static void list_take(struct conn_list *list, struct conn *c)
{
    *(c->prev != NULL ? &c->prev->next : &list->first) = c->next;
    *(c->next != NULL ? &c->next->prev : &list->last) = c->prev;
}

static void list_append(struct conn_list *list, struct conn *c)
{
    c->prev = list->last;
    c->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = c;
    list->last = c;
}

/* The state's time begins anew, whatever state it was in. */
static void conn_set_state(struct worker *w, struct conn *c, enum conn_state state)
{
    list_take(list_of(w, c), c);
    c->state = state;
    c->since = w->now_us;
    list_append(list_of(w, c), c);
}

/* ---- connections ---- */

static void conn_watch(struct worker *w, struct conn *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = &c->source};

    /* fails for lack of memory only; the connection then ends at its deadline */
    epoll_ctl(w->epoll, operation, c->source.fd, &event);
}

static void conn_free(struct server *server, struct worker *w, struct conn *c)
{
    close(c->source.fd);
    free(c->in);
    free(c->out);
    free(c);
    atomic_fetch_sub(&w->connections, 1);
    atomic_fetch_sub(&server->connections, 1);
}

static void conn_end(struct worker *w, struct conn *c)
{
    list_take(list_of(w, c), c);
    conn_free(w->server, w, c);
}

static void conn_adopt(struct worker *w, struct conn *c)
{
    c->state = CONN_IDLE;
    c->since = w->now_us;
    list_append(&w->idle, c);
    conn_watch(w, c, EPOLL_CTL_ADD, EPOLLIN);
}

/* Sends as much as the client takes; keeps the rest. False: the client is gone. */
static bool conn_send(struct worker *w, struct conn *c, const char *bytes, size_t len)
{
    ssize_t sent = 0;

    if (len > 0)
        sent = send(c->source.fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == len)
        return true;
    c->out_len = len - (size_t)sent;
    c->out_sent = 0;
    c->out = mem_alloc(c->out_len);
    memcpy(c->out, bytes + sent, c->out_len);
    conn_set_state(w, c, CONN_WRITING);
    conn_watch(w, c, EPOLL_CTL_MOD, EPOLLOUT);
    return true;
}

/* Keeps what is not done with, at the beginning of a buffer of the connection's own. */
static void conn_keep(struct conn *c, const char *bytes, size_t len)
{
    if (len == 0) {
        free(c->in);
        c->in = NULL;
        c->in_len = c->in_room = 0;
        return;
    }
    if (c->in == NULL) {
        c->in_room = len > KEPT_ROOM ? len : KEPT_ROOM;
        c->in = mem_alloc(c->in_room);
    }
    memmove(c->in, bytes, len);
    c->in_len = len;
}

/* The request that begins at `at` of the lane's bytes. */
static void lane_look(struct worker *w, struct lane *lane, size_t at)
{
    const struct server_options *o = &w->server->options;
    struct server_call call = {.in = span_of(lane->bytes + at, lane->len - at),
                               .seen = at == 0 ? lane->conn->seen : 0,
                               .now_us = w->now_us};

    lane->outcome = at < lane->len
                        ? o->handler->look(o->context, w->number, (size_t)(lane - w->lanes), &call)
                        : SERVER_MORE;
    lane->used = call.used;
}

/* Answers what the lane has looked at and all complete requests behind it, as long as the client
 * takes the answers. *at: how far it came. False: the client is gone. */
static bool answer_all(struct worker *w, struct lane *lane, size_t *at)
{
    const struct server_options *o = &w->server->options;
    struct conn *c = lane->conn;
    size_t gathered = 0;
    bool there = true;

    while (there && c->out == NULL && lane->outcome == SERVER_READY) {
        gathered +=
            o->handler->answer(o->context, w->number, (size_t)(lane - w->lanes), w->out + gathered);
        *at += lane->used;
        lane_look(w, lane, *at);
        if (gathered + SERVER_ANSWER_MAX > SCRATCH_OUT || lane->outcome != SERVER_READY) {
            there = conn_send(w, c, w->out, gathered);
            gathered = 0;
        }
    }
    return there;
}

/* The lane's client as far as it is possible now; the connection may end here. */
static void lane_answer(struct worker *w, struct lane *lane)
{
    struct conn *c = lane->conn;
    size_t at = 0;
    bool there = answer_all(w, lane, &at);

    if (lane->outcome == SERVER_DISCONNECT)
        add_one(&w->disconnected);
    if (!there || lane->outcome == SERVER_DISCONNECT) {
        conn_end(w, c);
        return;
    }
    conn_keep(c, lane->bytes + at, lane->len - at);
    c->seen = lane->outcome == SERVER_MORE ? c->in_len : 0;
    if (c->out == NULL && c->in_len == 0)
        conn_set_state(w, c, CONN_IDLE);
    else if (c->out == NULL && (at > 0 || c->state != CONN_PARTIAL))
        conn_set_state(w, c, CONN_PARTIAL); /* the time of the next request begins */
}

/* Where the next bytes go: behind what is kept, else into the lane's room. */
static char *read_room(struct lane *lane, struct conn *c, size_t *room)
{
    if (c->in == NULL) {
        *room = SCRATCH_IN;
        return lane->in;
    }
    if (c->in_room - c->in_len < KEPT_ROOM) {
        c->in_room = c->in_room * 2 + KEPT_ROOM;
        c->in = mem_grow(c->in, c->in_room);
    }
    *room = c->in_room - c->in_len;
    if (c->in_len<SERVER_REQUEST_MAX && * room> SERVER_REQUEST_MAX - c->in_len)
        *room = SERVER_REQUEST_MAX - c->in_len;
    return c->in + c->in_len;
}

/* Reads once and looks at the first request; the lane is to be answered later, or NULL. */
static struct lane *conn_readable(struct worker *w, struct conn *c)
{
    struct lane *lane = &w->lanes[w->lane];
    size_t room;
    char *to = read_room(lane, c, &room);
    ssize_t got = recv(c->source.fd, to, room, MSG_DONTWAIT);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return NULL;
    if (got <= 0) {
        conn_end(w, c);
        return NULL;
    }
    w->lane = (w->lane + 1) % SERVER_LANES;
    lane->conn = c;
    lane->bytes = c->in != NULL ? c->in : lane->in;
    lane->len = c->in_len + (size_t)got;
    lane_look(w, lane, 0);
    return lane;
}

static void conn_writable(struct worker *w, struct conn *c)
{
    struct lane *lane = &w->lanes[w->lane];
    ssize_t sent = send(c->source.fd, c->out + c->out_sent, c->out_len - c->out_sent,
                        MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent < 0) {
        conn_end(w, c);
        return;
    }
    c->out_sent += (size_t)sent;
    if (c->out_sent < c->out_len)
        return;
    free(c->out);
    c->out = NULL;
    conn_watch(w, c, EPOLL_CTL_MOD, EPOLLIN);
    /* what came meanwhile */
    lane->conn = c;
    lane->bytes = c->in != NULL ? c->in : lane->in;
    lane->len = c->in_len;
    lane_look(w, lane, 0);
    lane_answer(w, lane);
}

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
            looked = conn_readable(w, c);
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
