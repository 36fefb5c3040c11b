/*
 * journal - the mail messages of systemd's journal; the only reader of it
 */
#ifndef ROLLCALL_JOURNAL_H
#define ROLLCALL_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/str.h"

struct journal;
struct journal_entry {
    int64_t at_us;
    struct span program; /* "postfix/smtp" */
    struct span message; /* both valid until the next call */
};

/* This machine's journal, or the files of a directory; behind `cursor` ("": from its beginning). */
bool journal_open(struct journal **journal, const char *directory, const char *cursor,
                  struct err *err) MUST_CHECK;
void journal_close(struct journal **journal);
/* *found is false at the end. */
bool journal_next(struct journal *journal, struct journal_entry *entry, bool *found,
                  struct err *err) MUST_CHECK;
/* The place behind the last entry; "" when there was none. False when it does not fit. */
bool journal_cursor(struct journal *journal, char *cursor, size_t room, struct err *err) MUST_CHECK;

#endif
