/*
 * probe - asks customers' servers for addresses that nobody has: who takes them takes everything
 *
 * Through `sendmail -bv`, so that Postfix asks the domain's next hop as it always does; the answer
 * comes back in the log, and `collect` tells PostgreSQL.
 */
#ifndef ROLLCALL_PROBE_H
#define ROLLCALL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "sync/prober.h"

/* Those that are due, a few at a time. */
bool probe_send(struct db *db, const struct conf *conf, struct prober *prober, int64_t now_us,
                struct err *err) MUST_CHECK;

#endif
