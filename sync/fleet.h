/*
 * fleet - pieces of work side by side, each in a process of its own and bounded in time
 *
 * What one does to its memory, or how long it hangs in a name server, is nothing to the others.
 */
#ifndef ROLLCALL_FLEET_H
#define ROLLCALL_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"

struct fleet_task {
    int64_t limit_us; /* it is killed after that time */
    int code;         /* afterwards: its exit code; -1: it ended without one */
    const char *lost; /* afterwards: why without one, in words; else NULL */
};

struct fleet {
    size_t parallel; /* at most so many at the same time */
    void *context;
    int (*work)(void *context, size_t task); /* in the child; gives the exit code */
    /* In the parent, after each. */
    void (*done)(void *context, size_t task, const struct fleet_task *how);
};

/* The program must have one thread, and no connection that a child must not inherit. SIGTERM and
 * SIGINT end the children, and no further task begins; then ERR_TEMPORARY. */
bool fleet_run(const struct fleet *fleet, struct fleet_task *tasks, size_t count,
               struct err *err) MUST_CHECK;

#endif
