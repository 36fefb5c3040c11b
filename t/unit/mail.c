/*
 * mail: fields and bodies are encoded so that they stay what they are. Catches a header that
 * another one can be put into, lines that are too long, and bytes that change on the way.
 * (t/real/test_report.py has whole mails read by another parser.)
 */
#include "lib/mail.h"

#include "tap.h"

static void check_field(const char *value, const char *want)
{
    BUF_AUTO out = {0};

    mail_field(&out, "Subject", value);
    is_text(out.at, want, "%.40s", value);
}

static void check_fields(void)
{
    check_field("plain", "Subject: plain\r\n");
    check_field("", "Subject: \r\n");
    check_field("a\r\nBcc: all@example.com",
                "Subject: =?utf-8?B?YT8/QmNjOiBhbGxAZXhhbXBsZS5jb20=?=\r\n");
    check_field("=?utf-8?Q?x?=", "Subject: =?utf-8?B?PT91dGYtOD9RP3g/PQ==?=\r\n");
    check_field("Füße", "Subject: =?utf-8?B?RsO8w59l?=\r\n");
    check_field("\xff", "Subject: =?utf-8?B?Pw==?=\r\n");
    check_field("one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
                "Subject: one two three four five six seven eight nine ten eleven twelve\r\n"
                " thirteen fourteen\r\n");
}

static void check_long(void)
{
    BUF_AUTO value = {0};
    BUF_AUTO out = {0};
    size_t longest = 0;

    for (int i = 0; i < 500; i++)
        buf_text(&value, "\xe2\x82\xac");
    mail_field(&out, "Subject", value.at);
    struct span rest = span_of(out.at, out.len), line;
    while (span_next(&rest, '\n', &line))
        longest = line.len > longest ? line.len : longest;
    ok(longest <= 78, "the longest line has %zu octets", longest);
    ok(strstr(out.at, "\r\n =?utf-8?B?4oKs") != NULL, "words hold whole characters");
}

static void check_body(const char *text, const char *want)
{
    BUF_AUTO out = {0};

    mail_quoted_printable(&out, span_text(text));
    is_text(out.at, want, "%.30s", text);
}

/* So many letters, then `text`. */
static void check_end(int letters, const char *text, const char *want)
{
    BUF_AUTO line = {0};
    BUF_AUTO out = {0};

    for (int i = 0; i < letters; i++)
        buf_text(&line, "x");
    buf_text(&line, text);
    mail_quoted_printable(&out, span_of(line.at, line.len));
    is_text(out.at + letters, want, "behind %d letters", letters);
}

static void check_bodies(void)
{
    BUF_AUTO long_line = {0};
    BUF_AUTO out = {0};

    check_body("", "");
    check_body("a\nb", "a\r\nb\r\n");
    check_body("a\r\n\r\n", "a\r\n\r\n");
    check_body("a=b \t", "a=3Db =09\r\n");
    check_body(".\nFrom x", ".\r\nFrom x\r\n");
    check_body("ü\r", "=C3=BC\r\n");
    check_body("a\rb", "a=0Db\r\n");
    for (int i = 0; i < 76; i++)
        buf_text(&long_line, "x");
    mail_quoted_printable(&out, span_of(long_line.at, long_line.len));
    is_int(out.len, 78, "76 octets are one line");
    buf_text(&long_line, "=");
    buf_clear(&out);
    mail_quoted_printable(&out, span_of(long_line.at, long_line.len));
    is_int(out.len, 75 + 3 + 1 + 3 + 2, "77 are two");
    check_end(75, "\xfc", "=\r\n=FC\r\n");
    check_end(74, "\xfc", "=\r\n=FC\r\n");
    check_end(73, "\xfc", "=FC\r\n");
    check_end(72, "\xfcx", "=FCx\r\n");
    check_end(75, " ", "=\r\n=20\r\n");
    check_end(73, "\t", "=09\r\n");
    check_end(73, " \t", " =\r\n=09\r\n");
    check_end(75, "=", "=\r\n=3D\r\n");
    check_end(75, "x", "x\r\n");
    check_end(75, "xx", "=\r\nxx\r\n");
    buf_clear(&out);
    mail_html(&out, "<a href='x'>&\"");
    is_text(out.at, "&lt;a href=&#39;x&#39;&gt;&amp;&quot;", "HTML");
}

static void check_folding(void)
{
    static const char address[] = "a-name-of-thirty-characters-or@example.org";
    BUF_AUTO out = {0};

    mail_compose(&out, &(struct mail){.to_name = "abcdefghijklmnopqrstuvwxy",
                                      .from_name = "abcdefghijklmnopqrstuvwxy",
                                      .to = address,
                                      .from = address,
                                      .subject = "s",
                                      .message_id = "1@example.com"});
    ok(strstr(out.at, "To: \"abcdefghijklmnopqrstuvwxy\" <a-name") != NULL,
       "name and address on a line of 76 octets");
    ok(strstr(out.at, "From: \"abcdefghijklmnopqrstuvwxy\"\r\n <a-name") != NULL,
       "on two, where it would be longer");
}

static void check_whole(void)
{
    BUF_AUTO out = {0};
    struct mail mail = {.from_name = "A \"quoted\" name",
                        .from = "a@example.com",
                        .to = "b@example.com\r\nX: y",
                        .subject = "s",
                        .message_id = "1@example.com",
                        .date = 1795529100,
                        .language = "de",
                        .list_id = "l.example.com",
                        .unsubscribe = "https://p.example/u?t=1",
                        .text = span_of("t\n", 2),
                        .html = span_of("<p>h", 4)};

    check_folding();
    mail_compose(&out, &mail);
    ok(strstr(out.at, "Date: Tue, 24 Nov 2026 14:05:00 +0000\r\n") != NULL, "date");
    ok(strstr(out.at, "From: \"A \\\"quoted\\\" name\" <a@example.com>\r\n") != NULL,
       "a plain name is quoted, not encoded");
    ok(strstr(out.at, "\r\nTo: <b@") < strstr(out.at, "\r\nFrom: "), "To, then From");
    ok(strstr(out.at, "To: <b@example.com??X: y>\r\n") != NULL, "an address ends no line");
    ok(strstr(out.at, "\r\n\r\n--=_rollcall\r\n") != NULL, "parts");
    ok(strcmp(out.at + out.len - 18, "\r\n--=_rollcall--\r\n") == 0, "and their end");
    ok(strstr(out.at, "List-Unsubscribe: <https://p.example/u?t=1>\r\nList-Unsubscribe-Post: "
                      "List-Unsubscribe=One-Click\r\n") != NULL,
       "one click");
}

int main(void)
{
    check_fields();
    check_long();
    check_bodies();
    check_whole();
    return tap_done();
}
