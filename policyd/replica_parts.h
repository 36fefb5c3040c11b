/* replica_parts - what the files of the replica share; for nobody else */
#ifndef ROLLCALL_REPLICA_PARTS_H
#define ROLLCALL_REPLICA_PARTS_H

#include <pthread.h>

#include "policyd/replica.h"

enum {
    REPLICA_FORMAT = 1,              /* of the records below; another one means a full load */
    REPLICA_BATCH_ROWS = 4096,       /* changes per transaction */
    REPLICA_REFUSALS_MOST = 1 << 20, /* of a flood, the rest is asked about again */
    REPLICA_KEY_MAX = 4 + ADDR_LOCAL_MAX,
    REPLICA_TABLE_NAME = 32,
};

/* The one row of table "meta": plain bytes. */
struct replica_state {
    uint32_t format, generation;
    struct replica_position position;
    struct replica_position pending; /* rows up to there may be in already */
    uint64_t recipients;             /* in this generation's table */
};

/* One change of a batch, waiting. */
struct replica_change {
    struct domain_record *domain; /* a domain; else a recipient */
    int32_t domain_id;
    bool leaves;
    bool refusal; /* of an address that is not on the roll; recipient.refused_hour: when */
    uint8_t local_len;
    char local[ADDR_LOCAL_MAX];
    struct replica_recipient recipient;
};

struct replica {
    struct epoch epoch;
    _Atomic(struct replica_generation *) live;
    _Atomic(struct senders *) senders;
    _Atomic int64_t confirmed_at; /* clock_elapsed_us; INT64_MIN: never */
    char *directory;
    int64_t cache_bytes, tombstone_life_us;
    uint8_t key[16];

    /* disk; all NULL while it cannot be used */
    struct kv *kv;
    struct kv_table *meta, *domain_table, *recipient_table;
    struct replica_state disk;
    bool disk_behind;    /* memory knows more than the disk */
    bool disk_restarted; /* the store was reopened after damage and has not committed since */
    int64_t disk_retry_at;

    /* memory */
    struct replica_position position, pending;

    struct replica_change *changes; /* of the batch, REPLICA_BATCH_ROWS of them */
    size_t change_count;
    struct replica_position batch_upto;
    bool batch_on_disk; /* this batch was read from the disk's position and goes there too */

    struct replica_generation *loading; /* of the full load */
    struct kv_load *load;               /* NULL: memory only */
    uint32_t load_generation;
    uint64_t load_recipients;
    int64_t load_seconds; /* wall time of its begin: what stamps are compared with */

    int64_t confirmation_saved_at, swept_at;

    struct replica_figures counted; /* the writer's */
    pthread_mutex_t figures_lock;   /* for `figures`, read by other threads */
    struct replica_figures figures;
};

/* The writer's copy of what other threads may ask. */
void replica_publish_figures(struct replica *replica);
size_t replica_key(char *out, int32_t domain_id, struct span local);
struct index_entry replica_entry(const struct replica_recipient *recipient, int64_t now_seconds);
/* Value of a recipient on disk: one byte, or nine with evidence. */
enum { REPLICA_VALUE_MAX = 9 };
size_t replica_value(char *out, const struct replica_recipient *recipient);
bool replica_value_read(struct span value, struct replica_recipient *recipient);
void replica_table_name(char out[REPLICA_TABLE_NAME], const char *kind, uint32_t generation);
enum kv_outcome replica_put_state(struct kv_txn *txn, struct kv_table *meta,
                                  const struct replica_state *state, struct err *err) MUST_CHECK;
enum kv_outcome replica_put_domain(struct kv_txn *txn, struct kv_table *table,
                                   const struct domain_record *record, struct err *err) MUST_CHECK;

struct replica_generation *replica_generation_new(struct replica *replica);
void replica_generation_free(struct replica_generation **generation);
/* Puts a generation (or NULL) in the live one's place and frees that once nobody looks at it. */
void replica_switch(struct replica *replica, struct replica_generation *generation);

/* What the outcome of a write means for the disk: tells, and takes a damaged store out of use. */
void replica_disk_trouble(struct replica *replica, enum kv_outcome outcome, const struct err *err);
void replica_disk_close(struct replica *replica);
/* Opens the store and, where it holds a roll, makes that the live generation. */
enum kv_outcome replica_disk_open(struct replica *replica, struct err *err) MUST_CHECK;
/* Tries again what could not be opened; what fails is logged and put off. */
void replica_disk_reopen(struct replica *replica, int64_t now_us);
void replica_save_confirmation(struct replica *replica);

#endif
