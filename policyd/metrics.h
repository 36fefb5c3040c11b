/*
 * metrics - the main thread's loop: signals, systemd's watchdog, and /metrics and /healthz over
 * HTTP
 *
 * The only user of libevent. /metrics is Prometheus text; the families are the table in metrics.c
 * (a test compares it with the manual). /healthz: 200 when answers can be right, else 503 with why.
 */
#ifndef ROLLCALL_METRICS_H
#define ROLLCALL_METRICS_H

#include "policyd/follower.h"
#include "policyd/policy.h"
#include "policyd/replica.h"
#include "policyd/server.h"

struct metrics;

struct metrics_options {
    struct replica *replica;
    const char *replica_directory;
    const struct policy *policy;
    struct server *server;
    const struct follower *follower;
    void (*reload)(void *context); /* SIGHUP */
    void *context;
};

/* Binds the listeners of setting metrics_listen (inet only; "": none) and takes the signals over.
 */
bool metrics_open(struct metrics **metrics, const char *listen, struct err *err) MUST_CHECK;
/* Serves until SIGTERM or SIGINT; their name is returned. */
const char *metrics_run(struct metrics *metrics, const struct metrics_options *options);
void metrics_close(struct metrics **metrics);

#endif
