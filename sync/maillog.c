/* maillog - see maillog.h; here: the prefix of a line, and what Postfix says */
#include "sync/maillog.h"

#include <string.h>

#include "sync/maillog_parts.h"

const char *const maillog_kind_names[MAILLOG_KINDS] = {
    "other",   "client", "pickup", "message-id", "from",   "delivery",
    "removed", "header", "held",   "rspamd",     "amavis", "spamd",
};
const char *const maillog_status_names[] = {
    "sent", "bounced", "deferred", "deliverable", "undeliverable", "other",
};

enum {
    STAMP_MOST = 64,
    NAME_MOST = 256,      /* of a host or a program, with its [pid] */
    ATTRIBUTES_MOST = 16, /* between to=<> and status= */
    QUEUE_ID_LEAST = 5,
    QUEUE_ID_MOST = 24,
};

/* ---- queue ids ---- */

enum { SHORT_ID = 1, LONG_ID = 2 };

/* Which kinds of queue id a byte may belong to: digits and consonants but A to F. */
#define BOTH(c)  [c] = SHORT_ID | LONG_ID
#define SHORT(c) [c] = SHORT_ID
#define LONG(c)  [c] = LONG_ID
static const unsigned char id_bytes[256] = {
    BOTH('0'), BOTH('1'), BOTH('2'), BOTH('3'), BOTH('4'), BOTH('5'), BOTH('6'),  BOTH('7'),
    BOTH('8'), BOTH('9'), BOTH('B'), BOTH('C'), BOTH('D'), BOTH('F'), SHORT('A'), SHORT('E'),
    LONG('G'), LONG('H'), LONG('J'), LONG('K'), LONG('L'), LONG('M'), LONG('N'),  LONG('P'),
    LONG('Q'), LONG('R'), LONG('S'), LONG('T'), LONG('V'), LONG('W'), LONG('X'),  LONG('Y'),
    LONG('Z'), LONG('b'), LONG('c'), LONG('d'), LONG('f'), LONG('g'), LONG('h'),  LONG('j'),
    LONG('k'), LONG('l'), LONG('m'), LONG('n'), LONG('p'), LONG('q'), LONG('r'),  LONG('s'),
    LONG('t'), LONG('v'), LONG('w'), LONG('x'), LONG('y'), LONG('z'),
};

struct span maillog_queue_id(struct cursor *c)
{
    const char *start = c->at, *p = start;
    unsigned kind = SHORT_ID | LONG_ID;

    while (p < c->end && (kind & id_bytes[(unsigned char)*p]) != 0)
        kind &= id_bytes[(unsigned char)*p++];
    size_t len = (size_t)(p - start);
    if (len < QUEUE_ID_LEAST || len > QUEUE_ID_MOST)
        return span_of(NULL, 0);
    c->at = p;
    return span_of(start, len);
}

/* ---- addresses ---- */

/* Inside <>: a '>' in a quoted local part is not the end (RFC 5321 section 4.1.2). */
static bool take_quoted_path(struct cursor *c, struct span *out)
{
    const char *start = c->at;
    bool quoted = false;

    for (const char *p = start; p < c->end; p++) {
        if (quoted && *p == '\\')
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (*p == '>' && !quoted) {
            *out = span_of(start, (size_t)(p - start));
            c->at = p + 1;
            return true;
        }
    }
    return false;
}

static bool take_path(struct cursor *c, struct span *out)
{
    struct cursor plain = *c;

    if (!take_until(&plain, '>', out))
        return false;
    if (out->len > 0 && memchr(out->at, '"', out->len) != NULL)
        return take_quoted_path(c, out);
    *c = plain;
    return true;
}

/* ---- deliveries ---- */

static enum maillog_status status_of(struct span word)
{
    for (int i = 0; i < MAILLOG_STATUS_OTHER; i++)
        if (span_equals(word, maillog_status_names[i]))
            return (enum maillog_status)i;
    return MAILLOG_STATUS_OTHER;
}

/* "5.1.1" (RFC 3463 section 2) */
static bool parse_dsn(struct span text, uint16_t dsn[3])
{
    struct span part;

    for (int i = 0; i < 3; i++) {
        if (!span_next(&text, '.', &part) || part.len < 1 || part.len > 3)
            return false;
        dsn[i] = 0;
        for (size_t k = 0; k < part.len; k++) {
            if (part.at[k] < '0' || part.at[k] > '9')
                return false;
            dsn[i] = (uint16_t)(dsn[i] * 10 + (part.at[k] - '0'));
        }
    }
    return text.len == 0;
}

static bool ends_with(struct span s, const char *tail, size_t len)
{
    return s.len >= len && memcmp(s.at + s.len - len, tail, len) == 0;
}

/* smtp(8) and lmtp(8) append it to what the other side said. */
static enum maillog_stage stage_of(struct span reply)
{
    static const char rcpt[] = "(in reply to RCPT TO command)",
                      data[] = "(in reply to end of DATA command)",
                      command[] = "(in reply to DATA command)";

    if (ends_with(reply, rcpt, sizeof rcpt - 1))
        return MAILLOG_STAGE_RCPT;
    if (ends_with(reply, data, sizeof data - 1) || ends_with(reply, command, sizeof command - 1))
        return MAILLOG_STAGE_DATA;
    return MAILLOG_STAGE_OTHER;
}

/* "250 2.0.0 Ok: queued as 4jYDmW3Fj1z1bkr0", also in the words of a filter that quotes it. */
static struct span queued_as(struct span reply)
{
    static const char words[] = "queued as ";
    struct cursor c = {.end = reply.at + reply.len};
    struct span id;

    if (reply.len < sizeof words ||
        (c.at = memmem(reply.at, reply.len, words, sizeof words - 1)) == NULL)
        return span_of(NULL, 0);
    c.at += sizeof words - 1;
    id = maillog_queue_id(&c);
    /* at the end or not at all: a cut line has a cut id */
    return c.at == c.end ? id : span_of(NULL, 0);
}

/*
 * Addresses may be logged without their quotes (info_log_address_format = internal). Then a
 * recipient can look like a whole delivery, but the true one follows behind it.
 */
static bool said_twice(struct span reply)
{
    static const char mark[] = ", status=";

    return reply.len > sizeof mark && memmem(reply.at, reply.len, mark, sizeof mark - 1) != NULL &&
           memmem(reply.at, reply.len, ">, ", 3) != NULL;
}

static bool take_status(struct cursor *c, struct maillog_event *e)
{
    struct span word;

    if (!take_until(c, ' ', &word) || !TAKE(c, "("))
        return false;
    e->status = status_of(word);
    e->reply = take_rest(c);
    bool whole = e->reply.len > 0 && e->reply.at[e->reply.len - 1] == ')';
    if (whole)
        e->reply.len--;
    if (said_twice(e->reply))
        return false;
    e->stage = stage_of(e->reply);
    e->queued_as = whole ? queued_as(e->reply) : span_of(NULL, 0);
    return true;
}

/* Behind "to=<"; the attributes as log_adhoc() writes them. */
static bool parse_delivery(struct cursor c, struct maillog_event *e)
{
    bool relay = false, dsn = false;
    struct span value;

    e->original_to = span_of(NULL, 0);
    if (!take_path(&c, &e->to) || !TAKE(&c, ", "))
        return false;
    if (TAKE(&c, "orig_to=<") && (!take_path(&c, &e->original_to) || !TAKE(&c, ", ")))
        return false;
    for (int i = 0; i < ATTRIBUTES_MOST; i++) {
        if (TAKE(&c, "status="))
            return relay && dsn && take_status(&c, e);
        if (TAKE(&c, "relay="))
            relay = take_until(&c, ',', &e->relay);
        else if (TAKE(&c, "dsn="))
            dsn = take_until(&c, ',', &value) && parse_dsn(value, e->dsn);
        else if (!take_until(&c, ',', &value))
            return false;
        if (!TAKE(&c, " "))
            return false;
    }
    return false;
}

/* ---- the other lines of Postfix ---- */

/* "mail.example.net[192.0.2.1]", "localhost[127.0.0.1]", "unknown[unix:/path]" */
static bool take_client(struct cursor *c, struct span *name, struct span *address)
{
    return take_until(c, '[', name) && take_until(c, ']', address);
}

/* Behind "client=": attributes as smtpd(8) writes them. */
static bool parse_client(struct cursor c, struct maillog_event *e)
{
    e->login = e->original_id = span_of(NULL, 0);
    if (!take_client(&c, &e->client, &e->address))
        return false;
    while (TAKE(&c, ", ")) {
        struct cursor value = c;
        if (TAKE(&value, "sasl_username="))
            e->login = span_of(value.at, cursor_left(&value)); /* that there is one is enough */
        else if (TAKE(&value, "orig_queue_id="))
            e->original_id = maillog_queue_id(&value);
        const char *next = memmem(c.at, cursor_left(&c), ", ", 2);
        c.at = next != NULL ? next : c.end;
    }
    return true;
}

/* Behind "from=<", as the queue manager writes it. */
static bool parse_from(struct cursor c, struct maillog_event *e)
{
    return take_path(&c, &e->sender) && TAKE(&c, ", size=");
}

/* "warning: header X-Spam-Flag: YES from …", "milter-header-filter: header …", "hold: header …" */
static bool parse_check(struct cursor c, struct maillog_event *e)
{
    struct span action;

    if (!take_until(&c, ':', &action) || !TAKE(&c, " "))
        return false;
    if (span_equals(action, "hold") || span_equals(action, "discard") ||
        span_equals(action, "redirect") || span_equals(action, "milter-hold") ||
        span_equals(action, "milter-discard"))
        e->kind = MAILLOG_HELD;
    else if (TAKE(&c, "header ")) {
        bool milter = action.len > 14 && memcmp(action.at, "milter-header-", 14) == 0;
        if (milter)
            action = span_of(action.at + 14, action.len - 14);
        bool held = span_equals(action, "hold") || span_equals(action, "discard") ||
                    span_equals(action, "redirect");
        e->kind = held ? MAILLOG_HELD : MAILLOG_HEADER;
        e->header = take_rest(&c);
    } else
        return false;
    return true;
}

static bool program_ends(const struct maillog_event *e, const char *name, size_t len)
{
    return e->program.len > len && ends_with(e->program, name, len) &&
           e->program.at[e->program.len - len - 1] == '/';
}

/* Behind "QUEUEID: ". */
static bool parse_queue_line(struct cursor c, struct maillog_event *e)
{
    switch (c.at < c.end ? *c.at : '\0') {
    case 't':
        e->kind = MAILLOG_DELIVERY;
        return TAKE(&c, "to=<") && parse_delivery(c, e);
    case 'c':
        e->kind = MAILLOG_CLIENT;
        return TAKE(&c, "client=") && parse_client(c, e);
    case 'r':
        e->kind = MAILLOG_REMOVED;
        return (TAKE(&c, "removed") && c.at == c.end) || parse_check(c, e);
    case 'u':
        e->kind = MAILLOG_PICKUP;
        return TAKE(&c, "uid=") && program_ends(e, "pickup", 6);
    case 'm':
        if (TAKE(&c, "message-id=")) {
            e->kind = MAILLOG_MESSAGE_ID;
            e->message_id = take_rest(&c);
            return true;
        }
        return parse_check(c, e);
    case 'f':
        if (TAKE(&c, "from=<")) {
            e->kind = MAILLOG_FROM;
            return program_ends(e, "qmgr", 4) && parse_from(c, e);
        }
        return parse_check(c, e);
    case 'w':
    case 'i':
    case 'h':
    case 'd':
        return parse_check(c, e);
    default:
        return false;
    }
}

/* ---- whose line it is ---- */

static bool is_postfix(const struct maillog_rules *rules, struct span program)
{
    const char *slash = memchr(program.at, '/', program.len);

    if (slash == NULL)
        return false;
    struct span instance = span_of(program.at, (size_t)(slash - program.at));
    for (size_t i = 0; i < rules->instance_count; i++) {
        const char *pattern = rules->instances[i];
        size_t len = strlen(pattern);
        bool any_rest = len > 0 && pattern[len - 1] == '*';
        len -= any_rest;
        if ((instance.len == len || (any_rest && instance.len > len)) &&
            memcmp(instance.at, pattern, len) == 0)
            return true;
    }
    return false;
}

static bool parse_message(const struct maillog_rules *rules, struct cursor c,
                          struct maillog_event *e)
{
    if (!is_postfix(rules, e->program))
        return maillog_filter(e->program, c, e);
    e->queue_id = maillog_queue_id(&c);
    return e->queue_id.len > 0 && TAKE(&c, ": ") && parse_queue_line(c, e);
}

/* "postfix/smtp[123]:" and a blank; the number may be missing. */
static bool take_program(struct cursor *c, struct span *program)
{
    struct cursor line = {c->at, cursor_left(c) > NAME_MOST ? c->at + NAME_MOST : c->end};
    struct span tag;

    if (!take_until(&line, ' ', &tag) || tag.len < 2 || tag.at[tag.len - 1] != ':')
        return false;
    const char *bracket = memchr(tag.at, '[', tag.len);
    *program = span_of(tag.at, bracket != NULL ? (size_t)(bracket - tag.at) : tag.len - 1);
    c->at = line.at;
    return true;
}

/* RFC 5424 section 6, behind the stamp and the host: APP-NAME PROCID MSGID STRUCTURED-DATA. */
static bool take_structured(struct cursor *c, struct span *program)
{
    struct span skipped;

    if (!take_until(c, ' ', program) || !take_until(c, ' ', &skipped) ||
        !take_until(c, ' ', &skipped))
        return false;
    if (TAKE(c, "- "))
        return true;
    /* "]" inside a parameter is escaped, so that the first "] " ends the elements */
    const char *close = memmem(c->at, cursor_left(c), "] ", 2);
    if (cursor_left(c) == 0 || *c->at != '[' || close == NULL)
        return false;
    c->at = close + 2;
    return true;
}

/* "<22>", and "1 " when RFC 5424 follows. */
static bool take_priority(struct cursor *c)
{
    struct span number;

    if (TAKE(c, "<") && (!take_until(c, '>', &number) || number.len > 3))
        c->at = c->end;
    return TAKE(c, "1 ");
}

static bool looks_old(const struct cursor *c)
{
    return cursor_left(c) > 16 && c->at[3] == ' ' && c->at[6] == ' ' && c->at[9] == ':' &&
           c->at[12] == ':';
}

/* "Nov 23 18:02:37" (a fraction may follow) or "2026-11-23T18:38:57.705239+00:00". */
static bool take_stamp(struct cursor *c, struct span *stamp)
{
    struct cursor line = {c->at, cursor_left(c) > STAMP_MOST ? c->at + STAMP_MOST : c->end};

    if (looks_old(c)) {
        line.at += 15;
        if (!take_until(&line, ' ', stamp))
            return false;
    } else if (cursor_left(c) < 20 || c->at[4] != '-' || c->at[10] != 'T' ||
               !take_until(&line, ' ', stamp))
        return false;
    *stamp = span_of(c->at, (size_t)(line.at - 1 - c->at));
    c->at = line.at;
    return true;
}

static bool parse_line(const struct maillog_rules *rules, struct cursor c, struct maillog_event *e)
{
    struct cursor whole = c;
    bool structured = cursor_left(&c) > 0 && (*c.at == '<' || *c.at == '1') && take_priority(&c);

    if (!take_stamp(&c, &e->stamp) || !take_until(&c, ' ', &e->host))
        return maillog_filter_line(whole, e);
    if (!(structured ? take_structured(&c, &e->program) : take_program(&c, &e->program)))
        return maillog_filter_line(whole, e);
    return parse_message(rules, c, e);
}

void maillog_line(const struct maillog_rules *rules, struct span line, struct maillog_event *event)
{
    struct cursor c = {line.at, line.at + line.len};

    if (line.len > 0 && line.at[line.len - 1] == '\r')
        c.end--;
    if (line.len == 0 || !parse_line(rules, c, event))
        event->kind = MAILLOG_OTHER;
}

void maillog_message(const struct maillog_rules *rules, struct span program, struct span message,
                     struct maillog_event *event)
{
    event->stamp = event->host = span_of(NULL, 0);
    event->program = program;
    if (program.len == 0 || message.len == 0 ||
        !parse_message(rules, (struct cursor){message.at, message.at + message.len}, event))
        event->kind = MAILLOG_OTHER;
}

bool maillog_next(const struct maillog_rules *rules, struct span *rest, struct maillog_event *event)
{
    const char *newline;

    while (rest->len > 0 && (newline = memchr(rest->at, '\n', rest->len)) != NULL) {
        struct span line = span_of(rest->at, (size_t)(newline - rest->at));
        *rest = span_of(newline + 1, rest->len - line.len - 1);
        maillog_line(rules, line, event);
        if (event->kind != MAILLOG_OTHER)
            return true;
    }
    return false;
}

bool maillog_relay(struct span relay, struct maillog_relay *parts)
{
    struct cursor c = {relay.at, relay.at + relay.len};

    if (relay.len == 0 || !take_client(&c, &parts->host, &parts->address))
        return false;
    parts->port = TAKE(&c, ":") ? take_rest(&c) : span_of(NULL, 0);
    return c.at == c.end && parts->host.len > 0 && parts->address.len > 0;
}
