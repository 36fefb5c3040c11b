/*
 * mime - what a message says to a reader, decoded; the only user of gmime
 *
 * For strangers' messages: whatever the bytes are, what comes out is well-formed UTF-8, harmless to
 * show (lib/display) and bounded.
 */
#ifndef ROLLCALL_MIME_H
#define ROLLCALL_MIME_H

#include "str.h"

enum {
    MIME_LOOKED_AT = 512 * 1024, /* so much of a message is enough to give */
    MIME_LINE_MOST = 998,        /* bytes of From, Subject, Message-ID */
    MIME_HEADERS_MOST = 64 * 1024,
    MIME_TEXT_MOST = 96 * 1024,
    MIME_HTML_MOST = 96 * 1024,
};

struct mime_summary {
    struct buf from; /* all of the field: names and addresses; look-alikes told */
    struct buf
        from_address; /* the first address, normalised as lib/addr does; "" when it is none */
    struct buf subject;
    struct buf message_id;
    struct buf headers; /* as they stand */
    struct buf text;    /* of the first text part, else of the first HTML part */
    struct buf html;    /* the first HTML part; for a sandbox only */
};

/* Summarises the beginning of a message, or all of it. Every buffer is set. Release with
 * mime_summary_free. */
void mime_summarise(struct span message, struct mime_summary *summary);
void mime_summary_free(struct mime_summary *summary);

#endif
