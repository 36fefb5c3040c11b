/*
 * replica - the roll as this gateway holds it: on disk in Berkeley DB, in memory in front of it
 *
 * Readers (the workers) look at the live generation: domains and an index of recipients, without a
 * lock. One writer (the follower) brings changes: in batches that commit their position in
 * PostgreSQL's history together with the data, or as a full load that is built beside the old
 * generation and then takes its place. The daemon can answer as long as either memory or disk is
 * whole: a full disk or a damaged file stops nothing. Where the rows come from is follower.c's
 * matter.
 *
 * Files: replica.c (opening, reading, regular work), replica_disk.c (what is on disk, filling the
 * index, damage), replica_record.c (its records), replica_batch.c (changes), replica_load.c (full
 * loads); what they share is in replica_parts.h.
 */
#ifndef ROLLCALL_REPLICA_H
#define ROLLCALL_REPLICA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/kv.h"
#include "lib/str.h"
#include "lib/verdict.h"
#include "policyd/domains.h"
#include "policyd/epoch.h"
#include "policyd/index.h"
#include "policyd/senders.h"

/* A point of PostgreSQL's history: the changeset of that number, if it has that uuid. */
struct replica_position {
    int64_t version; /* 0: nothing was ever loaded */
    uint8_t uuid[16];
};

/* What the roll says of one address; GMT days and hours since 1970, 0: none. */
struct replica_recipient {
    enum recipient_state state;
    uint32_t verified_day;
    uint32_t refused_hour;
};

/* What readers look at. */
struct replica_generation {
    struct domains *domains;
    _Atomic(struct index *) index; /* NULL until it is filled */
    _Atomic(struct kv_table *)
        recipients; /* answers until then; NULL afterwards, and when damaged */
};

struct replica;

struct replica_options {
    const char *directory;
    int64_t cache_bytes;
    int64_t tombstone_life_us;
    size_t readers; /* worker threads; each has a number below this */
};

/*
 * Opens what is on disk: afterwards look-ups answer. A damaged store is moved aside and the replica
 * starts empty. ERR_CONFIG when another process has the directory; every other trouble with the
 * disk is logged and the replica lives in memory until the disk is well again.
 */
bool replica_open(struct replica **replica, const struct replica_options *options,
                  struct err *err) MUST_CHECK;
/* Only when no reader and no writer is left. Writes the time of the last confirmation. */
void replica_close(struct replica **replica);

/* ---- readers; reader `number` is one thread's own ---- */

/* NULL: nothing was ever loaded. Valid until replica_leave. */
const struct replica_generation *replica_enter(struct replica *replica, size_t number);
void replica_leave(struct replica *replica, size_t number);
/* A look-up in two steps: what the first fetches from memory comes while the reader does other
 * things. Both inside the same replica_enter … replica_leave. */
struct replica_probe {
    char key[4 + ADDR_LOCAL_MAX];
    size_t key_len;
    const struct index *index; /* NULL: on disk */
    uint64_t hash;
};
/* The normalised local part of that domain. */
void replica_probe(const struct replica_generation *generation, int32_t domain_id,
                   struct span local, struct replica_probe *probe);
enum lookup replica_find(const struct replica_generation *generation,
                         const struct replica_probe *probe, struct index_entry *entry);

/* Sender rules; NULL: none are known. Inside replica_enter … replica_leave. */
const struct senders *replica_senders(const struct replica *replica);

/* ---- any thread ---- */

/* Since PostgreSQL last confirmed the roll, at the given clock_elapsed_us; INT64_MAX: not known. */
int64_t replica_age_us(const struct replica *replica, int64_t now_us);
struct replica_figures {
    struct replica_position position;
    uint64_t domains, recipients, refusals, index_bytes, sender_rules;
    uint64_t batches, rows, loads, damages, write_failures;
    bool in_memory; /* the index is complete */
    bool disk_behind;
};
void replica_figures(struct replica *replica, struct replica_figures *figures);

/* ---- the writer ---- */

/* Fills the index from disk, if the disk is what answers; interruptible through *stop. */
void replica_fill(struct replica *replica, const _Atomic bool *stop);

/* From where the next batch is to be read, and what else must still be known to the server. */
struct replica_from {
    struct replica_position position;
    struct replica_position pending; /* version > 0: parts of a batch up to there were applied */
    bool load; /* memory or disk has nothing to go on from: only a full load helps */
};
struct replica_from replica_from(struct replica *replica, int64_t now_us);

/*
 * A batch: recipients that are accepted first, then domains, then recipients that left, so that no
 * reader ever sees a new domain without its recipients. Small batches are applied at the end, in
 * one transaction; large ones in several, of which only the last has the position.
 */
void replica_batch_begin(struct replica *replica, const struct replica_position *upto);
void replica_batch_recipient(struct replica *replica, int32_t domain_id, struct span local,
                             const struct replica_recipient *recipient /* NULL: left */);
void replica_batch_domain(struct replica *replica, const struct domain_record *record);
/*
 * At the end of a batch: somebody who is not on the roll, and whom the server refused in that hour
 * since 1970 (0: not any more). Says nothing about recipients of the roll. Only memory keeps it: a
 * new index begins without, and then all of them are to be told again.
 */
void replica_batch_refusal(struct replica *replica, int32_t domain_id, struct span local,
                           uint32_t hour);
void replica_batch_end(struct replica *replica);
void replica_batch_abort(
    struct replica *replica); /* what is applied stays and is known as pending */

/* A full load; recipients in order of domain id and local part (bytes). */
void replica_load_begin(struct replica *replica);
void replica_load_domain(struct replica *replica, const struct domain_record *record);
void replica_load_recipient(struct replica *replica, int32_t domain_id, struct span local,
                            const struct replica_recipient *recipient);
void replica_load_end(struct replica *replica, const struct replica_position *position);
void replica_load_abort(struct replica *replica);

/* Takes other sender rules; the old ones go once nobody looks at them. NULL: none. They live in
 * memory alone: after a start nobody is refused for his sender until they are read. */
void replica_set_senders(struct replica *replica, struct senders *senders);

/* PostgreSQL confirmed at that clock_elapsed_us that nothing is missing. */
void replica_confirm(struct replica *replica, int64_t at_us);
/* That was so much longer ago than the clock of elapsed time says. */
void replica_grow_older(struct replica *replica, int64_t by_us);
/* Regular work: checkpoints, old stamps, refusals and tombstones, the confirmation on disk, a disk
 * that came back. */
void replica_tend(struct replica *replica, int64_t now_us, int64_t refused_for_us);

#endif
