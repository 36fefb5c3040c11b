/*
 * totp - one-time codes of a second factor (RFC 6238 with HMAC-SHA-1, six digits, 30 seconds, as
 * authenticator apps have them); pure; the only user of nettle
 */
#ifndef ROLLCALL_TOTP_H
#define ROLLCALL_TOTP_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

enum { TOTP_SECRET = 20, TOTP_SECRET_TEXT = 32, TOTP_DIGITS = 6, TOTP_STEP = 30 /* seconds */ };

/* RFC 4648 base 32, as apps take it by hand. */
void totp_secret_text(const uint8_t secret[TOTP_SECRET], char out[TOTP_SECRET_TEXT + 1]);
/* The code of a step (seconds since 1970 divided by TOTP_STEP). */
void totp_code(const uint8_t secret[TOTP_SECRET], int64_t step, char out[TOTP_DIGITS + 1]);
/*
 * The step whose code was typed, blanks within allowed: the present one, or a neighbour for clocks
 * that differ; only later ones than `last`, so that a code works once. -1: none.
 */
int64_t totp_match(const uint8_t secret[TOTP_SECRET], struct span typed, int64_t seconds,
                   int64_t last);

#endif
