/*
 * gateway - the thread that tells PostgreSQL where this gateway stands (table gateway)
 *
 * Over its own connection to the primary, so that its failure never touches following. Written at
 * once after each change and every gateway_interval; `rollcall status` and `user add --wait` read
 * it.
 */
#ifndef ROLLCALL_GATEWAY_H
#define ROLLCALL_GATEWAY_H

#include <stdint.h>

#include "policyd/policy.h"
#include "policyd/replica.h"

struct gateway;

struct gateway_options {
    const char *conninfo;
    int64_t timeout_us;
    const char *name; /* of this gateway */
    struct replica *replica;
    const struct policy *policy;
};

struct gateway *gateway_start(const struct gateway_options *options);
/* Something changed: write soon. Any thread, never waits. */
void gateway_wake(struct gateway *gateway);
void gateway_stop(struct gateway **gateway);

#endif
