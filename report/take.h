/*
 * take - mails taken from the outbox, a handful at a time, by one of several connections
 *
 * What is taken is the connection's own as long as its transaction is (outbox_take): no other
 * sender, on whichever host, takes it, and when this one dies it is free at once. The connections
 * of a program share the place up to which they have taken, so that none passes again over what
 * was sent before it.
 */
#ifndef ROLLCALL_TAKE_H
#define ROLLCALL_TAKE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"
#include "lib/str.h"

enum { TAKE_MOST = 16 }; /* mails at a time */

/* Up to where mails were taken; for all connections of a program. */
struct take_place {
    pthread_mutex_t lock;
    char due[40], id[24];
    int64_t since_us; /* when it was at the beginning (elapsed) */
};
void take_place_begin(struct take_place *place);

/* A mail in hand. */
struct take_mail {
    char id[24], from[400], to[420], message_id[220];
    bool sealed;
    int64_t tries, age; /* seconds */
    struct buf body;
};

struct take {
    struct take_place *place;
    struct take_mail mails[TAKE_MOST];
    size_t taken;
    bool open; /* they are ours as long as this transaction is */
    char last_due[40], last_id[24];
};

/* Once for each connection to PostgreSQL. */
bool take_prepare(struct db *db, struct err *err) MUST_CHECK;
/*
 * Ends what was taken before (`left`: something of it is left, and who sleeps is told so), then
 * takes up to `most` more; 0: none. One round trip, or two when there is nothing behind the place.
 */
bool take_next(struct take *take, struct db *db, bool left, size_t most,
               struct err *err) MUST_CHECK;
/* The mails and their bytes; the transaction stays. */
void take_forget(struct take *take);
void take_free(struct take *take);

#endif
