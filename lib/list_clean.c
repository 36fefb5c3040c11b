/*
 * list_clean - text as people see it (pure); see list_private.h
 *
 * What is copied out of web pages, spreadsheets and word processors carries no-break spaces,
 * zero-width characters, direction marks, typographic quotes and full-width signs. Nobody sees
 * them, and an address that holds one is an address that no mail will ever be sent to.
 */
#include <string.h>
#include <strings.h>

#include "list_private.h"

bool span_starts(struct span s, const char *prefix)
{
    size_t len = strlen(prefix);

    return s.len >= len && strncasecmp(s.at, prefix, len) == 0;
}

bool list_looks_address(struct span s)
{
    const char *at = s.len > 0 ? memchr(s.at, '@', s.len) : NULL;

    if (at == NULL || at == s.at || at + 1 == s.at + s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '\0' || strchr(" \t,;|<>()\"", c) != NULL || (c == '@' && s.at + i != at))
            return false;
    }
    return true;
}

bool list_next_line(struct span *rest, struct span *line)
{
    size_t end = 0;

    if (rest->len == 0)
        return false;
    while (end < rest->len && rest->at[end] != '\n' && rest->at[end] != '\r')
        end++;
    *line = span_of(rest->at, end);
    if (end < rest->len)
        end += rest->at[end] == '\r' && end + 1 < rest->len && rest->at[end + 1] == '\n' ? 2 : 1;
    *rest = span_of(rest->at + end, rest->len - end);
    return true;
}

static uint32_t code_point(const char *at, size_t len)
{
    const unsigned char *p = (const unsigned char *)at;
    uint32_t c = len == 1 ? p[0] : len == 2 ? p[0] & 0x1fU : len == 3 ? p[0] & 0x0fU : p[0] & 7U;

    for (size_t i = 1; i < len; i++)
        c = c << 6 | (p[i] & 0x3fU);
    return c;
}

struct range {
    uint32_t first, last;
};

static bool within(const struct range *ranges, size_t count, uint32_t c)
{
    for (size_t i = 0; i < count; i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return false;
}

#define WITHIN(ranges, c) within(ranges, sizeof(ranges) / sizeof((ranges)[0]), c)

/* White space of Unicode, without the tab, which separates cells. */
static const struct range blanks[] = {
    {'\n', '\r'},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
};

/* Soft hyphens, zero-width spaces, byte order marks, direction marks. U+200C and U+200D stay: some
 * scripts need them. */
static const struct range unseen[] = {
    {0xad, 0xad},     {0x61c, 0x61c},   {0x180e, 0x180e}, {0x200b, 0x200b}, {0x200e, 0x200f},
    {0x202a, 0x202e}, {0x2060, 0x2064}, {0x2066, 0x2069}, {0xfeff, 0xfeff},
};

static const struct range bullets[] = {
    {0x2022, 0x2023}, {0x2043, 0x2043}, {0x2219, 0x2219},
    {0x25aa, 0x25ab}, {0x25cf, 0x25cf}, {0x25e6, 0x25e6},
};

/* The ASCII sign that a character stands for, or 0. */
static char plain_sign(uint32_t c)
{
    switch (c) {
    case 0xab: /* « » “ ” „ ‟ */
    case 0xbb:
    case 0x201c:
    case 0x201d:
    case 0x201e:
    case 0x201f:
        return '"';
    case 0x2018: /* ‘ ’ ‚ ‛ */
    case 0x2019:
    case 0x201a:
    case 0x201b:
        return '\'';
    case 0x2039: /* ‹ › */
        return '<';
    case 0x203a:
        return '>';
    case 0x60c: /* Arabic and ideographic comma */
    case 0x3001:
        return ',';
    case 0x61b: /* Arabic semicolon */
        return ';';
    case 0x3002: /* ideographic full stop */
        return '.';
    case 0xfe6b: /* small commercial at */
        return '@';
    default:
        if (c >= 0xff01 && c <= 0xff5e) /* full-width ASCII */
            return (char)(c - 0xff01 + '!');
        return WITHIN(blanks, c) || WITHIN(bullets, c) ? ' ' : '\0';
    }
}

static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c >= 0x80 || (c >= '\n' && c <= '\r'))
            return false;
    }
    return true;
}

struct span list_clean(struct span s, struct buf *room)
{
    if (is_plain(s))
        return s;
    buf_clear(room);
    buf_text(room, "");
    while (s.len > 0) {
        size_t n = str_utf8_sequence(s), step = n == 0 ? 1 : n;
        uint32_t c = n == 0 ? 0 : code_point(s.at, n);
        char plain = n == 0 ? '\0' : plain_sign(c);

        if (plain != '\0')
            buf_append(room, &plain, 1);
        else if (n == 0 || !WITHIN(unseen, c))
            buf_append(room, s.at, step);
        s = span_of(s.at + step, s.len - step);
    }
    return span_of(room->at, room->len);
}

/* C0, DEL and C1. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

bool list_clean_name(struct span name, struct buf *out)
{
    bool gap = false;

    buf_clear(out);
    buf_text(out, "");
    while (name.len > 0) {
        size_t n = str_utf8_sequence(name);
        if (n == 0)
            return false;
        uint32_t c = code_point(name.at, n);
        if (c == ' ' || c == '\t' || WITHIN(blanks, c))
            gap = true;
        else if (!is_control(c) && !WITHIN(unseen, c)) {
            if (gap && out->len > 0)
                buf_append(out, " ", 1);
            gap = false;
            buf_append(out, name.at, n);
        }
        name = span_of(name.at + n, name.len - n);
    }
    return out->len <= ROLL_NAME_MAX;
}
