/*
 * link: a signed link says what was signed until it expires, and nothing else is one. Catches a
 * signature that leaves out a field, a link that outlives its time, and links in mails of older
 * versions that open no more.
 */
#include "lib/link.h"

#include <string.h>

#include "tap.h"

static const uint8_t key[SECRET_KEY] = "0123456789abcdef0123456789abcdef"
                                       "";
static const uint8_t other[SECRET_KEY] = {1};

static void check_round(void)
{
    char text[LINK_TEXT + 1], again[LINK_TEXT + 1];
    struct link made = {LINK_RELEASE, 1234567890123, 7, 2000000000}, back = {0};

    link_sign(&made, key, text);
    is_int(strlen(text), LINK_TEXT, "its length");
    ok(link_open(span_text(text), 1999999999, key, &back), "opened");
    ok(back.action == made.action && back.recipient == made.recipient && back.user == made.user &&
           back.expires == made.expires,
       "the same");
    ok(!link_open(span_text(text), 2000000000, key, &back), "not when it has expired");
    ok(!link_open(span_text(text), 1, other, &back), "not under another key");
    link_sign(&made, key, again);
    is_text(text, again, "signed again it is the same");
    made.action = LINK_SHOW;
    link_sign(&made, key, again);
    ok(strcmp(text, again) != 0, "another action is another link");
}

/* What was signed stays: made by Python's hashlib.blake2b, the key's and then the link's. */
static void check_kept(void)
{
    static const char text[] = "AgAAAR9x-wTLAAAAAAAAAAcAAAAAdzWUAGH6ki_OmDjz08VdxzYv9Jc";
    char again[LINK_TEXT + 1];
    uint8_t own[SECRET_KEY];
    const struct link made = {LINK_RELEASE, 1234567890123, 7, 2000000000};

    memcpy(own, key, sizeof own);
    link_key(own);
    link_sign(&made, own, again);
    is_text(again, text, "signed with the key of links as ever");
}

/* Every single character changed, and every length. */
static void check_altered(void)
{
    char text[LINK_TEXT + 2];
    struct link made = {LINK_BLOCK, 5, 6, INT64_MAX}, back;
    int opened = 0;

    link_sign(&made, key, text);
    for (size_t i = 0; i < LINK_TEXT; i++) {
        char was = text[i];
        for (int c = 1; c < 256; c++) {
            text[i] = (char)c;
            opened += text[i] != was && link_open(span_text(text), 0, key, &back);
        }
        text[i] = was;
    }
    for (size_t len = 0; len < LINK_TEXT; len++)
        opened += link_open(span_of(text, len), 0, key, &back);
    text[LINK_TEXT] = 'A';
    opened += link_open(span_of(text, LINK_TEXT + 1), 0, key, &back);
    is_int(opened, 0, "altered ones that open");
    ok(link_open(span_of(text, LINK_TEXT), 0, key, &back), "unaltered it does");
    made.action = LINK_ACTIONS;
    link_sign(&made, key, text);
    ok(!link_open(span_of(text, LINK_TEXT), 0, key, &back), "an action that does not exist");
}

static void check_escape(void)
{
    BUF_AUTO out = {0};

    link_escape(&out, "a.b+c@x.example");
    is_text(out.at, "a.b%2Bc%40x.example", "an address");
    buf_clear(&out);
    link_escape(&out, "\"<>&'%\n\xc3\xbc");
    is_text(out.at, "%22%3C%3E%26%27%25%0A%C3%BC", "everything else");
}

int main(void)
{
    secret_init();
    check_round();
    check_kept();
    check_altered();
    check_escape();
    return tap_done();
}
