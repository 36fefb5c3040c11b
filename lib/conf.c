/* conf - see conf.h */
#include "conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum { FILE_LIMIT = 1 << 20 }; /* bytes; a settings file is never that large */

static char **text_field(const struct conf_row *row, struct conf *conf)
{
    return (char **)(void *)((char *)conf + row->offset);
}

static int64_t *number_field(const struct conf_row *row, struct conf *conf)
{
    return (int64_t *)(void *)((char *)conf + row->offset);
}

const struct conf_row *conf_find(const char *name, const char **nearest)
{
    size_t best = 5; /* more edits apart than this is another word, not a slip */

    *nearest = NULL;
    for (size_t i = 0; i < conf_row_count; i++) {
        if (strcmp(conf_rows[i].name, name) == 0)
            return &conf_rows[i];
        size_t distance = str_distance(conf_rows[i].name, name);
        if (distance < best) {
            best = distance;
            *nearest = conf_rows[i].name;
        }
    }
    return NULL;
}

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit time_units[] = {
    {"ms", CLOCK_SECOND / 1000}, {"s", CLOCK_SECOND},
    {"m", 60 * CLOCK_SECOND},    {"h", 3600 * CLOCK_SECOND},
    {"d", 86400 * CLOCK_SECOND}, {"w", 7 * 86400 * CLOCK_SECOND},
    {"", CLOCK_SECOND},          {NULL, 0},
};
static const struct unit size_units[] = {
    {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"", 1}, {NULL, 0},
};

static bool parse_with_unit(struct span text, const struct unit *units, int64_t *value)
{
    size_t digits = 0;
    int64_t number;

    while (digits < text.len && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    struct span suffix = span_of(text.at + digits, text.len - digits);
    if (!str_int64(span_of(text.at, digits), &number))
        return false;
    for (; units->suffix != NULL; units++)
        if (span_equals(suffix, units->suffix))
            return !__builtin_mul_overflow(number, units->factor, value);
    return false;
}

bool conf_parse_time(struct span text, int64_t *microseconds)
{
    return parse_with_unit(text, time_units, microseconds);
}

bool conf_parse_size(struct span text, int64_t *bytes)
{
    return parse_with_unit(text, size_units, bytes);
}

static bool parse_mode(struct span text, int64_t *mode)
{
    *mode = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '7')
            return false;
        *mode = *mode * 8 + (text.at[i] - '0');
    }
    return text.len >= 3 && text.len <= 4;
}

static bool parse_bool(struct span text, int64_t *value)
{
    *value = span_equals(text, "yes");
    return *value || span_equals(text, "no");
}

static bool parse_choice(const struct conf_row *row, struct span text, int64_t *value)
{
    for (*value = 0; row->choices[*value] != NULL; ++*value)
        if (span_equals(text, row->choices[*value]))
            return true;
    return false;
}

/* What a value of the row looks like, for messages. */
static const char *type_name(const struct conf_row *row)
{
    static const char *const names[] = {
        [CONF_TEXT] = "a text",
        [CONF_NUMBER] = "a whole number",
        [CONF_MODE] = "an octal mode like 0660",
        [CONF_BOOL] = "yes or no",
        [CONF_TIME] = "a time like 200ms, 10s, 5m, 3h, 7d",
        [CONF_SIZE] = "a size like 64M",
        [CONF_CHOICE] = "one of its choices",
    };
    return names[row->type];
}

static bool parse_number(const struct conf_row *row, struct span text, int64_t *value)
{
    switch (row->type) {
    case CONF_NUMBER:
        return str_int64(text, value);
    case CONF_MODE:
        return parse_mode(text, value);
    case CONF_BOOL:
        return parse_bool(text, value);
    case CONF_TIME:
        return conf_parse_time(text, value);
    case CONF_SIZE:
        return conf_parse_size(text, value);
    case CONF_CHOICE:
        return parse_choice(row, text, value);
    case CONF_TEXT:
        break;
    }
    return false;
}

static bool refuse_number(const struct conf_row *row, struct span text, struct err *err)
{
    BUF_AUTO choices = {0};

    if (row->type != CONF_CHOICE)
        return err_set(err, ERR_CONFIG, "%s = %.*s: not %s", row->name, (int)text.len, text.at,
                       type_name(row));
    for (size_t i = 0; row->choices[i] != NULL; i++)
        buf_printf(&choices, "%s%s", i > 0 ? ", " : "", row->choices[i]);
    return err_set(err, ERR_CONFIG, "%s = %.*s: not one of %s", row->name, (int)text.len, text.at,
                   choices.at);
}

/* A bound as the file would write it. */
static void write_number(struct buf *out, const struct conf_row *row, int64_t value)
{
    const struct unit *units = row->type == CONF_TIME ? time_units : size_units, *best = NULL;

    if (row->type == CONF_BOOL)
        buf_text(out, value ? "yes" : "no");
    else if (row->type == CONF_CHOICE)
        buf_text(out, row->choices[value]);
    else if (row->type == CONF_MODE)
        buf_printf(out, "0%03o", (unsigned)value);
    else if (row->type == CONF_TIME || row->type == CONF_SIZE) {
        for (const struct unit *u = units; u->suffix != NULL; u++)
            if (value % u->factor == 0 && (best == NULL || u->factor > best->factor))
                best = u;
        if (best == NULL || value == 0)
            buf_printf(out, "%lld", (long long)value);
        else
            buf_printf(out, "%lld%s", (long long)(value / best->factor), best->suffix);
    } else
        buf_printf(out, "%lld", (long long)value);
}

void conf_write_value(struct buf *out, const struct conf_row *row, const struct conf *conf)
{
    struct conf *c = (struct conf *)(uintptr_t)conf; /* only read */

    if (row->type == CONF_TEXT)
        buf_text(out, *text_field(row, c));
    else
        write_number(out, row, *number_field(row, c));
}

static bool set_text(const struct conf_row *row, struct conf *conf, struct span value,
                     struct err *err)
{
    STR_AUTO text = mem_span(value);

    if ((int64_t)value.len < row->least || (int64_t)value.len > row->most)
        return err_set(err, ERR_CONFIG, "%s: must have %lld to %lld characters", row->name,
                       (long long)row->least, (long long)row->most);
    if (row->check != NULL && !row->check(text, err))
        return err_prefix(err, "%s", row->name);
    str_free(text_field(row, conf));
    *text_field(row, conf) = text;
    text = NULL;
    return true;
}

static bool set_row(const struct conf_row *row, struct conf *conf, struct span value,
                    struct err *err)
{
    int64_t number;

    if (row->type == CONF_TEXT)
        return set_text(row, conf, value, err);
    if (!parse_number(row, value, &number))
        return refuse_number(row, value, err);
    if (row->type != CONF_CHOICE && (number < row->least || number > row->most)) {
        BUF_AUTO bounds = {0};
        write_number(&bounds, row, row->least);
        buf_text(&bounds, " to ");
        write_number(&bounds, row, row->most);
        return err_set(err, ERR_CONFIG, "%s = %.*s: out of bounds, must be %s", row->name,
                       (int)value.len, value.at, bounds.at);
    }
    *number_field(row, conf) = number;
    return true;
}

/* "name = value" into the row it names. */
static bool set_assignment(struct conf_set *set, struct span text, const char *origin,
                           struct err *err)
{
    struct span name, rest = text;
    const char *nearest;

    if (memchr(text.at, '\0', text.len) != NULL)
        return err_set(err, ERR_CONFIG, "%s: holds a NUL byte", origin);
    if (!span_next(&rest, '=', &name) || rest.at == NULL)
        return err_set(err, ERR_CONFIG, "%s: '%.*s' is not of the form name = value", origin,
                       (int)text.len, text.at);
    STR_AUTO key = mem_span(span_trim(name));
    const struct conf_row *row = conf_find(key, &nearest);
    if (row == NULL)
        return err_set(err, ERR_CONFIG, "%s: unknown setting '%s'%s%s%s", origin, key,
                       nearest != NULL ? "; did you mean '" : "; see 'rollcall config -d'",
                       nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    if (!set_row(row, &set->value, span_trim(rest), err))
        return err_prefix(err, "%s", origin);
    struct conf_origin *where = &set->origins[row - conf_rows];
    str_free(&where->text);
    where->text = mem_text(origin);
    return true;
}

static bool read_whole(const char *path, struct buf *out, struct err *err)
{
    char piece[4096];
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return err_set(err, ERR_CONFIG, "%s: %s", path, strerror(errno));
    size_t n;
    while (out->len <= FILE_LIMIT && (n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(out, piece, n);
    bool failed = ferror(file) != 0;
    fclose(file);
    if (failed)
        return err_set(err, ERR_CONFIG, "%s: cannot be read (a directory?)", path);
    if (out->len > FILE_LIMIT)
        return err_set(err, ERR_CONFIG, "%s: larger than 1 MiB, not a settings file", path);
    return true;
}

/* Gathers logical lines (continuations joined by a blank) and sets each. */
static bool read_file(struct conf_set *set, const char *path, struct err *err)
{
    BUF_AUTO text = {0}, logical = {0};
    int line = 0, first = 0;

    if (!read_whole(path, &text, err))
        return false;
    struct span rest = span_of(text.at, text.len), raw;
    for (bool more = text.len > 0; more;) {
        more = span_next(&rest, '\n', &raw);
        line++;
        struct span body = more ? span_trim(raw) : (struct span){"", 0};
        if (more && (body.len == 0 || body.at[0] == '#'))
            continue;
        bool continues = more && (raw.at[0] == ' ' || raw.at[0] == '\t');
        if (continues && logical.len == 0)
            return err_set(err, ERR_CONFIG, "%s:%d: a continuation line with nothing to continue",
                           path, line);
        if (!continues && logical.len > 0) {
            STR_AUTO origin = mem_printf("%s:%d", path, first);
            if (!set_assignment(set, span_of(logical.at, logical.len), origin, err))
                return false;
            buf_clear(&logical);
        }
        if (!continues)
            first = line;
        else
            buf_text(&logical, " ");
        buf_append(&logical, body.at, body.len);
    }
    return true;
}

static void set_defaults(struct conf_set *set)
{
    struct err err;

    set->origins = mem_zero(conf_row_count, sizeof *set->origins);
    for (size_t i = 0; i < conf_row_count; i++)
        if (!set_row(&conf_rows[i], &set->value, span_text(conf_rows[i].fallback), &err)) {
            fprintf(stderr, "default of %s: %s\n", conf_rows[i].name, err.text);
            abort(); /* the table contradicts itself; t/unit/conf catches it */
        }
}

bool conf_load(struct conf_set *set, const char *file, const char *const *overrides,
               size_t override_count, struct err *err)
{
    *set = (struct conf_set){0};
    set_defaults(set);
    bool given = file != NULL;
    const char *path = given ? file : CONF_DEFAULT_FILE;
    FILE *probe = given ? NULL : fopen(path, "re");
    bool absent = !given && probe == NULL && errno == ENOENT;
    if (probe != NULL)
        fclose(probe);
    bool fine = absent || read_file(set, path, err);
    for (size_t i = 0; fine && i < override_count; i++)
        fine = set_assignment(set, span_text(overrides[i]), "-o", err);
    if (!fine)
        conf_free(set);
    return fine;
}

void conf_free(struct conf_set *set)
{
    for (size_t i = 0; i < conf_row_count; i++) {
        if (conf_rows[i].type == CONF_TEXT)
            str_free(text_field(&conf_rows[i], &set->value));
        if (set->origins != NULL)
            str_free(&set->origins[i].text);
    }
    free(set->origins);
    *set = (struct conf_set){0};
}

static bool copy_piece(char *out, size_t room, struct span piece)
{
    if (piece.len >= room)
        return false;
    memcpy(out, piece.at, piece.len);
    out[piece.len] = '\0';
    return true;
}

bool conf_parse_address(struct span text, struct conf_address *address, struct err *err)
{
    *address = (struct conf_address){0};
    if (text.len > 5 && memcmp(text.at, "unix:", 5) == 0) {
        address->is_unix = true;
        struct span path = span_of(text.at + 5, text.len - 5);
        if (path.at[0] != '/' || !copy_piece(address->path, sizeof address->path, path))
            return err_set(err, ERR_CONFIG,
                           "'%.*s': a unix socket needs an absolute path of at most %zu bytes",
                           (int)text.len, text.at, sizeof address->path - 1);
        return true;
    }
    const char *colon = text.len > 5 && memcmp(text.at, "inet:", 5) == 0
                            ? memrchr(text.at + 5, ':', text.len - 5)
                            : NULL;
    int64_t port;
    if (colon == NULL)
        return err_set(err, ERR_CONFIG, "'%.*s' is neither unix:/path nor inet:host:port",
                       (int)text.len, text.at);
    struct span host = span_of(text.at + 5, (size_t)(colon - text.at) - 5);
    struct span number = span_of(colon + 1, text.len - (size_t)(colon + 1 - text.at));
    if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        host = span_of(host.at + 1, host.len - 2);
    if (!str_int64(number, &port) || port < 0 || port > 65535 ||
        !copy_piece(address->port, sizeof address->port, number) ||
        !copy_piece(address->host, sizeof address->host, host))
        return err_set(err, ERR_CONFIG, "'%.*s': not a host and a port from 0 to 65535",
                       (int)text.len, text.at);
    return true;
}
