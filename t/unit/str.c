/*
 * str: spans, buffers, printable text, UTF-8, JSON, numbers, distances. Catches bytes that reach a
 * log or terminal unprinted, numbers parsed in part, and reads past a span's end (with ASan).
 */
#include "lib/str.h"

#include "table.h"
#include "tap.h"

static void check_spans(void)
{
    struct span rest = span_text("a,,b,"), piece, empty = span_of("", 0);
    static const char *const want[] = {"a", "", "b", ""};
    size_t n = 0;

    for (; span_next(&rest, ',', &piece); n++)
        ok(n < 4 && span_equals(piece, want[n]), "piece %zu of a,,b, is '%s'", n, want[n % 4]);
    is_int(n, 4, "a,,b, has four pieces");
    ok(!span_next(&rest, ',', &piece), "the end stays the end");
    ok(span_next(&empty, ',', &piece) && piece.len == 0, "the empty text is one empty piece");
    ok(!span_next(&empty, ',', &piece), "and no second");
    ok(span_equals(span_trim(span_text(" \t\r\n\v\f a b \n")), "a b"), "trimmed at both ends");
    is_int(span_trim(span_text(" \t ")).len, 0, "nothing left of blanks");
    ok(!span_equals(span_text("ab"), "abc") && !span_equals(span_text("abc"), "ab"),
       "a beginning is not equal");
    ok(span_equals(span_of("abc", 2), "ab"), "a span ends where it says");
}

static void check_buffers(void)
{
    BUF_AUTO buf = {0};

    buf_text(&buf, "");
    is_text(buf.at, "", "an empty append makes an empty text");
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%d,", i);
    is_int(buf.len, 10 * 2 + 90 * 3 + 900 * 4, "a thousand numbers fit");
    is_int(strlen(buf.at), buf.len, "and the text ends there");
    ok(strncmp(buf.at + buf.len - 8, "998,999,", 8) == 0, "the last ones are right");
    buf_clear(&buf);
    is_text(buf.at, "", "cleared");
    buf_append(&buf, "a\0b", 3);
    ok(buf.len == 3 && memcmp(buf.at, "a\0b", 4) == 0, "NUL is a byte like any other");
    buf_free(&buf);
    ok(buf.at == NULL && buf.len == 0 && buf.room == 0, "freed is as new");
}

/* field, want: as table.h writes bytes */
static void check_printable(const char *field, size_t room, const char *want)
{
    BUF_AUTO bytes = {0};
    char out[64];

    memset(out, 'Z', sizeof out);
    struct span in = table_bytes(field, &bytes);
    STR_AUTO exact = mem_span(in); /* on the heap, so that reading past it is seen */
    size_t len = str_printable(out, room, exact, in.len);
    is_text(room > 0 ? out : "", want, "'%s' in %zu bytes", field, room);
    is_int(len, strlen(want), "its length");
    ok(out[room] == 'Z', "nothing beyond the room");
}

static void check_printables(void)
{
    static const struct {
        const char *in;
        size_t room;
        const char *want;
    } rows[] = {
        {"plain", 20, "plain"},
        {"a\\nb\\tc\\x00d\\x1b[31m\\x7f", 40, "a?b?c?d?[31m?"},
        {"j\xc3\xbcrgen", 20, "j\xc3\xbcrgen"},
        {"j\\xfcrgen", 20, "j?rgen"},
        {"\\xc2\\x85\\xc2\\x9b31m\\xc2\\xa0", 20, "??31m\xc2\xa0"},
        {"\\xed\\xa0\\x80", 20, "???"},
        {"\\xf0\\x9f\\x98", 20, "???"},
        {"abcdef", 7, "abcdef"},
        {"abcdef", 6, "ab..."},
        {"abcdef", 4, "..."},
        {"abcdef", 3, ".."},
        {"abcdef", 1, ""},
        {"abcdef", 0, ""},
        {"", 1, ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_printable(rows[i].in, rows[i].room, rows[i].want);
}

/* A cut may fall into a character: what is left must be UTF-8 all the same. */
static void check_cut_utf8(void)
{
    static const char text[] = "\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xbc\xe2\x82\xac";
    char out[32];

    for (size_t room = 1; room <= sizeof text; room++) {
        size_t len = str_printable(out, room, text, sizeof text - 1);
        ok(str_utf8_valid(span_of(out, len)) && len < room, "cut to %zu bytes it is still UTF-8",
           room);
    }
}

static void check_utf8(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"", 0},
        {"a", 1},
        {"\\x00", 1},
        {"\\x7f", 1},
        {"\\x80", 0},
        {"\\xc0\\x80", 0},
        {"\\xc1\\xbf", 0},
        {"\\xc2\\x80", 2},
        {"\\xc2", 0},
        {"\\xc2a", 0},
        {"\\xdf\\xbf", 2},
        {"\\xe0\\x9f\\xbf", 0},
        {"\\xe0\\xa0\\x80", 3},
        {"\\xed\\x9f\\xbf", 3},
        {"\\xed\\xa0\\x80", 0},
        {"\\xee\\x80\\x80", 3},
        {"\\xef\\xbf\\xbf", 3},
        {"\\xe2\\x82", 0},
        {"\\xf0\\x8f\\xbf\\xbf", 0},
        {"\\xf0\\x90\\x80\\x80", 4},
        {"\\xf4\\x8f\\xbf\\xbf", 4},
        {"\\xf4\\x90\\x80\\x80", 0},
        {"\\xf5\\x80\\x80\\x80", 0},
        {"\\xff", 0},
    };
    BUF_AUTO bytes = {0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span s = table_bytes(rows[i].bytes, &bytes);
        is_int(str_utf8_sequence(s), rows[i].len, "UTF-8 '%s'", rows[i].bytes);
    }
    ok(str_utf8_valid(span_text("j\xc3\xbcrgen")), "a valid text");
    ok(str_utf8_valid(span_text("")), "the empty text is valid");
    ok(!str_utf8_valid(span_text("j\xc3\xbcrgen\xc3")), "cut in the last character");
}

static void check_json(void)
{
    BUF_AUTO out = {0};

    buf_json(&out, span_of("a\"b\\c\n\x01\x00\x7f", 9));
    is_text(out.at, "a\\\"b\\\\c\\u000a\\u0001\\u0000\x7f", "what JSON escapes");
    buf_clear(&out);
    buf_json(&out, span_text("\xc3\xbc\xff\xc3"));
    is_text(out.at, "\xc3\xbc\\ufffd\\ufffd", "bytes that are not UTF-8");
}

static void check_numbers(void)
{
    static const struct {
        const char *text;
        bool fine;
        int64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"99999999999999999999999", false, 0},
        {"000000000000000000000000000001", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1x", false, 0},
        {"0x10", false, 0},
        {"1.5", false, 0},
        {"\n1", false, 0},
    };
    int64_t value;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool fine = str_int64(span_text(rows[i].text), &value);
        ok(fine == rows[i].fine && (!fine || value == rows[i].value), "number '%s'", rows[i].text);
    }
    ok(!str_int64(span_of("1\0", 2), &value), "a NUL behind a number is not a number");
    ok(str_int64(span_of("123", 2), &value) && value == 12, "a span ends where it says");
}

static void check_distance(void)
{
    is_int(str_distance("", ""), 0, "nothing from nothing");
    is_int(str_distance("", "abc"), 3, "three inserts");
    is_int(str_distance("abc", ""), 3, "three deletions");
    is_int(str_distance("kitten", "sitting"), 3, "kitten, sitting");
    is_int(str_distance("policy_listen", "policy_lisen"), 1, "one letter lost");
    char a[201], b[201];
    memset(a, 'a', 200);
    memset(b, 'b', 200);
    a[200] = b[200] = '\0';
    is_int(str_distance(a, b), 64, "cut at 64");
}

static void check_memory(void)
{
    STR_AUTO copy = mem_span(span_of("abc", 2));
    STR_AUTO printed = mem_printf("%s-%d", copy, 7);
    char *freed = mem_text("x");

    is_text(copy, "ab", "a span as a text");
    is_text(printed, "ab-7", "printed");
    str_free(&freed);
    ok(freed == NULL, "freed is NULL");
    str_free(&freed);
    unsigned char *zero = mem_zero(3, 5);
    int sum = 0;
    for (int i = 0; i < 15; i++)
        sum += zero[i];
    is_int(sum, 0, "zeroed");
    free(zero);
}

int main(void)
{
    check_spans();
    check_buffers();
    check_printables();
    check_cut_utf8();
    check_utf8();
    check_json();
    check_numbers();
    check_distance();
    check_memory();
    return tap_done();
}
