/* policy - see policy.h */
#include "policyd/policy.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

_Static_assert((int)SERVER_ANSWER_MAX >= (int)ANSWER_MAX, "an answer fits");
_Static_assert((int)SERVER_REQUEST_MAX == (int)REQUEST_MAX, "one limit");

void policy_init(struct policy *policy, struct replica *replica, size_t workers)
{
    size_t bytes = workers * sizeof *policy->answerers;

    *policy = (struct policy){.workers = workers};
    policy->answerers = aligned_alloc(_Alignof(struct answerer), bytes);
    if (policy->answerers == NULL)
        abort();
    memset(policy->answerers, 0, bytes);
    for (size_t i = 0; i < workers; i++) {
        policy->answerers[i].replica = replica;
        policy->answerers[i].reader = i;
    }
}

void policy_free(struct policy *policy)
{
    free(policy->answerers);
    policy->answerers = NULL;
}

enum server_outcome policy_handle(void *context, size_t worker, struct server_call *call)
{
    struct policy *policy = context;
    struct request request;
    const char *why;

    switch (request_parse(call->in, call->seen, &request, &call->used, &why)) {
    case REQUEST_COMPLETE:
        call->written = answer(&policy->answerers[worker], &request, call->now_us, call->out);
        return SERVER_ANSWERED;
    case REQUEST_PARTIAL:
        return SERVER_MORE;
    default:
        atomic_fetch_add_explicit(&policy->malformed, 1, memory_order_relaxed);
        log_write(LOG_REQUEST_MALFORMED, "%s; disconnected", why);
        return SERVER_DISCONNECT;
    }
}

uint64_t policy_answers(const struct policy *policy, size_t action, size_t rule)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < policy->workers; i++)
        sum += atomic_load_explicit(&policy->answerers[i].counters.answers[action][rule],
                                    memory_order_relaxed);
    return sum;
}

uint64_t policy_action_total(const struct policy *policy, size_t action)
{
    uint64_t sum = 0;

    for (size_t rule = 0; rule < RULES; rule++)
        sum += policy_answers(policy, action, rule);
    return sum;
}

uint64_t policy_shadowed(const struct policy *policy)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < policy->workers; i++)
        sum += atomic_load_explicit(&policy->answerers[i].counters.shadowed, memory_order_relaxed);
    return sum;
}
