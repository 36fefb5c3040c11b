/* server_conn - see server_parts.h: a client's bytes to the handler, its answers back */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policyd/server_parts.h"

enum { KEPT_ROOM = 4096 /* to begin with, for the rest of a request */ };

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

/*
 * Edge-triggered, so that epoll tells of clients in the order in which they asked. Level-triggered,
 * a client stays in epoll's list when it was told of, before all who ask after that; one who asks
 * just after a round has begun then waits for that round and all of the next.
 */
static const uint32_t READABLE = EPOLLIN | EPOLLRDHUP | EPOLLET;

static void conn_watch(struct worker *w, struct conn *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = &c->source};

    /* fails for lack of memory only; the connection then ends at its deadline */
    epoll_ctl(w->epoll, operation, c->source.fd, &event);
}

void conn_free(struct server *server, struct worker *w, struct conn *c)
{
    close(c->source.fd);
    free(c->in);
    free(c->out);
    free(c);
    atomic_fetch_sub(&w->connections, 1);
    atomic_fetch_sub(&server->connections, 1);
}

void conn_end(struct worker *w, struct conn *c)
{
    list_take(list_of(w, c), c);
    conn_free(w->server, w, c);
}

void conn_adopt(struct worker *w, struct conn *c)
{
    c->state = CONN_IDLE;
    c->since = w->now_us;
    list_append(&w->idle, c);
    conn_watch(w, c, EPOLL_CTL_ADD, READABLE);
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

void lane_answer(struct worker *w, struct lane *lane)
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

static ssize_t receive(int fd, char *to, size_t room)
{
    ssize_t got;

    do
        got = recv(fd, to, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got;
}

struct lane *conn_readable(struct worker *w, struct conn *c, uint32_t events)
{
    struct lane *lane = &w->lanes[w->lane];
    size_t room;
    char *to = read_room(lane, c, &room);
    ssize_t got = receive(c->source.fd, to, room);

    if (got < 0 && errno == EAGAIN)
        return NULL;
    if (got <= 0) {
        conn_end(w, c);
        return NULL;
    }
    /* what this read may have left, more bytes or their end, is not told again by itself */
    if ((size_t)got == room || events != EPOLLIN)
        conn_watch(w, c, EPOLL_CTL_MOD, READABLE);
    w->lane = (w->lane + 1) % SERVER_LANES;
    lane->conn = c;
    lane->bytes = c->in != NULL ? c->in : lane->in;
    lane->len = c->in_len + (size_t)got;
    lane_look(w, lane, 0);
    return lane;
}

void conn_writable(struct worker *w, struct conn *c)
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
    conn_watch(w, c, EPOLL_CTL_MOD, READABLE);
    /* what came meanwhile */
    lane->conn = c;
    lane->bytes = c->in != NULL ? c->in : lane->in;
    lane->len = c->in_len;
    lane_look(w, lane, 0);
    lane_answer(w, lane);
}
