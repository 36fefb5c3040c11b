/*
 * submit_private - what the conversation (submit.c) and the connection below it (submit_wire.c)
 * share; nobody else includes it
 */
#ifndef ROLLCALL_SUBMIT_PRIVATE_H
#define ROLLCALL_SUBMIT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "submit.h"

/* A connection to a mail server, up to its answer to EHLO libcurl's work, then ours. Times are
 * elapsed ones. */
struct wire {
    void *curl; /* NULL: not connected */
    struct conf_address address;
    char helo[256];
    int64_t connect_us, response_us, timeout_us;
    bool pipelining, smtputf8; /* the server offers it (RFC 2920, RFC 6531) */
    int code;                  /* of the server's last answer while it was connected, 0: none */
    char line[512];            /* its text, printable */
    char why[256];             /* what went wrong last, for people */
    char in[4096];
    size_t in_at, in_len;
};

/* ERR_CONFIG: the server's address cannot be understood. Makes no connection yet. */
bool wire_begin(struct wire *wire, const struct submit_options *options,
                struct err *err) MUST_CHECK;
/* False: code and line if the server refused, else why. */
bool wire_connect(struct wire *wire) MUST_CHECK;
/* Nothing but our commands is on it: the server has neither closed it nor said good-bye. */
bool wire_is_quiet(struct wire *wire);
bool wire_send(struct wire *wire, const void *bytes, size_t len, int64_t deadline_us) MUST_CHECK;
/* The next line, without its end; valid until the next call. */
bool wire_line(struct wire *wire, struct span *line, int64_t deadline_us) MUST_CHECK;
void wire_quit(struct wire *wire); /* between two messages */
void wire_cut(struct wire *wire);  /* without another word: what was begun is not ended */

#endif
