/*
 * mail - a message of ours as bytes: header and two alternatives, text and HTML (pure)
 *
 * Whatever stands in the fields, what comes out is one well-formed message (RFC 5322, 2045 to 2047,
 * 6532): every value stays on its own field, lines are at most 76 octets in the body and 998 in the
 * header, nothing is 8 bit but addresses that are.
 */
#ifndef ROLLCALL_MAIL_H
#define ROLLCALL_MAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

/* NULL or "": there is no such field. Texts are UTF-8; addresses as addr_format writes them. */
struct mail {
    const char *from_name, *from;
    const char *to_name, *to;
    const char *subject;
    const char *message_id; /* without angle brackets */
    int64_t date;           /* seconds since 1970 */
    const char *language;   /* RFC 5646 */
    const char *list_name, *list_id;
    const char *unsubscribe; /* a URL that takes RFC 8058's POST */
    struct span text, html;  /* html may be empty */
};

void mail_compose(struct buf *out, const struct mail *mail);

/* One field of free text: encoded where it must be, folded, on its own. */
void mail_field(struct buf *out, const char *name, const char *value);
/* Quoted-printable with CRLF; takes LF or CRLF. Ends with CRLF. */
void mail_quoted_printable(struct buf *out, struct span text);

/* HTML: the text of an element or of a quoted attribute. The one place where this is done. */
void mail_html(struct buf *out, const char *text);

#endif
