/*
 * submit - hands messages over by SMTP, over a connection that stays open (libcurl, in submit_wire)
 *
 * What happened is told in four words, because the caller must do four different things: it was
 * taken; it was not and may be later; it never will be; or nobody can know (the connection broke
 * after the last byte and before the answer), and sending it again may make it two.
 *
 * A handle is used by one thread. Nothing of the surroundings (proxies, ~/.netrc) has a say.
 */
#ifndef ROLLCALL_SUBMIT_H
#define ROLLCALL_SUBMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

struct submit;

struct submit_options {
    const char *server;  /* "inet:host:port" or "unix:/path", as conf_parse_address takes it */
    const char *helo;    /* how we call ourselves; NULL or "": the host name */
    int64_t connect_us;  /* for the connection to come about */
    int64_t response_us; /* for each answer of the server */
    int64_t timeout_us;  /* for a whole message */
};

/* Makes no connection yet. ERR_CONFIG for a server that cannot be understood. */
bool submit_open(struct submit **submit, const struct submit_options *options,
                 struct err *err) MUST_CHECK;
void submit_close(struct submit **submit); /* says QUIT; nulls; NULL allowed */
/* Nothing is to be sent for a while: says QUIT, so that the server need not keep a process for us.
 * The next message makes a new connection. */
void submit_rest(struct submit *submit);

/* Puts up to `room` bytes at `out`; *got 0 is the end. False: it cannot be read on; then the server
 * does not get the message. Never called again after either. */
typedef bool submit_read_fn(void *context, char *out, size_t room, size_t *got);

struct submit_message {
    const char *sender; /* envelope; "" is the null reverse-path */
    const char *const *recipients;
    size_t recipient_count;
    bool smtputf8;        /* RFC 6531, whatever the addresses are */
    struct span head;     /* sent first, in CRLF lines: trace headers; may be empty */
    struct span body;     /* then this, */
    submit_read_fn *read; /* then what this gives; NULL: nothing */
    void *context;
    const char *next_sender, *next_recipient; /* of the message that comes right after, if known */
};

enum submit_outcome {
    SUBMIT_SENT,      /* the server has taken it for all recipients */
    SUBMIT_TEMPORARY, /* it has not */
    SUBMIT_PERMANENT, /* it has not and will not */
    SUBMIT_UNKNOWN,   /* everything was sent, the answer did not come */
};

struct submit_result {
    enum submit_outcome outcome;
    int code;        /* the server's last answer to this message: 250, 451, …; 0: none */
    char status[16]; /* its enhanced status code (RFC 3463), or "" */
    char text[512];  /* for people: its text or what went wrong; printable */
};

/*
 * Submits one message to all its recipients or to none. It arrives byte for byte, but that a line
 * ends with CRLF, whatever it ended with before: SMTP has no other ends of lines (RFC 5321
 * section 2.3.8), and servers that know others can be made to see commands in a message. Returns
 * result->outcome.
 *
 * Addresses are local@domain, the local part quoted where it has to be (addr_format). SMTPUTF8 is
 * asked for when one of them is not ASCII. An address with a control character or angle bracket is
 * refused here (permanent).
 */
enum submit_outcome submit_send(struct submit *submit, const struct submit_message *message,
                                struct submit_result *result) MUST_CHECK;

#endif
