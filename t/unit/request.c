/*
 * request: what is a policy request (t/data/policy/parse.txt), and real ones whole, in pieces and
 * pipelined. Catches an attribute taken from a wrong line, a read past the bytes given (they lie
 * at the end of a heap block, for ASan), caps off by one, and pieces that make another request
 * than the whole.
 */
#include "policyd/request.h"

#include "policyd/marks.h"
#include "table.h"
#include "tap.h"

static const struct {
    const char *name;
    size_t offset;
} attributes[] = {
#define ROW(name)                                                                                  \
    {                                                                                              \
#name, offsetof(struct request, name)                                                      \
    }
    ROW(request), ROW(protocol_state), ROW(recipient), ROW(sender), ROW(client_address),
};

static struct span attribute(const struct request *request, const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (strlen(attributes[i].name) == len && memcmp(attributes[i].name, name, len) == 0)
            return *(const struct span *)(const void *)((const char *)request +
                                                        attributes[i].offset);
    ok(false, "the table names an unknown attribute %.*s", (int)len, name);
    return (struct span){0};
}

/* "recipient=a@b" or "recipient" */
static void check_attribute(int line, const struct request *request, const char *fact)
{
    BUF_AUTO bytes = {0};
    size_t name = strcspn(fact, "=");
    struct span got = attribute(request, fact, name);

    if (fact[name] == '\0') {
        ok(got.at == NULL, "line %d: no %s", line, fact);
        return;
    }
    struct span want = table_bytes(fact + name + 1, &bytes);
    ok(got.at != NULL && got.len == want.len && memcmp(got.at, want.at, want.len) == 0,
       "line %d: %s", line, fact);
}

static void check_row(int line, char **field, int fields)
{
    static const char *const outcomes[] = {"complete", "partial", "malformed"};
    BUF_AUTO buf = {0};
    struct request request;
    const char *why = "";
    size_t used = 0;

    if (!ok(fields >= 2, "line %d has two fields", line))
        return;
    struct span bytes = table_bytes(field[0], &buf);
    char *exact = mem_alloc(bytes.len);
    memcpy(exact, bytes.at, bytes.len);
    enum request_outcome got = request_parse(span_of(exact, bytes.len), 0, &request, &used, &why);
    is_text(outcomes[got], field[1], "line %d: outcome", line);
    if (got == REQUEST_MALFORMED && fields > 2)
        ok(strstr(why, field[2]) != NULL, "line %d: '%s' tells of '%s'", line, why, field[2]);
    if (got == REQUEST_COMPLETE && fields > 2) {
        is_int(bytes.len - used, strtol(field[2], NULL, 10), "line %d: bytes behind it", line);
        for (int i = 3; i < fields; i++)
            check_attribute(line, &request, field[i]);
    }
    free(exact);
}

/* ---- the real ones */

static bool same_span(struct span a, struct span b)
{
    return a.at == b.at && a.len == b.len;
}

static bool same_request(const struct request *a, const struct request *b)
{
    bool same = true;

    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        const char *name = attributes[i].name;
        same =
            same && same_span(attribute(a, name, strlen(name)), attribute(b, name, strlen(name)));
    }
    return same;
}

/* Every way to cut the request in two gives the whole. */
static bool parses_in_pieces(struct span bytes)
{
    struct request whole, pieces;
    const char *why;
    size_t used, again;

    if (request_parse(bytes, 0, &whole, &used, &why) != REQUEST_COMPLETE || used != bytes.len)
        return false;
    for (size_t cut = 1; cut < bytes.len; cut++) {
        if (request_parse(span_of(bytes.at, cut), 0, &pieces, &again, &why) != REQUEST_PARTIAL)
            return false;
        if (request_parse(bytes, cut, &pieces, &again, &why) != REQUEST_COMPLETE || again != used ||
            !same_request(&whole, &pieces))
            return false;
    }
    return true;
}

/* Byte by byte, each time with what was seen before. */
static bool parses_dripping(struct span bytes)
{
    struct request request;
    const char *why;
    size_t used;

    for (size_t len = 1; len < bytes.len; len++)
        if (request_parse(span_of(bytes.at, len), len - 1, &request, &used, &why) !=
            REQUEST_PARTIAL)
            return false;
    return request_parse(bytes, bytes.len - 1, &request, &used, &why) == REQUEST_COMPLETE &&
           used == bytes.len;
}

/* The requests of the file without its comments, one after the other. */
static void read_real(struct buf *out)
{
    char line[4096];
    FILE *file = fopen(TEST_DATA "/policy/requests.txt", "re");
    bool inside = false; /* outside, an empty line is the file's own */

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (line[0] == '#')
            continue;
        if (inside || line[0] != '\n')
            buf_text(out, line);
        inside = line[0] != '\n';
    }
    if (file != NULL)
        fclose(file);
}

static void check_real(void)
{
    BUF_AUTO all = {0};
    struct request request;
    const char *why = "";
    size_t count = 0, used = 0, rcpt = 0, quoted = 0, empty = 0;

    read_real(&all);
    for (struct span rest = span_of(all.at, all.len); rest.len > 0;
         rest = span_of(rest.at + used, rest.len - used)) {
        if (!ok(request_parse(rest, 0, &request, &used, &why) == REQUEST_COMPLETE,
                "real request %zu of a pipeline: %s", count, why))
            return;
        STR_AUTO copy = mem_alloc(used);
        memcpy(copy, rest.at, used);
        ok(parses_in_pieces(span_of(copy, used)), "real request %zu cut anywhere", count);
        ok(parses_dripping(span_of(copy, used)), "real request %zu byte by byte", count);
        ok(span_equals(request.request, "smtpd_access_policy") && request.client_address.len > 0,
           "real request %zu has what all have", count);
        rcpt += span_equals(request.protocol_state, "RCPT");
        quoted += span_equals(request.recipient, "a b@customer.test");
        empty += request.recipient.at != NULL && request.recipient.len == 0;
        count++;
    }
    is_int(count, 24, "real requests");
    is_int(rcpt, 14, "of them at RCPT");
    is_int(quoted, 3, "of them for a quoted recipient, whose quotes Postfix removed");
    is_int(empty, 1, "of them without a recipient (several at END-OF-MESSAGE)");
}

/* This processor's way to find newlines and '=' finds what any processor's does. */
static void check_marks(void)
{
    static const char some[] = "\n=\n=ab\x8a\xbd\x0b<>\t\x00\xff";
    uint64_t random = 1;
    char block[MARKS_BLOCK];
    size_t same = 0;

    for (int round = 0; round < 10000; round++) {
        for (size_t i = 0; i < sizeof block; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            block[i] = some[(random >> 33) % (sizeof some - 1)];
        }
        same += marks_of(block) == marks_of_plainly(block);
    }
    is_int(same, 10000, "blocks whose marks are found");
}

/* The longest one, byte by byte: still partial at its last byte but one. */
static void check_longest(void)
{
    enum { LEN = REQUEST_MAX - 1 };
    char *bytes = mem_alloc(LEN);
    struct request request;
    const char *why;
    size_t used, partial = 0;

    memset(bytes, 'x', LEN);
    memcpy(bytes, "request=", 8);
    for (size_t len = 1; len <= LEN; len++)
        partial +=
            request_parse(span_of(bytes, len), len - 1, &request, &used, &why) == REQUEST_PARTIAL;
    is_int(partial, LEN, "64 KiB byte by byte: partial to the end");
    ok(request_parse(span_of(bytes, LEN), LEN - 1, &request, &used, &why) == REQUEST_PARTIAL,
       "no byte more");
    free(bytes);
}

int main(void)
{
    tap_rows(TEST_DATA "/policy/parse.txt", check_row);
    check_real();
    check_marks();
    check_longest();
    return tap_done();
}
