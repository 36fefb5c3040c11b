/*
 * envelope - what a message file says in front of the message: from whom, for whom, through whom
 *
 * Written between the seal (store.h) and the message, so that a file whose row is lost (a database
 * restored, a crash between file and row) can be recorded again from itself. Pure.
 */
#ifndef ROLLCALL_ENVELOPE_H
#define ROLLCALL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"
#include "report/lmtp.h"

enum { ENVELOPE_MOST = 640 * 1024 }; /* LMTP_RECIPIENTS_MOST of LMTP_PATH_MOST */

struct envelope {
    int64_t received_us; /* wall time */
    const char *sender;
    bool smtputf8;
    struct lmtp_forward forward;
    const char *const *recipients;
    size_t recipient_count;
};

void envelope_write(struct buf *out, const struct envelope *envelope);

/* What envelope_write wrote: *used bytes in front of the message. The strings lie in `text`, which
 * is changed and has a NUL behind its `len` bytes. False: it is none, or not all of it is there.
 * Release with envelope_free. */
bool envelope_read(char *text, size_t len, struct envelope *envelope, size_t *used) MUST_CHECK;
void envelope_free(struct envelope *envelope);

#endif
