/*
 * list_private - what the files of the list reader share; nobody else includes it
 *
 *     list.c           the reader: what is handed from stage to stage, problems, the file
 *     list_bytes.c     gunzip, encodings            (the only user of zlib and iconv)
 *     list_lines.c     text into lines
 *     list_guess.c     which form, which delimiter, which columns (pure)
 *     list_columns.c   what headers mean (pure)
 *     list_csv.c       rows                         (the only user of libcsv)
 *     list_ldif.c      RFC 2849
 *     list_plain.c     plain lists and pastes
 *     list_paste.c     the addresses of a line that anybody wrote (pure)
 *     list_clean.c     text as people see it (pure)
 *     list_entry.c     cells into entries
 *     list_write.c     entries into CSV (pure)
 */
#ifndef ROLLCALL_LIST_PRIVATE_H
#define ROLLCALL_LIST_PRIVATE_H

#include "list.h"

/* ---- columns: what a cell of a row is */

enum list_role {
    ROLE_NONE,
    ROLE_ADDRESS,
    ROLE_ALIASES,
    ROLE_NAME,
    ROLE_FIRST,
    ROLE_LAST,
    ROLE_KIND,     /* user or group; Exchange's recipient types */
    ROLE_STATE,    /* active or disabled */
    ROLE_DISABLED, /* yes or no, or which of the addresses */
    ROLES,
};
extern const char *const list_role_names[]; /* as --columns has them; "-" is ROLE_NONE */

struct list_columns {
    enum list_role role[LIST_CELLS_MAX];
    size_t count;
};
size_t list_columns_find(const struct list_columns *columns, enum list_role role); /* or count */

/* One row, split for looking at: cells without their quotes' meaning, in place. */
struct list_cells {
    struct span at[LIST_CELLS_MAX];
    size_t count;
};
void list_split(struct span line, char delimiter, struct list_cells *cells);

/* "address,name,-": false with err (ERR_USAGE) naming what is unknown. */
bool list_columns_parse(const char *text, struct list_columns *columns, struct err *err) MUST_CHECK;
/* What a header row says; returns how many columns it knows. */
size_t list_columns_header(const struct list_cells *cells, struct list_columns *columns);
/* Puts the roles of --address-column and its like; false naming what is not there. `header` may
 * be empty. */
bool list_columns_named(const struct list_options *options, const struct list_cells *header,
                        struct list_columns *columns, struct err *err) MUST_CHECK;

/* ---- guess: what the head of a list looks like */

struct list_guess {
    enum list_form form;
    char delimiter;
    bool header; /* the first row is one */
    struct list_columns columns;
};
/* `head` holds whole lines. */
bool list_guess(struct span head, const struct list_options *options, struct list_guess *guess,
                struct err *err) MUST_CHECK;

/* ---- text */

/* The same text with blanks for all white space, without what cannot be seen, with plain quotes,
 * commas and '@' for their typographic kin. `s` itself when it is plain already. Bytes that are not
 * UTF-8 stay. */
struct span list_clean(struct span s, struct buf *room);
/* Splits off a line at LF, CRLF or CR; false when there is nothing left. */
bool list_next_line(struct span *rest, struct span *line);
bool span_starts(struct span s, const char *prefix); /* without case, ASCII */
/* Exactly one '@' with something on both sides, and nothing that separates. */
bool list_looks_address(struct span s);

/* ---- paste: what a line holds */

struct paste_sink {
    void *context;
    void (*address)(void *context, struct span address, struct span name);
    void (*word)(void *context, struct span word); /* neither address nor part of a name */
};
void paste_line(struct span clean, const struct paste_sink *sink);
/* An address out of one cell: without mailto:, smtp:, angle brackets, quotes around it. *name is
 * what stood beside it. */
struct span paste_unwrap(struct span clean, struct buf *room, struct span *name);

/* ---- the reader */

struct list_bytes;
struct list_lines {
    struct buf rest; /* of a line whose end has not come */
    int64_t number;
    bool after_cr;
};

struct list_csv;
struct list_ldif;

struct list_maker {
    struct addr *addresses; /* ROLL_ADDRESSES_MAX of them */
    bool *disabled;         /* as many */
    size_t count;
    struct buf name, clean, unwrapped;
};

struct list {
    const struct list_options *options;
    const struct list_sink *sink;
    struct list_counts counts;
    struct list_bytes *bytes;
    struct buf head; /* text, until the form is known */
    bool begun;
    struct list_guess guess;
    struct list_lines lines;
    struct list_csv *csv;
    struct list_ldif *ldif;
    struct list_maker maker;
};

/* list.c: the next stage gets text; and what is wrong goes to the sink. */
bool list_text(struct list *list, struct span text, struct err *err) MUST_CHECK;
bool list_line(struct list *list, struct span line, struct err *err) MUST_CHECK;
void list_bad(struct list *list, int64_t line, struct span text, const char *why);
void list_pass_over(struct list *list, int64_t line, struct span text, const char *why);

bool list_bytes_open(struct list *list, struct err *err) MUST_CHECK;
bool list_bytes_feed(struct list *list, struct span bytes, struct err *err) MUST_CHECK;
bool list_bytes_end(struct list *list, struct err *err) MUST_CHECK;
void list_bytes_free(struct list_bytes **bytes);
const char *list_bytes_encoding(const struct list_bytes *bytes);
bool list_bytes_gzip(const struct list_bytes *bytes);

bool list_lines_feed(struct list *list, struct span text, struct err *err) MUST_CHECK;
bool list_lines_end(struct list *list, struct err *err) MUST_CHECK;

bool list_csv_line(struct list *list, struct span line, struct err *err) MUST_CHECK;
bool list_csv_end(struct list *list, struct err *err) MUST_CHECK;
void list_csv_free(struct list_csv **csv);

bool list_ldif_line(struct list *list, struct span line, struct err *err) MUST_CHECK;
bool list_ldif_end(struct list *list, struct err *err) MUST_CHECK;
void list_ldif_free(struct list_ldif **ldif);

bool list_plain_line(struct list *list, struct span line, struct err *err) MUST_CHECK;

/* list_entry.c: what was read of one user or group; empty spans are absent. */
struct list_parts {
    int64_t line;
    struct span raw; /* the line, for problems */
    struct span address, name, first, last;
    const struct span *aliases; /* each a cell that may hold several */
    size_t alias_count;
    enum entry_kind kind;
    bool disabled;
    struct span disabled_addresses; /* a cell; only these are, then */
};
/* Tells what is bad, and hands over the rest of it when its primary address is good. */
bool list_make_entry(struct list *list, const struct list_parts *parts, struct err *err) MUST_CHECK;

#endif
