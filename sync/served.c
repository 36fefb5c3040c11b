/* served - see served.h */
#include "sync/served.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/maillog.h"

enum { HOPS_MOST = 8, RELAY_MOST = 320 };

enum hop_kind {
    HOP_ANY,     /* not given: any relay outside */
    HOP_MX,      /* a domain whose MX hosts are not known here: any relay outside at that port */
    HOP_ADDRESS, /* [192.0.2.1]:25 */
    HOP_HOST,    /* [mail.example.com]:25 */
    HOP_SOCKET,  /* unix:/path */
};

/* One destination of transport(5). */
struct hop {
    enum hop_kind kind;
    int port; /* 0: any */
    struct network_address address;
    char host[256]; /* or the path */
};

struct served_domain {
    int32_t id;
    char name[ADDR_DOMAIN_MAX + 1];
    size_t name_len;
    char delimiter[9];
    bool case_sensitive;
    const struct network_list *never;
    struct hop hops[HOPS_MOST];
    size_t hop_count;
    /* relays come again and again: the last one and what it was */
    char relay[RELAY_MOST];
    size_t relay_len;
    bool relay_is_hop;
};

struct served {
    struct network_list never;
    struct served_domain **slots; /* open addressing by name */
    size_t room, count;
};

/* ---- next hops ---- */

static int port_number(struct span text)
{
    int64_t number;
    STR_AUTO name = mem_span(text);

    if (str_int64(text, &number) && number > 0 && number < 65536)
        return (int)number;
    const struct servent *service = getservbyname(name, "tcp");
    return service != NULL ? ntohs((uint16_t)service->s_port) : 0;
}

static void copy_host(struct hop *hop, struct span text)
{
    snprintf(hop->host, sizeof hop->host, "%.*s", (int)text.len, text.at);
}

/* "[host]" or "[host]:port" */
static void read_bracketed(struct hop *hop, struct span text)
{
    const char *close = memchr(text.at, ']', text.len);
    size_t inside = close != NULL ? (size_t)(close - text.at) - 1 : 0;
    struct span host = span_of(text.at + 1, inside);

    if (close != NULL && text.len > inside + 3 && close[1] == ':')
        hop->port = port_number(span_of(close + 2, text.len - inside - 3));
    hop->kind = network_address_parse(host, &hop->address) ? HOP_ADDRESS : HOP_HOST;
    copy_host(hop, host);
}

static void read_hop(struct hop *hop, struct span text)
{
    const char *colon = memchr(text.at, ':', text.len);

    *hop = (struct hop){.kind = HOP_MX, .port = 25};
    if (text.len > 5 && memcmp(text.at, "unix:", 5) == 0) {
        hop->kind = HOP_SOCKET;
        copy_host(hop, span_of(text.at + 5, text.len - 5));
    } else if (text.at[0] == '[')
        read_bracketed(hop, text);
    else if (colon != NULL)
        hop->port = port_number(span_of(colon + 1, text.len - (size_t)(colon + 1 - text.at)));
}

static bool is_number(struct span text)
{
    int64_t number;

    return text.len == 0 || str_int64(text, &number);
}

/* "relay:[host]:25" and "lmtp:unix:/path" name their transport first; "host:25" does not. */
static struct span without_transport(struct span text, bool *lmtp)
{
    const char *colon = memchr(text.at, ':', text.len);
    struct span before = span_of(text.at, colon != NULL ? (size_t)(colon - text.at) : 0);
    struct span after = span_of(before.at + before.len + 1, text.len - before.len - 1);

    if (colon == NULL || text.at[0] == '[' || span_equals(before, "unix") || is_number(after))
        return text;
    *lmtp = span_equals(before, "lmtp");
    return after;
}

static void read_hops(struct served_domain *d, const char *next_hop)
{
    struct span rest = span_text(next_hop), text;
    bool lmtp = false;

    if (rest.len > 0)
        rest = without_transport(rest, &lmtp);
    while (d->hop_count < HOPS_MOST && span_next(&rest, ',', &text)) {
        text = span_trim(text);
        if (text.len == 0)
            continue;
        struct hop *hop = &d->hops[d->hop_count++];
        read_hop(hop, text);
        if (lmtp && hop->port == 25)
            hop->port = 24; /* lmtp_tcp_port */
    }
    if (d->hop_count == 0)
        d->hops[d->hop_count++] = (struct hop){.kind = HOP_ANY};
}

static bool outside(const struct served_domain *d, const struct maillog_relay *relay)
{
    struct network_address address;

    return network_address_parse(relay->address, &address) && !network_list_has(d->never, &address);
}

static bool hop_is(const struct served_domain *d, const struct hop *hop,
                   const struct maillog_relay *relay)
{
    struct network_address address;
    int64_t port = 0;

    if (hop->kind == HOP_SOCKET)
        return relay->port.len == 0 && span_equals(relay->address, hop->host);
    if (!str_int64(relay->port, &port) || (hop->port != 0 && hop->port != port))
        return false;
    switch (hop->kind) {
    case HOP_ADDRESS:
        return network_address_parse(relay->address, &address) &&
               network_address_same(&address, &hop->address);
    case HOP_HOST:
        return relay->host.len == strlen(hop->host) &&
               strncasecmp(relay->host.at, hop->host, relay->host.len) == 0;
    default:
        return outside(d, relay);
    }
}

bool served_is_next_hop(struct served_domain *d, struct span relay)
{
    struct maillog_relay parts;
    bool found = false;

    if (relay.len > 0 && relay.len == d->relay_len && memcmp(relay.at, d->relay, relay.len) == 0)
        return d->relay_is_hop;
    if (!maillog_relay(relay, &parts))
        return false;
    for (size_t i = 0; i < d->hop_count && !found; i++)
        found = hop_is(d, &d->hops[i], &parts);
    if (relay.len <= RELAY_MOST) {
        memcpy(d->relay, relay.at, relay.len);
        d->relay_len = relay.len;
        d->relay_is_hop = found;
    }
    return found;
}

/* ---- domains ---- */

struct served *served_new(const struct network_list *never)
{
    struct served *served = mem_zero(1, sizeof *served);

    served->never = *never;
    served->room = 64;
    served->slots = mem_zero(served->room, sizeof *served->slots);
    return served;
}

void served_free(struct served **served)
{
    struct served *s = *served;

    if (s == NULL)
        return;
    for (size_t i = 0; i < s->room; i++)
        free(s->slots[i]);
    free(s->slots);
    free(s);
    *served = NULL;
}

size_t served_count(const struct served *served)
{
    return served->count;
}

/* FNV-1a over lower-case letters: names come from our own database, nobody aims at this. */
static size_t hash(struct span name)
{
    uint64_t h = UINT64_C(14695981039346656037);

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)str_lower(name.at[i])) * UINT64_C(1099511628211);
    return (size_t)(h ^ h >> 32);
}

static struct served_domain **slot_of(const struct served *s, struct span name)
{
    size_t i = hash(name) & (s->room - 1);

    while (s->slots[i] != NULL && (s->slots[i]->name_len != name.len ||
                                   strncasecmp(s->slots[i]->name, name.at, name.len) != 0))
        i = (i + 1) & (s->room - 1);
    return &s->slots[i];
}

static void grow(struct served *s)
{
    struct served_domain **old = s->slots;
    size_t room = s->room;

    s->room = room * 2;
    s->slots = mem_zero(s->room, sizeof *s->slots);
    for (size_t i = 0; i < room; i++)
        if (old[i] != NULL)
            *slot_of(s, span_of(old[i]->name, old[i]->name_len)) = old[i];
    free(old);
}

void served_add(struct served *s, const struct served_row *row)
{
    struct served_domain *d = mem_zero(1, sizeof *d);
    struct served_domain **slot;

    if (s->count * 2 >= s->room)
        grow(s);
    d->id = row->id;
    d->name_len = strlen(row->name) > ADDR_DOMAIN_MAX ? ADDR_DOMAIN_MAX : strlen(row->name);
    memcpy(d->name, row->name, d->name_len);
    snprintf(d->delimiter, sizeof d->delimiter, "%s", row->delimiter);
    d->case_sensitive = row->case_sensitive;
    d->never = &s->never;
    read_hops(d, row->next_hop);
    slot = slot_of(s, span_of(d->name, d->name_len));
    s->count += *slot == NULL;
    free(*slot);
    *slot = d;
}

struct served_domain *served_find(struct served *served, struct span domain)
{
    return *slot_of(served, domain);
}

int32_t served_id(const struct served_domain *domain)
{
    return domain->id;
}

/* ---- recipients ---- */

/* Removes the quotes of a quoted local part into `out`; false when it is none that is well-formed,
 * or too long. */
static bool unquote(struct span local, char *out, size_t room, size_t *len)
{
    *len = 0;
    if (local.len < 2 || local.at[0] != '"' || local.at[local.len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < local.len; i++) {
        if (local.at[i] == '\\' && ++i + 1 >= local.len)
            return false;
        if (*len == room)
            return false;
        out[(*len)++] = local.at[i];
    }
    return true;
}

static bool octal(char c)
{
    return c >= '0' && c <= '7';
}

/*
 * '=' stands in what BATV (prvs=), SRS and VERP make, and in nobody's mailbox name; '?' is what
 * Postfix logs for a byte that cannot be shown, "#303" what rsyslog does.
 */
static bool rewritten(struct span local)
{
    for (size_t i = 0; i < local.len; i++) {
        if (local.at[i] == '=' || local.at[i] == '?')
            return true;
        if (local.at[i] == '#' && local.len - i > 3 && octal(local.at[i + 1]) &&
            octal(local.at[i + 2]) && octal(local.at[i + 3]))
            return true;
    }
    return false;
}

/* The domain as Postfix logs it: mostly normalised already. */
static struct served_domain *find_domain(struct served *s, struct span text, size_t at)
{
    struct span name = span_of(text.at + at + 1, text.len - at - 1);
    struct served_domain *d = served_find(s, name);
    struct addr_asked asked;
    bool plain = true;

    if (d != NULL)
        return d;
    for (size_t i = 0; i < name.len; i++)
        plain = plain && (unsigned char)name.at[i] < 0x80;
    /* a trailing dot and U-labels have another normal form */
    if ((!plain || name.at[name.len - 1] == '.') && addr_split_asked(text, &asked))
        d = served_find(s, span_of(asked.domain, asked.domain_len));
    return d;
}

enum served_address served_recipient(struct served *served, struct span text,
                                     struct served_domain **domain, char local[ADDR_LOCAL_MAX + 1],
                                     size_t *local_len)
{
    const char *at = text.len > 0 ? memrchr(text.at, '@', text.len) : NULL;
    char plain[ADDR_ASKED_MAX];
    struct span base;
    bool tagged;

    if (at == NULL || at == text.at || at + 1 == text.at + text.len || text.len > ADDR_ASKED_MAX)
        return SERVED_FOREIGN;
    *domain = find_domain(served, text, (size_t)(at - text.at));
    if (*domain == NULL)
        return SERVED_FOREIGN;
    struct span asked = span_of(text.at, (size_t)(at - text.at));
    if (asked.at[0] == '"') {
        size_t len;
        if (!unquote(asked, plain, sizeof plain, &len))
            return SERVED_REWRITTEN;
        asked = span_of(plain, len);
    }
    if (rewritten(asked))
        return SERVED_REWRITTEN;
    tagged = addr_without_tag(asked, (*domain)->delimiter, &base);
    if (!addr_normal_local(tagged ? base : asked, !(*domain)->case_sensitive, local, local_len))
        return SERVED_REWRITTEN;
    return tagged ? SERVED_TAGGED : SERVED_EXACT;
}
