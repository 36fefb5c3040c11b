/*
 * picture - which kind of picture some bytes are (pure)
 *
 * Only kinds that hold nothing but a picture: no SVG, which may hold a script.
 */
#ifndef ROLLCALL_PANEL_PICTURE_H
#define ROLLCALL_PANEL_PICTURE_H

#include <stdbool.h>

#include "lib/str.h"

enum { PICTURE_MOST = 256 * 1024 }; /* octets */

struct picture_kind {
    const char *ending, *type; /* "png", "image/png" */
};
/* By how it begins and ends; NULL: none that is taken. */
const struct picture_kind *picture_kind_of(struct span bytes);
/* By the ending of its name; NULL: none. */
const struct picture_kind *picture_kind_named(const char *name);

/* RFC 4648 section 4. */
void picture_to_base64(struct span bytes, struct buf *out);

void picture_to_hex(struct span bytes, struct buf *out);
/* False: no hexadecimal text. */
bool picture_from_hex(struct span text, struct buf *out);

#endif
