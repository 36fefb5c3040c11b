/*
 * sender - patterns of sender rules: which there are, and which of them match an address (pure)
 *
 * "a@example.com", "example.com" (exactly that domain), "*.example.com" (what is below it). Local
 * parts compare without case, domains as A-labels.
 */
#ifndef ROLLCALL_SENDER_H
#define ROLLCALL_SENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "addr.h"
#include "err.h"
#include "str.h"

enum { SENDER_PATTERN_MOST = ADDR_TEXT_MAX };

/* Normalises a pattern as a person writes it, also "@example.com"; ERR_DATA saying why it is none.
 */
bool sender_pattern_parse(struct span text, char out[SENDER_PATTERN_MOST + 1],
                          struct err *err) MUST_CHECK;

/* Calls `pattern` for each that would match the address, the narrowest first; none for what is no
 * address. */
typedef void sender_pattern_fn(void *context, const char *pattern);
void sender_patterns(const char *address, sender_pattern_fn *pattern, void *context);

#endif
