/*
 * spool - the complete answer of a directory, put aside until all of it is there
 *
 * Entries go to an unnamed temporary file as they come, so that memory stays small and the roll is
 * not touched before the answer is known to be complete. Sealed, they stand in the order of their
 * identities, each identity once (the first that came), and their digest tells whether anything
 * differs from another answer, whatever the order it came in.
 *
 * Another thread may follow while entries come: it gets them in the order in which they came.
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
/* No more entries come: whoever follows learns of the last. */
bool spool_end(struct spool *spool, struct err *err) MUST_CHECK;
/* Ends it too. */
bool spool_seal(struct spool *spool, uint8_t digest[SECRET_DIGEST], struct err *err) MUST_CHECK;

/* For the following thread; each call waits for an entry that is there, or for the end. */
struct spool_cursor;
struct spool_cursor *spool_follow(struct spool *spool);
void spool_cursor_free(struct spool_cursor **cursor); /* nulls; NULL allowed */
enum spool_step { SPOOL_ENTRY, SPOOL_END, SPOOL_FAILED };
/* *at: how many came before it. */
enum spool_step spool_next(struct spool_cursor *cursor, struct spool_entry *entry, size_t *at,
                           struct err *err) MUST_CHECK;

/* Once sealed. */
size_t spool_count(const struct spool *spool);
int64_t spool_count_of(const struct spool *spool, enum entry_kind kind);
/* Valid until the next call. */
bool spool_get(struct spool *spool, size_t at, struct spool_entry *entry,
               struct err *err) MUST_CHECK;
size_t spool_came(const struct spool *spool, size_t at); /* how many came before it */

#endif
