/*
 * list: every file of t/data/import with what must come of it (FILE.want), whole and in pieces of
 * one and seven bytes; the tables of t/data/list; what the reader writes, read back; caps.
 * Catches a form or an encoding taken for another, an address put to the wrong user, a bad line
 * that is swallowed or takes its neighbours with it, a line number that is off, memory that grows.
 *
 *     unit-list FILE…     prints what comes of a file, as the .want files have it
 */
#include "lib/list.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "lib/addr.h"
#include "table.h"
#include "tap.h"

/* Writes what the reader says, a line each. */
struct record {
    struct buf out;
    struct buf csv; /* the same entries as list_write_entry has them */
    int problems;
};

static void put_addresses(struct buf *out, const struct roll_entry *entry)
{
    char text[ADDR_TEXT_MAX + 1];

    for (size_t i = 0; i < entry->address_count; i++) {
        bool off = entry->disabled_each != NULL && entry->disabled_each[i];
        addr_format(&entry->addresses[i], text);
        buf_printf(out, " %s%s", text, off ? " (off)" : "");
    }
}

static bool on_entry(void *context, const struct roll_entry *entry, struct err *err)
{
    struct record *record = context;

    (void)err;
    buf_printf(&record->out, "%lld%s", (long long)entry->line,
               entry->kind == ENTRY_GROUP ? " group" : "");
    put_addresses(&record->out, entry);
    if (entry->name.len > 0)
        buf_printf(&record->out, " = %.*s", (int)entry->name.len, entry->name.at);
    buf_text(&record->out, entry->disabled ? " (disabled)\n" : "\n");
    list_write_entry(&record->csv, entry);
    return true;
}

static void on_problem(void *context, const struct list_problem *problem)
{
    struct record *record = context;
    char shown[60];

    record->problems++;
    str_printable(shown, sizeof shown, problem->text.at, problem->text.len);
    buf_printf(&record->out, "%lld %s %s: %s\n", (long long)problem->line,
               problem->passed_over ? "~" : "!", shown, problem->why);
}

static bool folds(void *context, struct span domain)
{
    (void)context;
    return !span_equals(domain, "case.example");
}

/* What comes of the bytes, fed `step` at a time. */
static void read_bytes(struct record *record, struct span bytes, size_t step,
                       const struct list_options *options)
{
    struct list_sink sink = {record, on_entry, on_problem, folds};
    struct list *list = NULL;
    struct err err = {0};

    buf_clear(&record->out);
    buf_clear(&record->csv);
    buf_text(&record->out, "");
    list_write_header(&record->csv);
    bool fine = list_open(&list, options, &sink, &err);
    for (size_t at = 0; fine && at < bytes.len; at += step) {
        size_t len = bytes.len - at < step ? bytes.len - at : step;
        char *copy = mem_span(span_of(bytes.at + at, len)); /* so that a sanitizer sees overruns */
        fine = list_feed(list, copy, len, &err);
        free(copy);
    }
    fine = fine && list_end(list, &err);
    if (!fine)
        buf_printf(&record->out, "%d %s\n", (int)err.class, err.text);
    else
        list_describe(list, &record->out);
    if (fine)
        buf_text(&record->out, "\n");
    list_free(&list);
}

static void record_free(struct record *record)
{
    buf_free(&record->out);
    buf_free(&record->csv);
}
#define RECORD_AUTO __attribute__((cleanup(record_free))) struct record

static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    char piece[4096];
    size_t got;

    buf_clear(out);
    buf_text(out, "");
    if (file == NULL)
        return false;
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        buf_append(out, piece, got);
    fclose(file);
    return true;
}

/* "mixed.csv.want" says what comes of "mixed.csv"; its first line may hold options. */
static void check_file(const char *directory, const char *want_name)
{
    BUF_AUTO path = {0}, bytes = {0}, want = {0};
    RECORD_AUTO record = {0};
    struct list_options options = {0};
    static const size_t steps[] = {SIZE_MAX, 1, 7, 4096};

    buf_printf(&path, "%s/%s", directory, want_name);
    if (!ok(read_file(path.at, &want), "%s is there", want_name))
        return;
    path.len -= strlen(".want");
    path.at[path.len] = '\0';
    if (!ok(read_file(path.at, &bytes), "%s is there", path.at))
        return;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        read_bytes(&record, span_of(bytes.at, bytes.len), steps[i], &options);
        is_text(record.out.at, want.at, "%s in pieces of %zu", path.at, steps[i]);
    }
    BUF_AUTO once = {0};
    buf_append(&once, record.csv.at, record.csv.len);
    read_bytes(&record, span_of(once.at, once.len), SIZE_MAX, &options);
    is_text(record.csv.at, once.at, "%s: what is written reads back", path.at);
}

static void check_files(const char *directory)
{
    DIR *dir = opendir(directory);
    int files = 0;

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len > 5 && strcmp(entry->d_name + len - 5, ".want") == 0) {
            check_file(directory, entry->d_name);
            files++;
        }
    }
    if (dir != NULL)
        closedir(dir);
    ok(files > 15, "%d files with what must come of them", files);
}

/* Lines as "2 bob@example.com = Bob" joined by " / ", without the description at the end. */
static void join_lines(struct buf *out, struct span lines)
{
    struct span line;
    struct span rest = lines;

    buf_clear(out);
    buf_text(out, "");
    while (span_next(&rest, '\n', &line) && rest.at != NULL && rest.len > 0)
        buf_printf(out, "%s%.*s", out->len > 0 ? " / " : "", (int)line.len, line.at);
}

static void check_table_row(int line, char **field, int fields, enum list_form form)
{
    BUF_AUTO given = {0}, got = {0};
    RECORD_AUTO record = {0};
    struct list_options options = {.form = form};

    if (!ok(fields == 2 || fields == 1, "line %d has two fields", line))
        return;
    read_bytes(&record, table_bytes(field[0], &given), SIZE_MAX, &options);
    join_lines(&got, span_of(record.out.at, record.out.len));
    is_text(got.at, fields == 2 ? field[1] : "", "line %d: %s", line, field[0]);
}

static void check_paste(int line, char **field, int fields)
{
    check_table_row(line, field, fields, LIST_PASTE);
}

static void check_plain(int line, char **field, int fields)
{
    check_table_row(line, field, fields, LIST_PLAIN);
}

/* Which form a list is taken for: the last line of the outcome, or the error. */
static void check_guess(int line, char **field, int fields)
{
    BUF_AUTO given = {0};
    RECORD_AUTO record = {0};
    struct list_options options = {0};

    if (!ok(fields == 2, "line %d has two fields", line))
        return;
    read_bytes(&record, table_bytes(field[0], &given), SIZE_MAX, &options);
    record.out.at[record.out.len - 1] = '\0';
    const char *last = strrchr(record.out.at, '\n');
    is_text(last != NULL ? last + 1 : record.out.at, field[1], "line %d: %s", line, field[0]);
}

/* field: options as "columns=…;name=…", list, outcome */
static void check_options(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, got = {0};
    RECORD_AUTO record = {0};
    struct list_options options = {0};
    char *rest = field[0], *option;

    if (!ok(fields == 3, "line %d has three fields", line))
        return;
    while ((option = strsep(&rest, ";")) != NULL) {
        char *value = strchr(option, '=');
        if (value != NULL)
            *value++ = '\0';
        if (strcmp(option, "columns") == 0)
            options.columns = value;
        else if (strcmp(option, "address") == 0)
            options.address_column = value;
        else if (strcmp(option, "aliases") == 0)
            options.aliases_column = value;
        else if (strcmp(option, "name") == 0)
            options.name_column = value;
        else if (strcmp(option, "delimiter") == 0)
            options.delimiter = value[0] == 's' ? ';' : value[0];
        else if (strcmp(option, "encoding") == 0)
            options.encoding = value;
        else if (strcmp(option, "disabled") == 0)
            options.disabled = true;
        else
            ok(false, "line %d: option %s", line, option);
    }
    read_bytes(&record, table_bytes(field[1], &given), SIZE_MAX, &options);
    buf_text(&record.out, "\n");
    join_lines(&got, span_of(record.out.at, record.out.len));
    is_text(got.at, field[2], "line %d: %s", line, field[1]);
}

static void check_name(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, want = {0}, got = {0};

    if (!ok(fields == 2, "line %d has two fields", line))
        return;
    bool fine = list_clean_name(table_bytes(field[0], &given), &got);
    struct span w = table_bytes(field[1], &want);
    if (span_equals(w, "-"))
        ok(!fine, "line %d: '%s' is no name", line, field[0]);
    else
        ok(fine && got.len == w.len && memcmp(got.at, w.at, w.len) == 0, "line %d: '%s' got '%s'",
           line, field[0], got.at);
}

/* ---- what is written reads back, whatever it is */

static unsigned seed = 12345;

static unsigned some(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % below;
}

static void random_text(struct buf *out, const char *const *signs, unsigned count, unsigned most)
{
    buf_clear(out);
    for (unsigned n = 1 + some(most); n > 0; n--)
        buf_text(out, signs[some(count)]);
}

static void random_addr(struct addr *addr)
{
    static const char *const signs[] = {"a", "b", "7",  ".", "+",  "=", "-",  "'", "\"", "\\",
                                        " ", "#", ",",  ";", "|",  "@", "\t", "é", "!",  "ß",
                                        "<", ">", "日", "%", "\n", "*", "_",  "(", ":"};
    BUF_AUTO local = {0};
    struct err err;
    char text[ADDR_TEXT_MAX * 2];

    do {
        random_text(&local, signs, sizeof signs / sizeof signs[0], 8);
        addr_format_parts(span_of(local.at, local.len), span_text("example.com"), text,
                          sizeof text);
    } while (!addr_parse(span_text(text), true, addr, &err));
}

static void random_entry(struct buf *name, struct addr *addresses, bool *disabled,
                         struct roll_entry *entry)
{
    static const char *const signs[] = {"Bob", "x",  "é", " ", "'", "=",  "+", "-",
                                        "@",   "\"", ",", ";", "|", "\\", "(", ")",
                                        "<",   "日", "#", ":", "“", "O’", "1", "%"};
    BUF_AUTO raw = {0};

    random_text(&raw, signs, sizeof signs / sizeof signs[0], 7);
    if (!list_clean_name(span_of(raw.at, raw.len), name))
        buf_clear(name);
    *entry = (struct roll_entry){.kind = some(5) == 0 ? ENTRY_GROUP : ENTRY_USER,
                                 .addresses = addresses,
                                 .address_count = 1 + some(4),
                                 .name = span_of(name->at, some(4) == 0 ? 0 : name->len),
                                 .disabled = some(4) == 0};
    if (entry->kind == ENTRY_GROUP)
        entry->address_count = 1;
    if (some(3) == 0)
        entry->disabled_each = disabled;
    for (size_t i = 0; i < entry->address_count; i++) {
        random_addr(&addresses[i]);
        disabled[i] = some(2) == 0;
    }
}

static bool same_twice(const struct addr *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (addresses[i].local_len == addresses[j].local_len &&
                memcmp(addresses[i].local, addresses[j].local, addresses[i].local_len) == 0)
                return true;
    return false;
}

static void check_round_trips(void)
{
    struct list_options options = {0};

    for (int round = 0; round < 200; round++) {
        BUF_AUTO csv = {0}, name = {0};
        RECORD_AUTO record = {0};
        list_write_header(&csv);
        for (unsigned n = 1 + some(20); n > 0;) {
            struct addr addresses[4];
            bool disabled[4];
            struct roll_entry entry;
            random_entry(&name, addresses, disabled, &entry);
            if (same_twice(addresses, entry.address_count))
                continue;
            list_write_entry(&csv, &entry);
            n--;
        }
        read_bytes(&record, span_of(csv.at, csv.len), SIZE_MAX, &options);
        if (strcmp(record.csv.at, csv.at) == 0 && record.problems == 0)
            continue;
        is_text(record.csv.at, csv.at, "round %d: what is written reads back", round);
        ok(record.problems == 0, "round %d: without a problem: %s", round, record.out.at);
        return;
    }
    ok(true, "what is written reads back, 200 times");
}

/* ---- caps */

static void check_starts(struct span bytes, const struct list_options *options, const char *start,
                         const char *what)
{
    RECORD_AUTO record = {0};

    read_bytes(&record, bytes, 1 << 16, options);
    record.out.at[record.out.len < 200 ? record.out.len : 200] = '\0';
    ok(strncmp(record.out.at, start, strlen(start)) == 0, "%s", what);
    if (strncmp(record.out.at, start, strlen(start)) != 0)
        printf("#  got: %s\n# want: %s\n", record.out.at, start);
}

static void fill(struct buf *out, const char *text, size_t times)
{
    while (times-- > 0)
        buf_text(out, text);
}

static void check_caps(void)
{
    BUF_AUTO list = {0};
    struct list_options any = {0}, csv = {.form = LIST_CSV};

    fill(&list, "x", 3 << 20);
    check_starts(span_of(list.at, list.len), &any, "65 line 1 is longer than 1048576 octets",
                 "a line without end");
    buf_clear(&list);
    buf_text(&list, "email;aliases\nbob@example.com;");
    fill(&list, "\"", 3 << 20);
    check_starts(span_of(list.at, list.len), &any, "65 line 2 is longer", "and a row without end");
    buf_clear(&list);
    buf_text(&list, "email;aliases\nbob@example.com;");
    for (int i = 0; i < 1200; i++)
        buf_printf(&list, "bob%d@example.com,", i);
    check_starts(span_of(list.at, list.len), &any,
                 "2 ! bob999@example.com: more than 1000 addresses", "a user with 1,201 addresses");
    buf_clear(&list);
    buf_text(&list, "email\n");
    fill(&list, "a;", 2000);
    check_starts(span_of(list.at, list.len), &csv, "2 ! a;a;", "a row of 2,001 columns");
    buf_clear(&list);
    buf_text(&list, "dn: cn=bob\nmail: bob@example.com\njpegPhoto:: ");
    fill(&list, "AAAA\n ", 2 << 20);
    buf_text(&list, "\n\n");
    check_starts(span_of(list.at, list.len), &any, "1 bob@example.com\nLDIF",
                 "a picture of 8 MiB is passed over");
    buf_clear(&list);
    buf_text(&list, "dn: cn=bob\nmail: bob@example.com\ncn: ");
    fill(&list, "AAAAAAAAA\n ", 1 << 15);
    buf_text(&list, "\n\n");
    check_starts(span_of(list.at, list.len), &any, "3 ! cn: AAAAAAAAA", "a name of 300 KB is not");
}

/* A quote that is never closed costs its own line only. */
static void check_open_quote(void)
{
    BUF_AUTO list = {0};
    RECORD_AUTO record = {0};
    struct list_options any = {0};

    buf_text(&list, "email,name\n\"a@example.com,A\n");
    for (int i = 0; i < 5000; i++)
        buf_printf(&list, "user%d@example.com,Some Body\n", i);
    read_bytes(&record, span_of(list.at, list.len), SIZE_MAX, &any);
    static const char want[] = "2 ! \"a@example.com,A: a double quote is opened and not closed\n"
                               "3 user0@example.com = Some Body\n";
    ok(strncmp(record.out.at, want, strlen(want)) == 0, "an open quote takes its line");
    ok(strstr(record.out.at, "\n5002 user4999@example.com = Some Body\n") != NULL,
       "and no other of 5,000");
    buf_clear(&list);
    buf_text(&list, "email,name\n");
    for (int i = 0; i < 3000; i++)
        fill(&list, "\"\"\"a@example.com,A\nb,\n", 1);
    read_bytes(&record, span_of(list.at, list.len), SIZE_MAX, &any);
    ok(strstr(record.out.at, "not closed") != NULL, "quotes that never close come to an end");
}

/* A book of addresses on one line is cut between addresses. */
static void check_long_line(void)
{
    BUF_AUTO list = {0};
    RECORD_AUTO record = {0};
    struct list_options any = {0};
    int count = 0, bad = 0;

    for (int i = 0; i < 20000; i++)
        buf_printf(&list, "\"Body, Some\" <user%d@example.com>; ", i);
    read_bytes(&record, span_of(list.at, list.len), 4096, &any);
    struct span rest = span_of(record.out.at, record.out.len), line;
    while (span_next(&rest, '\n', &line)) {
        bool good = memmem(line.at, line.len, "@example.com = Body, Some", 25) != NULL;
        count += good;
        bad += line.len > 2 && !good;
    }
    is_int(count, 20000, "20,000 addresses on one line");
    is_int(bad, 1, "nothing else but the description");
}

static void check_paths(void)
{
    RECORD_AUTO record = {0};
    struct list_options any = {0};
    struct list_sink sink = {&record, on_entry, on_problem, NULL};
    struct list *list = NULL;
    struct err err = {0};

    ok(list_open(&list, &any, &sink, &err) && !list_read_file(list, "/tmp", NULL, &err) &&
           strcmp(err.text, "/tmp: is a directory") == 0 && err.class == ERR_DATA,
       "a directory: %s", err.text);
    list_free(&list);
    ok(list_open(&list, &any, &sink, &err) && !list_read_file(list, "/none/there", NULL, &err) &&
           strcmp(err.text, "/none/there: No such file or directory") == 0,
       "no file: %s", err.text);
    list_free(&list);
    ok(list_open(&list, &any, &sink, &err) && !list_read_file(list, "/dev/null", NULL, &err) &&
           strcmp(err.text, "/dev/null: is empty") == 0,
       "an empty file: %s", err.text);
    list_free(&list);
    any.encoding = "klingon";
    ok(!list_open(&list, &any, &sink, &err) && err.class == ERR_USAGE && list == NULL, "%s",
       err.text);
    any = (struct list_options){.columns = "address,nmae"};
    ok(!list_open(&list, &any, &sink, &err) && err.class == ERR_USAGE, "%s", err.text);
    any.columns = "name,-";
    ok(!list_open(&list, &any, &sink, &err) && err.class == ERR_USAGE, "%s", err.text);
}

int main(int argc, char **argv)
{
    struct list_options options = {0};

    for (int i = 1; i < argc; i++) {
        BUF_AUTO bytes = {0};
        RECORD_AUTO record = {0};
        if (!read_file(argv[i], &bytes))
            return 1;
        read_bytes(&record, span_of(bytes.at, bytes.len), SIZE_MAX, &options);
        fputs(record.out.at, stdout);
    }
    if (argc > 1)
        return 0;
    check_files(TEST_DATA "/import");
    tap_rows(TEST_DATA "/list/paste.txt", check_paste);
    tap_rows(TEST_DATA "/list/plain.txt", check_plain);
    tap_rows(TEST_DATA "/list/guess.txt", check_guess);
    tap_rows(TEST_DATA "/list/options.txt", check_options);
    tap_rows(TEST_DATA "/list/names.txt", check_name);
    check_round_trips();
    check_caps();
    check_open_quote();
    check_long_line();
    check_paths();
    return tap_done();
}
