/*
 * when - a moment as people of a language read it (pure)
 *
 * In the order and with the separators that are usual there, with the clock of 24 hours. Whose
 * clock it is, is told by the offset, which whoever knows the zone gives: PostgreSQL in the text of
 * a timestamptz, or the C library.
 */
#ifndef ROLLCALL_WHEN_H
#define ROLLCALL_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"
#include "text.h"

struct when {
    int64_t local;  /* seconds since 1970, plus the offset */
    int32_t offset; /* local time minus GMT, in seconds */
};

enum when_style {
    WHEN_DAY,    /* 23 Nov 2026     23.11.2026 */
    WHEN_MINUTE, /* 23 Nov 2026, 19:38 */
    WHEN_EXACT,  /* 23 Nov 2026, 19:38:57 UTC+1 */
};

/* The text of a timestamptz, "2026-11-23 19:38:57.705239+01" (fractions are cut off). False: it is
 * none, or of a year that has not four digits. */
bool when_parse(struct span text, struct when *when);

void when_text(struct buf *out, enum text_language language, enum when_style style,
               struct when when);

#endif
