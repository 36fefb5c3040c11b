/*
 * lmtp_data - where a message ends, and its dots undone (RFC 5321 section 4.5.2); for lmtp.c
 */
#ifndef ROLLCALL_LMTP_DATA_H
#define ROLLCALL_LMTP_DATA_H

#include "report/lmtp.h"

/* Where we are in the message: what came last. */
enum {
    LMTP_DATA_LINE_START, /* CR LF */
    LMTP_DATA_DOT,        /* CR LF . */
    LMTP_DATA_DOT_CR,     /* CR LF . CR */
    LMTP_DATA_TEXT,
    LMTP_DATA_CR,
};

/* The next bytes of the message, as many as lie together; none: more input is needed, or, returning
 * true, this was its end. What is beyond the limit is swallowed and l->too_large set. */
bool lmtp_data_next(struct lmtp *l, struct span *in, struct span *bytes);

#endif
