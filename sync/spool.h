/*
 * spool - the complete answer of a directory, put aside until all of it is there
 *
 * Entries go to an unnamed temporary file as they come, so that memory stays small and the roll is
 * not touched before the answer is known to be complete. Sealed, they stand in the order of their
 * identities, each identity once (the first that came), and their digest tells whether anything
 * differs from another answer, whatever the order it came in.
 */
#ifndef ROLLCALL_SPOOL_H
#define ROLLCALL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/roll.h"
#include "lib/secret.h"
#include "sync/entry.h"

struct spool;

struct spool_entry {
    uint8_t identity[ENTRY_IDENTITY];
    enum entry_kind kind;
    bool disabled;
    struct span name, dn;
    const struct addr *addresses;
    size_t address_count;
};

bool spool_open(struct spool **spool, struct err *err) MUST_CHECK;
void spool_close(struct spool **spool); /* nulls; NULL allowed */
bool spool_add(struct spool *spool, const struct spool_entry *entry, struct err *err) MUST_CHECK;
/* No more entries come. */
bool spool_seal(struct spool *spool, uint8_t digest[SECRET_DIGEST], struct err *err) MUST_CHECK;

/* Once sealed. */
size_t spool_count(const struct spool *spool);
int64_t spool_count_of(const struct spool *spool, enum entry_kind kind);
/* Valid until the next call. */
bool spool_get(struct spool *spool, size_t at, struct spool_entry *entry,
               struct err *err) MUST_CHECK;

#endif
