/*
 * feed - what the follower asks PostgreSQL, and the rows it gets made into the replica's records
 *
 * SQL texts and their columns side by side; nothing here talks to anybody (pure). A row that makes
 * no sense is an error that names it: better to age than to guess.
 */
#ifndef ROLLCALL_FEED_H
#define ROLLCALL_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"
#include "lib/sender.h"
#include "policyd/domains.h"
#include "policyd/replica.h"

/* $1: version of our position, $2: version of the pending one (0: none). One row. */
extern const char FEED_HEADER[];
struct feed_header {
    struct replica_position newest;
    int64_t purged_version;
    bool standby;
    bool knows_position, knows_pending; /* there are changesets of these versions */
    uint8_t position_uuid[16], pending_uuid[16];
    int64_t senders_version; /* of sender_clock */
    int64_t lag_us; /* how much older than now the server's own data may be; -1: not known */
};
bool feed_header(const struct db_result *row, size_t at, struct feed_header *header,
                 struct err *err) MUST_CHECK;

/* What a follower at `from` has to do about what the server says. */
enum feed_decision {
    FEED_CURRENT, /* nothing new */
    FEED_CHANGES, /* the rows above our position bring us up to date */
    FEED_BEHIND,  /* a standby that has less than we: wait, and let the data age */
    FEED_RELOAD,  /* another history, or tombstones that we never saw are gone */
    FEED_EMPTY,   /* the database has no changeset yet */
};
enum feed_decision feed_decide(const struct replica_from *from, const struct feed_header *header);

/*
 * How long a follower rests before it reads again, when a reading took so long and the next
 * notification then came after `waited_us`. A single change is read at once. Where changes come
 * without a pause, a follower reads a fifth of its time: a server that is busy answers slower, and
 * by that is asked less often, however many followers it has.
 */
int64_t feed_rest_us(int64_t reading_us, int64_t waited_us);

/*
 * By how much a list is older than the clock of elapsed time says, when wall time was ahead of that
 * by `then_us` at its last confirmation and is by `now_us`: a machine that was put back to a
 * snapshot, or moved, does not know that it stood still until its clock is set. 0 for what setting a
 * clock by little does, and for a clock that went back.
 */
int64_t feed_missed_us(int64_t then_us, int64_t now_us);

/* A uuid as a parameter: 32 digits. */
enum { FEED_UUID_TEXT = 33 };
void feed_uuid_text(char out[FEED_UUID_TEXT], const uint8_t uuid[16]);

/*
 * $1: version of our position, $2: its uuid. Recipients that are accepted or disabled; that left;
 * domains; refusals, new and over. No rows when the server does not know that position.
 */
extern const char FEED_RECIPIENTS[], FEED_LEFT[], FEED_DOMAINS[], FEED_REFUSALS[];
/* All of them; domains as a query, recipients and refusals as COPY lines, recipients in key order.
 */
extern const char FEED_ALL_DOMAINS[], FEED_COPY_RECIPIENTS[], FEED_COPY_REFUSALS[];

/* Sender rules as COPY lines: domain id, local part (empty: the domain's own), whether it allows,
 * pattern. */
extern const char FEED_COPY_SENDERS[];
struct feed_sender {
    int32_t domain_id;
    bool allow;
    struct span local, pattern; /* into `plain` */
    char plain[ADDR_LOCAL_MAX + SENDER_PATTERN_MOST];
};
bool feed_sender_line(struct span line, struct feed_sender *sender, struct err *err) MUST_CHECK;

struct feed_recipient {
    int32_t domain_id;
    size_t local_len;
    char local[ADDR_LOCAL_MAX];
    struct replica_recipient recipient;
};
/* Of FEED_RECIPIENTS, FEED_LEFT and FEED_REFUSALS (whose states mean nothing). */
bool feed_recipient(const struct db_result *row, size_t at, struct feed_recipient *recipient,
                    struct err *err) MUST_CHECK;
/* A line of FEED_COPY_RECIPIENTS or FEED_COPY_REFUSALS. */
bool feed_copy_line(struct span line, struct feed_recipient *recipient, struct err *err) MUST_CHECK;
bool feed_domain(const struct db_result *row, size_t at, struct domain_record *record,
                 struct err *err) MUST_CHECK;

#endif
