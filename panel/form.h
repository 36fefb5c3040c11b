/*
 * form - what a browser sends: fields of a query or a body, and one file that is not kept (pure)
 *
 * application/x-www-form-urlencoded (WHATWG URL standard, section 5.1) and multipart/form-data (RFC
 * 7578). Bytes come in pieces; fields are kept, capped in number and size; the content of a file is
 * handed on as it arrives, so that memory stays constant.
 */
#ifndef ROLLCALL_PANEL_FORM_H
#define ROLLCALL_PANEL_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/str.h"

enum {
    FORM_FIELDS_MOST = 1000,
    FORM_NAME_MOST = 100,      /* octets of a field's name */
    FORM_BYTES_MOST = 4 << 20, /* octets of all fields together, a paste included */
    FORM_HEADER_MOST = 4096,   /* octets of the headers of one part */
    FORM_BOUNDARY_MOST = 70,   /* RFC 2046 section 5.1.1 */
    FORM_FILE_NAME_MOST = 255,
};

enum form_outcome { FORM_FINE, FORM_MALFORMED, FORM_TOO_LARGE, FORM_REFUSED };

/* Takes the file of a multipart form. `begin` is told the fields that came before it. False: stop,
 * which the form then reports as FORM_REFUSED. */
struct form;
struct form_sink {
    void *context;
    bool (*begin)(void *context, const struct form *form, struct span name, struct span file_name);
    bool (*bytes)(void *context, struct span bytes);
};

struct form_field {
    char *name,
        *value; /* NUL-terminated; a value with a NUL in it, or not in UTF-8, is malformed */
    size_t len;
};
struct form {
    struct form_field *fields;
    size_t count, room, bytes;
    const char *why;       /* of an outcome other than FORM_FINE, for people */
    struct form_sink sink; /* functions may be NULL: a file is refused */
    bool has_file;
    /* the reader's own */
    enum { FORM_NONE, FORM_URLENCODED, FORM_MULTIPART } kind;
    enum { PART_PREAMBLE, PART_DELIMITER, PART_HEADERS, PART_BODY, PART_FILE, PART_END } part;
    char delimiter[FORM_BOUNDARY_MOST + 5]; /* CR LF "--" boundary */
    struct buf window;
};

/* Of a content type with its boundary; NULL: there is no body. FORM_MALFORMED: none of the two. */
enum form_outcome form_open(struct form *form, const char *content_type,
                            const struct form_sink *sink) MUST_CHECK;
enum form_outcome form_feed(struct form *form, struct span bytes) MUST_CHECK;
enum form_outcome form_end(struct form *form) MUST_CHECK;
void form_free(struct form *form);
/* A query, or any text in that form, at once. */
enum form_outcome form_query(struct form *form, struct span text) MUST_CHECK;

/* The first value of that name, without a CR before each LF; "" when there is none. */
const char *form_value(const struct form *form, const char *name);
bool form_has(const struct form *form, const char *name);

/* "%41" becomes "A", in place; false: a '%' without its digits, a NUL, or no UTF-8. `plus`: '+' is
 * a blank. */
bool form_decode(char *text, size_t *len, bool plus) MUST_CHECK;

#endif
