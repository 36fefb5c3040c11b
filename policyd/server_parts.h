/* server_parts - what the files of the server share; for nobody else */
#ifndef ROLLCALL_SERVER_PARTS_H
#define ROLLCALL_SERVER_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "policyd/server.h"

enum {
    SCRATCH_IN = 64 * 1024,  /* read at once from a client */
    SCRATCH_OUT = 32 * 1024, /* answers gathered before they are written */
};

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
    _Atomic uint64_t gone_round; /* the last server->asked_round that it has seen */
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
    _Atomic uint64_t asked_round;
    _Atomic int64_t stop_at; /* clock_elapsed_us; 0: go on */
};

static inline void add_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- server_conn.c: one client at a time ---- */

/* Into the worker's hands; conn->source is set. */
void conn_adopt(struct worker *w, struct conn *c);
/* Takes it out of the worker's lists first. */
void conn_end(struct worker *w, struct conn *c);
/* Of one that is in no list. */
void conn_free(struct server *server, struct worker *w, struct conn *c);
/* Reads once and looks at the first request; the lane is to be answered later, or NULL. `events`:
 * what epoll told. */
struct lane *conn_readable(struct worker *w, struct conn *c, uint32_t events);
void conn_writable(struct worker *w, struct conn *c);
/* The lane's client as far as it is possible now; the connection may end here. */
void lane_answer(struct worker *w, struct lane *lane);

#endif
