/*
 * addr: the tables of t/data/addr. Catches an address that changes its normal form (everybody on
 * the roll would be unknown), a bad one let in or blamed for the wrong thing, a tag split
 * otherwise than Postfix does, and a printed address that does not read back as itself.
 */
#include "lib/addr.h"

#include "table.h"
#include "tap.h"

static void check_read_back(int line, const struct addr *addr, bool fold)
{
    char printed[ADDR_TEXT_MAX + 1];
    struct addr again;
    struct err err;
    size_t len = addr_format(addr, printed);

    is_int(strlen(printed), len, "line %d: the length told is the length printed", line);
    if (!ok(addr_parse(span_of(printed, len), fold, &again, &err), "line %d: %s reads back", line,
            printed))
        return;
    ok(again.local_len == addr->local_len && again.domain_len == addr->domain_len &&
           memcmp(again.local, addr->local, addr->local_len) == 0 &&
           memcmp(again.domain, addr->domain, addr->domain_len) == 0,
       "line %d: %s reads back as itself", line, printed);
}

static void check_valid(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, want = {0};
    char printed[ADDR_TEXT_MAX + 1];
    struct addr addr;
    struct err err = {0};

    if (!ok(fields == 3, "line %d has three fields", line))
        return;
    bool fold = strcmp(field[1], "fold") == 0;
    table_bytes(field[2], &want);
    if (!ok(addr_parse(table_bytes(field[0], &given), fold, &addr, &err), "line %d: %s: %s", line,
            field[0], err.text))
        return;
    addr_format(&addr, printed);
    is_text(printed, want.at, "line %d: %s", line, field[0]);
    is_int(addr.local[addr.local_len], 0, "line %d: a NUL follows the local part", line);
    is_int(addr.domain_len, strlen(addr.domain), "line %d: length of the domain", line);
    check_read_back(line, &addr, fold);
}

static void check_invalid(int line, char **field, int fields)
{
    BUF_AUTO given = {0};
    struct addr addr;
    struct err err = {0};

    if (!ok(fields == 3, "line %d has three fields", line))
        return;
    struct span text = table_bytes(field[0], &given);
    if (!ok(!addr_parse(text, true, &addr, &err), "line %d: '%s' is refused", line, field[0]))
        return;
    is_int(err.class, ERR_DATA, "line %d: is bad data", line);
    ok(strstr(err.text, field[1]) != NULL && strstr(err.text, field[2]) != NULL,
       "line %d: '%s' names '%s' and %s", line, err.text, field[1], field[2]);
    for (const char *p = err.text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            ok(false, "line %d: a control character in the message", line);
}

static void check_normal_local(int line, struct span local, bool fold, const char *want_field)
{
    BUF_AUTO want = {0};
    char out[ADDR_LOCAL_MAX + 1];
    size_t len = 0;
    bool fits = addr_normal_local(local, fold, out, &len);

    if (strcmp(want_field, "-") == 0) {
        ok(!fits, "line %d: cannot be on a roll", line);
        return;
    }
    struct span w = table_bytes(want_field, &want);
    ok(fits && len == w.len && memcmp(out, w.at, len) == 0, "line %d: %s normalised", line,
       want_field);
}

/* The nearest parent of what is no domain name. */
static void check_above(int line, struct span given, const char *want)
{
    BUF_AUTO bytes = {0};
    struct addr_asked asked = {0};
    bool there = addr_split_above(given, &asked);

    if (!ok(there == (want != NULL), "line %d: whether a domain name lies above", line) || !there)
        return;
    struct span w = table_bytes(want, &bytes);
    ok(asked.domain_len == w.len && memcmp(asked.domain, w.at, w.len) == 0,
       "line %d: '%s' lies above", line, asked.domain);
}

static void check_asked(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, local = {0};
    struct addr_asked asked = {0};

    if (!ok(fields == 2 || fields == 3 || fields == 5, "line %d has two, three or five fields",
            line))
        return;
    bool ours = addr_split_asked(table_bytes(field[0], &given), &asked);
    if (fields < 5) {
        ok(!ours, "line %d: '%s' is not ours", line, field[0]);
        check_above(line, span_of(given.at, given.len), fields == 3 ? field[2] : NULL);
        return;
    }
    if (!ok(ours, "line %d: '%s' may be ours", line, field[0]))
        return;
    struct span want = table_bytes(field[1], &local);
    ok(asked.local.len == want.len && memcmp(asked.local.at, want.at, want.len) == 0 &&
           asked.local.at == given.at,
       "line %d: the local part, in place", line);
    is_text(asked.domain, field[2], "line %d: the domain", line);
    is_int(asked.domain_len, strlen(field[2]), "line %d: its length", line);
    check_normal_local(line, asked.local, true, field[3]);
    check_normal_local(line, asked.local, false, field[4]);
}

static void check_tag(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, want = {0};
    struct span base = {0};

    if (!ok(fields == 3, "line %d has three fields", line))
        return;
    struct span local = table_bytes(field[0], &given);
    bool split = addr_without_tag(local, field[1], &base);
    struct span w = table_bytes(field[2], &want);
    if (span_equals(w, "-"))
        ok(!split, "line %d: '%s' has no tag", line, field[0]);
    else
        ok(split && base.at == local.at && base.len == w.len && memcmp(base.at, w.at, w.len) == 0,
           "line %d: '%s' without its tag is '%s'", line, field[0], field[2]);
}

/* What a roll may hold is what Postfix can ask for: both paths make the same of it. */
static void check_both_paths(int line, char **field, int fields)
{
    BUF_AUTO given = {0}, raw = {0};
    struct addr addr;
    struct addr_asked asked;
    struct err err;
    char out[ADDR_LOCAL_MAX + 1];
    size_t len = 0;

    if (fields != 3 || !addr_parse(table_bytes(field[0], &given), false, &addr, &err))
        return;
    bool fold = strcmp(field[1], "fold") == 0;
    buf_append(&raw, addr.local, addr.local_len);
    buf_printf(&raw, "@%s.", addr.domain);
    bool fine = addr_split_asked(span_of(raw.at, raw.len), &asked) &&
                addr_normal_local(asked.local, fold, out, &len) &&
                addr_parse(span_of(given.at, given.len), fold, &addr, &err);
    ok(fine && len == addr.local_len && memcmp(out, addr.local, len) == 0 &&
           strcmp(asked.domain, addr.domain) == 0,
       "line %d: '%s' asked for as Postfix does is found", line, field[0]);
}

static void check_domains(void)
{
    char out[ADDR_DOMAIN_MAX + 1];
    size_t len = 0;
    struct err err = {0};
    struct span at = span_text("a.b.c"), parent;

    ok(addr_parse_domain(span_text("Bücher.Example."), out, &len, &err), "a domain alone");
    is_text(out, "xn--bcher-kva.example", "normalised");
    is_int(len, 21, "with its length");
    ok(!addr_parse_domain(span_text(""), out, &len, &err) && err.class == ERR_DATA, "an empty one");
    ok(!addr_parse_domain(span_text("a@b.c"), out, &len, &err), "an address is no domain");
    ok(addr_parent_domain(at, &parent) && span_equals(parent, "b.c"), "parent of a.b.c");
    ok(addr_parent_domain(parent, &at) && span_equals(at, "c"), "parent of b.c");
    ok(!addr_parent_domain(at, &parent), "a top-level domain has none");
    ok(!addr_parent_domain(span_text("a."), &parent), "nor has a label with a trailing dot");
    ok(!addr_parent_domain(span_of("", 0), &parent), "nor the empty name");
}

/* A room too small cuts, and never writes beyond. */
static void check_format_room(void)
{
    char out[64];

    for (size_t room = 0; room < 12; room++) {
        memset(out, 'Z', sizeof out);
        size_t len = addr_format_parts(span_text("a b"), span_text("c.d"), out, room);
        size_t whole = strlen("\"a b\"@c.d");
        is_int(len, room == 0 ? 0 : room - 1 < whole ? room - 1 : whole, "room %zu: length", room);
        ok(out[room] == 'Z' && (room == 0 || out[len] == '\0'), "room %zu: ends within", room);
    }
}

int main(void)
{
    tap_rows(TEST_DATA "/addr/valid.txt", check_valid);
    tap_rows(TEST_DATA "/addr/valid.txt", check_both_paths);
    tap_rows(TEST_DATA "/addr/invalid.txt", check_invalid);
    tap_rows(TEST_DATA "/addr/asked.txt", check_asked);
    tap_rows(TEST_DATA "/addr/tags.txt", check_tag);
    check_domains();
    check_format_room();
    return tap_done();
}
