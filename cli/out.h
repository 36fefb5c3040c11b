/*
 * out - what commands print: rows of columns, as a table, a record or JSON; the only user of
 * jansson
 *
 * A command opens sections and hands over cells, in the order of the columns; a row is complete
 * with its last cell. As JSON an unnamed section is an array of objects; named ones are the members
 * of one object, and so are the cells of an OUT_HEAD. A command has either one unnamed section or
 * any number of others. Rows are written as they come: memory stays constant however many there
 * are. Text is made printable.
 */
#ifndef ROLLCALL_OUT_H
#define ROLLCALL_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct out;

enum out_layout {
    OUT_TABLE,  /* a head line and aligned columns */
    OUT_RECORD, /* a line "name: value" for each column */
    OUT_HEAD,   /* the same of the one thing the command is about: one row, name NULL */
    OUT_PLAIN,  /* "name = value" of the first two columns, as postconf */
    OUT_DIFF,   /* sign (+ - ~), what, before, after: as the lines of a diff */
};

enum { OUT_COLUMNS_MAX = 24 };

struct out *out_open(FILE *file, bool json);
/* Ends what is open, flushes, nulls. False when not everything could be written. */
bool out_close(struct out **out);
bool out_is_json(const struct out *out);
/* From now on tables are CSV with a header row, which a spreadsheet takes for no formula. */
void out_as_csv(struct out *out);

/*
 * Begins a section and ends the one before. `name` is its JSON member (NULL: the only section),
 * `title` a heading for people, or NULL. `columns` ends with NULL and must outlive the section.
 */
void out_section(struct out *out, const char *name, const char *title, enum out_layout layout,
                 const char *const *columns);

/* Ends the section, so that what the command prints by itself comes behind it. */
void out_end(struct out *out);

void out_text(struct out *out, const char *text); /* NULL: null */
void out_int(struct out *out, int64_t number);
void out_real(struct out *out, double number); /* a table shows one decimal */
void out_bool(struct out *out, bool value);
void out_null(struct out *out);
/* Several texts in one cell, separated by newlines in `text`: an array; in a table with commas. */
void out_list(struct out *out, const char *text);
/* An age: seconds as a number; in a table "2.5 h". Below 0: null. */
void out_age(struct out *out, int64_t age_us);

#endif
