/*
 * conf: the settings table, values (t/data/conf/values.txt) and files. Catches a default out of its
 * own bounds, a field without a row, a value taken in part, a message that does not name file, line
 * and the nearest name, and a printed value that does not read back.
 */
#include "lib/conf.h"

#include <sys/stat.h>
#include <unistd.h>

#include "table.h"
#include "tap.h"

static char *path; /* of the settings file that the tests write */

static bool load(const char *override, struct conf_set *set, struct err *err)
{
    return conf_load(set, "/dev/null", &override, override != NULL, err);
}

static void print_value(const struct conf_set *set, const char *name, struct buf *out)
{
    const char *nearest;
    const struct conf_row *row = conf_find(name, &nearest);

    buf_clear(out);
    if (ok(row != NULL, "%s is a setting", name))
        conf_write_value(out, row, &set->value);
}

/* -o through the function that programs call; NUL bytes need the file. */
static bool load_bytes(struct span given, struct conf_set *set, struct err *err)
{
    if (memchr(given.at, '\0', given.len) == NULL)
        return load(given.at, set, err);
    FILE *file = fopen(path, "we");
    fwrite(given.at, 1, given.len, file);
    fclose(file);
    return conf_load(set, path, NULL, 0, err);
}

static void check_value(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, want = {0}, got = {0};
    struct conf_set set;
    struct err err = {0};

    if (!ok(fields == 2, "line %d has two fields", line))
        return;
    bool fine = load_bytes(table_bytes(field[0], &given), &set, &err);
    if (!fine) {
        ok(field[1][0] == '!' && strstr(err.text, field[1] + 1) != NULL, "line %d: '%s': %s", line,
           field[0], err.text);
        is_int(err.class, ERR_CONFIG, "line %d: a configuration error", line);
        ok(set.origins == NULL && set.value.database == NULL, "line %d: nothing is left", line);
        return;
    }
    STR_AUTO name = mem_span(span_trim(span_of(given.at, strcspn(given.at, "="))));
    print_value(&set, name, &got);
    table_bytes(field[1], &want);
    is_text(got.at == NULL ? "" : got.at, want.at, "line %d: '%s'", line, field[0]);
    conf_free(&set);
}

static void check_row(const struct conf_row *row)
{
    const char *nearest;

    ok(conf_find(row->name, &nearest) == row, "%s is found, and once only", row->name);
    is_int(strspn(row->name, "abcdefghijklmnopqrstuvwxyz_"), strlen(row->name), "%s: its letters",
           row->name);
    size_t len = strlen(row->doc);
    ok(len > 20 && row->doc[len - 1] == '.' && strstr(row->doc, "  ") == NULL,
       "%s is documented in sentences", row->name);
    ok((row->type == CONF_CHOICE) == (row->choices != NULL), "%s: choices where they belong",
       row->name);
    ok(row->type == CONF_CHOICE || row->least <= row->most, "%s: bounds", row->name);
    ok(row->check == NULL || row->type == CONF_TEXT, "%s: only texts have rules", row->name);
}

/* Every default and both bounds, printed and read back, stay the same. */
static void check_read_back(const struct conf_row *row, const char *value)
{
    BUF_AUTO first = {0}, again = {0};
    struct conf_set set;
    struct err err = {0};

    for (int round = 0; round < 2; round++) {
        STR_AUTO override = mem_printf("%s = %s", row->name, round == 0 ? value : first.at);
        if (!ok(load(override, &set, &err), "%s: %s", override, err.text))
            return;
        conf_write_value(round == 0 ? &first : &again, row, &set.value);
        conf_free(&set);
        if (first.at == NULL)
            return; /* an empty text */
    }
    is_text(again.at, first.at, "%s reads back", row->name);
}

static void check_table(void)
{
    is_int(conf_row_count, sizeof(struct conf) / sizeof(int64_t),
           "as many rows as fields, all eight bytes wide");
    for (size_t i = 0; i < conf_row_count; i++) {
        const struct conf_row *row = &conf_rows[i];
        check_row(row);
        for (size_t j = 0; j < i; j++)
            if (conf_rows[j].offset == row->offset)
                ok(false, "%s and %s share a field", row->name, conf_rows[j].name);
        check_read_back(row, row->fallback);
        for (int bound = 0; bound < 2; bound++) {
            long long value = (long long)(bound == 0 ? row->least : row->most);
            STR_AUTO text = row->type == CONF_TIME ? mem_printf("%lldms", value / 1000)
                                                   : mem_printf("%lld", value);
            if (row->type == CONF_NUMBER || row->type == CONF_TIME || row->type == CONF_SIZE)
                check_read_back(row, text);
        }
    }
}

static bool load_text(const char *text, size_t len, const char *const *overrides, size_t count,
                      struct conf_set *set, struct err *err)
{
    FILE *file = fopen(path, "we");

    fwrite(text, 1, len, file);
    fclose(file);
    return conf_load(set, path, overrides, count, err);
}

static void check_file(void)
{
    static const char text[] = "# a comment\n"
                               "\n"
                               "database = host=a\n"
                               "   port=1\n"
                               "# between continuations\n"
                               "\tdbname=x\r\n"
                               "   # indented comment\n"
                               "log_level=debug\n"
                               "log_level = error\n"
                               "guard_percent = 5"; /* no newline at the end */
    static const char *const overrides[] = {"guard_percent=7", "guard_least = 9"};
    struct conf_set set;
    struct err err = {0};
    BUF_AUTO origin = {0};
    const char *nearest;

    if (!ok(load_text(text, sizeof text - 1, overrides, 2, &set, &err), "a file: %s", err.text))
        return;
    is_text(set.value.database, "host=a port=1 dbname=x", "continuations are joined by blanks");
    is_int(set.value.log_level, 3, "of a name twice the last counts");
    is_int(set.value.guard_percent, 7, "-o wins over the file");
    is_int(set.value.guard_least, 9, "-o wins over the default");
    buf_printf(&origin, "%s:3", path);
    is_text(set.origins[conf_find("database", &nearest) - conf_rows].text, origin.at,
            "where the text began");
    is_text(set.origins[conf_find("guard_percent", &nearest) - conf_rows].text, "-o",
            "given by -o");
    ok(set.origins[conf_find("stale_limit", &nearest) - conf_rows].text == NULL, "a default");
    conf_free(&set);
    ok(set.origins == NULL && set.value.database == NULL, "freed is empty");
    conf_free(&set);
}

static void refuse(const char *what, const char *text, size_t len, const char *want)
{
    struct conf_set set;
    struct err err = {0};
    bool fine = load_text(text, len, NULL, 0, &set, &err);

    ok(!fine && err.class == ERR_CONFIG && strstr(err.text, want) != NULL, "%s: %s", what,
       fine ? "taken" : err.text);
    if (fine)
        conf_free(&set);
}

static void check_bad_files(void)
{
    struct conf_set set;
    struct err err = {0};
    size_t large = (1 << 20) + 1;
    char *zeros = mem_zero(large, 1);

#define REFUSE(what, text, want) refuse(what, text, sizeof text - 1, want)
    REFUSE("a wrong name", "# x\n\nlog_levl = info\n",
           ":3: unknown setting 'log_levl'; did you mean 'log_level'?");
    REFUSE("a wrong value in a continuation", "\n\npolicy_workers =\n   many\n",
           ":3: policy_workers = many: not a whole number");
    REFUSE("a wrong last line", "log_level = info\nx", ":2: 'x' is not of the form name = value");
    REFUSE("a blank in front of the first setting", "\n log_level = info\n",
           ":2: a continuation line with nothing to continue");
    REFUSE("control characters", "log_level = \x1b[31m\n", "log_level = ?[31m");
#undef REFUSE
    memset(zeros, '#', large);
    refuse("a file too large", zeros, large, "larger than 1 MiB");
    free(zeros);
    ok(!conf_load(&set, "/nonexistent/x.conf", NULL, 0, &err) &&
           strstr(err.text, "/nonexistent/x.conf: No such file") != NULL,
       "a file that is not there: %s", err.text);
    ok(!conf_load(&set, "/tmp", NULL, 0, &err) && strstr(err.text, "/tmp: ") != NULL,
       "a directory: %s", err.text);
}

static void check_addresses(void)
{
    static const struct {
        const char *text, *host, *port;
    } rows[] = {
        {"inet:127.0.0.1:25", "127.0.0.1", "25"},
        {"inet:localhost:0", "localhost", "0"},
        {"inet:[::1]:65535", "::1", "65535"},
        {"inet::25", "", "25"},
        {"inet:::1:25", "::1", "25"},
    };
    struct conf_address a;
    struct err err;
    BUF_AUTO text = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ok(conf_parse_address(span_text(rows[i].text), &a, &err) && !a.is_unix, "%s", rows[i].text);
        is_text(a.host, rows[i].host, "%s: host", rows[i].text);
        is_text(a.port, rows[i].port, "%s: port", rows[i].text);
    }
    struct span longest = table_bytes("unix:/{106:x}", &text);
    ok(conf_parse_address(longest, &a, &err) && a.is_unix && strlen(a.path) == 107,
       "the longest path of a unix socket");
    ok(!conf_parse_address(table_bytes("unix:/{107:x}", &text), &a, &err), "one byte more");
    ok(!conf_parse_address(span_text("unix:"), &a, &err), "no path");
    ok(!conf_parse_address(span_text("inet:"), &a, &err), "no host");
    ok(!conf_parse_address(table_bytes("inet:{256:h}:1", &text), &a, &err), "a host too long");
    ok(!conf_parse_address(span_text(""), &a, &err), "nothing");
}

int main(void)
{
    path = mem_printf("/tmp/rollcall-conf-%d", (int)getpid());
    tap_rows(TEST_DATA "/conf/values.txt", check_value);
    check_table();
    check_file();
    check_bad_files();
    check_addresses();
    unlink(path);
    free(path);
    return tap_done();
}
