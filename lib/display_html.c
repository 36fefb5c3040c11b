/* display_html - what a reader would see of an HTML text; see display.h
 *
 * No parser of HTML: it leaves out what stands between angle brackets and ends lines where blocks
 * end. It is for a preview, and nothing depends on its being right. */
#include "display.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const unseen[] = {"script",   "style",    "head", "title",
                                     "template", "noscript", NULL};
static const char *const blocks[] = {"p",  "div",   "br",         "tr", "li",  "ul",
                                     "ol", "table", "blockquote", "h1", "h2",  "h3",
                                     "h4", "h5",    "h6",         "hr", "pre", NULL};
static const struct {
    const char *name, *text;
} references[] = {
    {"amp", "&"},
    {"lt", "<"},
    {"gt", ">"},
    {"quot", "\""},
    {"apos", "'"},
    {"nbsp", " "},
    {"euro", "\xe2\x82\xac"},
    {"ndash", "\xe2\x80\x93"},
    {"mdash", "\xe2\x80\x94"},
    {"hellip", "\xe2\x80\xa6"},
    {"copy", "\xc2\xa9"},
    {"auml", "\xc3\xa4"},
    {"ouml", "\xc3\xb6"},
    {"uuml", "\xc3\xbc"},
    {"szlig", "\xc3\x9f"},
    {"eacute", "\xc3\xa9"},
};

struct reader {
    struct span rest;
    struct buf *out;
    size_t start, most;
    bool blank, fresh; /* a blank is owed; nothing stands on this line yet */
};

static void skip(struct reader *r, size_t count)
{
    r->rest = span_of(r->rest.at + count, r->rest.len - count);
}

static bool is_one_of(struct span name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strlen(*names) == name.len && strncasecmp(*names, name.at, name.len) == 0)
            return true;
    return false;
}

static void put(struct reader *r, const char *text, size_t len)
{
    if (r->blank && !r->fresh)
        buf_text(r->out, " ");
    r->blank = r->fresh = false;
    buf_append(r->out, text, len);
}

static void end_line(struct reader *r)
{
    if (!r->fresh)
        buf_text(r->out, "\n");
    r->fresh = true;
    r->blank = false;
}

/* Behind `end`, or the end of everything. */
static void skip_to(struct reader *r, const char *end)
{
    const char *found = memmem(r->rest.at, r->rest.len, end, strlen(end));

    skip(r, found != NULL ? (size_t)(found - r->rest.at) + strlen(end) : r->rest.len);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* To "</name", which stays. */
static void skip_element(struct reader *r, struct span name)
{
    while (r->rest.len > 0) {
        const char *open = memchr(r->rest.at, '<', r->rest.len);
        if (open == NULL) {
            skip(r, r->rest.len);
            return;
        }
        skip(r, (size_t)(open - r->rest.at));
        if (r->rest.len > name.len + 1 && r->rest.at[1] == '/' &&
            strncasecmp(r->rest.at + 2, name.at, name.len) == 0)
            return;
        skip(r, 1);
    }
}

static void take_tag(struct reader *r)
{
    if (r->rest.len >= 4 && memcmp(r->rest.at, "<!--", 4) == 0) {
        skip(r, 4);
        skip_to(r, "-->");
        return;
    }
    size_t at = r->rest.len > 1 && r->rest.at[1] == '/' ? 2 : 1, end = at;
    while (end < r->rest.len && is_letter(r->rest.at[end]))
        end++;
    struct span name = span_of(r->rest.at + at, end - at);
    if (name.len == 0 && at == 1 &&
        (r->rest.len == 1 || (r->rest.at[1] != '!' && r->rest.at[1] != '?'))) {
        put(r, "<", 1); /* a sign, no tag */
        skip(r, 1);
        return;
    }
    skip_to(r, ">");
    if (is_one_of(name, blocks))
        end_line(r);
    if (at == 1 && is_one_of(name, unseen))
        skip_element(r, name);
}

static void put_code_point(struct reader *r, unsigned long c)
{
    char utf8[4];
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        c = 0xfffd, len = 3;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        utf8[i] = (char)(0x80 | (c & 0x3f));
    utf8[0] = (char)(leads[len] | c);
    put(r, utf8, len);
}

static void take_reference(struct reader *r)
{
    enum { LONGEST = 12 };
    size_t most = r->rest.len < LONGEST ? r->rest.len : LONGEST;
    const char *end = memchr(r->rest.at, ';', most);
    char name[LONGEST];

    if (end != NULL) {
        snprintf(name, sizeof name, "%.*s", (int)(end - r->rest.at - 1), r->rest.at + 1);
        size_t used = (size_t)(end - r->rest.at) + 1;
        if (name[0] == '#') {
            bool hex = name[1] == 'x' || name[1] == 'X';
            put_code_point(r, strtoul(name + (hex ? 2 : 1), NULL, hex ? 16 : 10));
            skip(r, used);
            return;
        }
        for (size_t i = 0; i < sizeof references / sizeof references[0]; i++)
            if (strcmp(references[i].name, name) == 0) {
                put(r, references[i].text, strlen(references[i].text));
                skip(r, used);
                return;
            }
    }
    put(r, "&", 1);
    skip(r, 1);
}

void display_html_text(struct buf *out, struct span html, size_t most)
{
    struct reader r = {.rest = html, .out = out, .start = out->len, .most = most, .fresh = true};

    buf_text(out, "");
    while (r.rest.len > 0 && out->len - r.start < most) {
        char c = r.rest.at[0];
        if (c == '<') {
            take_tag(&r);
        } else if (c == '&') {
            take_reference(&r);
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            r.blank = true;
            skip(&r, 1);
        } else {
            size_t len = str_utf8_sequence(r.rest);
            put(&r, r.rest.at, len > 0 ? len : 1);
            skip(&r, len > 0 ? len : 1);
        }
    }
}
