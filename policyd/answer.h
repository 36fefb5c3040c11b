/*
 * answer - one request in, one line out: gathers the facts, asks lib/verdict, words the answer
 *
 * Each worker thread has its own answerer. Nothing here waits for anybody.
 */
#ifndef ROLLCALL_ANSWER_H
#define ROLLCALL_ANSWER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/verdict.h"
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

struct answerer {
    struct replica *replica;
    size_t reader; /* this worker's number among the replica's readers */
    struct settings settings;
    unsigned worded_for; /* settings.number that `words` are made from */
    struct answer_words words[ANSWER_ACTIONS][RULES];
    struct answer_counters counters;
};

/* Writes the whole answer ("action=…\n\n") into `out` of at least ANSWER_MAX bytes; returns its
 * length. `now_us`: clock_elapsed_us. */
size_t answer(struct answerer *answerer, const struct request *request, int64_t now_us, char *out);

#endif
