/* maillog_parts - what the two files of maillog share; for nobody else */
#ifndef ROLLCALL_MAILLOG_PARTS_H
#define ROLLCALL_MAILLOG_PARTS_H

#include <string.h>

#include "sync/maillog.h"

/* What is left of a line while it is taken apart. */
struct cursor {
    const char *at, *end;
};

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* Passes over a literal, or stays. */
static inline bool take(struct cursor *c, const char *text, size_t len)
{
    if (cursor_left(c) < len || memcmp(c->at, text, len) != 0)
        return false;
    c->at += len;
    return true;
}
#define TAKE(c, literal) take((c), "" literal, sizeof literal - 1)

/* What stands before the next `separator`, which is passed too; false when there is none. */
static inline bool take_until(struct cursor *c, char separator, struct span *out)
{
    const char *found = memchr(c->at, separator, cursor_left(c));

    if (found == NULL)
        return false;
    *out = span_of(c->at, (size_t)(found - c->at));
    c->at = found + 1;
    return true;
}

static inline struct span take_rest(struct cursor *c)
{
    struct span rest = span_of(c->at, cursor_left(c));

    c->at = c->end;
    return rest;
}

/*
 * The queue id at the cursor: short ones are upper-case hexadecimal, long ones have digits and
 * consonants (Postfix's MAIL_QUEUE... in mail_queue.h). Empty when there is none.
 */
struct span maillog_queue_id(struct cursor *c);

/* The filters' lines; `message` is behind the program's name. False: not understood. */
bool maillog_filter(struct span program, struct cursor message, struct maillog_event *event);
/* A line of a filter's own log, whose stamp has another form; at the line's start. */
bool maillog_filter_line(struct cursor line, struct maillog_event *event);

#endif
