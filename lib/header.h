/*
 * header - the fields of a message's header as they stand (pure)
 *
 * Takes what comes: lines end with CRLF or LF, a line that is no field and continues none is passed
 * over. Nothing is decoded (lib/mime does that).
 */
#ifndef ROLLCALL_HEADER_H
#define ROLLCALL_HEADER_H

#include <stdbool.h>

#include "str.h"

struct header_field {
    struct span name;  /* without the colon and blanks before it */
    struct span value; /* behind the colon, with its folds, without the last end of line */
};

/* The header of a message: up to the empty line, which does not belong to it, or all. */
struct span header_of(struct span message);
/* The next field; false at the end. */
bool header_next(struct span *rest, struct header_field *field);
/* The first field of that name, whatever its case; false when there is none. */
bool header_find(struct span header, const char *name, struct span *value) MUST_CHECK;
/* Appends a value on one line: folds become blanks, none at the ends. At most `most` bytes. */
void header_unfold(struct buf *out, struct span value, size_t most);

#endif
