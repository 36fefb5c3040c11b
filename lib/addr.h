/*
 * addr - mail addresses: parse, normalise, format (pure)
 *
 * Two callers with two tempers. What a person or a file gives is parsed strictly, and a bad address
 * gets a reason with its RFC section. What Postfix asks about is taken as it comes: Postfix has
 * parsed it and has removed the quotes of a quoted local part; what cannot be normalised is simply
 * on nobody's roll.
 *
 * The normal form, the same for both: the local part without quotes, in Unicode NFC, lower case
 * unless the domain says otherwise; the domain as IDNA A-labels in lower case without a trailing
 * dot.
 */
#ifndef ROLLCALL_ADDR_H
#define ROLLCALL_ADDR_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "str.h"

enum {
    ADDR_LOCAL_MAX = 64,   /* octets, RFC 5321 section 4.5.3.1.1 */
    ADDR_DOMAIN_MAX = 253, /* octets without the trailing dot, RFC 1035 section 2.3.4 */
    ADDR_LABEL_MAX = 63,   /* octets, RFC 1035 section 2.3.1 */
    ADDR_TEXT_MAX = 2 * ADDR_LOCAL_MAX + 2 + 1 + ADDR_DOMAIN_MAX, /* quoted and escaped */
    ADDR_ASKED_MAX = 1024, /* longest local part or domain of a request that is looked at */
};

/* A normalised address. `local` is unquoted and not NUL-terminated by meaning, though a NUL follows
 * it. */
struct addr {
    char local[ADDR_LOCAL_MAX + 1];
    size_t local_len;
    char domain[ADDR_DOMAIN_MAX + 1];
    size_t domain_len;
};

/*
 * Parses an address as people write it: dot-atom or quoted-string local part (RFC 5321
 * section 4.1.2, RFC 6531 section 3.3 for UTF-8), no display name, no angle brackets, no source
 * route. With `fold_case` the local part is lowered. On failure fills err (ERR_DATA) with the
 * reason and the RFC section.
 */
bool addr_parse(struct span text, bool fold_case, struct addr *addr, struct err *err) MUST_CHECK;

/* Normalises a domain name, strictly, into `out` (ADDR_DOMAIN_MAX + 1 bytes). */
bool addr_parse_domain(struct span text, char *out, size_t *out_len, struct err *err) MUST_CHECK;

/* An address as Postfix's policy request brings it. */
struct addr_asked {
    struct span local; /* into the request's bytes, still with case, tag and raw UTF-8; may be
                          empty: <""@example.com> */
    char domain[ADDR_DOMAIN_MAX + 1]; /* normalised */
    size_t domain_len;
};

/*
 * Splits at the last '@' and normalises the domain, however long what stands in front of it:
 * Postfix would relay it. False when there is no '@', nothing behind it, or the domain is no domain
 * name (an address literal, bad IDNA).
 */
bool addr_split_asked(struct span text, struct addr_asked *asked) MUST_CHECK;
/*
 * Of what that does not take: the nearest parent that is a domain name, "b.c" of "a@_.b.c". To
 * Postfix "_.b.c" is a name like others, which parent_domain_matches_subdomains may relay.
 */
bool addr_split_above(struct span text, struct addr_asked *asked) MUST_CHECK;

/*
 * Normalises a local part into `out` (ADDR_LOCAL_MAX + 1 bytes). False when it cannot be on a roll:
 * empty, longer than ADDR_LOCAL_MAX, not UTF-8, a control character in it.
 */
bool addr_normal_local(struct span local, bool fold_case, char *out, size_t *out_len) MUST_CHECK;

/*
 * The local part without its tag: up to the first character that is one of `delimiters`, as
 * Postfix's recipient_delimiter. False when there is no tag or nothing in front of it, and for the
 * names that Postfix never splits (mailer-daemon, double-bounce, and with '-' owner-… and
 * …-request).
 */
bool addr_without_tag(struct span local, const char *delimiters, struct span *base) MUST_CHECK;

/* Writes local@domain, quoting the local part when it is no dot-atom; `out` has ADDR_TEXT_MAX + 1
 * bytes. Returns the length. */
size_t addr_format(const struct addr *addr, char *out);
size_t addr_format_parts(struct span local, struct span domain, char *out, size_t room);

/* The next parent of a domain name: "b.c" of "a.b.c"; false at the last label. */
bool addr_parent_domain(struct span domain, struct span *parent) MUST_CHECK;

#endif
