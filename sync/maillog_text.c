/* maillog_text - see maillog.h; here: an event in words, for people and tests */
#include "sync/maillog.h"

static void put(struct buf *out, const char *name, struct span value)
{
    char text[1024];

    if (value.at == NULL)
        return;
    str_printable(text, sizeof text, value.at, value.len);
    buf_printf(out, " %s=%s", name, text);
}

static void put_delivery(const struct maillog_event *e, struct buf *out)
{
    static const char *const stages[] = {"", " at=rcpt", " at=data"};

    put(out, "to", e->to);
    put(out, "orig_to", e->original_to);
    put(out, "relay", e->relay);
    buf_printf(out, " dsn=%d.%d.%d status=%s%s", e->dsn[0], e->dsn[1], e->dsn[2],
               maillog_status_names[e->status], stages[e->stage]);
    put(out, "queued_as", e->queued_as);
}

static void put_verdict(const struct maillog_event *e, struct buf *out)
{
    buf_text(out, e->verdict == MAILLOG_CLEAN ? " clean" : " spam");
}

void maillog_describe(const struct maillog_event *e, struct buf *out)
{
    struct span id = e->queue_id.len > 0 ? e->queue_id : span_text("-");

    buf_printf(out, "%.*s %s", (int)id.len, id.at, maillog_kind_names[e->kind]);
    switch (e->kind) {
    case MAILLOG_CLIENT:
        put(out, "name", e->client);
        put(out, "address", e->address);
        put(out, "original", e->original_id);
        if (e->login.at != NULL)
            buf_text(out, " signed-in");
        break;
    case MAILLOG_MESSAGE_ID:
        put(out, "id", e->message_id);
        break;
    case MAILLOG_FROM:
        put(out, "sender", e->sender);
        break;
    case MAILLOG_DELIVERY:
        put_delivery(e, out);
        break;
    case MAILLOG_HEADER:
        put(out, "header", e->header);
        break;
    case MAILLOG_AMAVIS:
        put_verdict(e, out);
        put(out, "queued_as", e->queued_as);
        break;
    case MAILLOG_RSPAMD:
        put_verdict(e, out);
        break;
    case MAILLOG_SPAMD:
        put_verdict(e, out);
        put(out, "id", e->message_id);
        break;
    default:
        break;
    }
}
