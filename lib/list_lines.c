/*
 * list_lines - text into lines; see list_private.h
 *
 * A line ends at LF, CRLF or CR. In a plain list a line may be as long as somebody's whole address
 * book: it is handed over in pieces, cut between addresses.
 */
#include <string.h>

#include "list_private.h"

enum { PIECE = 1 << 16 }; /* octets of a plain line from which on it is handed over in pieces */

static bool too_long(const struct list *list, struct err *err)
{
    return err_set(err, ERR_DATA,
                   "line %lld is longer than %d octets: that is no list of addresses",
                   (long long)list->lines.number, LIST_LINE_MAX);
}

static bool separates(char c)
{
    return c == ',' || c == ';' || c == ' ' || c == '\t' || c == '|';
}

/* Where a long line may be cut: behind the last separator that has an address in front of it; 0 if
 * there is none. */
static size_t cut_place(struct span s)
{
    size_t end = 0;  /* behind the separator that was seen last */
    bool at = false; /* an '@' in front of it */

    for (size_t i = s.len; i > 0; i--) {
        if (s.at[i - 1] == '@')
            at = true;
        if (!separates(s.at[i - 1]))
            continue;
        if (end > 0 && at)
            return end;
        end = i;
        at = false;
    }
    return at ? end : 0;
}

static bool in_pieces(const struct list *list)
{
    return list->guess.form == LIST_PLAIN || list->guess.form == LIST_PASTE;
}

/* Hands over what can be of a long line that has no end yet. */
static bool hand_piece(struct list *list, struct err *err)
{
    struct buf *rest = &list->lines.rest;
    size_t cut = in_pieces(list) ? cut_place(span_of(rest->at, rest->len)) : 0;

    if (cut == 0)
        return rest->len <= LIST_LINE_MAX || too_long(list, err);
    if (!list_line(list, span_of(rest->at, cut), err))
        return false;
    memmove(rest->at, rest->at + cut, rest->len - cut + 1);
    rest->len -= cut;
    return true;
}

static bool end_line(struct list *list, struct span line, struct err *err)
{
    struct buf *rest = &list->lines.rest;

    if (rest->len > 0) {
        buf_append(rest, line.at, line.len);
        line = span_of(rest->at, rest->len);
    }
    if (line.len > LIST_LINE_MAX)
        return too_long(list, err);
    list->counts.lines = list->lines.number;
    bool fine = list_line(list, line, err);
    buf_clear(rest);
    list->lines.number++;
    return fine;
}

bool list_lines_feed(struct list *list, struct span text, struct err *err)
{
    struct list_lines *lines = &list->lines;

    if (lines->number == 0)
        lines->number = 1;
    while (text.len > 0) {
        if (lines->after_cr && text.at[0] == '\n')
            text = span_of(text.at + 1, text.len - 1);
        lines->after_cr = false;
        struct span rest = text, line;
        if (!list_next_line(&rest, &line))
            break;
        if (line.len == text.len) { /* without an end */
            buf_append(&lines->rest, line.at, line.len);
            return lines->rest.len <= PIECE || hand_piece(list, err);
        }
        lines->after_cr = rest.len == 0 && text.at[text.len - 1] == '\r';
        if (!end_line(list, line, err))
            return false;
        text = rest;
    }
    return true;
}

bool list_lines_end(struct list *list, struct err *err)
{
    struct buf *rest = &list->lines.rest;

    if (rest->len > 0 && rest->at[rest->len - 1] == '\x1a') /* how DOS ends a file */
        rest->at[--rest->len] = '\0';
    return rest->len == 0 || end_line(list, span_of("", 0), err);
}
