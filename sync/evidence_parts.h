/*
 * evidence_parts - the two tables behind evidence, and what its files share; for nobody else
 *
 * flight: messages by the hash of their queue id (or of their Message-ID). tally: counts by
 * recipient and day.
 */
#ifndef ROLLCALL_EVIDENCE_PARTS_H
#define ROLLCALL_EVIDENCE_PARTS_H

#include "sync/evidence.h"

enum {
    MESSAGES_MOST = 500000,
    WAITING_MOST = 200000,
    TALLY_MOST = 250000,
    WAIT_MOST_S = 15 * 60,         /* for a filter's word, or where a message came from */
    UNQUEUED_MOST_S = 2 * 3600,    /* a client that never finished its message */
    QUEUED_MOST_S = 8 * 24 * 3600, /* beyond any maximal_queue_lifetime */
    ID_MOST_S = 3600,
    EVIDENCE_DAY_S = 86400,
};

enum message_flag {
    MESSAGE_BEGUN = 1,     /* its first line was seen */
    MESSAGE_OUTSIDE = 2,   /* it, or what a filter made it from, came from outside */
    MESSAGE_QUEUED = 4,    /* its sender is known */
    MESSAGE_NO_SENDER = 8, /* it is empty, or a probe's */
    MESSAGE_SPAM = 16,
    MESSAGE_REMOVED = 32,
    MESSAGE_WAITS = 64,  /* deliveries of it are in `waiting` */
    MESSAGE_CLEAN = 256, /* times the filter that says so */
    MESSAGE_CLEAN_ALL = 7 * MESSAGE_CLEAN,
};

struct message {
    uint64_t key;        /* never 0 */
    uint64_t message_id; /* key in the other table; 0: not known */
    uint32_t seen_s;     /* since 1970, of the last line about it */
    uint32_t flags;
};

/* Open addressing with linear probing; removing moves the followers back. */
struct flight {
    struct message *slots;
    size_t room, count;
};
/* `room`: a power of two. */
void flight_init(struct flight *table, size_t room);
void flight_free(struct flight *table);
uint64_t flight_key(struct span id);
struct message *flight_find(const struct flight *table, uint64_t key);
/* Finds or makes; the table may move. */
struct message *flight_put(struct flight *table, uint64_t key);
void flight_drop(struct flight *table, struct message *message);
/* The next message at or behind slot *i; NULL at the end. */
struct message *flight_at(const struct flight *table, size_t *i);
/* Drops whom `ends` says; returns how many. */
size_t flight_sweep(struct flight *table, bool (*ends)(void *context, const struct message *m),
                    void *context);

struct waiting {
    uint64_t message;
    uint32_t at_s;
    int32_t domain_id;
    uint8_t local_len;
    char local[ADDR_LOCAL_MAX];
};

enum decision { UNDECIDED, DECIDED_CLEAN, DECIDED_SPAM, DECIDED_INSIDE };

struct tally_row {
    uint64_t key;
    struct served_domain *domain; /* NULL: foreign */
    enum served_address address;
    int32_t domain_id;
    int32_t day;
    uint32_t local; /* in tally.text */
    uint8_t local_len;
    uint32_t accepted, deliverable, refused, unknown, late;
    int64_t last_yes_s, last_no_s;
};

struct tally {
    struct tally_row *rows; /* in the order of their coming */
    size_t count, room;
    uint32_t *slots; /* number of a row + 1, by key; 0: free */
    size_t slot_room;
    struct buf text; /* local parts */
};
void tally_init(struct tally *tally);
void tally_free(struct tally *tally);
void tally_clear(struct tally *tally);
/* The row of an address as logged and a day; made, with what the address stands for, when new. */
struct tally_row *tally_row(struct tally *tally, const struct evidence_rules *rules,
                            struct span address, int32_t day);
/* The row of a recipient already known. */
struct tally_row *tally_known(struct tally *tally, int32_t domain_id, struct span local,
                              int32_t day);
const char *tally_local(const struct tally *tally, const struct tally_row *row);
bool tally_each(const struct tally *tally, evidence_count_fn *row, void *context, struct err *err);

struct evidence {
    struct evidence_rules rules;
    bool by_message_id;
    struct flight messages, ids;
    struct waiting *waiting;
    size_t waiting_count, waiting_room;
    struct tally tally;
    struct evidence_figures figures;
};

/* What is known of a message so far. */
enum decision evidence_decide(const struct evidence *e, const struct message *m);
void evidence_decided(struct evidence *e, enum decision decision); /* counts it */
/* A delivery of the message counts or not by what is still to be said of it. */
void evidence_wait_for(struct evidence *e, struct message *m, const struct waiting *w);

#endif
