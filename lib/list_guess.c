/*
 * list_guess - which form a list has, by its first lines (pure); see list_private.h
 *
 * Nothing is guessed that could put addresses to the wrong user: two columns of addresses without a
 * header that says which is which are an error that asks.
 */
#include <stdio.h>
#include <string.h>

#include "list_private.h"

enum { SAMPLE_MAX = 200 }; /* lines that are looked at */

struct sample {
    struct span line[SAMPLE_MAX];
    size_t count;
    char delimiter; /* "sep=;" in the first line, as Excel writes and reads it */
};

static const char delimiters[] = {';', '\t', '|', ','}; /* the rarer in text first */

static void take_sample(struct span head, struct sample *sample)
{
    struct span line;

    *sample = (struct sample){.count = 0};
    while (sample->count < SAMPLE_MAX && list_next_line(&head, &line)) {
        if (sample->count == 0 && line.len == 5 && span_starts(line, "sep=") &&
            memchr(delimiters, line.at[4], sizeof delimiters) != NULL)
            sample->delimiter = line.at[4];
        else if (span_trim(line).len > 0 && line.at[0] != '#')
            sample->line[sample->count++] = line;
    }
}

static bool has_at(struct span s)
{
    return s.len > 0 && memchr(s.at, '@', s.len) != NULL;
}

static bool is_ldif(const struct sample *sample)
{
    return sample->count > 0 &&
           (span_starts(sample->line[0], "version:") || span_starts(sample->line[0], "dn:"));
}

/* How well the first line reads as a header: the columns known, 0 if it is none. */
static size_t header_score(const struct sample *sample, char delimiter)
{
    struct list_cells cells;
    struct list_columns columns;

    if (sample->count == 0 || has_at(sample->line[0]))
        return 0;
    list_split(sample->line[0], delimiter, &cells);
    size_t known = list_columns_header(&cells, &columns);
    bool addresses = list_columns_find(&columns, ROLE_ADDRESS) < columns.count ||
                     list_columns_find(&columns, ROLE_ALIASES) < columns.count;
    return addresses || known > 1 ? known : 0;
}

/* How many lines fall into cells, one of which is just an address. */
static size_t line_score(const struct sample *sample, char delimiter)
{
    struct list_cells cells;
    size_t score = 0;

    for (size_t i = 0; i < sample->count; i++) {
        bool address = false;
        list_split(sample->line[i], delimiter, &cells);
        for (size_t j = 0; j < cells.count; j++)
            address = address || list_looks_address(cells.at[j]);
        score += address && cells.count > 1;
    }
    return score;
}

static size_t best_delimiter(const struct sample *sample,
                             size_t (*score)(const struct sample *, char), char *delimiter)
{
    size_t best = 0;

    for (size_t i = 0; i < sizeof delimiters; i++) {
        size_t got = score(sample, delimiters[i]);
        if (got > best) {
            best = got;
            *delimiter = delimiters[i];
        }
    }
    return best;
}

/* What the cells of a column are like. */
struct look {
    size_t filled, addresses, lists, full_names;
};

static bool is_address_list(struct span cell)
{
    bool any = false;

    while (cell.len > 0) {
        size_t end = 0;
        while (end < cell.len && strchr(", ;", cell.at[end]) == NULL)
            end++;
        if (end > 0 && !list_looks_address(span_of(cell.at, end)))
            return false;
        any = any || end > 0;
        cell = end < cell.len ? span_of(cell.at + end + 1, cell.len - end - 1) : span_of("", 0);
    }
    return any;
}

static bool like_full_name(struct span s)
{
    size_t blanks = 0, letters = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = str_lower(s.at[i]);
        blanks += c == ' ';
        letters += (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
    }
    return blanks > 0 && letters > 1;
}

struct table {
    struct look look[LIST_CELLS_MAX];
    size_t columns;
    size_t rows;                /* with an '@' in them; of these: */
    size_t whole_rows, triples; /* only addresses; the shape of the hosted service's */
};

static void look_at(const struct sample *sample, char delimiter, bool header, struct table *table)
{
    struct list_cells cells;

    *table = (struct table){.columns = 0};
    for (size_t i = header ? 1 : 0; i < sample->count; i++) {
        size_t filled = 0, addresses = 0;
        list_split(sample->line[i], delimiter, &cells);
        for (size_t j = 0; j < cells.count; j++) {
            struct look *look = &table->look[j];
            struct span cell = cells.at[j];
            look->filled += cell.len > 0;
            look->addresses += list_looks_address(cell);
            look->lists += is_address_list(cell);
            look->full_names += like_full_name(cell);
            filled += cell.len > 0;
            addresses += list_looks_address(cell);
        }
        if (cells.count > table->columns)
            table->columns = cells.count;
        if (!has_at(sample->line[i]))
            continue;
        table->rows++;
        table->whole_rows += filled == addresses;
        table->triples += cells.count == 3 && list_looks_address(cells.at[0]) &&
                          (cells.at[1].len == 0 || is_address_list(cells.at[1])) &&
                          !has_at(cells.at[2]);
    }
}

static bool mostly(size_t some, size_t all)
{
    return some > 0 && 2 * some > all;
}

/* The columns of a table whose header says nothing. */
static bool infer_columns(const struct table *table, char delimiter, struct list_columns *columns,
                          struct err *err)
{
    bool hosted = delimiter == ';' && mostly(table->triples, table->rows);
    size_t address = LIST_CELLS_MAX;

    *columns = (struct list_columns){.count = table->columns};
    for (size_t i = 0; i < table->columns; i++) {
        const struct look *look = &table->look[i];
        if (address == LIST_CELLS_MAX && mostly(look->addresses, look->filled)) {
            columns->role[address = i] = ROLE_ADDRESS;
        } else if (mostly(look->lists, look->filled)) {
            if (!hosted)
                return err_set(err, ERR_DATA,
                               "columns %zu and %zu both hold addresses: say what each column is, "
                               "as in --columns address,name,aliases",
                               address == LIST_CELLS_MAX ? (size_t)1 : address + 1, i + 1);
            columns->role[i] = ROLE_ALIASES;
        } else if (mostly(look->full_names, look->filled) &&
                   list_columns_find(columns, ROLE_NAME) == columns->count) {
            columns->role[i] = ROLE_NAME;
        }
    }
    return true;
}

static bool knows_addresses(const struct list_columns *columns)
{
    return list_columns_find(columns, ROLE_ADDRESS) < columns->count ||
           list_columns_find(columns, ROLE_ALIASES) < columns->count;
}

/* The hosted service calls the address "name". */
static void promote_name(const struct table *table, struct list_columns *columns)
{
    size_t name = list_columns_find(columns, ROLE_NAME);

    if (list_columns_find(columns, ROLE_ADDRESS) == columns->count && name < columns->count &&
        mostly(table->look[name].addresses, table->look[name].filled))
        columns->role[name] = ROLE_ADDRESS;
}

static bool find_columns(const struct sample *sample, const struct list_options *options,
                         bool known_header, struct list_guess *guess, struct err *err)
{
    struct list_cells header = {.count = 0};
    struct table table;

    if (guess->header)
        list_split(sample->line[0], guess->delimiter, &header);
    look_at(sample, guess->delimiter, guess->header, &table);
    if (options->columns != NULL) {
        if (!list_columns_parse(options->columns, &guess->columns, err))
            return false;
    } else if (known_header) {
        list_columns_header(&header, &guess->columns);
        promote_name(&table, &guess->columns);
    }
    bool named = options->address_column != NULL;
    if (!knows_addresses(&guess->columns) && !named &&
        !infer_columns(&table, guess->delimiter, &guess->columns, err))
        return false;
    if (!list_columns_named(options, &header, &guess->columns, err))
        return false;
    if (!knows_addresses(&guess->columns))
        return err_set(err, ERR_DATA,
                       "no column with addresses in the first %zu lines: say which it is with "
                       "--columns or --address-column",
                       sample->count);
    return true;
}

/* A list without a header is a table when nearly every line with an '@' reads as a row of it. */
static bool is_table(const struct sample *sample, size_t score, char delimiter)
{
    size_t lines = 0, rows = score;
    struct table table;

    for (size_t i = 0; i < sample->count; i++) {
        lines += has_at(sample->line[i]);
        rows += list_looks_address(span_trim(sample->line[i]));
    }
    if (score == 0 || 4 * rows < 3 * lines)
        return false;
    look_at(sample, delimiter, false, &table);
    return table.whole_rows < table.rows; /* else each address is somebody */
}

bool list_guess(struct span head, const struct list_options *options, struct list_guess *guess,
                struct err *err)
{
    struct sample sample;

    *guess = (struct list_guess){.form = options->form};
    take_sample(head, &sample);
    if (guess->form == LIST_ANY && is_ldif(&sample))
        guess->form = LIST_LDIF;
    if (guess->form != LIST_ANY && guess->form != LIST_CSV)
        return true;
    char fixed = options->delimiter != '\0' ? options->delimiter : sample.delimiter;
    bool told = guess->form == LIST_CSV || fixed != '\0' || options->columns != NULL ||
                options->address_column != NULL || options->aliases_column != NULL ||
                options->name_column != NULL;
    char by_header = ',', by_lines = ',';
    size_t header = fixed != '\0' ? header_score(&sample, fixed)
                                  : best_delimiter(&sample, header_score, &by_header);
    size_t rows = best_delimiter(&sample, line_score, &by_lines);
    if (!told && header == 0 && !is_table(&sample, rows, by_lines)) {
        guess->form = LIST_PLAIN;
        return true;
    }
    struct list_cells cells = {.count = 1};
    if (header > 0)
        list_split(sample.line[0], by_header, &cells);
    guess->form = LIST_CSV;
    guess->delimiter = fixed != '\0' ? fixed : header > 0 && cells.count > 1 ? by_header : by_lines;
    guess->header = header > 0 || (sample.count > 1 && !has_at(sample.line[0]) && rows > 0 &&
                                   options->columns == NULL);
    return find_columns(&sample, options, header > 0, guess, err);
}
