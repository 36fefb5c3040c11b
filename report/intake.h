/*
 * intake - LMTP sessions, a thread each: what comes goes to a file, then to rows, then is answered
 *
 * A message is answered 250 only when its file is durable and its rows are committed. Whatever goes
 * wrong before is answered 4xx, and Postfix keeps the message.
 */
#ifndef ROLLCALL_INTAKE_H
#define ROLLCALL_INTAKE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/listen.h"
#include "report/record.h"
#include "report/store.h"

struct intake_options {
    const struct listeners *listeners;
    struct store *store;
    struct recorder *recorder;
    const char *host; /* how we call ourselves */
    size_t most;      /* sessions */
    uint64_t size_most;
    int64_t idle_us;
};

struct intake;

struct intake *intake_start(const struct intake_options *options);
/* No new sessions; those with a message in hand may end it within the grace. */
void intake_stop(struct intake **intake, int64_t grace_us);

#endif
