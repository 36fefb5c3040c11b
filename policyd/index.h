/*
 * index - the recipients in memory: about ten bytes each, read without a lock
 *
 * A table of keyed 64-bit fingerprints. Nobody without the key (random per process) can choose
 * addresses that fall together, and a wrong match has a chance of about 2 in 10^12 per unknown
 * address at ten million recipients. One writer (the follower), any number of readers inside an
 * epoch. The durable copy is the replica's store; this is filled from it at start.
 */
#ifndef ROLLCALL_INDEX_H
#define ROLLCALL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"
#include "policyd/epoch.h"

/* What is known of an address; fits the bits beside the fingerprint. */
enum index_state {
    INDEX_ABSENT = 0,
    INDEX_ACTIVE = 1, /* on the roll; `when`: day of the newest yes of the customer's server */
    INDEX_DISABLED = 2,
    INDEX_ACTIVE_REFUSED =
        3,             /* on the roll, but the server's newest word was no; `when`: hour of it */
    INDEX_REFUSED = 4, /* not on the roll, and the server said no; `when`: hour of it */
};
struct index_entry {
    enum index_state state;
    uint32_t when; /* a stamp on a dial of INDEX_DIAL days or hours since 1970; 0: none */
};
enum { INDEX_DIAL = 511, INDEX_DAYS_MOST = 400, INDEX_HOURS_MOST = 400 };

/* The stamp of a time counted in days or hours since 1970. */
static inline uint32_t index_stamp(int64_t units)
{
    return (uint32_t)(units % INDEX_DIAL) + 1;
}

/* Units from a stamp until `now`; -1 for no stamp. A stamp a little in the future (clocks differ)
 * is 0 old. */
static inline int64_t index_age(uint32_t stamp, int64_t now)
{
    if (stamp == 0)
        return -1;
    int64_t age = (now % INDEX_DIAL + INDEX_DIAL - (int64_t)(stamp - 1)) % INDEX_DIAL;
    return age > INDEX_DIAL - 10 ? 0 : age;
}

struct index;

/* An empty index with room for about `expected` entries. Without an epoch (NULL) nobody may read it
 * yet: index_share names the epoch of its readers. */
struct index *index_new(struct epoch *epoch, uint64_t expected, const uint8_t key[16]);
void index_share(struct index *index, struct epoch *epoch);
/* Only when no reader can hold it (after an epoch_synchronize since it was unpublished). */
void index_free(struct index **index);

/*
 * Any reader, inside an epoch. The key: 4 bytes of domain id and the normalised local part.
 * index_hash also fetches the entry's memory, which takes longer than all else; a reader that has
 * other work in between does not wait for it.
 */
uint64_t index_hash(const struct index *index, struct span key);
struct index_entry index_find_hashed(const struct index *index, uint64_t hash);
static inline struct index_entry index_find(const struct index *index, struct span key)
{
    return index_find_hashed(index, index_hash(index, key));
}

/* The writer only. INDEX_ABSENT removes. Memory replaced goes through the epoch's garbage. */
void index_set(struct index *index, struct span key, struct index_entry entry);

/*
 * The writer, at least once in ten days: takes the stamps away that are older than INDEX_DAYS_MOST
 * or INDEX_HOURS_MOST, before the dial comes round, and removes the INDEX_REFUSED entries older
 * than `refused_hours` or that.
 */
void index_sweep(struct index *index, int64_t now_seconds, int64_t refused_hours);

uint64_t index_count(const struct index *index);    /* entries; any thread, may lag */
uint64_t index_refusals(const struct index *index); /* of these: INDEX_REFUSED */
uint64_t index_bytes(const struct index *index);    /* memory; any thread, may lag */

#endif
