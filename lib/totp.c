/* totp - see totp.h */
#include "totp.h"

#include <nettle/hmac.h>
#include <stdio.h>
#include <string.h>

void totp_secret_text(const uint8_t secret[TOTP_SECRET], char out[TOTP_SECRET_TEXT + 1])
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    for (size_t i = 0; i < TOTP_SECRET_TEXT; i++) {
        size_t bit = i * 5, byte = bit / 8, shift = bit % 8;
        unsigned pair = (unsigned)secret[byte] << 8;
        if (byte + 1 < TOTP_SECRET)
            pair |= secret[byte + 1];
        out[i] = letters[pair >> (11 - shift) & 31];
    }
    out[TOTP_SECRET_TEXT] = '\0';
}

/* RFC 4226 section 5.3. */
void totp_code(const uint8_t secret[TOTP_SECRET], int64_t step, char out[TOTP_DIGITS + 1])
{
    struct hmac_sha1_ctx hmac;
    uint8_t message[8], digest[SHA1_DIGEST_SIZE];

    for (int i = 0; i < 8; i++)
        message[i] = (uint8_t)((uint64_t)step >> (56 - 8 * i));
    hmac_sha1_set_key(&hmac, TOTP_SECRET, secret);
    hmac_sha1_update(&hmac, sizeof message, message);
    hmac_sha1_digest(&hmac, sizeof digest, digest);
    const uint8_t *at = digest + (digest[SHA1_DIGEST_SIZE - 1] & 15);
    uint32_t number =
        ((uint32_t)at[0] & 0x7f) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    snprintf(out, TOTP_DIGITS + 1, "%06u", (unsigned)(number % 1000000));
}

/* The digits of what was typed; false unless there are exactly six and blanks. */
static bool take_digits(struct span typed, char out[TOTP_DIGITS + 1])
{
    size_t count = 0;

    for (size_t i = 0; i < typed.len; i++) {
        if (typed.at[i] == ' ')
            continue;
        if (typed.at[i] < '0' || typed.at[i] > '9' || count == TOTP_DIGITS)
            return false;
        out[count++] = typed.at[i];
    }
    out[count] = '\0';
    return count == TOTP_DIGITS;
}

static bool same(const char a[TOTP_DIGITS], const char b[TOTP_DIGITS])
{
    int difference = 0;

    for (size_t i = 0; i < TOTP_DIGITS; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

int64_t totp_match(const uint8_t secret[TOTP_SECRET], struct span typed, int64_t seconds,
                   int64_t last)
{
    char digits[TOTP_DIGITS + 1], code[TOTP_DIGITS + 1];
    int64_t now = seconds / TOTP_STEP, found = -1;

    if (!take_digits(typed, digits))
        return -1;
    for (int64_t step = now - 1; step <= now + 1; step++) {
        totp_code(secret, step, code);
        if (step > last && same(code, digits))
            found = step;
    }
    return found;
}
