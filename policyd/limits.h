/*
 * limits - how many unknown recipients the customers' servers are asked for, per domain and client
 *
 * A dictionary attack at the gateway must not be passed on. Whom Postfix has asked for lately it
 * answers from its cache: that costs nothing and is not counted again. What is counted lives in
 * tables of a fixed size that all workers share without a lock; a flood makes them forget the least
 * asked for, never grow. limits_decide is pure; tables of its answers: t/data/policy/limits.txt.
 */
#ifndef ROLLCALL_LIMITS_H
#define ROLLCALL_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/network.h"
#include "lib/str.h"

enum limits_outcome {
    LIMITS_ASK,
    LIMITS_HARVEST, /* the client asks for too many */
    LIMITS_PROBES,  /* the domain's server is asked for too many */
};

/* What is settled for all; 0: no limit. */
struct limits_rules {
    uint32_t probe_limit;   /* new recipients of a domain in a minute */
    uint32_t harvest_limit; /* new recipients that a client asks for in harvest_window_s */
    int64_t harvest_window_s;
};
/* Counts of the running windows, this question included. */
struct limits_facts {
    bool asked_lately; /* this recipient: Postfix knows the answer */
    bool inside;       /* the client is one of ours */
    uint32_t by_client, of_domain;
};
enum limits_outcome limits_decide(const struct limits_rules *rules,
                                  const struct limits_facts *facts);

/*
 * One counter in a word: of whom (24 bits), since when, how many. limits_count adds one, in a
 * window that begins with the first; *count is what it then holds.
 */
uint64_t limits_count(uint64_t word, uint32_t of, int64_t now_s, int64_t window_s, uint32_t *count);

struct limits;
struct limits *limits_new(const struct network_list *inside);
void limits_free(struct limits **limits);

struct limits_question {
    struct span client_address; /* as Postfix writes it; unknown ones count as one client */
    int32_t domain_id;
    struct span local;
    int64_t now_s; /* of any steady clock */
};
/* About a recipient that is not on the roll; counts it. Any worker. */
enum limits_outcome limits_ask(struct limits *limits, const struct limits_rules *rules,
                               const struct limits_question *question);
/* One that is known not to exist: only the client's count grows. */
void limits_note_unknown(struct limits *limits, const struct limits_rules *rules,
                         const struct limits_question *question);

#endif
