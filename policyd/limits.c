/* limits - see limits.h */
#include "policyd/limits.h"

#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/secret.h"

enum {
    SLOTS = 1 << 17, /* of each table: a megabyte */
    NEIGHBOURS = 4,  /* slots that a key may lie in */
    TRIES = 8,
    OF_BITS = 24,
    SINCE_BITS = 24,
    COUNT_BITS = 16,
};
static const uint64_t OF_MASK = (1 << OF_BITS) - 1, SINCE_MASK = (1 << SINCE_BITS) - 1,
                      COUNT_MASK = (1 << COUNT_BITS) - 1;
static const int64_t MINUTE_S = 60;
static const int64_t LATELY_S = 3 * 3600; /* Postfix's address_verify_negative_refresh_time */

/* ---- pure ---- */

enum limits_outcome limits_decide(const struct limits_rules *rules,
                                  const struct limits_facts *facts)
{
    if (facts->asked_lately)
        return LIMITS_ASK;
    if (rules->harvest_limit > 0 && !facts->inside && facts->by_client > rules->harvest_limit)
        return LIMITS_HARVEST;
    if (rules->probe_limit > 0 && facts->of_domain > rules->probe_limit)
        return LIMITS_PROBES;
    return LIMITS_ASK;
}

static uint32_t word_of(uint64_t word)
{
    return (uint32_t)(word >> (SINCE_BITS + COUNT_BITS));
}

static bool word_runs(uint64_t word, int64_t now_s, int64_t window_s)
{
    uint64_t since = word >> COUNT_BITS & SINCE_MASK;

    return word != 0 && (((uint64_t)now_s - since) & SINCE_MASK) < (uint64_t)window_s;
}

uint64_t limits_count(uint64_t word, uint32_t of, int64_t now_s, int64_t window_s, uint32_t *count)
{
    uint64_t since = (uint64_t)now_s & SINCE_MASK;

    *count = 1;
    if (word_of(word) == of && word_runs(word, now_s, window_s)) {
        since = word >> COUNT_BITS & SINCE_MASK;
        *count = (uint32_t)(word & COUNT_MASK);
        *count += *count < COUNT_MASK;
    }
    return (uint64_t)of << (SINCE_BITS + COUNT_BITS) | since << COUNT_BITS | *count;
}

/* ---- tables ---- */

struct table {
    _Atomic uint64_t slot[SLOTS];
};

struct limits {
    struct table clients, domains, asked;
    uint8_t key[SECRET_HASH_KEY]; /* random: nobody can aim at a slot */
    struct network_list inside;
};

struct limits *limits_new(const struct network_list *inside)
{
    struct limits *limits = mem_zero(1, sizeof *limits);

    secret_random(limits->key, sizeof limits->key);
    limits->inside = *inside;
    return limits;
}

void limits_free(struct limits **limits)
{
    free(*limits);
    *limits = NULL;
}

/* The slot of that key: its own, else a free one, else the least used. */
static _Atomic uint64_t *slot_of(struct table *table, uint64_t hash, int64_t now_s,
                                 int64_t window_s)
{
    _Atomic uint64_t *best = NULL;
    uint64_t least = UINT64_MAX;
    uint32_t of = (uint32_t)(hash & OF_MASK);

    for (uint64_t i = 0; i < NEIGHBOURS; i++) {
        _Atomic uint64_t *slot = &table->slot[((hash >> OF_BITS) + i) % SLOTS];
        uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
        bool runs = word_runs(word, now_s, window_s);
        uint64_t used = runs ? word & COUNT_MASK : 0;
        if (runs && word_of(word) == of)
            return slot;
        if (used < least) {
            least = used;
            best = slot;
        }
    }
    return best;
}

/* Counts one more; a slot fought over by others for long is theirs. */
static uint32_t note(struct table *table, uint64_t hash, int64_t now_s, int64_t window_s)
{
    uint32_t count = 1;

    for (int i = 0; i < TRIES; i++) {
        _Atomic uint64_t *slot = slot_of(table, hash, now_s, window_s);
        uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
        uint64_t fresh = limits_count(word, (uint32_t)(hash & OF_MASK), now_s, window_s, &count);
        if (atomic_compare_exchange_weak_explicit(slot, &word, fresh, memory_order_relaxed,
                                                  memory_order_relaxed))
            break;
    }
    return count;
}

static bool has(struct table *table, uint64_t hash, int64_t now_s, int64_t window_s)
{
    uint64_t word =
        atomic_load_explicit(slot_of(table, hash, now_s, window_s), memory_order_relaxed);

    return word_of(word) == (uint32_t)(hash & OF_MASK) && word_runs(word, now_s, window_s);
}

/* ---- whom ---- */

static bool is_mapped(const struct network_address *address)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(address->bytes, prefix, sizeof prefix) == 0;
}

/* Of an IPv6 address its network: a client has all of a /64. */
static uint64_t client_hash(const struct limits *limits, struct span text, bool *inside)
{
    struct network_address address = {{0}};

    *inside = false;
    if (network_address_parse(text, &address)) {
        *inside = network_list_has(&limits->inside, &address);
        if (!is_mapped(&address))
            memset(address.bytes + 8, 0, 8);
    }
    return secret_hash64(address.bytes, sizeof address.bytes, limits->key);
}

static uint64_t recipient_hash(const struct limits *limits, int32_t domain_id, struct span local)
{
    char key[sizeof domain_id + ADDR_LOCAL_MAX];
    size_t len = local.len < ADDR_LOCAL_MAX ? local.len : ADDR_LOCAL_MAX;

    memcpy(key, &domain_id, sizeof domain_id);
    memcpy(key + sizeof domain_id, local.at, len);
    return secret_hash64(key, sizeof domain_id + len, limits->key);
}

/* ---- questions ---- */

enum limits_outcome limits_ask(struct limits *limits, const struct limits_rules *rules,
                               const struct limits_question *q)
{
    uint64_t recipient = recipient_hash(limits, q->domain_id, q->local);
    struct limits_facts facts = {.asked_lately =
                                     has(&limits->asked, recipient, q->now_s, LATELY_S)};
    enum limits_outcome outcome;

    if (facts.asked_lately)
        return limits_decide(rules, &facts);
    uint64_t client = client_hash(limits, q->client_address, &facts.inside);
    uint64_t domain = secret_hash64(&q->domain_id, sizeof q->domain_id, limits->key);
    facts.by_client = note(&limits->clients, client, q->now_s, rules->harvest_window_s);
    outcome = limits_decide(rules, &facts);
    if (outcome == LIMITS_HARVEST)
        return outcome; /* uses nothing of what others may ask for */
    facts.of_domain = note(&limits->domains, domain, q->now_s, MINUTE_S);
    outcome = limits_decide(rules, &facts);
    if (outcome == LIMITS_ASK)
        note(&limits->asked, recipient, q->now_s, LATELY_S);
    return outcome;
}

void limits_note_unknown(struct limits *limits, const struct limits_rules *rules,
                         const struct limits_question *q)
{
    bool inside;

    note(&limits->clients, client_hash(limits, q->client_address, &inside), q->now_s,
         rules->harvest_window_s);
}
