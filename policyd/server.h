/*
 * server - sockets, connections, deadlines: bytes to a handler, its answers back
 *
 * Worker threads with one epoll loop each accept from shared listeners; a new connection goes to
 * the worker that has fewest. Answers to pipelined requests leave in one write, in order. A
 * connection never costs more than its limits: bytes (the handler's caps), time (limits below),
 * memory (a buffer only while a request or an answer is incomplete). What the bytes mean is the
 * handler's matter (policy.c, or a null handler in t/bench).
 *
 * Files: server.c (accepting, the loop, deadlines), server_conn.c (one client's bytes); what they
 * share is in server_parts.h.
 */
#ifndef ROLLCALL_SERVER_H
#define ROLLCALL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "lib/str.h"

enum server_outcome {
    SERVER_READY,     /* call->used bytes are one request, whose answer can be written */
    SERVER_MORE,      /* more bytes are needed */
    SERVER_DISCONNECT /* no more of this client */
};

struct server_call {
    struct span in; /* from where the next request begins */
    size_t seen;    /* of these bytes, this many were there when the handler last asked for more */
    int64_t now_us; /* clock_elapsed_us */
    size_t used;
};

enum {
    SERVER_ANSWER_MAX = 512,
    SERVER_REQUEST_MAX = 64 * 1024, /* more than that is never kept for a handler */
    SERVER_LANES = 2,
};

/*
 * What is done with the bytes. A request is looked at, then the next client's in the other lane,
 * and only then answered: memory that the handler fetches in `look` arrives meanwhile. The bytes
 * stay where they are until then.
 */
struct server_handler {
    void (*enter)(void *context, size_t worker); /* around some rounds of the others */
    void (*leave)(void *context, size_t worker);
    enum server_outcome (*look)(void *context, size_t worker, size_t lane,
                                struct server_call *call);
    /* The answer to what that lane looked at last, at most SERVER_ANSWER_MAX bytes. */
    size_t (*answer)(void *context, size_t worker, size_t lane, char *out);
};

struct server_options {
    const int *listeners; /* non-blocking descriptors that listen; they stay the caller's */
    size_t listener_count;
    size_t workers;
    size_t max_connections;
    int64_t idle_limit_us; /* between requests */
    int64_t
        request_limit_us; /* from a request's first byte to its last; for an answer to be taken */
    const struct server_handler *handler;
    void *context;
};

struct server;

/* The threads run when it returns. */
struct server *server_start(const struct server_options *options);
/* Takes effect for waits that begin from now on. Any thread. */
void server_set_limits(struct server *server, int64_t idle_limit_us, int64_t request_limit_us);
/* Whether every worker has gone round its loop since the last call that said so, and asks those who
 * have to do it again, however little there is to do. One thread; at first: yes. */
bool server_goes_round(struct server *server) MUST_CHECK;
/* Answers what has arrived, gives incomplete requests `grace_us`, ends the threads and frees. */
void server_stop(struct server **server, int64_t grace_us);

struct server_figures {
    uint64_t connections; /* now */
    uint64_t accepted, late, idle_closed, disconnected, accept_pauses;
};
void server_figures(const struct server *server, struct server_figures *figures);

#endif
