/* out - see out.h */
#include "cli/out.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/str.h"

/* Rows held back to find the columns' widths; later rows keep the widths found. */
enum { SAMPLE = 200 };

#define JSON_FLAGS (JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12))

struct out {
    FILE *file;
    bool json, csv, named, opened, first_row, measured, headed;
    int sections;
    enum out_layout layout;
    const char *title; /* not yet printed: a section without rows leaves no trace on a terminal */
    bool spaced;       /* something stands above */
    const char *const *columns;
    size_t column_count, column;
    json_t *object; /* the row in hand */
    char **cells;   /* SAMPLE rows of column_count */
    size_t rows;    /* complete ones in `cells` */
    size_t width[OUT_COLUMNS_MAX];
};

struct out *out_open(FILE *file, bool json)
{
    struct out *out = mem_zero(1, sizeof *out);

    out->file = file;
    out->json = json;
    return out;
}

bool out_is_json(const struct out *out)
{
    return out->json;
}

void out_as_csv(struct out *out)
{
    out->csv = true;
}

/* Columns on a terminal: code points, near enough. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_padded(struct out *out, const char *text, size_t width, bool last)
{
    size_t used = width_of(text);

    fputs(text, out->file);
    if (!last)
        fprintf(out->file, "%*s", (int)(used < width ? width - used : 0) + 2, "");
}

static void print_table_row(struct out *out, const char *const *cells)
{
    size_t last = out->column_count;

    while (last > 1 && cells[last - 1][0] == '\0')
        last--; /* no blanks at the end of a line */
    for (size_t i = 0; i < last; i++)
        print_padded(out, cells[i], out->width[i], i + 1 == last);
    fputc('\n', out->file);
}

static void print_csv_row(struct out *out, const char *const *cells)
{
    for (size_t i = 0; i < out->column_count; i++) {
        bool formula = cells[i][0] != '\0' && strchr("=+-@", cells[i][0]) != NULL;
        bool quoted = strpbrk(cells[i], ",\"\r\n;") != NULL;
        fputs(i > 0 ? "," : "", out->file);
        fputs(quoted ? "\"" : "", out->file);
        fputs(formula ? "'" : "", out->file);
        for (const char *c = cells[i]; *c != '\0'; c++)
            fputs(*c == '"' ? "\"\"" : (const char[]){*c, '\0'}, out->file);
        fputs(quoted ? "\"" : "", out->file);
    }
    fputc('\n', out->file);
}

static void print_diff_line(struct out *out, char sign, const char *what, const char *how)
{
    fprintf(out->file, "%c %s%s%s\n", sign, what, how[0] != '\0' ? "  " : "", how);
}

/* What changes is a line that goes and one that comes. */
static void print_diff(struct out *out, const char *const *cells)
{
    if (cells[0][0] != '+')
        print_diff_line(out, '-', cells[1], cells[2]);
    if (cells[0][0] != '-')
        print_diff_line(out, '+', cells[1], cells[3]);
}

static void print_record(struct out *out, const char *const *cells)
{
    size_t widest = 0;

    if (!out->first_row)
        fputc('\n', out->file);
    out->first_row = false;
    for (size_t i = 0; i < out->column_count; i++)
        widest = width_of(out->columns[i]) > widest ? width_of(out->columns[i]) : widest;
    for (size_t i = 0; i < out->column_count; i++)
        if (cells[i][0] != '\0')
            fprintf(out->file, "%s:%*s%s\n", out->columns[i],
                    (int)(widest - width_of(out->columns[i])) + 2, "", cells[i]);
}

static void print_row(struct out *out, const char *const *cells)
{
    if (out->layout == OUT_PLAIN)
        fprintf(out->file, "%s =%s%s\n", cells[0], cells[1][0] != '\0' ? " " : "", cells[1]);
    else if (out->layout == OUT_DIFF)
        print_diff(out, cells);
    else if (out->layout == OUT_TABLE && out->csv)
        print_csv_row(out, cells);
    else if (out->layout == OUT_TABLE)
        print_table_row(out, cells);
    else
        print_record(out, cells);
}

static void measure(struct out *out)
{
    for (size_t c = 0; c < out->column_count; c++) {
        out->width[c] = width_of(out->columns[c]);
        for (size_t r = 0; r < out->rows; r++) {
            size_t width = width_of(out->cells[r * out->column_count + c]);
            out->width[c] = width > out->width[c] ? width : out->width[c];
        }
    }
    out->measured = true;
}

static void print_heading(struct out *out)
{
    if (out->headed)
        return;
    fprintf(out->file, "%s%s%s", out->spaced ? "\n" : "", out->title != NULL ? out->title : "",
            out->title != NULL ? "\n" : "");
    out->headed = out->spaced = true;
}

/* Prints the rows held back, with the head line before the first. */
static void print_held(struct out *out)
{
    if (out->rows > 0)
        print_heading(out);
    if (out->layout == OUT_TABLE && !out->measured && (out->rows > 0 || out->csv)) {
        measure(out);
        print_row(out, out->columns);
    }
    for (size_t r = 0; r < out->rows; r++)
        print_row(out, (const char *const *)out->cells + r * out->column_count);
    for (size_t i = 0; i < out->rows * out->column_count; i++)
        str_free(&out->cells[i]);
    out->rows = 0;
}

void out_end(struct out *out)
{
    if (!out->opened)
        return;
    if (out->json && out->layout != OUT_HEAD)
        fputs(out->first_row ? "]" : "\n]", out->file);
    else if (!out->json)
        print_held(out);
    free(out->cells);
    out->cells = NULL;
    out->opened = false;
}

static void open_json(struct out *out, const char *name, bool first)
{
    if (out->named)
        fputs(first ? "{" : ",\n", out->file);
    if (name != NULL)
        fprintf(out->file, "\"%s\": ", name);
    if (out->layout != OUT_HEAD)
        fputc('[', out->file);
}

void out_section(struct out *out, const char *name, const char *title, enum out_layout layout,
                 const char *const *columns)
{
    out_end(out);
    out->columns = columns;
    out->layout = layout;
    out->column_count = out->column = out->rows = 0;
    while (columns[out->column_count] != NULL && out->column_count < OUT_COLUMNS_MAX)
        out->column_count++;
    out->cells = mem_zero(SAMPLE * out->column_count, sizeof *out->cells);
    out->measured = false;
    out->opened = out->first_row = true;
    out->named = name != NULL || layout == OUT_HEAD;
    if (out->json)
        open_json(out, name, out->sections == 0);
    out->sections++;
    out->title = title;
    out->headed = false;
}

static void end_json_row(struct out *out)
{
    if (out->layout != OUT_HEAD) {
        fputs(out->first_row ? "\n" : ",\n", out->file);
        json_dumpf(out->object, out->file, JSON_FLAGS);
    } else /* the members without the braces */
        json_dumpf(out->object, out->file, JSON_EMBED | JSON_FLAGS);
    out->first_row = false;
    json_decref(out->object);
    out->object = NULL;
}

/* Takes one cell: `value` (JSON, stolen) and `text` (a table's, copied). */
static void put(struct out *out, json_t *value, const char *text)
{
    if (out->json) {
        if (out->object == NULL)
            out->object = json_object();
        json_object_set_new(out->object, out->columns[out->column], value);
    } else {
        size_t len = strlen(text);
        char *cell = mem_alloc(len + 1);
        str_printable(cell, len + 1, text, len);
        out->cells[out->rows * out->column_count + out->column] = cell;
    }
    if (++out->column < out->column_count)
        return;
    out->column = 0;
    if (out->json)
        end_json_row(out);
    else if (++out->rows == SAMPLE || out->layout != OUT_TABLE)
        print_held(out);
}

static json_t *json_of_text(const char *text)
{
    json_t *value = json_string(text);

    if (value != NULL)
        return value;
    size_t len = strlen(text); /* not UTF-8 */
    STR_AUTO printable = mem_alloc(len + 1);
    str_printable(printable, len + 1, text, len);
    return json_string(printable);
}

void out_text(struct out *out, const char *text)
{
    if (text == NULL)
        out_null(out);
    else
        put(out, out->json ? json_of_text(text) : NULL, text);
}

void out_int(struct out *out, int64_t number)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)number);
    put(out, out->json ? json_integer(number) : NULL, text);
}

void out_real(struct out *out, double number)
{
    char text[32];

    snprintf(text, sizeof text, "%.1f", number);
    put(out, out->json ? json_real(number) : NULL, text);
}

void out_bool(struct out *out, bool value)
{
    put(out, out->json ? json_boolean(value) : NULL, value ? "yes" : "no");
}

void out_null(struct out *out)
{
    put(out, out->json ? json_null() : NULL, "");
}

void out_list(struct out *out, const char *text)
{
    BUF_AUTO joined = {0};
    struct span rest = span_text(text), piece;
    json_t *array = out->json ? json_array() : NULL;

    buf_text(&joined, "");
    while (text[0] != '\0' && span_next(&rest, '\n', &piece)) {
        STR_AUTO one = mem_span(piece);
        buf_printf(&joined, "%s%s", joined.len > 0 ? ", " : "", one);
        if (array != NULL)
            json_array_append_new(array, json_of_text(one));
    }
    put(out, array, joined.at);
}

void out_age(struct out *out, int64_t age_us)
{
    char text[32];

    if (age_us < 0) {
        out_null(out);
        return;
    }
    clock_age_text(text, sizeof text, age_us);
    put(out, out->json ? json_real((double)(age_us / 1000) / 1000) : NULL, text);
}

bool out_close(struct out **handle)
{
    struct out *out = *handle;

    if (out == NULL)
        return true;
    out_end(out);
    if (out->json && out->sections > 0)
        fputs(out->named ? "}\n" : "\n", out->file);
    json_decref(out->object);
    bool fine = fflush(out->file) == 0 && ferror(out->file) == 0;
    free(out);
    *handle = NULL;
    return fine;
}
