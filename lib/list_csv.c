/*
 * list_csv - rows of cells; see list_private.h; the only user of libcsv
 *
 * libcsv gets line by line, so that a row's number is known. A double quote that is opened and not
 * closed would swallow the rows up to the next quote, or the rest of the list: such a row is given
 * up, its first line is told, and reading goes on with the second.
 */
#include <csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list_private.h"

enum { AGAIN_MAX = 64 << 20 }; /* octets that are read again for rows given up */

struct list_csv {
    struct csv_parser parser;
    bool parsing;
    struct buf record; /* the lines of the row, each with '\n' */
    int64_t line;      /* where it begins */
    size_t lines;
    struct buf bytes; /* of its cells */
    size_t start[LIST_CELLS_MAX + 1];
    size_t cells; /* may be more than there is room for */
    bool complete;
    bool seen_row; /* the header has passed */
    size_t again;  /* octets read again */
};

static int is_blank_only(unsigned char c)
{
    return c == ' ';
}

static bool start_parser(struct list *list, struct err *err)
{
    struct list_csv *csv = list->csv;

    if (csv->parsing)
        csv_free(&csv->parser);
    csv->parsing = csv_init(&csv->parser, 0) == 0;
    if (!csv->parsing)
        return err_set(err, ERR_OTHER, "the CSV reader does not start");
    csv_set_delim(&csv->parser, (unsigned char)list->guess.delimiter);
    csv_set_space_func(&csv->parser, is_blank_only);
    return true;
}

void list_csv_free(struct list_csv **csv)
{
    if (*csv == NULL)
        return;
    if ((*csv)->parsing)
        csv_free(&(*csv)->parser);
    buf_free(&(*csv)->record);
    buf_free(&(*csv)->bytes);
    free(*csv);
    *csv = NULL;
}

static void on_cell(void *bytes, size_t len, void *context)
{
    struct list_csv *csv = context;

    if (csv->cells < LIST_CELLS_MAX) {
        buf_append(&csv->bytes, bytes != NULL ? bytes : "", len);
        csv->start[csv->cells + 1] = csv->bytes.len;
    }
    csv->cells++;
}

static void on_row(int end, void *context)
{
    struct list_csv *csv = context;

    (void)end;
    csv->complete = true;
}

static struct span cell_at(const struct list_csv *csv, size_t i)
{
    return span_trim(span_of(csv->bytes.at + csv->start[i], csv->start[i + 1] - csv->start[i]));
}

/* The row as it stood, without its last line end. */
static struct span raw_row(const struct list_csv *csv)
{
    size_t len = csv->record.len;

    return span_of(csv->record.at, len > 0 && csv->record.at[len - 1] == '\n' ? len - 1 : len);
}

static bool one_of(struct span cell, const char *words)
{
    struct span rest = span_text(words), word;

    while (span_next(&rest, ' ', &word))
        if (cell.len == word.len && strncasecmp(cell.at, word.at, word.len) == 0)
            return true;
    return false;
}

/* False: the cell says neither. */
static bool say_disabled(enum list_role role, struct span cell, bool *disabled)
{
    const char *yes = role == ROLE_STATE ? "disabled inactive" : "yes true 1 x disabled";
    const char *no = role == ROLE_STATE ? "active enabled" : "no false 0 enabled";

    *disabled = one_of(cell, yes);
    return *disabled || cell.len == 0 || one_of(cell, no);
}

static bool holds_word(struct span cell, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= cell.len; i++)
        if (span_starts(span_of(cell.at + i, cell.len - i), word))
            return true;
    return false;
}

/* What the cells of the row are; false: `why` it is no good. */
static bool read_cells(const struct list *list, struct list_parts *parts, struct span *aliases,
                       const char **why)
{
    const struct list_csv *csv = list->csv;
    const struct list_columns *columns = &list->guess.columns;

    for (size_t i = 0; i < csv->cells && i < columns->count; i++) {
        struct span cell = cell_at(csv, i);
        enum list_role role = columns->role[i];
        switch (role) {
        case ROLE_ADDRESS:
            parts->address = cell;
            break;
        case ROLE_ALIASES:
            aliases[parts->alias_count++] = cell;
            break;
        case ROLE_NAME:
            parts->name = cell;
            break;
        case ROLE_FIRST:
            parts->first = cell;
            break;
        case ROLE_LAST:
            parts->last = cell;
            break;
        case ROLE_KIND:
            if (holds_word(cell, "group") || holds_word(cell, "distribution"))
                parts->kind = ENTRY_GROUP;
            break;
        case ROLE_STATE:
        case ROLE_DISABLED: {
            bool disabled = false;
            if (cell.len > 0 && memchr(cell.at, '@', cell.len) != NULL) {
                parts->disabled_addresses = cell;
                break;
            }
            *why = "neither active nor disabled: the state cannot be read";
            if (!say_disabled(role, cell, &disabled))
                return false;
            parts->disabled = parts->disabled || disabled;
            break;
        }
        case ROLE_NONE:
        case ROLES:
            break;
        }
    }
    *why = "";
    return true;
}

static bool is_empty_row(const struct list_csv *csv)
{
    for (size_t i = 0; i < csv->cells; i++)
        if (cell_at(csv, i).len > 0)
            return false;
    return true;
}

/* Whether a cell that has lines holds what must be other rows: a quote was not closed. */
static bool swallowed_rows(const struct list *list)
{
    const struct list_csv *csv = list->csv;
    const struct list_columns *columns = &list->guess.columns;

    for (size_t i = 0; i < csv->cells && i < columns->count && csv->lines > 1; i++) {
        struct span cell = cell_at(csv, i);
        bool several = cell.len > 0 && memchr(cell.at, '\n', cell.len) != NULL;
        enum list_role role = columns->role[i];
        if (several && role != ROLE_NONE && role != ROLE_ALIASES &&
            (role != ROLE_NAME || memchr(cell.at, '@', cell.len) != NULL))
            return true;
    }
    return false;
}

static bool take_row(struct list *list, struct err *err)
{
    struct list_csv *csv = list->csv;
    struct span aliases[LIST_CELLS_MAX];
    struct list_parts parts = {
        .line = csv->line, .raw = raw_row(csv), .aliases = aliases, .kind = ENTRY_USER};
    const char *why;
    bool header = list->guess.header && !csv->seen_row;

    csv->seen_row = true;
    if (csv->cells > LIST_CELLS_MAX) {
        list_bad(list, csv->line, parts.raw, "more than 1024 columns");
        return true;
    }
    if (header || is_empty_row(csv))
        return true;
    if (!read_cells(list, &parts, aliases, &why)) {
        list_bad(list, csv->line, parts.raw, why);
        return true;
    }
    return list_make_entry(list, &parts, err);
}

static void next_record(struct list_csv *csv)
{
    buf_clear(&csv->record);
    buf_clear(&csv->bytes);
    csv->lines = 0;
    csv->cells = 0;
    csv->complete = false;
}

static bool parse(struct list_csv *csv, struct span bytes, struct err *err)
{
    if (csv_parse(&csv->parser, bytes.at, bytes.len, on_cell, on_row, csv) != bytes.len)
        return err_set(err, ERR_OTHER, "line %lld: %s", (long long)csv->line,
                       csv_strerror(csv_error(&csv->parser)));
    return true;
}

/* Lines that are not rows. */
static bool is_remark(const struct list *list, struct span line)
{
    bool first = list->lines.number == 1;

    return line.len == 0 || line.at[0] == '#' || span_trim(line).len == 0 ||
           (first && line.len == 5 && span_starts(line, "sep="));
}

static bool give_up_row(struct list *list, struct err *err) MUST_CHECK;

static bool add_line(struct list *list, struct span line, int64_t number, struct err *err)
{
    struct list_csv *csv = list->csv;

    if (csv->lines == 0) {
        if (is_remark(list, line))
            return true;
        csv->line = number;
    }
    csv->lines++;
    buf_append(&csv->record, line.at, line.len);
    buf_append(&csv->record, "\n", 1);
    if (!parse(csv, line, err) || !parse(csv, span_of("\n", 1), err))
        return false;
    if (!csv->complete)
        return true;
    if (swallowed_rows(list))
        return give_up_row(list, err);
    bool fine = take_row(list, err);
    next_record(csv);
    return fine;
}

/* The row has no end: tells its first line and reads the others again. */
static bool give_up_row(struct list *list, struct err *err)
{
    struct list_csv *csv = list->csv;
    BUF_AUTO again = {0};
    struct span rest, line;
    int64_t number = csv->line;

    csv->again += csv->record.len;
    if (csv->again > AGAIN_MAX)
        return err_set(err, ERR_DATA,
                       "line %lld: again a double quote that is not closed: is this CSV, and are "
                       "its columns separated by '%c'?",
                       (long long)number, list->guess.delimiter);
    buf_append(&again, csv->record.at, csv->record.len);
    rest = span_of(again.at, again.len);
    if (!start_parser(list, err))
        return false;
    next_record(csv);
    if (!list_next_line(&rest, &line))
        return true;
    list_bad(list, number++, line, "a double quote is opened and not closed");
    while (list_next_line(&rest, &line))
        if (!add_line(list, line, number++, err))
            return false;
    return true;
}

bool list_csv_line(struct list *list, struct span line, struct err *err)
{
    if (list->csv == NULL) {
        list->csv = mem_zero(1, sizeof *list->csv);
        if (!start_parser(list, err))
            return false;
    }
    if (!add_line(list, line, list->lines.number, err))
        return false;
    return (list->csv->record.len <= LIST_RECORD_MAX &&
            list->csv->lines <= LIST_RECORD_LINES_MAX) ||
           give_up_row(list, err);
}

bool list_csv_end(struct list *list, struct err *err)
{
    while (list->csv != NULL && list->csv->lines > 0) /* each time a line less */
        if (!give_up_row(list, err))
            return false;
    return true;
}
