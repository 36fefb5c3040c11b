/*
 * request - one policy request of Postfix: bytes in, spans out (pure)
 *
 * "name=value" lines, ended by an empty line (Postfix SMTPD_POLICY_README). Unknown names are
 * ignored, as new Postfix versions bring new ones; of a name that comes twice the first counts.
 * What is no request ends the connection.
 */
#ifndef ROLLCALL_REQUEST_H
#define ROLLCALL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

enum {
    REQUEST_MAX = 64 * 1024, /* bytes of one request with its empty line */
    REQUEST_ATTRIBUTES_MAX = 256,
};

/* Spans into the bytes given; at == NULL where the attribute was absent. */
struct request {
    struct span request, protocol_state, recipient;
    struct span sender, client_address;
};

enum request_outcome {
    REQUEST_COMPLETE,  /* *used bytes were taken */
    REQUEST_PARTIAL,   /* more bytes are needed */
    REQUEST_MALFORMED, /* *why says what is wrong */
};

/*
 * `bytes` begins where a request begins. `seen` bytes of it were already looked at in vain (0 at
 * first), so that a request that drips in costs no more than one that comes whole.
 */
enum request_outcome request_parse(struct span bytes, size_t seen, struct request *request,
                                   size_t *used, const char **why);

#endif
