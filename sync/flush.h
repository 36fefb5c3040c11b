/*
 * flush - forgets what a customer's server said no to: in PostgreSQL, and in this gateway's Postfix
 *
 * Postfix keeps the answers of its probes in address_verify_map. A btree or hash there is locked by
 * verify(8) for as long as that runs; then only what PostgreSQL knows can be cleared at once,
 * unless Postfix is reloaded, which ends verify(8). An lmdb map can be changed at any time.
 */
#ifndef ROLLCALL_FLUSH_H
#define ROLLCALL_FLUSH_H

#include <stdbool.h>

#include "lib/conf.h"
#include "lib/err.h"

struct flush_options {
    const struct conf *conf;
    const char *gateway; /* who forgets, for the changeset */
    const char *target;  /* an address or a domain */
    bool reload;         /* reload Postfix when its map is locked */
};
/* Tells what was done on standard output. ERR_TEMPORARY when Postfix's cache could not be cleared.
 */
bool flush_run(const struct flush_options *options, struct err *err) MUST_CHECK;

#endif
