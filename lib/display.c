/* display - see display.h */
#include "display.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS    "\xe2\x80\xa6" /* U+2026 */

struct range {
    uint32_t first, last;
};

/* Unicode 15: controls, format characters that hide or reorder, separators, fillers that look like
 * nothing, variation selectors beyond emoji's, private use, tags, noncharacters. */
static const struct range harmful[] = {
    {0x00, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},     {0x61c, 0x61c},
    {0x115f, 0x1160},    {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},   {0x2028, 0x202e},
    {0x2060, 0x206f},    {0x3164, 0x3164}, {0xe000, 0xf8ff}, {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},
    {0xffa0, 0xffa0},    {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff},
    {0xf0000, 0x10ffff},
};

static uint32_t decode(struct span s, size_t len)
{
    static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (uint8_t)s.at[0] & masks[len];

    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((uint8_t)s.at[i] & 0x3f);
    return c;
}

static bool is_harmful(uint32_t c)
{
    for (size_t i = 0; i < sizeof harmful / sizeof harmful[0]; i++)
        if (c >= harmful[i].first && c <= harmful[i].last)
            return true;
    return false;
}

/* The next character: its bytes, or U+FFFD for what is harmful or malformed; moves on. */
static struct span next_character(struct span *rest)
{
    size_t len = str_utf8_sequence(*rest);
    struct span character = span_of(rest->at, len > 0 ? len : 1);
    bool bad = len == 0 || is_harmful(decode(character, len));

    *rest = span_of(rest->at + character.len, rest->len - character.len);
    return bad ? span_text(REPLACEMENT) : character;
}

/* How many bytes from here are ASCII from `least` on: most text is, and needs no closer look. */
static size_t plain_run(struct span text, char least, size_t most)
{
    size_t len = 0;

    while (len < text.len && len <= most && text.at[len] >= least && text.at[len] < 0x7f)
        len++;
    return len;
}

/* Appends the next run of plain text (from `least` on), or the next character. */
static void put_next(struct buf *out, struct span *rest, char least, size_t most)
{
    size_t len = plain_run(*rest, least, most);
    struct span piece = span_of(rest->at, len);

    if (len > 0)
        *rest = span_of(rest->at + len, rest->len - len);
    else
        piece = next_character(rest);
    buf_append(out, piece.at, piece.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes back what is beyond `most` bytes behind `start`, whole characters, and says so. */
static void cut(struct buf *out, size_t start, size_t most)
{
    size_t end = start + (most > strlen(ELLIPSIS) ? most - strlen(ELLIPSIS) : 0);

    if (out->len - start <= most)
        return;
    while (end > start && ((uint8_t)out->at[end] & 0xc0) == 0x80)
        end--;
    out->len = end;
    out->at[end] = '\0';
    buf_text(out, ELLIPSIS);
}

void display_line(struct buf *out, struct span text, size_t most)
{
    size_t start = out->len;
    bool blank = false;

    buf_text(out, "");
    while (text.len > 0 && out->len - start <= most) {
        if (is_blank(text.at[0])) {
            blank = out->len > start;
            text = span_of(text.at + 1, text.len - 1);
            continue;
        }
        if (blank)
            buf_text(out, " ");
        blank = false;
        put_next(out, &text, '!', most);
    }
    cut(out, start, most);
}

void display_text(struct buf *out, struct span text, size_t most)
{
    size_t start = out->len;

    buf_reserve(out, text.len < most ? text.len : most);
    buf_text(out, "");
    while (text.len > 0 && out->len - start <= most) {
        char c = text.at[0];
        if (c == '\r' || c == '\n' || c == '\t') {
            size_t used = c == '\r' && text.len > 1 && text.at[1] == '\n' ? 2 : 1;
            buf_text(out, c == '\t' ? "\t" : "\n");
            text = span_of(text.at + used, text.len - used);
            continue;
        }
        put_next(out, &text, ' ', most);
    }
    cut(out, start, most);
}

void display_markup(struct buf *out, struct span html, size_t most)
{
    size_t start = out->len;

    buf_text(out, "");
    while (html.len > 0) {
        size_t len = html.at[0] != '\0' ? str_utf8_sequence(html) : 0;
        struct span character = len > 0 ? span_of(html.at, len) : span_text(REPLACEMENT);
        if (out->len - start + character.len > most)
            return;
        buf_append(out, character.at, character.len);
        size_t used = len > 0 ? len : 1;
        html = span_of(html.at + used, html.len - used);
    }
}

static bool is_plain_domain(struct span domain)
{
    for (size_t i = 0; i < domain.len; i++)
        if ((uint8_t)domain.at[i] >= 0x80)
            return false;
    return domain.len < 4 || memmem(domain.at, domain.len, "xn--", 4) == NULL;
}

void display_address(struct buf *out, struct span address, size_t most)
{
    const char *at = address.len > 0 ? memrchr(address.at, '@', address.len) : NULL;
    char ascii[ADDR_DOMAIN_MAX + 1];
    size_t ascii_len;
    struct err err;

    display_line(out, address, most);
    if (at == NULL)
        return;
    struct span domain = span_of(at + 1, (size_t)(address.at + address.len - at) - 1);
    if (is_plain_domain(domain))
        return;
    if (addr_parse_domain(domain, ascii, &ascii_len, &err))
        buf_printf(out, " (%s)", ascii);
    else
        buf_text(out, " (no valid domain)");
}
