/* policy - the server's handler for the policy protocol: request.h and answer.h put together */
#ifndef ROLLCALL_POLICY_H
#define ROLLCALL_POLICY_H

#include <stdatomic.h>
#include <stdint.h>

#include "policyd/answer.h"
#include "policyd/server.h"

struct policy {
    struct answerer *answerers; /* one for each worker */
    struct limits *limits;
    struct answer_pending (*pending)[SERVER_LANES];
    size_t workers;
    _Atomic uint64_t malformed;
};

/* `inside`: clients that harvest_limit does not hold for. */
void policy_init(struct policy *policy, struct replica *replica, size_t workers,
                 const struct network_list *inside);
void policy_free(struct policy *policy);
/* Its context: struct policy *. */
extern const struct server_handler policy_handler;

/* Summed over the workers: answers of this action under this rule. Any thread. */
uint64_t policy_answers(const struct policy *policy, size_t action, size_t rule);
uint64_t policy_action_total(const struct policy *policy, size_t action);
uint64_t policy_shadowed(const struct policy *policy);

#endif
