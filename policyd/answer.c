/* answer - see answer.h */
#include "policyd/answer.h"

#include <string.h>

#include "lib/addr.h"
#include "lib/clock.h"
#include "lib/log.h"

/* Hosts whose clocks differ by more have no common time. */
static const int64_t CLOCKS_DIFFER = 5 * 60 * CLOCK_SECOND;
static const int64_t HOUR = 3600 * CLOCK_SECOND, DAY = 24 * 3600 * CLOCK_SECOND;

/* The domain's row as the question needs it; an alias domain is its target in everything. */
struct standing {
    enum domain_standing standing;
    const struct domain_record *record; /* of a served domain */
    bool broken;                        /* an alias whose target is not there */
};

static struct standing standing_of(const struct domains *domains,
                                   const struct domain_record *record)
{
    const struct domain_record *target = record;

    if (!record->removed && record->alias_of != 0)
        target = domains_by_id(domains, record->alias_of);
    if (target == NULL)
        return (struct standing){DOMAIN_SERVED, record, true};
    return (struct standing){target->removed ? DOMAIN_REMOVED : DOMAIN_SERVED, target, false};
}

/* What lies below that domain. */
static struct standing standing_below(const struct domains *domains, struct span parent)
{
    do {
        const struct domain_record *record = domains_by_name(domains, parent);
        if (record != NULL)
            return (struct standing){record->removed ? DOMAIN_REMOVED : DOMAIN_BELOW_SERVED, NULL,
                                     false};
    } while (addr_parent_domain(parent, &parent));
    return (struct standing){DOMAIN_FOREIGN, NULL, false};
}

/* A domain that is not there may lie below one that is. */
static struct standing find_standing(const struct domains *domains, struct span name)
{
    const struct domain_record *record = domains_by_name(domains, name);
    struct span parent;

    if (record != NULL)
        return standing_of(domains, record);
    return addr_parent_domain(name, &parent) ? standing_below(domains, parent)
                                             : (struct standing){DOMAIN_FOREIGN, NULL, false};
}

static int64_t limit_us(int32_t own_seconds, int64_t setting_us)
{
    return own_seconds >= 0 ? own_seconds * CLOCK_SECOND : setting_us;
}

/* -1: not known; also when this host's clock, or the one that the time is from, is wrong. */
static int64_t source_age_us(int64_t synced_at)
{
    int64_t age = clock_wall_us() - synced_at * CLOCK_SECOND;

    if (synced_at == 0 || age < -CLOCKS_DIFFER)
        return -1;
    return age > 0 ? age : 0;
}

static void domain_facts(struct domain_facts *facts, const struct standing *s,
                         const struct settings *settings)
{
    const struct domain_record *d = s->record;

    facts->standing = s->standing;
    facts->stale_limit_us = settings->stale_limit_us;
    if (d == NULL)
        return;
    facts->check = (enum relay_check)d->check;
    facts->shadow = (enum relay_check)d->shadow;
    facts->loaded = d->loaded_at != 0;
    facts->stale_limit_us = limit_us(d->stale_limit, settings->stale_limit_us);
    facts->source_stale_limit_us = limit_us(d->source_stale_limit, settings->source_stale_limit_us);
    facts->follows_directory = d->follows_directory;
    if (d->follows_directory)
        facts->source_age_us = source_age_us(d->synced_at);
}

static int64_t stamp_age_us(uint32_t stamp, int64_t unit_us)
{
    if (stamp == 0)
        return -1;
    return index_age(stamp, clock_wall_us() / unit_us) * unit_us;
}

static void entry_facts(struct recipient_facts *facts, enum lookup lookup, struct index_entry entry)
{
    facts->lookup = lookup;
    facts->state = entry.state == INDEX_DISABLED ? STATE_DISABLED : STATE_ACTIVE;
    if (entry.state == INDEX_ACTIVE)
        facts->verified_age_us = stamp_age_us(entry.when, DAY);
    if (entry.state == INDEX_ACTIVE_REFUSED || entry.state == INDEX_REFUSED)
        facts->refused_age_us = stamp_age_us(entry.when, HOUR);
}

/* False: what cannot be normalised is on nobody's roll. */
static bool probe(const struct replica_generation *generation, const struct domain_record *domain,
                  struct span local, struct replica_probe *out)
{
    char normal[ADDR_LOCAL_MAX + 1];
    size_t len;

    if (!addr_normal_local(local, !domain->case_sensitive, normal, &len))
        return false;
    replica_probe(generation, domain->id, span_of(normal, len), out);
    return true;
}

/* Exactly as asked first, then without the tag. */
static void recipient_facts(struct recipient_facts *facts,
                            const struct replica_generation *generation, struct answer_pending *p)
{
    struct index_entry entry = {INDEX_ABSENT, 0}, base_entry;
    struct replica_probe base_probe;
    enum lookup lookup = LOOKUP_ABSENT;
    struct span local = p->question.local, base;

    if (p->probing)
        lookup = replica_find(generation, &p->probe, &entry);
    if (lookup == LOOKUP_ABSENT && addr_without_tag(local, p->domain->delimiter, &base) &&
        probe(generation, p->domain, base, &base_probe)) {
        enum lookup base_lookup = replica_find(generation, &base_probe, &base_entry);
        if (base_lookup != LOOKUP_ABSENT) {
            facts->without_tag = true;
            lookup = base_lookup;
            entry = base_entry;
            p->probe = base_probe;
        }
    }
    entry_facts(facts, lookup, entry);
}

static bool decides(const struct request *r)
{
    return r->recipient.len > 0 && span_equals(r->request, "smtpd_access_policy") &&
           (span_equals(r->protocol_state, "RCPT") || span_equals(r->protocol_state, "VRFY"));
}

/* The domain's facts, and where the recipient's will be found. */
static void gather(struct answerer *a, struct answer_pending *p, int64_t now_us)
{
    struct verdict_question *q = &p->question;
    struct standing standing = {DOMAIN_FOREIGN, NULL, false};
    struct addr_asked asked;

    q->list_age_us = replica_age_us(a->replica, now_us);
    if (addr_split_asked(p->request.recipient, &asked)) {
        q->local = asked.local;
        standing = find_standing(a->generation->domains, span_of(asked.domain, asked.domain_len));
    } else if (addr_split_above(p->request.recipient, &asked)) {
        standing = standing_below(a->generation->domains, span_of(asked.domain, asked.domain_len));
    }
    domain_facts(&q->domain, &standing, &a->settings);
    if (standing.standing != DOMAIN_SERVED)
        return;
    p->domain = standing.record;
    p->broken = standing.broken;
    p->probing = !standing.broken && probe(a->generation, p->domain, q->local, &p->probe);
}

/* What costs the customer's server a question is counted, and bounded. */
static void bound(struct answerer *a, const struct answer_pending *p, struct verdict *v)
{
    static const enum verdict_rule rules[] = {
        [LIMITS_HARVEST] = RULE_HARVEST, [LIMITS_PROBES] = RULE_PROBE_LIMIT};
    struct limits_question question = {.client_address = p->request.client_address,
                                       .domain_id = p->domain != NULL ? p->domain->id : 0,
                                       .local = p->question.local,
                                       .now_s = p->now_us / CLOCK_SECOND};

    if (v->rule == RULE_REFUSED_LATELY && p->question.recipient.lookup == LOOKUP_ABSENT)
        limits_note_unknown(a->limits, &a->settings.limits, &question);
    if (v->rule != RULE_ASK_UNLISTED)
        return;
    enum limits_outcome outcome = limits_ask(a->limits, &a->settings.limits, &question);
    if (outcome != LIMITS_ASK)
        *v = verdict_held_off(v, rules[outcome]);
}

/* Rules are known by the recipient that was found; nobody else's than the domain's for one who was
 * not. */
static enum sender_word sender_word(const struct answerer *a, const struct answer_pending *p)
{
    const struct senders *senders =
        a->settings.reject_blocked_senders ? replica_senders(a->replica) : NULL;

    if (senders == NULL || !p->probing)
        return SENDER_UNLISTED;
    return senders_word(senders, p->domain->id, span_of(p->probe.key + 4, p->probe.key_len - 4),
                        p->request.sender);
}

static void count(struct answerer *a, const struct verdict *v)
{
    _Atomic uint64_t *counter = &a->counters.answers[v->action][v->rule];

    /* one writer: no need for a locked increment */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (v->shadowed)
        atomic_fetch_add_explicit(&a->counters.shadowed, 1, memory_order_relaxed);
}

/* A span for the log, cut; log_write makes it printable. */
#define SHOWN(s) (int)((s).len > 320 ? 320 : (s).len), (s).at != NULL ? (s).at : ""

static void tell(const struct answerer *a, const struct request *r, const struct verdict *v)
{
    bool refused = v->action != ACTION_DUNNO;

    if (v->shadowed)
        log_write(LOG_SHADOW, "<%.*s>: %s (%s), shadow mode would %s (%s)", SHOWN(r->recipient),
                  verdict_action_names[v->action], verdict_rules[v->rule].code,
                  verdict_action_names[v->shadow_action], verdict_rules[v->shadow_rule].code);
    if (a->settings.log_answers == LOG_ANSWERS_ALL ||
        (a->settings.log_answers == LOG_ANSWERS_REFUSED && refused))
        log_write(LOG_ANSWER, "<%.*s>: %s (%s) from <%.*s> client %.*s", SHOWN(r->recipient),
                  verdict_action_names[v->action], verdict_rules[v->rule].code, SHOWN(r->sender),
                  SHOWN(r->client_address));
}

static const struct answer_words *words_of(struct answerer *a, const struct verdict *v)
{
    if (a->worded_for != a->settings.number)
        memset(a->words, 0, sizeof a->words);
    a->worded_for = a->settings.number;
    struct answer_words *words = &a->words[v->action][v->rule];
    if (words->len == 0) {
        struct verdict_texts texts = {a->settings.unknown_text, a->settings.unsure_text,
                                      a->settings.subdomain_text, a->settings.blocked_text};
        words->len = verdict_write(v, &texts, words->text, sizeof words->text);
    }
    return words;
}

void answer_enter(struct answerer *a)
{
    settings_refresh(&a->settings);
    a->generation = replica_enter(a->replica, a->reader);
}

void answer_leave(struct answerer *a)
{
    a->generation = NULL;
    replica_leave(a->replica, a->reader);
}

void answer_look(struct answerer *a, struct answer_pending *p, int64_t now_us)
{
    p->domain = NULL;
    p->now_us = now_us;
    p->question = (struct verdict_question){
        .decides = decides(&p->request),
        .recipient = {.verified_age_us = -1, .refused_age_us = -1},
        .list_present = a->generation != NULL,
        .accept_abuse = a->settings.accept_abuse,
        .verified_for_us = a->settings.verified_for_us,
        .refused_for_us = a->settings.refused_for_us,
    };
    if (p->question.decides && a->generation != NULL)
        gather(a, p, now_us);
}

size_t answer_write(struct answerer *a, struct answer_pending *p, char *out)
{
    if (p->domain != NULL && p->broken)
        p->question.recipient.lookup = LOOKUP_FAILED;
    else if (p->domain != NULL) {
        recipient_facts(&p->question.recipient, a->generation, p);
        p->question.sender = sender_word(a, p);
    }
    struct verdict v = verdict(&p->question);
    if (v.rule == RULE_ASK_UNLISTED || v.rule == RULE_REFUSED_LATELY)
        bound(a, p, &v);
    count(a, &v);
    tell(a, &p->request, &v);
    const struct answer_words *words = words_of(a, &v);
    memcpy(out, words->text, words->len);
    return words->len;
}
