/*
 * template - HTML from templates and data; everything from outside is escaped, by where it stands
 * (pure)
 *
 *     {{name}} {{user.name}} {{.}}       a value: in text, in a quoted attribute, in a URL
 *     {{_ Delete {name} }}               words for people, translated, with values in them
 *     {{w state}}                        a value that is a word of ours (t/words.py), translated
 *     {{n count|one user|{count} users}} the same by number
 *     {{#if name}} {{#if name=text}} {{#unless …}} {{else}} {{/if}} {{/unless}}
 *     {{#each list}} … {{else}} nothing in it {{/each}}   {{#with map}} … {{/with}}
 *     {{> part}} {{> part name}}         another template, in place; with that map around it
 *     {{! a comment }}
 *
 * Compiling follows the HTML and refuses a value where escaping would not make it safe: in a script
 * or style, in the name of a tag or attribute, in an attribute without quotes, in an event handler.
 * A name is looked for in the innermost map first, then outwards; what is not there is empty.
 */
#ifndef ROLLCALL_PANEL_TEMPLATE_H
#define ROLLCALL_PANEL_TEMPLATE_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"
#include "panel/data.h"

/* Finds the text of a part; false: there is none. */
typedef bool template_source_fn(void *context, struct span name, struct span *text);

struct template;
bool template_compile(struct template **template, struct span text, template_source_fn *source,
                      void *context, struct err *err) MUST_CHECK;
void template_free(struct template **template);

/* Words in the reader's language; `many` NULL: no number is in it. Returns what it was given when
 * it knows nothing better. */
typedef const char *template_words_fn(const void *context, const char *one, const char *many,
                                      int64_t number);
struct template_words {
    template_words_fn *translate; /* NULL: as written */
    const void *context;
};

void template_render(const struct template *template, const struct data *data,
                     const struct template_words *words, struct buf *out);

/* Words with {name} in them, filled from a map, as they are: for what becomes a value itself. */
void template_fill(struct buf *out, const char *words, const struct data *values);

/* The places a value may stand. */
enum template_place { PLACE_TEXT, PLACE_ATTRIBUTE, PLACE_URL, PLACE_URL_PART, PLACE_NOWHERE };
/* Appends a value so that it stays one. PLACE_URL: a whole address; any but http, https, mailto and
 * otpauth becomes "#". PLACE_NOWHERE: as it is, for what is not HTML yet. */
void template_escape(struct buf *out, enum template_place place, struct span value);

/* ---- for template.c and template_html.c ---- */

enum { TEMPLATE_DEPTH = 16 };

/* Where in the HTML the compiler is. */
struct template_html {
    enum {
        HTML_TEXT,
        HTML_OPEN, /* behind '<' */
        HTML_NAME,
        HTML_TAG,
        HTML_ATTRIBUTE,
        HTML_EQUALS,
        HTML_VALUE,
        HTML_BARE,
        HTML_COMMENT,
        HTML_RAW, /* script, style */
    } state;
    char quote;
    char name[24];      /* of the tag */
    char attribute[24]; /* of the attribute */
    size_t seen;        /* how much of the name, the attribute, or the value has been read */
};
void template_html_follow(struct template_html *html, struct span text);
/* Before something in braces: what is written so far is settled. */
void template_html_settle(struct template_html *html);
/* Where a value would stand; false with the reason. */
bool template_html_place(const struct template_html *html, enum template_place *place,
                         struct err *err) MUST_CHECK;
/* Two ways to here that have to be one. */
bool template_html_join(struct template_html *html, const struct template_html *other) MUST_CHECK;

#endif
