/* sender - see sender.h */
#include "sender.h"

#include <stdio.h>
#include <string.h>

static bool normalise_domain(struct span text, const char *before,
                             char out[SENDER_PATTERN_MOST + 1], struct err *err)
{
    char domain[ADDR_DOMAIN_MAX + 1];
    size_t len;

    if (!addr_parse_domain(text, domain, &len, err))
        return false;
    snprintf(out, SENDER_PATTERN_MOST + 1, "%s%s", before, domain);
    return true;
}

bool sender_pattern_parse(struct span text, char out[SENDER_PATTERN_MOST + 1], struct err *err)
{
    struct addr addr;

    text = span_trim(text);
    if (text.len > 2 && memcmp(text.at, "*.", 2) == 0)
        return normalise_domain(span_of(text.at + 2, text.len - 2), "*.", out, err);
    if (text.len > 1 && text.at[0] == '@')
        return normalise_domain(span_of(text.at + 1, text.len - 1), "", out, err);
    if (text.len == 0 || memchr(text.at, '@', text.len) == NULL)
        return normalise_domain(text, "", out, err);
    if (!addr_parse(text, true, &addr, err))
        return false;
    if (memchr(addr.local, ' ', addr.local_len) != NULL)
        return err_set(err, ERR_DATA, "%.*s: a rule cannot hold a blank", (int)text.len, text.at);
    addr_format(&addr, out);
    return true;
}

void sender_patterns(const char *address, sender_pattern_fn *pattern, void *context)
{
    char out[SENDER_PATTERN_MOST + 1];
    struct addr addr;
    struct err err;

    if (!addr_parse(span_text(address), true, &addr, &err))
        return;
    addr_format(&addr, out);
    pattern(context, out);
    pattern(context, addr.domain);
    struct span domain = span_of(addr.domain, addr.domain_len), parent;
    while (addr_parent_domain(domain, &parent)) {
        snprintf(out, sizeof out, "*.%.*s", (int)parent.len, parent.at);
        pattern(context, out);
        domain = parent;
    }
}
