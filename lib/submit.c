/*
 * submit - see submit.h; the conversation from MAIL to the last dot
 *
 * Where the server offers it (RFC 2920), MAIL, RCPT and DATA go in one packet: a message to one
 * recipient is two round trips, not four, and each spares both sides waking up.
 */
#include "submit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "submit_private.h"

enum {
    PIECE = 32 * 1024, /* read at once; with every end of line made two bytes it is twice that */
    FLUSH = 64 * 1024, /* sent at once */
    MAXIMUM_RECIPIENTS = 1000,
    GROUP = 50,         /* commands that are not answered yet */
    ANSWER_LINES = 100, /* of one answer */
};

/* Where the bytes of a message come from. */
struct source {
    const struct submit_message *message;
    struct span head, body; /* what is left of them */
    bool failed;            /* `read` failed */
    bool after_cr;          /* the last byte that went out was a CR */
    bool at_line_start;
    char in[PIECE];
};

enum command { RSET, MAIL, RCPT, DATA };

struct submit {
    struct wire wire;
    struct source source;
    struct buf out; /* not sent yet */
    enum command asked[GROUP + 1];
    size_t asked_count; /* said, and not answered yet */
    int64_t deadline_us;
    bool made;  /* the connection is of this message */
    bool reset; /* the server still has a refused message's envelope */
    /* of the message in hand */
    int code; /* the server's last answer, or its first refusal */
    char line[512];
    bool in_transaction; /* MAIL was said: an answer is about the message, not about us */
    bool data_started;   /* 354 */
    bool ended;          /* the last dot was said */
    struct buf ahead;    /* what was said for the message after it, unanswered; "" */
};

/* ---- addresses ---- */

/* Nothing that could end the command it stands in. */
static bool is_sendable(const char *address)
{
    for (const char *p = address; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '<' || *p == '>')
            return false;
    return str_utf8_valid(span_text(address));
}

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text > 127)
            return false;
    return true;
}

/* ---- the bytes ---- */

static size_t take(struct span *from, char *out, size_t room)
{
    size_t n = from->len < room ? from->len : room;

    if (n > 0)
        memcpy(out, from->at, n);
    *from = span_of(from->at + n, from->len - n);
    return n;
}

/* The next bytes as the caller has them; 0: the end. */
static size_t raw_piece(struct source *s)
{
    size_t got = take(&s->head, s->in, PIECE);

    if (got == 0)
        got = take(&s->body, s->in, PIECE);
    if (got > 0 || s->message->read == NULL)
        return got;
    if (!s->message->read(s->message->context, s->in, PIECE, &got)) {
        s->failed = true;
        return 0;
    }
    return got;
}

/* Where the next of these characters is, or the end; *found is kept until it is passed. */
static const char *next_of(char c, const char *at, const char *end, const char **found)
{
    if (*found == NULL || *found < at) {
        *found = memchr(at, c, (size_t)(end - at));
        if (*found == NULL)
            *found = end;
    }
    return *found;
}

/* CRLF for every CRLF, bare LF and bare CR; a dot more where a line begins with one. */
static void put_lines(struct submit *s, size_t len)
{
    struct source *from = &s->source;
    const char *in = from->in, *end = in + len, *cr = NULL, *lf = NULL;
    char *out = buf_room(&s->out, 2 * len + 2), *at = out;

    while (in < end) {
        if (from->after_cr && *in != '\n') {
            *at++ = '\n';
            from->at_line_start = true;
        }
        if (*in == '.' && from->at_line_start)
            *at++ = '.';
        const char *stop = next_of('\r', in, end, &cr);
        if (next_of('\n', in, end, &lf) < stop)
            stop = lf;
        size_t run = (size_t)(stop - in);
        memcpy(at, in, run);
        at += run;
        from->after_cr &= run == 0;
        from->at_line_start &= run == 0;
        in = stop;
        if (in == end)
            break;
        if (*in == '\n' && !from->after_cr)
            *at++ = '\r';
        *at++ = *in;
        from->after_cr = *in == '\r';
        from->at_line_start = *in++ == '\n';
    }
    s->out.len += (size_t)(at - out);
}

static void end_last_line(struct submit *s)
{
    if (s->source.after_cr)
        buf_text(&s->out, "\n");
    else if (!s->source.at_line_start)
        buf_text(&s->out, "\r\n");
}

static void begin_source(struct source *s, const struct submit_message *message)
{
    s->message = message;
    s->head = message->head;
    s->body = message->body;
    s->failed = s->after_cr = false;
    s->at_line_start = true;
}

static bool flush(struct submit *s)
{
    bool fine = wire_send(&s->wire, s->out.at, s->out.len, s->deadline_us);

    buf_clear(&s->out);
    return fine;
}

static void put_address(struct buf *out, const char *command, const char *address, const char *more)
{
    buf_printf(out, "%s<%s>%s\r\n", command, address, more);
}

/* The envelope of the message that follows goes in the packet of this one's last dot (RFC 2920,
 * section 3.1). */
static void say_ahead(struct submit *s)
{
    const struct submit_message *m = s->source.message;

    if (!s->wire.pipelining || m->next_recipient == NULL || !is_sendable(m->next_sender) ||
        !is_sendable(m->next_recipient) || !is_ascii(m->next_sender) ||
        !is_ascii(m->next_recipient))
        return;
    put_address(&s->ahead, "MAIL FROM:", m->next_sender, "");
    put_address(&s->ahead, "RCPT TO:", m->next_recipient, "");
    buf_text(&s->ahead, "DATA\r\n");
    buf_append(&s->out, s->ahead.at, s->ahead.len);
}

/* What was given as bytes has been said, and the rest comes from a function that may take its time:
 * meanwhile the server works on what it has. */
static bool is_before_read(const struct source *s)
{
    return s->message->read != NULL && s->message->body.len > 0 && s->body.len == 0;
}

/* All of the message and its last dot. */
static bool say_message(struct submit *s)
{
    for (size_t got; (got = raw_piece(&s->source)) > 0;) {
        put_lines(s, got);
        if ((s->out.len >= FLUSH || is_before_read(&s->source)) && !flush(s))
            return false;
    }
    if (s->source.failed)
        return false;
    end_last_line(s);
    buf_text(&s->out, ".\r\n");
    s->ended = true;
    say_ahead(s);
    return flush(s);
}

/* ---- the answers ---- */

/* One answer of one or more lines: "250-PIPELINING", "250 2.0.0 Ok: queued as …"; its code, or 0.
 */
static int hear(struct submit *s, struct span *text)
{
    int64_t code, until_us = clock_elapsed_us() + s->wire.response_us;
    struct span line;

    for (int i = 0; i < ANSWER_LINES; i++) {
        if (!wire_line(&s->wire, &line, until_us < s->deadline_us ? until_us : s->deadline_us))
            return 0;
        if (line.len < 3 || !str_int64(span_of(line.at, 3), &code) || code < 200 || code > 599)
            break;
        *text = span_trim(span_of(line.at + 3, line.len - 3));
        if (line.len == 3 || line.at[3] != '-')
            return (int)code;
    }
    snprintf(s->wire.why, sizeof s->wire.why, "the server does not speak SMTP");
    return 0;
}

/* What the first refusal said is what is told. */
static void keep_answer(struct submit *s, int code, struct span text)
{
    if (s->code >= 400)
        return;
    s->code = code;
    str_printable(s->line, sizeof s->line, text.at, text.len);
}

static bool is_yes(enum command command, int code)
{
    return command == DATA ? code == 354 : code >= 200 && code < 300;
}

/* Sends what was said and hears an answer to each. False: not all were yes; then the connection is
 * reset before it is used again, or it is cut. */
static bool settle(struct submit *s)
{
    bool fine = flush(s), yes = fine;
    struct span text;

    for (size_t i = 0; fine && i < s->asked_count; i++) {
        int code = hear(s, &text);
        fine = code != 0;
        yes = yes && fine && is_yes(s->asked[i], code);
        if (!fine)
            break;
        if (s->asked[i] != RSET)
            keep_answer(s, code, text);
        s->data_started |= s->asked[i] == DATA && code == 354;
    }
    s->asked_count = 0;
    s->reset = !yes;
    /* a server that wants the message after all must not get an end of it */
    if (!fine || (!yes && (s->data_started || s->code == 421)))
        wire_cut(&s->wire);
    return yes;
}

static bool say(struct submit *s, enum command command, const char *text, const char *address,
                const char *more)
{
    if (address != NULL)
        put_address(&s->out, text, address, more);
    else
        buf_printf(&s->out, "%s\r\n", text);
    s->asked[s->asked_count++] = command;
    return (s->wire.pipelining && s->asked_count < GROUP) || settle(s);
}

/* "4.3.0" at the beginning of a text. */
static size_t status_length(const char *text)
{
    unsigned class, subject, detail;
    int len = 0;

    if (sscanf(text, "%1u.%3u.%3u%n", &class, &subject, &detail, &len) != 3)
        return 0;
    return text[len] == ' ' || text[len] == '\0' ? (size_t)len : 0;
}

static enum submit_outcome outcome_of(const struct submit *s, bool sent)
{
    if (sent)
        return SUBMIT_SENT;
    if (s->in_transaction && s->code >= 500 && s->code < 600)
        return SUBMIT_PERMANENT;
    if (s->in_transaction && s->code >= 400 && s->code < 500)
        return SUBMIT_TEMPORARY;
    return s->ended ? SUBMIT_UNKNOWN : SUBMIT_TEMPORARY;
}

static void tell(const struct submit *s, bool sent, struct submit_result *result)
{
    bool answered = s->code >= 400 || sent;
    size_t len = status_length(s->line);
    const char *why = s->source.failed ? "the message could not be read to its end" : s->wire.why;

    *result = (struct submit_result){.outcome = outcome_of(s, sent), .code = s->code};
    if (answered && len < sizeof result->status)
        snprintf(result->status, sizeof result->status, "%.*s", (int)len, s->line);
    if (answered)
        snprintf(result->text, sizeof result->text, "%s", s->line);
    else
        str_printable(result->text, sizeof result->text, why, strlen(why));
}

static enum submit_outcome refuse(struct submit_result *result, const char *why)
{
    *result = (struct submit_result){.outcome = SUBMIT_PERMANENT};
    snprintf(result->text, sizeof result->text, "%s", why);
    return SUBMIT_PERMANENT;
}

/* ---- sending ---- */

static const char *objection(const struct submit_message *message)
{
    if (message->recipient_count == 0 || message->recipient_count > MAXIMUM_RECIPIENTS)
        return "a message needs 1 to 1000 recipients";
    if (!is_sendable(message->sender))
        return "the sender's address cannot be sent";
    for (size_t i = 0; i < message->recipient_count; i++)
        if (message->recipients[i][0] == '\0' || !is_sendable(message->recipients[i]))
            return "a recipient's address cannot be sent";
    return NULL;
}

/* RFC 6531; a server that does not offer it may take the address all the same. */
static bool needs_utf8(const struct submit *s, const struct submit_message *message)
{
    bool ascii = !message->smtputf8 && is_ascii(message->sender);

    for (size_t i = 0; i < message->recipient_count; i++)
        ascii = ascii && is_ascii(message->recipients[i]);
    return !ascii && s->wire.smtputf8;
}

/* What was said ahead is this message's envelope, and only its answers are missing. */
static bool was_said_ahead(struct submit *s, const struct submit_message *message)
{
    BUF_AUTO envelope = {0};

    if (s->ahead.len == 0 || message->recipient_count != 1)
        return false;
    put_address(&envelope, "MAIL FROM:", message->sender, "");
    put_address(&envelope, "RCPT TO:", message->recipients[0], "");
    buf_text(&envelope, "DATA\r\n");
    return envelope.len == s->ahead.len && memcmp(envelope.at, s->ahead.at, envelope.len) == 0;
}

static bool hear_ahead(struct submit *s)
{
    static const enum command said[] = {MAIL, RCPT, DATA};

    buf_clear(&s->ahead);
    s->in_transaction = true;
    memcpy(s->asked, said, sizeof said);
    s->asked_count = sizeof said / sizeof said[0];
    return settle(s);
}

/* Up to 354. DATA follows at once only where one answer alone decides: what some of the recipients
 * may have must not go when another may not. */
static bool say_envelope(struct submit *s, const struct submit_message *message)
{
    const char *utf8 = needs_utf8(s, message) ? " SMTPUTF8" : "";

    if (s->reset && !say(s, RSET, "RSET", NULL, ""))
        return false;
    s->in_transaction = true;
    if (!say(s, MAIL, "MAIL FROM:", message->sender, utf8))
        return false;
    for (size_t i = 0; i < message->recipient_count; i++)
        if (!say(s, RCPT, "RCPT TO:", message->recipients[i], ""))
            return false;
    if (message->recipient_count > 1 && !settle(s))
        return false;
    return say(s, DATA, "DATA", NULL, "") && (s->asked_count == 0 || settle(s));
}

static bool connected(struct submit *s)
{
    s->made = false;
    if (s->ahead.len > 0) { /* another message's: the server waits for that one */
        wire_cut(&s->wire);
        buf_clear(&s->ahead);
    }
    if (s->wire.curl != NULL && wire_is_quiet(&s->wire))
        return true;
    s->made = true;
    s->reset = false;
    if (wire_connect(&s->wire))
        return true;
    s->code = s->wire.code;
    snprintf(s->line, sizeof s->line, "%s", s->wire.line);
    return false;
}

static bool attempt(struct submit *s, const struct submit_message *message)
{
    struct span text;

    s->code = 0;
    s->line[0] = '\0';
    s->in_transaction = s->data_started = s->ended = false;
    s->asked_count = 0;
    buf_clear(&s->out);
    begin_source(&s->source, message);
    bool ahead = was_said_ahead(s, message);
    s->made = false;
    if (ahead ? !hear_ahead(s) : !connected(s) || !say_envelope(s, message))
        return false;
    int code = say_message(s) ? hear(s, &text) : 0;
    if (code == 0 || code == 421) {
        wire_cut(&s->wire);
        buf_clear(&s->ahead);
    }
    if (code != 0)
        keep_answer(s, code, text);
    return code >= 200 && code < 300;
}

/* A server may close a connection that has been idle: that says nothing about the message. */
static bool was_idle_too_long(const struct submit *s)
{
    return !s->made && !s->data_started && (s->code < 400 || s->code == 421);
}

enum submit_outcome submit_send(struct submit *submit, const struct submit_message *message,
                                struct submit_result *result)
{
    const char *wrong = objection(message);

    if (wrong != NULL)
        return refuse(result, wrong);
    submit->deadline_us = clock_elapsed_us() + submit->wire.timeout_us;
    bool sent = attempt(submit, message);
    if (!sent && was_idle_too_long(submit)) {
        wire_cut(&submit->wire);
        sent = attempt(submit, message);
    }
    tell(submit, sent, result);
    return result->outcome;
}

/* ---- opening ---- */

bool submit_open(struct submit **submit, const struct submit_options *options, struct err *err)
{
    struct submit *s = mem_zero(1, sizeof *s);

    *submit = NULL;
    if (!wire_begin(&s->wire, options, err)) {
        free(s);
        return false;
    }
    *submit = s;
    return true;
}

void submit_rest(struct submit *submit)
{
    if (submit->ahead.len > 0)
        wire_cut(&submit->wire);
    buf_clear(&submit->ahead);
    wire_quit(&submit->wire);
    submit->reset = false;
}

void submit_close(struct submit **submit)
{
    if (*submit == NULL)
        return;
    submit_rest(*submit);
    buf_free(&(*submit)->out);
    buf_free(&(*submit)->ahead);
    free(*submit);
    *submit = NULL;
}
