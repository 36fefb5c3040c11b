/* lmtp - see lmtp.h. Commands and replies are here, the bytes of a message in lmtp_data.c */
#include "report/lmtp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "report/lmtp_data.h"

enum phase { PHASE_COMMAND, PHASE_RCPT, PHASE_DATA, PHASE_BODY, PHASE_END };

static void reply(struct lmtp *l, const char *text)
{
    buf_text(&l->out, text);
    buf_text(&l->out, "\r\n");
}

static void complain(struct lmtp *l, const char *text)
{
    if (++l->errors > LMTP_ERRORS_MOST)
        lmtp_close(l, "421 4.7.0 Too many errors");
    else
        reply(l, text);
}

static void end_transaction(struct lmtp *l)
{
    str_free(&l->sender);
    for (size_t i = 0; i < l->recipient_count; i++)
        free(l->recipients[i]);
    free(l->recipients);
    l->recipients = NULL;
    l->recipient_count = 0;
    l->has_sender = l->smtputf8 = l->too_large = false;
    l->forward = (struct lmtp_forward){0};
    l->size = 0;
}

void lmtp_begin(struct lmtp *lmtp, const char *host, uint64_t size_most)
{
    *lmtp = (struct lmtp){.host = host, .size_most = size_most};
    buf_printf(&lmtp->out, "220 %s LMTP Rollcall quarantine\r\n", host);
}

void lmtp_free(struct lmtp *lmtp)
{
    end_transaction(lmtp);
    buf_free(&lmtp->out);
}

void lmtp_close(struct lmtp *lmtp, const char *text)
{
    reply(lmtp, text);
    lmtp->stopped = true;
}

/* ---- pieces of a command line ---- */

static bool take_word(struct span *rest, const char *word)
{
    size_t len = strlen(word);

    if (rest->len < len || strncasecmp(rest->at, word, len) != 0)
        return false;
    *rest = span_of(rest->at + len, rest->len - len);
    return true;
}

static struct span skip_blanks(struct span s)
{
    while (s.len > 0 && s.at[0] == ' ')
        s = span_of(s.at + 1, s.len - 1);
    return s;
}

/* Where the path ends: behind '>', angle brackets within quotes set aside. 0: nowhere. */
static size_t path_length(struct span s)
{
    bool quoted = false;

    for (size_t i = 1; i < s.len; i++) {
        if (s.at[i] == '\\' && quoted)
            i++;
        else if (s.at[i] == '"')
            quoted = !quoted;
        else if (s.at[i] == '>' && !quoted)
            return i + 1;
    }
    return 0;
}

/* "@one,@two:" of RFC 5321 appendix C. */
static struct span without_route(struct span path)
{
    const char *colon = path.len > 0 && path.at[0] == '@' ? memchr(path.at, ':', path.len) : NULL;

    if (colon == NULL)
        return path;
    return span_of(colon + 1, path.len - (size_t)(colon - path.at) - 1);
}

/* "<local@domain>" and what follows; false when it is none, or cannot be kept. */
static bool take_path(struct span *rest, struct span *path)
{
    struct span s = skip_blanks(*rest);
    size_t len = s.len > 0 && s.at[0] == '<' ? path_length(s) : 0;

    if (len == 0)
        return false;
    *path = without_route(span_of(s.at + 1, len - 2));
    *rest = span_of(s.at + len, s.len - len);
    for (size_t i = 0; i < path->len; i++)
        if ((unsigned char)path->at[i] < ' ' || path->at[i] == 0x7f)
            return false;
    return path->len <= LMTP_PATH_MOST && str_utf8_valid(*path) &&
           (rest->len == 0 || rest->at[0] == ' ');
}

void lmtp_unquote(const char *address, struct buf *out)
{
    const char *end = strrchr(address, '@');
    bool quoted = address[0] == '"';

    buf_text(out, "");
    for (const char *p = address; *p != '\0'; p++) {
        bool local = end == NULL || p < end;
        if (local && quoted && *p == '"')
            continue;
        if (local && quoted && *p == '\\' && p[1] != '\0')
            p++;
        buf_append(out, p, 1);
    }
}

/* ---- commands ---- */

static void do_lhlo(struct lmtp *l, struct span rest)
{
    if (skip_blanks(rest).len == 0) {
        complain(l, "501 5.5.4 Syntax: LHLO hostname");
        return;
    }
    end_transaction(l);
    l->greeted = true;
    buf_printf(&l->out,
               "250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
               "250-ENHANCEDSTATUSCODES\r\n250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n",
               l->host, (unsigned long long)l->size_most);
}

static void do_helo(struct lmtp *l, struct span rest)
{
    (void)rest;
    complain(l, "500 5.5.1 This is LMTP: LHLO");
}

/* True when the parameter is understood; else the reply is made. */
static bool take_parameter(struct lmtp *l, struct span parameter)
{
    int64_t size;

    if (take_word(&parameter, "SIZE=")) {
        if (!str_int64(parameter, &size) || size < 0) {
            complain(l, "501 5.5.4 Bad SIZE");
            return false;
        }
        if ((uint64_t)size <= l->size_most)
            return true;
        reply(l, "552 5.3.4 Message is larger than we take");
        return false;
    }
    if (parameter.len == strlen("SMTPUTF8") && take_word(&parameter, "SMTPUTF8")) {
        l->smtputf8 = true;
        return true;
    }
    if (take_word(&parameter, "BODY=") &&
        ((parameter.len == 4 && take_word(&parameter, "7BIT")) ||
         (parameter.len == 8 && take_word(&parameter, "8BITMIME"))))
        return true;
    complain(l, "555 5.5.4 Parameter not known");
    return false;
}

static void do_mail(struct lmtp *l, struct span rest)
{
    struct span path, parameter;

    if (!l->greeted) {
        complain(l, "503 5.5.1 LHLO first");
        return;
    }
    if (l->has_sender) {
        complain(l, "503 5.5.1 A transaction is open");
        return;
    }
    rest = skip_blanks(rest);
    if (!take_word(&rest, "FROM:") || !take_path(&rest, &path)) {
        complain(l, "501 5.1.7 Syntax: MAIL FROM:<address>");
        return;
    }
    l->smtputf8 = false;
    while (span_next(&rest, ' ', &parameter))
        if (parameter.len > 0 && !take_parameter(l, parameter))
            return;
    l->sender = mem_span(path);
    l->has_sender = true;
    reply(l, "250 2.1.0 Ok");
}

static void do_rcpt(struct lmtp *l, struct span rest)
{
    struct span path;

    if (!l->has_sender) {
        complain(l, "503 5.5.1 MAIL first");
        return;
    }
    rest = skip_blanks(rest);
    if (!take_word(&rest, "TO:") || !take_path(&rest, &path) || path.len == 0) {
        complain(l, "501 5.1.3 Syntax: RCPT TO:<address>");
        return;
    }
    if (skip_blanks(rest).len > 0) {
        complain(l, "555 5.5.4 Parameter not known");
        return;
    }
    if (l->recipient_count == LMTP_RECIPIENTS_MOST) {
        reply(l, "452 4.5.3 Too many recipients");
        return;
    }
    snprintf(l->asked, sizeof l->asked, "%.*s", (int)path.len, path.at);
    l->phase = PHASE_RCPT;
}

static void do_data(struct lmtp *l, struct span rest)
{
    if (rest.len > 0)
        complain(l, "501 5.5.4 Syntax: DATA");
    else if (l->recipient_count == 0)
        complain(l, "503 5.5.1 RCPT first"); /* RFC 2033 section 4.2 */
    else
        l->phase = PHASE_DATA;
}

static void do_rset(struct lmtp *l, struct span rest)
{
    (void)rest;
    end_transaction(l);
    reply(l, "250 2.0.0 Ok");
}

static void do_noop(struct lmtp *l, struct span rest)
{
    (void)rest;
    reply(l, "250 2.0.0 Ok");
}

static void do_vrfy(struct lmtp *l, struct span rest)
{
    (void)rest;
    reply(l, "252 2.0.0 Ask by RCPT");
}

static void do_quit(struct lmtp *l, struct span rest)
{
    (void)rest;
    lmtp_close(l, "221 2.0.0 Bye");
}

/* xtext (RFC 3461 section 4): +XX is a byte. "[UNAVAILABLE]" and the like are nothing. */
static bool take_value(struct span value, char out[LMTP_FORWARD_MOST])
{
    size_t len = 0;
    char raw[LMTP_FORWARD_MOST];

    for (size_t i = 0; i < value.len && len + 1 < sizeof raw; i++) {
        char hex[3] = {0}, *end;
        raw[len] = value.at[i];
        if (value.at[i] == '+') {
            if (i + 2 >= value.len)
                return false;
            memcpy(hex, value.at + i + 1, 2);
            raw[len] = (char)strtol(hex, &end, 16);
            if (*end != '\0')
                return false;
            i += 2;
        }
        len++;
    }
    raw[len] = '\0';
    if (strcasecmp(raw, "[UNAVAILABLE]") == 0 || strcasecmp(raw, "[TEMPUNAVAIL]") == 0)
        len = 0;
    str_printable(out, LMTP_FORWARD_MOST, raw, len);
    return true;
}

static bool take_attribute(struct lmtp_forward *forward, struct span attribute)
{
    if (take_word(&attribute, "NAME="))
        return take_value(attribute, forward->name);
    if (take_word(&attribute, "ADDR="))
        return take_value(attribute, forward->address);
    if (take_word(&attribute, "HELO="))
        return take_value(attribute, forward->helo);
    if (take_word(&attribute, "IDENT="))
        return take_value(attribute, forward->ident);
    return take_word(&attribute, "PORT=") || take_word(&attribute, "PROTO=") ||
           take_word(&attribute, "SOURCE=");
}

static void do_xforward(struct lmtp *l, struct span rest)
{
    struct span attribute;

    if (l->has_sender) {
        complain(l, "503 5.5.1 A transaction is open");
        return;
    }
    rest = skip_blanks(rest);
    while (span_next(&rest, ' ', &attribute))
        if (attribute.len > 0 && !take_attribute(&l->forward, attribute)) {
            complain(l, "501 5.5.4 Attribute not known");
            return;
        }
    reply(l, "250 2.0.0 Ok");
}

static const struct {
    const char *verb;
    void (*run)(struct lmtp *l, struct span rest);
} commands[] = {
    {"LHLO", do_lhlo}, {"MAIL", do_mail}, {"RCPT", do_rcpt}, {"DATA", do_data},
    {"RSET", do_rset}, {"NOOP", do_noop}, {"QUIT", do_quit}, {"XFORWARD", do_xforward},
    {"VRFY", do_vrfy}, {"HELO", do_helo}, {"EHLO", do_helo},
};

static void run_command(struct lmtp *l, struct span line)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct span rest = line;
        if (take_word(&rest, commands[i].verb) && (rest.len == 0 || rest.at[0] == ' ')) {
            commands[i].run(l, rest);
            return;
        }
    }
    complain(l, "500 5.5.2 Command not known");
}

/* True when a whole line was there. A line that is too long is passed over. */
static bool take_line(struct lmtp *l, struct span *in)
{
    const char *end = memchr(in->at, '\n', in->len);
    size_t used = end != NULL ? (size_t)(end - in->at) + 1 : in->len;
    bool fits = used <= sizeof l->line - l->line_len;

    if (fits && !l->line_too_long) {
        memcpy(l->line + l->line_len, in->at, used);
        l->line_len += used;
    } else {
        l->line_too_long = true;
    }
    *in = span_of(in->at + used, in->len - used);
    if (end == NULL)
        return false;
    struct span line = span_of(l->line, l->line_len);
    bool whole = !l->line_too_long;
    l->line_len = 0;
    l->line_too_long = false;
    if (whole)
        run_command(l, span_trim(line));
    else
        complain(l, "500 5.5.2 Line too long");
    return true;
}

/* ---- events ---- */

enum lmtp_event lmtp_next(struct lmtp *l, struct span *in, struct span *what)
{
    *what = span_of(NULL, 0);
    while (!l->stopped && l->phase == PHASE_COMMAND && in->len > 0)
        if (!take_line(l, in))
            break;
    if (l->stopped)
        return LMTP_STOP;
    if (l->phase == PHASE_RCPT) {
        *what = span_text(l->asked);
        return LMTP_RCPT;
    }
    if (l->phase == PHASE_DATA)
        return LMTP_DATA;
    if (l->phase != PHASE_BODY)
        return LMTP_MORE;
    bool ended = lmtp_data_next(l, in, what);
    if (what->len > 0)
        return LMTP_BODY;
    if (!ended)
        return LMTP_MORE;
    l->phase = PHASE_END;
    l->answers_due = l->recipient_count;
    return LMTP_END;
}

static void answer_rcpt(struct lmtp *l, const char *text)
{
    l->phase = PHASE_COMMAND;
    if (text[0] != '2')
        return;
    size_t count = l->recipient_count;
    if (count % 64 == 0)
        l->recipients = mem_grow(l->recipients, (count + 64) * sizeof *l->recipients);
    l->recipients[l->recipient_count++] = mem_text(l->asked);
}

void lmtp_answer(struct lmtp *lmtp, const char *text)
{
    reply(lmtp, text);
    if (lmtp->phase == PHASE_RCPT) {
        answer_rcpt(lmtp, text);
    } else if (lmtp->phase == PHASE_DATA) {
        lmtp->phase = text[0] == '3' ? PHASE_BODY : PHASE_COMMAND;
        lmtp->place = LMTP_DATA_LINE_START;
        if (text[0] != '3')
            end_transaction(lmtp);
    } else if (lmtp->phase == PHASE_END && --lmtp->answers_due == 0) {
        lmtp->phase = PHASE_COMMAND;
        end_transaction(lmtp);
    }
}
