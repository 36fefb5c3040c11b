/*
 * sender_feed - keeps the replica's table of sender rules in step with PostgreSQL; the follower's
 *
 * All rules are read anew when their number in PostgreSQL (sender_clock) is another one. They are
 * kept by recipient, so what happens to a recipient matters too: whoever changes loses the user's
 * rules at once, before anybody could be refused for somebody else's, and they are read again in
 * the same round. A recipient who is new gets his user's rules with the next reading, at most
 * SENDER_FEED_INTERVAL later.
 */
#ifndef ROLLCALL_SENDER_FEED_H
#define ROLLCALL_SENDER_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"
#include "policyd/feed.h"
#include "policyd/replica.h"

struct sender_feed {
    struct replica *replica;
    struct senders *table; /* the replica's own; NULL: none, and the rest does not count */
    bool dirty;            /* somebody lost his rules */
    bool told_full;
    int64_t version, roll_version, read_at_us;
};

/* Before a change of that recipient is applied. */
void sender_feed_changed(struct sender_feed *feed, int32_t domain_id, struct span local);
/* Nobody is refused for his sender until they are read again. */
void sender_feed_drop(struct sender_feed *feed);
/* Reads them, if they are wanted and there is something new. */
bool sender_feed_read(struct sender_feed *feed, struct db *db, bool wanted,
                      const struct feed_header *header, struct err *err) MUST_CHECK;

#endif
