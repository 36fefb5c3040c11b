/*
 * domains - the served domains in memory: found by name or number without a lock
 *
 * Rows are immutable once published; a change publishes a new row and retires the old one. One
 * writer (the follower), any number of readers inside an epoch.
 */
#ifndef ROLLCALL_DOMAINS_H
#define ROLLCALL_DOMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/verdict.h"
#include "policyd/epoch.h"

/* A domain as the replica keeps it; plain bytes, stored as they are (see REPLICA_FORMAT). */
struct domain_record {
    int32_t id;                 /* 0: a tombstone whose number may be another's by now */
    int32_t alias_of;           /* id of the target; 0: none */
    int64_t loaded_at;          /* wall seconds; 0: never */
    int64_t synced_at;          /* wall seconds; 0: never */
    int64_t removed_at;         /* wall seconds; a tombstone's */
    int32_t stale_limit;        /* seconds; -1: the setting */
    int32_t source_stale_limit; /* seconds; -1: the setting */
    uint8_t check, shadow;      /* enum relay_check */
    uint8_t removed;            /* a tombstone */
    uint8_t case_sensitive;
    uint8_t follows_directory;
    char delimiter[9];
    uint8_t name_len;
    char name[ADDR_DOMAIN_MAX + 1];
};

struct domains;

struct domains *domains_new(struct epoch *epoch, const uint8_t key[16]);
void domains_free(struct domains **domains); /* only when no reader can hold it */

/* Readers, inside an epoch. NULL: not there. */
const struct domain_record *domains_by_name(const struct domains *domains, struct span name);
const struct domain_record *domains_by_id(const struct domains *domains, int32_t id);

/* The writer. Copies the record. */
void domains_set(struct domains *domains, const struct domain_record *record);
void domains_remove(struct domains *domains, const struct domain_record *record);

size_t domains_count(const struct domains *domains); /* any thread, may lag; tombstones included */
/* The writer: calls `each` for every record. */
void domains_each(const struct domains *domains,
                  void (*each)(void *context, const struct domain_record *record), void *context);

#endif
