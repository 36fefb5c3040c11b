/*
 * category - what kind of catch a message is, and why, from the headers that the filter put (pure)
 */
#ifndef ROLLCALL_CATEGORY_H
#define ROLLCALL_CATEGORY_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"

enum category { CATEGORY_SPAM, CATEGORY_BULK, CATEGORY_VIRUS, CATEGORY_CONTENT, CATEGORIES };
extern const char *const category_names[CATEGORIES];

/* Checks the setting quarantine_rules: "CATEGORY HEADER" or "CATEGORY HEADER: BEGINNING", or
 * ": *FRAGMENT", comma-separated. */
bool category_check_rules(const char *rules, struct err *err) MUST_CHECK;
/* By the first rule that fits, else spam. `header` as header_of gives it. */
enum category category_of(const char *rules, struct span header);

/* The first of `names` (setting quarantine_reasons, comma-separated) that the header has: its value
 * as one harmless line, and the score in it. False: it has none of them; then nothing is set. */
bool category_reason(const char *names, struct span header, struct buf *reason, bool *scored,
                     double *score);

#endif
