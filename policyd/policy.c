/* policy - see policy.h */
#include "policyd/policy.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

_Static_assert((int)SERVER_ANSWER_MAX >= (int)ANSWER_MAX, "an answer fits");
_Static_assert((int)SERVER_REQUEST_MAX == (int)REQUEST_MAX, "one limit");

void policy_init(struct policy *policy, struct replica *replica, size_t workers,
                 const struct network_list *inside)
{
    size_t bytes = workers * sizeof *policy->answerers;

    *policy = (struct policy){.workers = workers, .limits = limits_new(inside)};
    policy->answerers = aligned_alloc(_Alignof(struct answerer), bytes);
    if (policy->answerers == NULL)
        abort();
    memset(policy->answerers, 0, bytes);
    policy->pending = mem_zero(workers, sizeof *policy->pending);
    for (size_t i = 0; i < workers; i++) {
        policy->answerers[i].replica = replica;
        policy->answerers[i].limits = policy->limits;
        policy->answerers[i].reader = i;
    }
}

void policy_free(struct policy *policy)
{
    free(policy->answerers);
    free(policy->pending);
    policy->answerers = NULL;
    limits_free(&policy->limits);
    policy->pending = NULL;
}

static void enter(void *context, size_t worker)
{
    answer_enter(&((struct policy *)context)->answerers[worker]);
}

static void leave(void *context, size_t worker)
{
    answer_leave(&((struct policy *)context)->answerers[worker]);
}

static enum server_outcome look(void *context, size_t worker, size_t lane, struct server_call *call)
{
    struct policy *policy = context;
    struct answer_pending *pending = &policy->pending[worker][lane];
    const char *why;

    switch (request_parse(call->in, call->seen, &pending->request, &call->used, &why)) {
    case REQUEST_COMPLETE:
        answer_look(&policy->answerers[worker], pending, call->now_us);
        return SERVER_READY;
    case REQUEST_PARTIAL:
        return SERVER_MORE;
    default:
        atomic_fetch_add_explicit(&policy->malformed, 1, memory_order_relaxed);
        log_write(LOG_REQUEST_MALFORMED, "%s; disconnected", why);
        return SERVER_DISCONNECT;
    }
}

static size_t write_answer(void *context, size_t worker, size_t lane, char *out)
{
    struct policy *policy = context;

    return answer_write(&policy->answerers[worker], &policy->pending[worker][lane], out);
}

const struct server_handler policy_handler = {enter, leave, look, write_answer};

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
