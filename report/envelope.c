/* envelope - see envelope.h */
#include "report/envelope.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* No value holds an end of line: lmtp.c refuses control characters. */
static void put(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "%s ", name);
    buf_text(out, value);
    buf_text(out, "\n");
}

void envelope_write(struct buf *out, const struct envelope *envelope)
{
    char number[24];

    snprintf(number, sizeof number, "%" PRId64, envelope->received_us);
    put(out, "received", number);
    put(out, "queue", envelope->forward.ident);
    put(out, "client", envelope->forward.address);
    put(out, "name", envelope->forward.name);
    put(out, "helo", envelope->forward.helo);
    put(out, "smtputf8", envelope->smtputf8 ? "1" : "0");
    put(out, "from", envelope->sender);
    for (size_t i = 0; i < envelope->recipient_count; i++)
        put(out, "to", envelope->recipients[i]);
    buf_text(out, "\n");
}

static void copy(char out[LMTP_FORWARD_MOST], const char *value)
{
    snprintf(out, LMTP_FORWARD_MOST, "%s", value);
}

static void add_recipient(struct envelope *e, const char *value)
{
    const char **grown = (const char **)(uintptr_t)e->recipients;

    if (e->recipient_count % 64 == 0)
        grown = mem_grow(grown, (e->recipient_count + 64) * sizeof *grown);
    grown[e->recipient_count++] = value;
    e->recipients = grown;
}

static bool take(struct envelope *e, const char *name, const char *value)
{
    if (strcmp(name, "received") == 0)
        return str_int64(span_text(value), &e->received_us);
    if (strcmp(name, "from") == 0)
        e->sender = value;
    else if (strcmp(name, "to") == 0)
        add_recipient(e, value);
    else if (strcmp(name, "smtputf8") == 0)
        e->smtputf8 = value[0] == '1';
    else if (strcmp(name, "queue") == 0)
        copy(e->forward.ident, value);
    else if (strcmp(name, "client") == 0)
        copy(e->forward.address, value);
    else if (strcmp(name, "name") == 0)
        copy(e->forward.name, value);
    else if (strcmp(name, "helo") == 0)
        copy(e->forward.helo, value);
    return true;
}

/* The next line, its end made NUL; NULL: there is none. */
static char *next_line(char **rest, const char *end)
{
    char *line = *rest, *stop = memchr(line, '\n', (size_t)(end - line));

    if (stop == NULL || memchr(line, '\0', (size_t)(stop - line)) != NULL)
        return NULL;
    *stop = '\0';
    *rest = stop + 1;
    return line;
}

static bool read_lines(char *text, size_t len, struct envelope *e, size_t *used)
{
    char *rest = text, *line;

    while ((line = next_line(&rest, text + len)) != NULL && line[0] != '\0') {
        char *value = strchr(line, ' ');
        if (value == NULL)
            return false;
        *value = '\0';
        if (!take(e, line, value + 1))
            return false;
    }
    *used = (size_t)(rest - text);
    return line != NULL && e->sender != NULL && e->recipient_count > 0;
}

bool envelope_read(char *text, size_t len, struct envelope *envelope, size_t *used)
{
    *envelope = (struct envelope){0};
    if (read_lines(text, len, envelope, used))
        return true;
    envelope_free(envelope);
    return false;
}

void envelope_free(struct envelope *envelope)
{
    free((void *)(uintptr_t)envelope->recipients);
    *envelope = (struct envelope){0};
}
