/*
 * spawn - runs a program of the system and reads what it prints, with a deadline and a cap
 */
#ifndef ROLLCALL_SPAWN_H
#define ROLLCALL_SPAWN_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

enum { SPAWN_PATH = 4096, SPAWN_OUTPUT_MAX = 16 << 20, SPAWN_SECONDS = 20 };

struct spawn_output {
    struct buf out, errors;
    int code; /* exit code; 128 + the signal's number */
};

/*
 * Looks for argv[0] in /usr/sbin, then in PATH; `input` becomes its standard input. False when it
 * cannot be started, prints more than SPAWN_OUTPUT_MAX or takes longer than SPAWN_SECONDS. Release
 * with spawn_output_free.
 */
bool spawn_run(const char *const *argv, struct span input, struct spawn_output *output,
               struct err *err) MUST_CHECK;
/* The same with another limit of time. */
bool spawn_run_within(const char *const *argv, struct span input, int64_t seconds,
                      struct spawn_output *output, struct err *err) MUST_CHECK;
/* A program of ours: beside this one, else by its name wherever spawn_run looks. */
const char *spawn_beside(const char *name, char path[SPAWN_PATH]);
void spawn_output_free(struct spawn_output *output);

#endif
