/* mail - see mail.h */
#include "mail.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LINE = 76,         /* RFC 2045 section 6.7, RFC 2047 section 2 */
    WORD_BYTES = 42,   /* of UTF-8 in one encoded word: 56 characters and "=?utf-8?B??=" */
    NAME_MOST = 60,    /* characters of a name that is quoted on one line */
    VALUE_MOST = 2000, /* bytes of a field's value; longer ones are cut */
};

/* ---- fields ---- */

static bool is_plain(const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return strstr(value, "=?") == NULL;
}

static void put_base64(struct buf *out, const unsigned char *at, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)at[i] << 16 | (n > 1 ? (uint32_t)at[i + 1] << 8 : 0) |
                        (n > 2 ? (uint32_t)at[i + 2] : 0);
        char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                        n > 1 ? digits[bits >> 6 & 63] : '=', n > 2 ? digits[bits & 63] : '='};
        buf_append(out, four, 4);
    }
}

/* Encoded words of whole characters, each on a line of its own; bytes that are no UTF-8 and
 * controls become '?'. */
static void put_encoded(struct buf *out, const char *value)
{
    char clean[VALUE_MOST + 1];
    size_t len = str_printable(clean, sizeof clean, value, strlen(value));

    for (size_t at = 0; at < len;) {
        size_t end = at;
        for (size_t n; end < len; end += n) {
            n = str_utf8_sequence(span_of(clean + end, len - end));
            n = n == 0 ? 1 : n;
            if (end + n - at > WORD_BYTES)
                break;
        }
        buf_text(out, at > 0 ? "\r\n =?utf-8?B?" : "=?utf-8?B?");
        put_base64(out, (const unsigned char *)clean + at, end - at);
        buf_text(out, "?=");
        at = end;
    }
}

/* Plain text, folded at blanks; `column` is where it begins. A word that is too long stays whole up
 * to where SMTP ends. */
static bool put_folded(struct buf *out, const char *value, size_t column)
{
    for (const char *at = value; *at != '\0';) {
        size_t len = strcspn(at + 1, " ") + 1;
        if (len > 900)
            return false;
        if (column + len > LINE && column > 1 && at > value && *at == ' ' && at[1] != ' ' &&
            len > 1) {
            buf_text(out, "\r\n");
            column = 0;
        }
        buf_append(out, at, len);
        column += len;
        at += len;
    }
    return true;
}

void mail_field(struct buf *out, const char *name, const char *value)
{
    size_t len = strlen(value);
    bool blank_end = len == 0 || value[0] == ' ' || value[len - 1] == ' ';

    buf_printf(out, "%s: ", name);
    size_t begin = out->len;
    if (len > VALUE_MOST || blank_end || !is_plain(value) ||
        !put_folded(out, value, strlen(name) + 2)) {
        out->len = begin;
        put_encoded(out, value);
    }
    buf_text(out, "\r\n");
}

/* A name before an address: a quoted string (RFC 5322 section 3.2.4) where that is possible;
 * filters mistrust what is encoded without need. */
static void put_name(struct buf *out, const char *name)
{
    if (!is_plain(name) || strlen(name) > NAME_MOST) {
        put_encoded(out, name);
        return;
    }
    buf_text(out, "\"");
    for (const char *c = name; *c != '\0'; c++)
        buf_printf(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
    buf_text(out, "\"");
}

/* How much stands on the line that is being written. */
static size_t column_of(const struct buf *out)
{
    const char *end = out->len > 0 ? memrchr(out->at, '\n', out->len) : NULL;

    return end != NULL ? (size_t)(out->at + out->len - end) - 1 : out->len;
}

/* An address is ours or was parsed (lib/addr): here only nothing may end its line. */
static void put_address(struct buf *out, const char *name, const char *display, const char *address)
{
    buf_printf(out, "%s: ", name);
    if (display != NULL && display[0] != '\0') {
        put_name(out, display);
        bool fits = column_of(out) + strlen(" <>") + strlen(address) <= LINE;
        buf_text(out, fits ? " " : "\r\n ");
    }
    buf_text(out, "<");
    for (const char *c = address; *c != '\0'; c++) {
        char safe = (unsigned char)*c < ' ' || *c == 0x7f || *c == '<' || *c == '>' ? '?' : *c;
        buf_append(out, &safe, 1);
    }
    buf_text(out, ">\r\n");
}

static void put_date(struct buf *out, int64_t date)
{
    time_t seconds = (time_t)date;
    struct tm broken;
    char text[64] = "";

    if (gmtime_r(&seconds, &broken) != NULL)
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &broken);
    buf_printf(out, "Date: %s\r\n", text);
}

/* ---- bodies ---- */

static bool is_literal(char c)
{
    return (c >= '!' && c <= '~' && c != '=') || c == ' ' || c == '\t';
}

/* How many characters from here, `most` at most, stand for themselves. */
static size_t literal_run(const char *at, size_t most)
{
    size_t len = 0;

    while (len < most && is_literal(at[len]))
        len++;
    return len;
}

static char *put_code(char *at, char c)
{
    static const char hex[] = "0123456789ABCDEF";

    *at++ = '=';
    *at++ = hex[(unsigned char)c >> 4];
    *at++ = hex[(unsigned char)c & 15];
    return at;
}

/* One line without its end. A blank at the end is encoded, so that nobody takes it away. */
static void put_line(struct buf *out, struct span line)
{
    bool blank = line.len > 0 && (line.at[line.len - 1] == ' ' || line.at[line.len - 1] == '\t');
    size_t literals = line.len - blank, column = 0;
    char *start = buf_room(out, 4 * line.len + 8), *at = start; /* 25 codes and "=\r\n": 3.12 */

    for (size_t i = 0; i < line.len;) {
        size_t left = line.len - i, room = LINE - 1 - column;
        /* the last one needs no room for a '=' behind it */
        size_t most = i < literals ? (literals - i < room ? literals - i : room) : 0;
        size_t run = literal_run(line.at + i, most);
        if (run == room && left == run + 1 && !blank && is_literal(line.at[i + run]))
            run++;
        memcpy(at, line.at + i, run);
        at += run;
        i += run;
        column += run;
        if (i == line.len)
            break;
        bool code = i >= literals || !is_literal(line.at[i]);
        if (column + (code ? 3 : 1) > LINE - (i + 1 < line.len)) {
            memcpy(at, "=\r\n", 3);
            at += 3;
            column = 0;
        } else if (code) {
            at = put_code(at, line.at[i++]);
            column += 3;
        }
    }
    memcpy(at, "\r\n", 2);
    out->len += (size_t)(at + 2 - start);
    out->at[out->len] = '\0';
}

void mail_quoted_printable(struct buf *out, struct span text)
{
    struct span line;

    buf_text(out, "");
    while (span_next(&text, '\n', &line)) {
        if (line.len > 0 && line.at[line.len - 1] == '\r')
            line.len--;
        if (line.len > 0 || text.at != NULL) /* behind the last newline is no line */
            put_line(out, line);
    }
}

static void put_part(struct buf *out, const char *type, struct span body)
{
    buf_printf(out,
               "Content-Type: text/%s; charset=utf-8\r\n"
               "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
               type);
    mail_quoted_printable(out, body);
}

/* Quoted-printable never has "=_": the boundary cannot be in a part. */
#define BOUNDARY "=_rollcall"

static void put_body(struct buf *out, const struct mail *mail)
{
    if (mail->html.len == 0) {
        put_part(out, "plain", mail->text);
        return;
    }
    buf_text(out, "Content-Type: multipart/alternative; boundary=\"" BOUNDARY "\"\r\n"
                  "\r\n--" BOUNDARY "\r\n");
    put_part(out, "plain", mail->text);
    buf_text(out, "--" BOUNDARY "\r\n");
    put_part(out, "html", mail->html);
    buf_text(out, "--" BOUNDARY "--\r\n");
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static void put_list(struct buf *out, const struct mail *mail)
{
    if (given(mail->list_id))
        put_address(out, "List-Id", mail->list_name, mail->list_id);
    if (!given(mail->unsubscribe))
        return;
    put_address(out, "List-Unsubscribe", NULL, mail->unsubscribe);
    buf_text(out, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
}

void mail_compose(struct buf *out, const struct mail *mail)
{
    put_date(out, mail->date);
    /* To right behind the envelope's recipient, From in front of the next envelope's sender:
     * Postfix remembers the address that it looked at last, and asks about half as many anew. */
    put_address(out, "To", mail->to_name, mail->to);
    put_address(out, "From", mail->from_name, mail->from);
    mail_field(out, "Subject", mail->subject);
    put_address(out, "Message-ID", NULL, mail->message_id);
    buf_text(out, "Auto-Submitted: auto-generated\r\n"
                  "X-Auto-Response-Suppress: All\r\n");
    if (given(mail->language))
        mail_field(out, "Content-Language", mail->language);
    put_list(out, mail);
    buf_text(out, "MIME-Version: 1.0\r\n");
    put_body(out, mail);
}

/* ---- HTML ---- */

void mail_html(struct buf *out, const char *text)
{
    static const char special[] = "&<>\"'";
    static const char *const escaped[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};

    buf_text(out, "");
    while (*text != '\0') {
        size_t plain = strcspn(text, special);
        buf_append(out, text, plain);
        text += plain;
        if (*text != '\0')
            buf_text(out, escaped[strchr(special, *text++) - special]);
    }
}
