/* display_html - what a reader would see of an HTML text; see display.h
 *
 * No parser of HTML: it leaves out what stands between angle brackets and ends lines where blocks
 * end. It is for a preview, and nothing depends on its being right: of what is between the brackets
 * only names of a list of ours come out again, so a browser that reads it otherwise still finds
 * nothing but text and these. */
#include "display.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mail.h"

enum { TAG_MOST = 2048 /* bytes in which a quotation ends */, TARGET_MOST = 300 };

static const char *const unseen[] = {"script", "style",  "title",  "template", "noscript", "iframe",
                                     "object", "svg",    "math",   "noframes", "noembed",  "audio",
                                     "video",  "canvas", "select", NULL};
/* What only arranges text; written without attributes. */
static const char *const arranging[] = {
    "p",       "div", "br", "tr",    "td",  "th",         "table",  "tbody", "thead",  "tfoot",
    "caption", "li",  "ul", "ol",    "dl",  "dt",         "dd",     "h1",    "h2",     "h3",
    "h4",      "h5",  "h6", "hr",    "pre", "blockquote", "center", "b",     "strong", "i",
    "em",      "u",   "s",  "small", "sub", "sup",        "code",   NULL};
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
    struct buf *page;  /* markup is kept there, and `out` is the text before it; NULL: text only */
    struct buf target; /* where the link that is open leads */
};

static void skip(struct reader *r, size_t count)
{
    r->rest = span_of(r->rest.at + count, r->rest.len - count);
}

/* As the list writes it; NULL: it is not there. */
static const char *one_of(struct span name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strlen(*names) == name.len && strncasecmp(*names, name.at, name.len) == 0)
            return *names;
    return NULL;
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

static void take_character(struct reader *r)
{
    size_t len = str_utf8_sequence(r->rest);

    put(r, r->rest.at, len > 0 ? len : 1);
    skip(r, len > 0 ? len : 1);
}

/* Text without tags: of an attribute. */
static void read_text(struct reader *r)
{
    while (r->rest.len > 0 && r->out->len < r->most) {
        if (r->rest.at[0] == '&')
            take_reference(r);
        else
            take_character(r);
    }
}

/* ---- markup that is kept ---- */

/* The length up to the '>' that ends the tag, past quotations that end soon. */
static size_t tag_end(struct span rest)
{
    size_t most = rest.len < TAG_MOST ? rest.len : TAG_MOST;
    char quote = '\0';

    for (size_t i = 0; i < most; i++) {
        char c = rest.at[i];
        if (quote != '\0')
            quote = c == quote ? '\0' : quote;
        else if (c == '>')
            return i;
        else if (c == '"' || c == '\'')
            quote = c;
    }
    const char *end = memchr(rest.at, '>', rest.len);
    return end != NULL ? (size_t)(end - rest.at) : rest.len;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* The next attribute's name; its value, "" without one. */
static bool next_attribute(struct span *rest, struct span *name, struct span *value)
{
    size_t at = 0, end;

    while (at < rest->len && (is_blank(rest->at[at]) || rest->at[at] == '/'))
        at++;
    for (end = at; end < rest->len && !is_blank(rest->at[end]) && rest->at[end] != '='; end++) {
    }
    *name = span_of(rest->at + at, end - at);
    *value = span_of("", 0);
    while (end < rest->len && is_blank(rest->at[end]))
        end++;
    if (end < rest->len && rest->at[end] == '=') {
        for (at = end + 1; at < rest->len && is_blank(rest->at[at]); at++) {
        }
        char quote =
            at < rest->len && (rest->at[at] == '"' || rest->at[at] == '\'') ? rest->at[at++] : '\0';
        for (end = at;
             end < rest->len && (quote != '\0' ? rest->at[end] != quote : !is_blank(rest->at[end]));
             end++) {
        }
        *value = span_of(rest->at + at, end - at);
        end += quote != '\0' && end < rest->len;
    }
    *rest = span_of(rest->at + end, rest->len - end);
    return name->len > 0 || value->len > 0;
}

/* The value of an attribute as one harmless line. */
static void read_attribute(struct span attributes, const char *wanted, struct buf *out)
{
    struct span name, value;
    BUF_AUTO text = {0};
    struct reader r = {.out = &text, .most = TAG_MOST};

    buf_clear(out);
    buf_text(out, "");
    while (next_attribute(&attributes, &name, &value))
        if (name.len == strlen(wanted) && strncasecmp(name.at, wanted, name.len) == 0) {
            r.rest = value;
            read_text(&r);
            display_line(out, span_of(text.at, text.len), TARGET_MOST);
            return;
        }
}

/* The text so far goes to the page, harmless and escaped. */
static void flush(struct reader *r)
{
    BUF_AUTO clean = {0};

    if (r->out->len == 0)
        return;
    display_text(&clean, span_of(r->out->at, r->out->len), 3 * r->out->len); /* U+FFFD has 3 */
    mail_html(r->page, clean.at);
    buf_clear(r->out);
}

static void tell_target(struct reader *r)
{
    if (r->target.len > 0) {
        buf_text(r->page, " <small>[");
        mail_html(r->page, r->target.at);
        buf_text(r->page, "]</small>");
    }
    buf_clear(&r->target);
}

static void keep_tag(struct reader *r, struct span name, struct span attributes, bool closes)
{
    static const char *const links[] = {"a", "area", NULL}, *const pictures[] = {"img", NULL};
    const char *known = one_of(name, arranging);
    BUF_AUTO words = {0};

    flush(r);
    if (known != NULL)
        buf_printf(r->page, "<%s%s>", closes ? "/" : "", known);
    if (one_of(name, links) != NULL) {
        tell_target(r);
        if (!closes)
            read_attribute(attributes, "href", &r->target);
    }
    if (one_of(name, pictures) == NULL)
        return;
    read_attribute(attributes, "alt", &words);
    if (words.len > 0) {
        buf_text(r->page, "[");
        mail_html(r->page, words.at);
        buf_text(r->page, "]");
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
    skip(r, end);
    size_t len = tag_end(r->rest);
    struct span attributes = span_of(r->rest.at, len);
    skip(r, len < r->rest.len ? len + 1 : len);
    if (r->page != NULL)
        keep_tag(r, name, attributes, at == 2);
    else if (one_of(name, blocks) != NULL)
        end_line(r);
    if (at == 1 && one_of(name, unseen) != NULL)
        skip_element(r, name);
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
        } else if (is_blank(c)) {
            r.blank = true;
            skip(&r, 1);
        } else
            take_character(&r);
    }
}

void display_safe_html(struct buf *out, struct span html, size_t most)
{
    BUF_AUTO text = {0};
    struct reader r = {.rest = html, .out = &text, .page = out};
    size_t start = out->len;

    buf_text(out, "");
    while (r.rest.len > 0 && out->len - start + text.len < most) {
        if (r.rest.at[0] == '<')
            take_tag(&r);
        else if (r.rest.at[0] == '&')
            take_reference(&r);
        else
            take_character(&r);
    }
    flush(&r);
    tell_target(&r);
    buf_free(&r.target);
}
