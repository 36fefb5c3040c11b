/*
 * str - spans of bytes, growing buffers, printable text, numbers that parse whole or fail
 *
 * Nothing here knows about mail, files or settings.
 */
#ifndef ROLLCALL_STR_H
#define ROLLCALL_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Bytes that belong to somebody else; not NUL-terminated. */
struct span {
    const char *at;
    size_t len;
};

static inline struct span span_of(const char *at, size_t len)
{
    return (struct span){at, len};
}

/* The span of a C string. */
struct span span_text(const char *text);
bool span_equals(struct span a, const char *text);

/* Splits off what stands before the first `separator`; false at the end of *rest. */
bool span_next(struct span *rest, char separator, struct span *piece);
/* Without ASCII white space at both ends. */
struct span span_trim(struct span s);

/* A growing byte buffer; always NUL-terminated after the first append. Zero-initialise; release
 * with buf_free. */
struct buf {
    char *at;
    size_t len, room;
};

void buf_free(struct buf *buf);
void buf_clear(struct buf *buf);
void buf_reserve(struct buf *buf, size_t more); /* what is appended next is not copied again */
void buf_append(struct buf *buf, const void *bytes, size_t len);
/* Room for that many bytes behind what is there; whoever writes there adds them to buf->len. */
char *buf_room(struct buf *buf, size_t len);
void buf_text(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Appends text as the inside of a JSON string (RFC 8259 section 7); bytes that are not UTF-8 become
 * U+FFFD. */
void buf_json(struct buf *buf, struct span text);

#define BUF_AUTO __attribute__((cleanup(buf_free))) struct buf

/* Bytes as hexadecimal digits, two each, and a NUL behind them. */
void str_hex(char *out, const void *bytes, size_t len);

/* Releases a char * and nulls it; for __attribute__((cleanup)). */
void str_free(char **text);
#define STR_AUTO __attribute__((cleanup(str_free))) char *

/*
 * Copies `len` bytes as text for a terminal or a log: control characters, NUL and bytes that are
 * not well-formed UTF-8 become '?'. Cuts with "..." when it does not fit. Returns the length
 * written; NUL-terminated.
 */
size_t str_printable(char *out, size_t room, const char *in, size_t len);

/* Length of the UTF-8 sequence at the start of the span (RFC 3629: no overlong forms, no
 * surrogates), 0 if malformed. */
size_t str_utf8_sequence(struct span s);
bool str_utf8_valid(struct span s);

/* A decimal number and nothing else. */
bool str_int64(struct span s, int64_t *value) MUST_CHECK;

/* ASCII lower case, whatever the locale. */
static inline char str_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Single edits (insert, delete, replace) that turn a into b; for "did you mean". Cut at 64
 * characters. */
size_t str_distance(const char *a, const char *b);

/* Allocation that ends the program with a message when there is no memory. */
void *mem_alloc(size_t size);
void *mem_zero(size_t count, size_t size);
void *mem_grow(void *old, size_t size);
char *mem_text(const char *text);
char *mem_span(struct span s);
char *mem_printf(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
