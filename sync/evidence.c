/* evidence - see evidence.h; here: what the events mean, and the counts that they come to */
#include "sync/evidence.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/clock.h"
#include "sync/evidence_parts.h"

static const struct {
    const char *name;
    enum evidence_filter filter;
} filter_names[] = {{"rspamd", FILTER_RSPAMD}, {"amavis", FILTER_AMAVIS}, {"spamd", FILTER_SPAMD}};

bool evidence_filters_parse(struct span text, unsigned *filters, struct err *err)
{
    struct span word;

    *filters = 0;
    while (span_next(&text, ',', &word)) {
        unsigned known = 0;
        word = span_trim(word);
        for (size_t i = 0; i < sizeof filter_names / sizeof filter_names[0]; i++)
            if (span_equals(word, filter_names[i].name))
                known = filter_names[i].filter;
        if (known == 0 && word.len > 0)
            return err_set(err, ERR_CONFIG, "'%.*s' is no filter: rspamd, amavis, spamd",
                           word.len > 60 ? 60 : (int)word.len, word.at);
        *filters |= known;
    }
    return true;
}

struct evidence *evidence_new(const struct evidence_rules *rules)
{
    struct evidence *e = mem_zero(1, sizeof *e);

    e->rules = *rules;
    e->by_message_id = (rules->filters & FILTER_SPAMD) != 0;
    flight_init(&e->messages, 1024);
    flight_init(&e->ids, 1024);
    tally_init(&e->tally);
    return e;
}

void evidence_free(struct evidence **evidence)
{
    struct evidence *e = *evidence;

    if (e == NULL)
        return;
    flight_free(&e->messages);
    flight_free(&e->ids);
    tally_free(&e->tally);
    free(e->waiting);
    free(e);
    *evidence = NULL;
}

/* ---- messages ---- */

static struct message *message_of(struct evidence *e, struct span queue_id, int64_t at_s)
{
    struct message *m = flight_put(&e->messages, flight_key(queue_id));

    m->seen_s = (uint32_t)at_s;
    return m;
}

/* The id is new, or used again: what was known of an older message of that id is over. What a
 * filter said before the message was handed back stays. */
static struct message *begin(struct evidence *e, struct span queue_id, int64_t at_s)
{
    struct message *m = message_of(e, queue_id, at_s);

    if ((m->flags & (MESSAGE_BEGUN | MESSAGE_REMOVED)) != 0)
        m->flags &= MESSAGE_WAITS;
    m->flags |= MESSAGE_BEGUN;
    return m;
}

static void inherit(struct message *child, const struct message *parent)
{
    if ((parent->flags & MESSAGE_OUTSIDE) == 0)
        return;
    child->flags |= (parent->flags & (MESSAGE_OUTSIDE | MESSAGE_SPAM | MESSAGE_CLEAN_ALL));
}

static void link_ids(struct evidence *e, struct span parent_id, struct span child_id, int64_t at_s)
{
    const struct message *found = flight_find(&e->messages, flight_key(parent_id));
    struct message parent;

    if (found == NULL)
        return;
    parent = *found; /* the table may move */
    inherit(message_of(e, child_id, at_s), &parent);
}

static bool comes_from_inside(const struct evidence *e, const struct maillog_event *event)
{
    struct network_address address;

    if (event->login.at != NULL || !network_address_parse(event->address, &address))
        return true; /* one of ours, or a unix socket */
    return network_list_has(e->rules.inside, &address);
}

static void on_client(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct message *m = begin(e, event->queue_id, at_s);

    if (event->original_id.len > 0)
        link_ids(e, event->original_id, event->queue_id, at_s);
    else if (!comes_from_inside(e, event))
        m->flags |= MESSAGE_OUTSIDE;
}

/* By Message-ID: what a filter said of it, and whose child it is. */
static void on_message_id(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct message *m, *id;

    if (!e->by_message_id || event->message_id.len < 3) /* "<>" is everybody's */
        return;
    m = message_of(e, event->queue_id, at_s);
    id = flight_put(&e->ids, flight_key(event->message_id));
    id->seen_s = (uint32_t)at_s;
    m->message_id = id->key;
    if ((m->flags & MESSAGE_OUTSIDE) != 0)
        id->flags |= MESSAGE_OUTSIDE;
    else
        inherit(m, id);
}

static bool is_probe(struct span sender)
{
    static const char probe[] = "double-bounce"; /* more follows with address_verify_sender_ttl */

    return sender.len >= sizeof probe - 1 && strncasecmp(sender.at, probe, sizeof probe - 1) == 0;
}

static void on_from(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct message *m = message_of(e, event->queue_id, at_s);

    m->flags |= MESSAGE_QUEUED;
    if (event->sender.len == 0 || is_probe(event->sender))
        m->flags |= MESSAGE_NO_SENDER;
}

static bool marks_spam(const struct evidence *e, struct span header)
{
    for (size_t i = 0; i < e->rules.header_count; i++) {
        struct span mark = e->rules.headers[i];
        if (header.len >= mark.len && strncasecmp(header.at, mark.at, mark.len) == 0)
            return true;
    }
    return false;
}

static void on_verdict(struct evidence *e, struct span queue_id, enum maillog_verdict verdict,
                       unsigned filter, int64_t at_s)
{
    struct message *m;

    if (queue_id.len == 0)
        return;
    m = message_of(e, queue_id, at_s);
    m->flags |= verdict == MAILLOG_SPAM ? MESSAGE_SPAM : filter * MESSAGE_CLEAN;
}

static void on_amavis(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    on_verdict(e, event->queue_id, event->verdict, FILTER_AMAVIS, at_s);
    on_verdict(e, event->queued_as, event->verdict, FILTER_AMAVIS, at_s);
    if (event->queue_id.len > 0 && event->queued_as.len > 0)
        link_ids(e, event->queue_id, event->queued_as, at_s);
}

static void on_spamd(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct message *id;

    if (!e->by_message_id || event->message_id.len < 3)
        return;
    id = flight_put(&e->ids, flight_key(event->message_id));
    id->seen_s = (uint32_t)at_s;
    id->flags |= event->verdict == MAILLOG_SPAM ? MESSAGE_SPAM : FILTER_SPAMD * MESSAGE_CLEAN;
}

/* Nothing is left to learn of a message that waits for nothing. */
static void on_removed(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct message *m = flight_find(&e->messages, flight_key(event->queue_id));

    if (m == NULL)
        return;
    m->flags |= MESSAGE_REMOVED;
    m->seen_s = (uint32_t)at_s;
    if ((m->flags & MESSAGE_WAITS) == 0)
        flight_drop(&e->messages, m);
}

/* ---- deliveries ---- */

static void wait_undecided(struct evidence *e, struct message *m, const struct tally_row *row,
                           int64_t at_s)
{
    struct waiting w = {.message = m->key,
                        .at_s = (uint32_t)at_s,
                        .domain_id = row->domain_id,
                        .local_len = row->local_len};

    memcpy(w.local, tally_local(&e->tally, row), row->local_len);
    evidence_wait_for(e, m, &w);
}

static void on_taken(struct evidence *e, const struct maillog_event *event, struct tally_row *row,
                     int64_t at_s)
{
    struct message *m = message_of(e, event->queue_id, at_s);
    enum decision decision = evidence_decide(e, m);

    e->figures.deliveries++;
    row->deliverable++;
    row->last_yes_s = at_s > row->last_yes_s ? at_s : row->last_yes_s;
    if (decision == UNDECIDED) {
        wait_undecided(e, m, row, at_s);
        return;
    }
    row->accepted += decision == DECIDED_CLEAN;
    evidence_decided(e, decision);
}

/*
 * RFC 3463 section 3.2: X.1.7 and X.1.8 are about the sender, and X.1.0 about either address:
 * Postfix says it of a forged sender whom it does not know, Exchange of one that it blocks, in
 * answer to RCPT. The rest are about the recipient's address. "No such mailbox" is X.1.1; X.1.10 is
 * what Exchange says for it.
 */
static bool about_recipient(const struct maillog_event *event)
{
    return event->dsn[0] == 5 && event->dsn[1] == 1 && event->dsn[2] != 0 && event->dsn[2] != 7 &&
           event->dsn[2] != 8 && event->stage != MAILLOG_STAGE_OTHER;
}

static void on_refused(const struct maillog_event *event, struct tally_row *row, int64_t at_s)
{
    if (!about_recipient(event))
        return;
    row->refused++;
    row->unknown += event->dsn[2] == 1 || event->dsn[2] == 10;
    row->late += event->stage == MAILLOG_STAGE_DATA && event->status == MAILLOG_BOUNCED;
    row->last_no_s = at_s > row->last_no_s ? at_s : row->last_no_s;
}

/* A hop that is not the customer's server may be a filter that hands the message back. */
static void on_other_hop(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct maillog_relay relay;
    struct network_address address;

    if (event->status != MAILLOG_SENT || event->queued_as.len == 0 ||
        !maillog_relay(event->relay, &relay))
        return;
    /* only one of ours: what a stranger's server says it made of it means nothing here */
    if (!network_address_parse(relay.address, &address) ||
        network_list_has(e->rules.inside, &address))
        link_ids(e, event->queue_id, event->queued_as, at_s);
}

static void on_delivery(struct evidence *e, const struct maillog_event *event, int64_t at_s)
{
    struct tally_row *row =
        tally_row(&e->tally, &e->rules, event->to, (int32_t)(at_s / EVIDENCE_DAY_S));

    if (row->domain == NULL || !served_is_next_hop(row->domain, event->relay)) {
        on_other_hop(e, event, at_s);
        return;
    }
    if (row->address != SERVED_EXACT && row->address != SERVED_TAGGED)
        return;
    switch (event->status) {
    case MAILLOG_SENT:
        on_taken(e, event, row, at_s);
        break;
    case MAILLOG_DELIVERABLE:
        row->deliverable++;
        row->last_yes_s = at_s > row->last_yes_s ? at_s : row->last_yes_s;
        break;
    case MAILLOG_BOUNCED:
    case MAILLOG_UNDELIVERABLE:
        if (row->address == SERVED_EXACT) /* a no to a tag is not a no to its owner */
            on_refused(event, row, at_s);
        break;
    default:
        break;
    }
}

void evidence_event(struct evidence *e, const struct maillog_event *event, int64_t at_us)
{
    int64_t at_s = at_us / CLOCK_SECOND;

    e->figures.events++;
    switch (event->kind) {
    case MAILLOG_CLIENT:
        on_client(e, event, at_s);
        break;
    case MAILLOG_PICKUP:
        begin(e, event->queue_id, at_s);
        break;
    case MAILLOG_MESSAGE_ID:
        on_message_id(e, event, at_s);
        break;
    case MAILLOG_FROM:
        on_from(e, event, at_s);
        break;
    case MAILLOG_DELIVERY:
        on_delivery(e, event, at_s);
        break;
    case MAILLOG_REMOVED:
        on_removed(e, event, at_s);
        break;
    case MAILLOG_HEADER:
        if (marks_spam(e, event->header))
            message_of(e, event->queue_id, at_s)->flags |= MESSAGE_SPAM;
        break;
    case MAILLOG_HELD:
        message_of(e, event->queue_id, at_s)->flags |= MESSAGE_SPAM;
        break;
    case MAILLOG_RSPAMD:
        on_verdict(e, event->queue_id, event->verdict, FILTER_RSPAMD, at_s);
        break;
    case MAILLOG_AMAVIS:
        on_amavis(e, event, at_s);
        break;
    case MAILLOG_SPAMD:
        on_spamd(e, event, at_s);
        break;
    default:
        break;
    }
}

/* ---- counts ---- */

bool evidence_counts(const struct evidence *e, evidence_count_fn *row, void *context,
                     struct err *err)
{
    return tally_each(&e->tally, row, context, err);
}

void evidence_forget(struct evidence *e)
{
    tally_clear(&e->tally);
}

bool evidence_full(const struct evidence *e)
{
    return e->tally.count >= TALLY_MOST || e->messages.count >= MESSAGES_MOST ||
           e->ids.count >= MESSAGES_MOST || e->waiting_count >= WAITING_MOST / 2;
}

void evidence_figures(const struct evidence *e, struct evidence_figures *figures)
{
    *figures = e->figures;
    figures->messages = e->messages.count;
    figures->waiting = e->waiting_count;
}
