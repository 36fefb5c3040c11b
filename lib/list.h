/*
 * list - lists of users, in whatever form people have them, as entries for the one door
 *
 *     bytes --list_bytes--> UTF-8 --list_lines--> lines --list_csv, list_ldif, list_plain--> cells
 *           --list_entry--> struct roll_entry --> the sink
 *
 * A reader is fed bytes as they arrive (a file, a pipe, an upload, a paste) and hands over entries
 * as they become complete; memory stays constant however long the list is. It finds out by itself
 * whether the bytes are gzipped, how they are encoded, what form the list has, what separates its
 * columns and what they hold; each of these can be said instead. Nothing here knows a database.
 *
 * A line that is no good is told with its number and reason, and reading goes on. What makes the
 * whole list unreadable (binary data, an unknown encoding, a line without end) ends it at once.
 */
#ifndef ROLLCALL_LIST_H
#define ROLLCALL_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "roll.h"
#include "str.h"

enum list_form {
    LIST_ANY,   /* found out: one of the next three */
    LIST_CSV,   /* rows of cells: also Exchange's and the hosted service's */
    LIST_PLAIN, /* one address a line, or several that are separated; `Name <address>` */
    LIST_LDIF,  /* RFC 2849 */
    LIST_PASTE, /* as LIST_PLAIN, and what is no address is passed over */
};
extern const char *const list_form_names[]; /* "any", "csv", "plain", "ldif", "paste"; NULL ends */

enum {
    LIST_LINE_MAX = 1 << 20,      /* octets of one line */
    LIST_RECORD_MAX = 1 << 16,    /* octets of a row whose quotes span lines */
    LIST_RECORD_LINES_MAX = 2000, /* lines of such a row */
    LIST_CELLS_MAX = 1024,        /* columns */
    LIST_HEAD_MAX = 1 << 16,      /* octets that are looked at to find the form out */
    LIST_VALUE_MAX = 1 << 16,     /* octets of an LDIF value */
};

struct list_options {
    enum list_form form;
    char delimiter;       /* LIST_CSV: 0: found out */
    const char *encoding; /* a name that iconv knows; NULL: found out */
    const char *columns;  /* "address,name,-,aliases"; NULL: by the header, or found out */
    const char *address_column, *aliases_column,
        *name_column; /* a header's text, or a number from 1; NULL: as above */
    bool disabled;    /* everybody on the list is disabled */
};

struct list_problem {
    int64_t line;
    struct span text; /* the line, or the piece of it that is meant; any bytes */
    const char *why;
    bool passed_over; /* no fault: holds no address and was not expected to */
};

/* Where a reader's findings go; `entry` returns false, with err filled, to stop. */
struct list_sink {
    void *context;
    bool (*entry)(void *context, const struct roll_entry *entry, struct err *err);
    void (*problem)(void *context, const struct list_problem *problem); /* may be NULL */
    bool (*folds_case)(void *context, struct span domain); /* NULL: every domain does */
};

struct list;

/* Fails (ERR_USAGE) on options that cannot be. Options and sink must outlive the reader. */
bool list_open(struct list **list, const struct list_options *options, const struct list_sink *sink,
               struct err *err) MUST_CHECK;
bool list_feed(struct list *list, const void *bytes, size_t len, struct err *err) MUST_CHECK;
/* There are no more bytes. A list without any is ERR_DATA. */
bool list_end(struct list *list, struct err *err) MUST_CHECK;
void list_free(struct list **list); /* nulls; NULL allowed */

struct list_counts {
    int64_t lines, entries, problems, passed_over;
};
struct list_counts list_counts(const struct list *list);
/* What was found out: "CSV separated by ';', Windows-1252, gzip: address, aliases, -". */
void list_describe(const struct list *list, struct buf *out);

/*
 * Feeds a whole file, "-" being standard input, and ends the list. `progress` is called after each
 * piece with the bytes read so far and the file's size (-1: not known); it returns false, with err
 * filled, to stop.
 */
struct list_progress {
    void *context;
    bool (*step)(void *context, int64_t read, int64_t size, struct err *err);
};
bool list_read_file(struct list *list, const char *path, const struct list_progress *progress,
                    struct err *err) MUST_CHECK;

/*
 * Writing (list_write.c): CSV that reads back as the same entries. A spreadsheet takes none of its
 * cells for a formula.
 */
void list_write_header(struct buf *out);
void list_write_entry(struct buf *out, const struct roll_entry *entry);
/* A cell of any text, made printable: for lists of what was no good. */
void list_write_text(struct buf *out, struct span text);

/* A display name fit for the roll: UTF-8, white space as single blanks, nothing that cannot be
 * seen. What `out` gets is at most ROLL_NAME_MAX octets, or false. */
bool list_clean_name(struct span name, struct buf *out) MUST_CHECK;

#endif
