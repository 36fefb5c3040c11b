/*
 * null - the limit that policyd is measured against: the same server, which answers DUNNO to
 * whatever comes, without parsing or looking
 *
 * usage: bench-null ADDRESS [WORKERS], ADDRESS as in setting policy_listen; ends with SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/listen.h"
#include "policyd/server.h"

static void nothing(void *context, size_t worker)
{
    (void)context;
    (void)worker;
}

static enum server_outcome look_away(void *context, size_t worker, size_t lane,
                                     struct server_call *call)
{
    (void)context;
    (void)worker;
    (void)lane;
    call->used = call->in.len;
    return SERVER_READY;
}

static size_t say_dunno(void *context, size_t worker, size_t lane, char *out)
{
    static const char dunno[] = "action=DUNNO\n\n";

    (void)context;
    (void)worker;
    (void)lane;
    memcpy(out, dunno, sizeof dunno - 1);
    return sizeof dunno - 1;
}

static const struct server_handler null_handler = {nothing, nothing, look_away, say_dunno};

int main(int argc, char **argv)
{
    struct conf_address address;
    struct err err;
    sigset_t signals;
    int fd, number;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (argc < 2 || !conf_parse_address(span_text(argv[1]), &address, &err) ||
        !listen_open(&address, 0666, "", &fd, &err)) {
        fprintf(stderr, "bench-null: %s\n",
                argc < 2 ? "usage: bench-null ADDRESS [WORKERS]" : err.text);
        return 64;
    }
    struct server *server =
        server_start(&(struct server_options){.listeners = &fd,
                                              .listener_count = 1,
                                              .workers = argc > 2 ? (size_t)atoi(argv[2]) : 1,
                                              .max_connections = 100000,
                                              .idle_limit_us = 3600 * CLOCK_SECOND,
                                              .request_limit_us = 3600 * CLOCK_SECOND,
                                              .handler = &null_handler});
    sigwait(&signals, &number);
    server_stop(&server, 0);
    if (address.is_unix)
        remove(address.path);
    return 0;
}
