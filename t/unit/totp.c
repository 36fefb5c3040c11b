/*
 * totp: the codes of RFC 6238 appendix B; a code works for a neighbouring step and only once.
 * Catches codes that no authenticator app shows, and a code that can be used again.
 */
#include "lib/totp.h"

#include "tap.h"

static const uint8_t secret[] = "12345678901234567890"; /* the RFC's */

static void check_rfc(void)
{
    static const struct {
        int64_t seconds;
        const char *code; /* the last six of the RFC's eight digits */
    } rows[] = {{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
                {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};
    char code[TOTP_DIGITS + 1], text[TOTP_SECRET_TEXT + 1];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        totp_code(secret, rows[i].seconds / TOTP_STEP, code);
        is_text(code, rows[i].code, "at %lld s", (long long)rows[i].seconds);
    }
    totp_secret_text(secret, text);
    is_text(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "the secret in base 32");
}

static void check_match(void)
{
    const int64_t now = 1234567890, step = now / TOTP_STEP;
    struct span code = span_text("005 924");

    is_int(totp_match(secret, code, now, 0), step, "the present code, with a blank in it");
    is_int(totp_match(secret, code, now, step), -1, "not a second time");
    is_int(totp_match(secret, code, now + TOTP_STEP, 0), step, "a step late");
    is_int(totp_match(secret, code, now - TOTP_STEP, 0), step, "a step early");
    is_int(totp_match(secret, code, now + 2 * TOTP_STEP, 0), -1, "two steps late is too late");
    is_int(totp_match(secret, span_text("005925"), now, 0), -1, "another code");
    is_int(totp_match(secret, span_text("05924"), now, 0), -1, "five digits");
    is_int(totp_match(secret, span_text("0059240"), now, 0), -1, "seven digits");
    is_int(totp_match(secret, span_text("00592a"), now, 0), -1, "a letter");
    is_int(totp_match(secret, span_text(""), now, 0), -1, "nothing");
}

int main(void)
{
    check_rfc();
    check_match();
    return tap_done();
}
