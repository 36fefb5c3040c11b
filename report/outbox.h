/*
 * outbox - hands over what is to be sent, over several connections
 *
 * A sender holds the mails that it has taken until it is recorded what became of them
 * (outbox_take): no other sender, on whichever host, takes them, and when one dies its mails are
 * free at once. It has one of them in hand: the next is not handed over whole before the one before
 * is recorded (sent.h). So a crash repeats at most the mail in hand of each connection, which has
 * the same Message-ID then.
 */
#ifndef ROLLCALL_OUTBOX_H
#define ROLLCALL_OUTBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/err.h"

struct outbox_options {
    const struct conf *conf;
    bool follow; /* goes on when there is nothing left, until *stop */
    int wake;    /* readable once *stop is set */
    atomic_bool *stop;
};

struct outbox_tally {
    _Atomic int64_t sent, late, dead;
};

/* Sends what is due. False: no mail server or database could be reached; what is left stays. */
bool outbox_send(const struct outbox_options *options, struct outbox_tally *tally,
                 struct err *err) MUST_CHECK;

#endif
