/* maillog: any bytes as a log, and as a stamp; what is understood lies inside the line. */
#include <stdlib.h>

#include "sync/maillog.h"
#include "sync/stamp.h"

static const char *const instances[] = {"postfix*"};

static void inside(struct span whole, struct span part)
{
    if (part.at != NULL &&
        (part.at < whole.at || part.len > (size_t)(whole.at + whole.len - part.at)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct maillog_rules rules = {instances, 1};
    struct stamp_clock clock = {.zone = stamp_gmt, .newest_us = INT64_C(1795651200000000)};
    struct span whole = span_of((const char *)data, size), rest = whole;
    struct maillog_event event;
    struct maillog_relay relay;
    BUF_AUTO text = {0};
    int64_t us;

    while (maillog_next(&rules, &rest, &event)) {
        maillog_describe(&event, &text);
        buf_clear(&text);
        inside(whole, event.stamp);
        inside(whole, event.queue_id);
        stamp_time(&clock, event.stamp, &us);
        if (event.kind == MAILLOG_DELIVERY) {
            inside(whole, event.to);
            inside(whole, event.reply);
            maillog_relay(event.relay, &relay);
        }
    }
    inside(whole, rest);
    stamp_time(&clock, whole, &us);
    maillog_line(&rules, whole, &event);
    maillog_message(&rules, span_text("amavis"), whole, &event);
    return 0;
}
