/*
 * sent - records which mails the mail server has taken, for several senders in one commit
 *
 * A sender notes a mail when the server has said yes, and hands the next one over up to its last
 * dot; there it waits until the one before is recorded (sent_record). Whoever comes first to that
 * point waits a moment for others, for a commit costs more than the moment, and records what all
 * have noted by then. So of each connection at most one mail is taken and not recorded, as if each
 * had its own transaction.
 */
#ifndef ROLLCALL_SENT_H
#define ROLLCALL_SENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/err.h"

struct sent;

/* Makes no connection yet. moment_us: how long a recording waits until most of the connections have
 * noted a mail; a multiple of what a commit takes delays the mails more than it saves. */
struct sent *sent_open(const struct conf *conf, int64_t moment_us);
void sent_close(struct sent **sent); /* nulls; NULL allowed */

/* Notes a row of the outbox; returns its place in the order of all that was noted. */
uint64_t sent_note(struct sent *sent, const char *id);
/* Returns once all up to that place is recorded (0: at once). False: PostgreSQL could not be
 * reached or refused (err); it stays noted, and the next call tries again. */
bool sent_record(struct sent *sent, uint64_t place, struct err *err) MUST_CHECK;

#endif
