/*
 * lmtp - the server's side of an LMTP session (RFC 2033): bytes in, events and replies out (pure)
 *
 * It knows the protocol and nothing of files and databases: whoever runs it reads bytes, hands them
 * to lmtp_next, does what the event asks for, and writes what has gathered in `out`.
 *
 * Announced: SIZE (RFC 1870), PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
 * ENHANCEDSTATUSCODES (RFC 2034), XFORWARD (Postfix, XFORWARD_README). Only CR LF . CR LF ends a
 * message; a bare LF or CR is a byte like any other.
 */
#ifndef ROLLCALL_LMTP_H
#define ROLLCALL_LMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

enum {
    LMTP_LINE_MOST = 4096,
    LMTP_RECIPIENTS_MOST = 1000,
    LMTP_PATH_MOST = 512,  /* bytes of an address */
    LMTP_ERRORS_MOST = 50, /* bad commands of one session */
    LMTP_FORWARD_MOST = 256,
};

enum lmtp_event {
    LMTP_MORE, /* everything was taken: write `out`, read on */
    LMTP_RCPT, /* an address to decide about: lmtp_answer, once */
    LMTP_DATA, /* a message begins: lmtp_answer with 354, or with a refusal */
    LMTP_BODY, /* bytes of it, dots undone */
    LMTP_END,  /* it is complete: lmtp_answer for each recipient, in their order */
    LMTP_STOP, /* the session is over: write `out`, close */
};

/* Who gave the message to the gateway, as Postfix tells; "" for what it did not. */
struct lmtp_forward {
    char name[LMTP_FORWARD_MOST], address[LMTP_FORWARD_MOST], helo[LMTP_FORWARD_MOST];
    char ident[LMTP_FORWARD_MOST]; /* its queue id */
};

struct lmtp {
    struct buf out; /* replies to be written */

    /* the transaction in hand */
    bool has_sender;
    char *sender; /* without angle brackets; "": the null reverse-path */
    bool smtputf8;
    char **recipients; /* those that were accepted */
    size_t recipient_count;
    struct lmtp_forward forward;
    uint64_t size;  /* of the message so far */
    bool too_large; /* more than the limit came: what is beyond it was not handed on */

    /* within */
    const char *host;
    uint64_t size_most;
    bool greeted, stopped;
    int phase, place;
    size_t answers_due;
    unsigned errors;
    size_t line_len;
    bool line_too_long;
    char line[LMTP_LINE_MOST];
    char asked[LMTP_PATH_MOST + 1];
};

/* `host` is how we call ourselves and stays the caller's. Puts the greeting into `out`. */
void lmtp_begin(struct lmtp *lmtp, const char *host, uint64_t size_most);
void lmtp_free(struct lmtp *lmtp);

/*
 * Takes some of *in (and moves it on) until something is to be done. *what: LMTP_RCPT the address,
 * quoted as it came; LMTP_BODY the bytes, valid until the next call; else empty.
 */
enum lmtp_event lmtp_next(struct lmtp *lmtp, struct span *in, struct span *what);

/* Answers what lmtp_next asked: "250 2.1.5 Ok". A 2xx to LMTP_RCPT makes it a recipient. */
void lmtp_answer(struct lmtp *lmtp, const char *reply);

/* "421 4.3.2 …", and the session is over. */
void lmtp_close(struct lmtp *lmtp, const char *reply);

/* An address without the quotes and backslashes of its local part, as a policy request has it. */
void lmtp_unquote(const char *address, struct buf *out);

#endif
