/*
 * answer - one request in, one line out: gathers the facts, asks lib/verdict, words the answer
 *
 * Each worker thread has its own answerer. Nothing here waits for anybody, not even for memory: a
 * request is looked at in one step and answered in a later one, with another request's step in
 * between.
 */
#ifndef ROLLCALL_ANSWER_H
#define ROLLCALL_ANSWER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/verdict.h"
#include "policyd/limits.h"
#include "policyd/replica.h"
#include "policyd/request.h"
#include "policyd/settings.h"

enum { ANSWER_ACTIONS = ACTION_DEFER + 1, ANSWER_MAX = 512 /* bytes of one answer */ };

/* Written by one worker, read by anybody. */
struct answer_counters {
    _Alignas(64) _Atomic uint64_t answers[ANSWER_ACTIONS][RULES];
    _Atomic uint64_t shadowed;
};

/* An answer in its words, which only change with the settings. */
struct answer_words {
    size_t len; /* 0: not worded yet */
    char text[ANSWER_MAX];
};

/* A request between its two steps. */
struct answer_pending {
    struct request request;
    struct verdict_question question;
    const struct domain_record *domain; /* NULL: no look-up is to be done */
    bool broken;                        /* an alias domain whose target is not there */
    bool probing;                       /* `probe` is the recipient exactly as asked */
    int64_t now_us;
    struct replica_probe probe;
};

struct answerer {
    struct replica *replica;
    struct limits *limits;                       /* all workers' */
    const struct replica_generation *generation; /* between answer_enter and answer_leave */
    size_t reader; /* this worker's number among the replica's readers */
    struct settings settings;
    unsigned worded_for; /* settings.number that `words` are made from */
    struct answer_words words[ANSWER_ACTIONS][RULES];
    struct answer_counters counters;
};

/* Around any number of steps; none of what they hold outlives it. */
void answer_enter(struct answerer *answerer);
void answer_leave(struct answerer *answerer);
/* The first step: pending->request is filled by the caller. `now_us`: clock_elapsed_us. */
void answer_look(struct answerer *answerer, struct answer_pending *pending, int64_t now_us);
/* The second: writes the whole answer ("action=…\n\n") into `out` of at least ANSWER_MAX bytes;
 * returns its length. */
size_t answer_write(struct answerer *answerer, struct answer_pending *pending, char *out);

#endif
