/*
 * display - strangers' text made harmless to look at (pure)
 *
 * What comes out is well-formed UTF-8 without anything that moves, hides or reorders text: control
 * characters, direction marks and overrides, invisible and unassigned signs become U+FFFD. It is
 * not escaped for HTML or a header: who writes those does that.
 */
#ifndef ROLLCALL_DISPLAY_H
#define ROLLCALL_DISPLAY_H

#include <stddef.h>

#include "str.h"

/* One line: ends of lines and tabs become blanks, runs of blanks one, none at the ends. At most
 * `most` bytes, cut between characters with "…". */
void display_line(struct buf *out, struct span text, size_t most);
/* Several lines: every end of line is LF, tabs stay. At most `most` bytes. */
void display_text(struct buf *out, struct span text, size_t most);
/* HTML that is kept for a sandbox: well-formed UTF-8 without NUL, otherwise as it is. */
void display_markup(struct buf *out, struct span html, size_t most);

/*
 * local@domain as somebody wrote it; behind it in parentheses the domain as A-labels where it is
 * not plain ASCII, so that a look-alike is seen. One line, as display_line.
 */
void display_address(struct buf *out, struct span address, size_t most);

/* What a reader would see of an HTML text: no tags, scripts, styles or comments; character
 * references resolved; blocks on lines of their own. Not made harmless: display_text does that. */
void display_html_text(struct buf *out, struct span html, size_t most);

/*
 * The same with its arrangement: paragraphs, lists, tables, headings, emphasis. Nothing of it loads,
 * leads or runs anywhere: elements stand without attributes, pictures are their words, and links are
 * text with their target in brackets behind it. Harmless and escaped: a page may show it as HTML.
 * Ends with the piece in which it passes `most` bytes.
 */
void display_safe_html(struct buf *out, struct span html, size_t most);

#endif
