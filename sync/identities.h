/*
 * identities - which entry of a directory is which user (table ldap_user)
 *
 * Read before a list is staged, so that a user stays one whatever its addresses become; written
 * after it, with the place where the entry was seen, for signing in.
 */
#ifndef ROLLCALL_IDENTITIES_H
#define ROLLCALL_IDENTITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/ldap_source.h"
#include "sync/ahead.h"
#include "sync/spool.h"

struct identity {
    uint8_t identity[ENTRY_IDENTITY];
    int64_t user;
};
struct identities {
    struct identity *at; /* in the order of the identities */
    size_t count, room;
};

bool identities_read(struct identities *known, struct db *db, int32_t source,
                     struct err *err) MUST_CHECK;
void identities_free(struct identities *known);
/* 0: unknown. */
int64_t identities_user(const struct identities *known, const uint8_t identity[ENTRY_IDENTITY]);

/* Entries whose bit is set in `except` (NULL: none) keep what is known of them; those that are not
 * in the spool are forgotten. */
bool identities_write(struct db *db, int32_t source, struct spool *spool, const uint8_t *except,
                      struct err *err) MUST_CHECK;
/* Users and identities of a first list, with the numbers that `ahead` gives. The transaction is
 * left open: the caller ends it. */
bool identities_learn(struct db *db, const struct ldap_source *source, struct spool *spool,
                      struct ahead *ahead, struct err *err) MUST_CHECK;

#endif
