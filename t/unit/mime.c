/*
 * mime - strangers' messages as a reader sees them (t/data/mime), and the worst of them by size
 *
 * Would catch: a header that breaks out of its line, a direction override or an invisible sign that
 * reaches a page, a look-alike domain shown bare, bytes that are no UTF-8, text lost behind a NUL,
 * a part that is found in the wrong place, a message that takes the program down.
 */
#include "lib/mime.h"

#include "lib/clock.h"
#include "lib/display.h"
#include "lib/header.h"
#include "t/unit/table.h"
#include "t/unit/tap.h"

/* A line: what is made, the input, what must come of it. */
static void check_row(char *line, int number)
{
    char *saved, *what = strtok_r(line, "\t", &saved), *in = strtok_r(NULL, "\t", &saved),
                 *want = strtok_r(NULL, "\t", &saved);
    BUF_AUTO input = {0};
    BUF_AUTO wanted = {0};
    BUF_AUTO out = {0};
    struct mime_summary summary = {0};

    struct span text = table_bytes(in, &input);
    table_bytes(want != NULL ? want : "", &wanted);
    if (strcmp(what, "line") == 0)
        display_line(&out, text, 60);
    else if (strcmp(what, "address") == 0)
        display_address(&out, text, 60);
    else if (strcmp(what, "htmltext") == 0)
        display_html_text(&out, text, 60);
    else if (strcmp(what, "safehtml") == 0)
        display_safe_html(&out, text, 4000);
    else {
        mime_summarise(text, &summary);
        const struct buf *part = strcmp(what, "from") == 0           ? &summary.from
                                 : strcmp(what, "from_address") == 0 ? &summary.from_address
                                 : strcmp(what, "subject") == 0      ? &summary.subject
                                 : strcmp(what, "headers") == 0      ? &summary.headers
                                 : strcmp(what, "html") == 0         ? &summary.html
                                                                     : &summary.text;
        buf_append(&out, part->at, part->len);
    }
    is_text(out.at, wanted.at, "line %d: %s", number, what);
    ok(str_utf8_valid(span_of(out.at, out.len)), "line %d: is UTF-8", number);
    mime_summary_free(&summary);
}

static void check_table(void)
{
    FILE *file = fopen(TEST_DATA "/mime/messages.txt", "r");
    char *line = NULL;
    size_t room = 0;
    int number = 0;

    if (!ok(file != NULL, "the table"))
        return;
    while (getline(&line, &room, file) > 0) {
        number++;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '#' && line[0] != '\0')
            check_row(line, number);
    }
    free(line);
    fclose(file);
}

static void check_within(const char *name, struct buf *message)
{
    struct mime_summary summary;
    int64_t begun = clock_elapsed_us();

    mime_summarise(span_of(message->at, message->len), &summary);
    int64_t took = clock_elapsed_us() - begun;
    ok(summary.headers.len + summary.text.len + summary.html.len <= 256 * 1024,
       "%s: what is kept is bounded (%lld ms)", name, (long long)took / 1000);
    ok(took < 20 * CLOCK_SECOND, "%s: comes to an end", name);
    mime_summary_free(&summary);
    buf_clear(message);
}

static void check_worst(void)
{
    BUF_AUTO m = {0};

    for (int i = 0; i < 10000; i++)
        buf_printf(&m, "X-Header-%d: value\r\n", i);
    buf_text(&m, "\r\ntext\r\n");
    check_within("10,000 headers", &m);

    for (int i = 0; i < 1000; i++)
        buf_printf(&m, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    check_within("1,000 parts, one in the other", &m);

    for (int i = 0; i < 1000; i++)
        buf_text(&m, "Content-Type: message/rfc822\r\n\r\n");
    check_within("1,000 messages, one in the other", &m);

    buf_text(&m, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
    for (int i = 0; i < 50000; i++)
        buf_text(&m, "--b\r\n\r\n");
    check_within("50,000 parts beside one another", &m);

    buf_text(&m, "From: ");
    for (int i = 0; i < 100000; i++)
        buf_text(&m, "((((\"<a:");
    check_within("a From of nothing but beginnings", &m);

    buf_text(&m, "Subject: ");
    for (int i = 0; i < 20000; i++)
        buf_text(&m, "=?utf-8?B?4oCu?= ");
    check_within("a Subject of 20,000 encoded words", &m);

    buf_text(&m, "Content-Type: text/html\r\n\r\n");
    for (int i = 0; i < 100000; i++)
        buf_text(&m, "<div<!--<script>");
    check_within("HTML that closes nothing", &m);

    check_within("nothing at all", &m);
}

int main(void)
{
    check_table();
    check_worst();
    return tap_done();
}
