/*
 * maillog: lines to events (t/data/maillog/lines.txt), whole real logs to what is understood of
 * them (NAME.log, NAME.events), and stamps to times (stamps.txt). Catches a field that runs into
 * what a stranger wrote, a read past the line (each lies at the end of a heap block, for ASan), and
 * a year or an hour taken wrongly.
 */
#include "sync/maillog.h"

#include <time.h>

#include "lib/clock.h"
#include "sync/stamp.h"
#include "table.h"
#include "tap.h"

static const char *const instances[] = {"postfix", "postfix-*"};
static const struct maillog_rules rules = {instances, 2};

/* The description of a line that lies in a block of its own. */
static void describe(struct span line, struct buf *out)
{
    struct maillog_event event;
    char *exact = mem_alloc(line.len + (line.len == 0));

    memcpy(exact, line.at, line.len);
    buf_clear(out);
    maillog_line(&rules, span_of(exact, line.len), &event);
    if (event.kind == MAILLOG_OTHER)
        buf_text(out, "other");
    else
        maillog_describe(&event, out);
    free(exact);
}

static void check_line(int line, char **field, int fields)
{
    BUF_AUTO bytes = {0}, want = {0}, got = {0};

    if (!ok(fields == 2, "line %d has two fields", line))
        return;
    table_bytes(field[1], &want);
    describe(table_bytes(field[0], &bytes), &got);
    is_text(got.at, want.at, "line %d", line);
    /* nothing is read behind a line that ends anywhere */
    for (size_t cut = 0; cut < bytes.len; cut++)
        describe(span_of(bytes.at, cut), &got);
}

/* ---- stamps ---- */

static void check_stamps(int line, char **field, int fields)
{
    struct stamp_clock clock = {.zone = stamp_local};
    struct stamp_clock newest = {.zone = stamp_gmt};

    setenv("TZ", field[0], 1);
    tzset();
    ok(stamp_time(&newest, span_text(field[1]), &clock.newest_us), "line %d: file's time", line);
    for (int i = 2; i < fields; i++) {
        char *equals = strrchr(field[i], '='), got[32] = "-";
        int64_t us;
        *equals = '\0';
        if (stamp_time(&clock, span_text(field[i]), &us))
            clock_rfc3339(got, sizeof got, us);
        is_text(got, equals + 1, "line %d: %s", line, field[i]);
    }
}

/* ---- whole logs ---- */

static char *read_file(const char *name, const char *kind, size_t *len)
{
    char path[512];
    char *text = NULL;
    size_t got, room = 0;

    snprintf(path, sizeof path, TEST_DATA "/maillog/%s.%s", name, kind);
    FILE *file = fopen(path, "re");
    *len = 0;
    if (!ok(file != NULL, "%s is there", path))
        return mem_text("");
    do {
        room += 1 << 20;
        text = mem_grow(text, room + 1);
        got = fread(text + *len, 1, room - *len, file);
        *len += got;
    } while (*len == room);
    text[*len] = '\0';
    fclose(file);
    return text;
}

static void check_log(const char *name)
{
    size_t log_len, events_len, count = 0;
    STR_AUTO log = read_file(name, "log", &log_len);
    STR_AUTO events = read_file(name, "events", &events_len);
    struct span rest = span_of(log, log_len), wanted = span_of(events, events_len), want;
    struct stamp_clock clock = {.zone = stamp_gmt, .newest_us = INT64_C(1795651200) * CLOCK_SECOND};
    struct maillog_event event;
    BUF_AUTO got = {0};
    bool same = true;

    while (same && maillog_next(&rules, &rest, &event)) {
        char time[32] = "-";
        int64_t us;
        if (stamp_time(&clock, event.stamp, &us))
            clock_rfc3339(time, sizeof time, us);
        buf_clear(&got);
        buf_printf(&got, "%s ", time);
        maillog_describe(&event, &got);
        count++;
        same = span_next(&wanted, '\n', &want) && want.len == got.len &&
               memcmp(want.at, got.at, got.len) == 0;
    }
    ok(same && count > 0, "%s: event %zu as written down", name, count);
    if (!same)
        printf("#  got: %s\n# want: %.*s\n", got.at, (int)want.len, want.at);
    ok(wanted.len == 0, "%s: no event is missing", name);
}

/* What the journal gives has no prefix. */
static void check_message(void)
{
    struct maillog_event event;
    BUF_AUTO got = {0};

    maillog_message(&rules, span_text("postfix/qmgr"), span_text("CF61CA785C1: removed"), &event);
    maillog_describe(&event, &got);
    is_text(got.at, "CF61CA785C1 removed", "a message of the journal");
    maillog_message(&rules, span_text("sshd"), span_text("CF61CA785C1: removed"), &event);
    is_int(event.kind, MAILLOG_OTHER, "of another program");
    maillog_message(&rules, span_text(""), span_text(""), &event);
    is_int(event.kind, MAILLOG_OTHER, "empty");
}

static void check_relay(void)
{
    struct maillog_relay relay;

    ok(maillog_relay(span_text("mx.example.com[192.0.2.1]:25"), &relay) &&
           span_equals(relay.host, "mx.example.com") && span_equals(relay.address, "192.0.2.1") &&
           span_equals(relay.port, "25"),
       "a relay has host, address and port");
    ok(maillog_relay(span_text("mx[2001:db8::1]:587"), &relay) &&
           span_equals(relay.address, "2001:db8::1") && span_equals(relay.port, "587"),
       "an IPv6 address too");
    ok(maillog_relay(span_text("gw[private/lmtp]"), &relay) && relay.port.len == 0 &&
           span_equals(relay.address, "private/lmtp"),
       "a socket has no port");
    ok(!maillog_relay(span_text("none"), &relay) && !maillog_relay(span_text("local"), &relay) &&
           !maillog_relay(span_text(""), &relay) && !maillog_relay(span_text("x[y]z"), &relay),
       "others have no address");
}

int main(void)
{
    static const char *const logs[] = {
        "gateway-mail",    "customer-mail",     "amavis",          "rspamd", "spamd",
        "rsyslog-rfc3339", "postfix-short-ids", "postfix-long-ids"};

    tap_rows(TEST_DATA "/maillog/lines.txt", check_line);
    tap_rows(TEST_DATA "/maillog/stamps.txt", check_stamps);
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++)
        check_log(logs[i]);
    check_message();
    check_relay();
    return tap_done();
}
