/* senders - see senders.h */
#include "policyd/senders.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/secret.h"
#include "lib/sender.h"

enum { SLOTS_LEAST = 64 };

/* The lowest bits of a word; a word without them is no entry. */
enum { ENTRY_OWNER = 1, ENTRY_ALLOW = 2, ENTRY_BLOCK = 3, ENTRY_BITS = 3 };
/* An owner that was forgotten: probing goes on over it. */
static const uint64_t GONE = 4;

struct senders {
    _Atomic uint64_t *words;
    size_t slots; /* a power of two */
    size_t used, rules;
    uint8_t key[SECRET_HASH_KEY];
};

struct senders *senders_new(void)
{
    struct senders *senders = mem_zero(1, sizeof *senders);

    secret_random(senders->key, sizeof senders->key);
    senders->slots = SLOTS_LEAST;
    senders->words = mem_zero(senders->slots, sizeof *senders->words);
    return senders;
}

void senders_free(struct senders **senders)
{
    if (*senders == NULL)
        return;
    free((void *)(*senders)->words);
    free(*senders);
    *senders = NULL;
}

/* Whose rules. */
struct owner {
    char key[sizeof(int32_t) + ADDR_LOCAL_MAX];
    size_t len;
};

static bool owner_make(struct owner *owner, int32_t domain_id, struct span local)
{
    if (local.len > ADDR_LOCAL_MAX)
        return false;
    memcpy(owner->key, &domain_id, sizeof domain_id);
    memcpy(owner->key + sizeof domain_id, local.at, local.len);
    owner->len = sizeof domain_id + local.len;
    return true;
}

/* Of an owner's rule, or without a pattern of the owner. Neither a local part nor a pattern has a
 * NUL. */
static uint64_t word_of(const struct senders *senders, const struct owner *owner,
                        struct span pattern)
{
    char whole[sizeof owner->key + 1 + SENDER_PATTERN_MOST];
    size_t len = owner->len;

    memcpy(whole, owner->key, len);
    if (pattern.len > 0) {
        whole[len++] = '\0';
        memcpy(whole + len, pattern.at, pattern.len);
        len += pattern.len;
    }
    uint64_t word = secret_hash64(whole, len, senders->key) & ~(uint64_t)7;
    return word != 0 ? word : 8;
}

/* The slot of that fingerprint, or the empty one where probing ends. */
static _Atomic uint64_t *slot_of(const struct senders *senders, uint64_t word, bool owner)
{
    for (size_t i = (size_t)(word >> 32) & (senders->slots - 1);;
         i = (i + 1) & (senders->slots - 1)) {
        uint64_t there = atomic_load_explicit(&senders->words[i], memory_order_relaxed);
        if (there == 0 ||
            ((there & ~(uint64_t)7) == word && ((there & ENTRY_BITS) == ENTRY_OWNER) == owner))
            return &senders->words[i];
    }
}

static void grow(struct senders *senders)
{
    struct senders larger = *senders;

    larger.slots *= 2;
    larger.words = mem_zero(larger.slots, sizeof *larger.words);
    for (size_t i = 0; i < senders->slots; i++) {
        uint64_t word = atomic_load_explicit(&senders->words[i], memory_order_relaxed);
        if (word != 0)
            atomic_init(slot_of(&larger, word & ~(uint64_t)7, (word & ENTRY_BITS) == ENTRY_OWNER),
                        word);
    }
    free((void *)senders->words);
    *senders = larger;
}

static void put(struct senders *senders, uint64_t word, uint64_t entry)
{
    if (senders->used >= senders->slots / 2)
        grow(senders);
    _Atomic uint64_t *slot = slot_of(senders, word, entry == ENTRY_OWNER);
    senders->used += atomic_load_explicit(slot, memory_order_relaxed) == 0;
    atomic_store_explicit(slot, word | entry, memory_order_relaxed);
}

bool senders_add(struct senders *senders, int32_t domain_id, struct span local, struct span pattern,
                 bool allow)
{
    struct owner owner;

    if (senders->rules == SENDERS_MOST)
        return false;
    if (!owner_make(&owner, domain_id, local) || pattern.len == 0 ||
        pattern.len > SENDER_PATTERN_MOST)
        return true; /* nothing could ever match it */
    put(senders, word_of(senders, &owner, (struct span){0}), ENTRY_OWNER);
    put(senders, word_of(senders, &owner, pattern), allow ? ENTRY_ALLOW : ENTRY_BLOCK);
    senders->rules++;
    return true;
}

size_t senders_count(const struct senders *senders)
{
    return senders->rules;
}

/* NULL: no rules. */
static _Atomic uint64_t *owner_slot(const struct senders *senders, const struct owner *owner)
{
    _Atomic uint64_t *slot = slot_of(senders, word_of(senders, owner, (struct span){0}), true);

    return atomic_load_explicit(slot, memory_order_relaxed) != 0 ? slot : NULL;
}

bool senders_forget(struct senders *senders, int32_t domain_id, struct span local)
{
    struct owner owner;

    if (!owner_make(&owner, domain_id, local))
        return false;
    _Atomic uint64_t *slot = owner_slot(senders, &owner);
    if (slot != NULL)
        atomic_store_explicit(slot, GONE, memory_order_relaxed);
    return slot != NULL;
}

/* What one owner's rules say: an allow beats a block. */
struct asking {
    const struct senders *senders;
    const struct owner *owner;
    bool allowed, blocked;
};

static void ask_pattern(void *context, const char *pattern)
{
    struct asking *asking = context;
    uint64_t word = word_of(asking->senders, asking->owner, span_text(pattern));
    uint64_t entry =
        atomic_load_explicit(slot_of(asking->senders, word, false), memory_order_relaxed) &
        ENTRY_BITS;

    asking->allowed = asking->allowed || entry == ENTRY_ALLOW;
    asking->blocked = asking->blocked || entry == ENTRY_BLOCK;
}

/* `block`: what it is called when a block stands. */
static enum sender_word ask(const struct senders *senders, const struct owner *owner,
                            const char *address, enum sender_word block)
{
    struct asking asking = {.senders = senders, .owner = owner};

    if (owner_slot(senders, owner) == NULL)
        return SENDER_UNLISTED; /* nearly always */
    sender_patterns(address, ask_pattern, &asking);
    return asking.allowed ? SENDER_ALLOWED : asking.blocked ? block : SENDER_UNLISTED;
}

enum sender_word senders_word(const struct senders *senders, int32_t domain_id, struct span local,
                              struct span sender)
{
    struct owner recipient, domain;
    char address[ADDR_TEXT_MAX + 1];

    if (senders->rules == 0 || sender.len == 0 || sender.len > ADDR_TEXT_MAX ||
        !owner_make(&recipient, domain_id, local) ||
        !owner_make(&domain, domain_id, (struct span){.at = ""}))
        return SENDER_UNLISTED;
    memcpy(address, sender.at, sender.len);
    address[sender.len] = '\0';
    enum sender_word word = local.len == 0
                                ? SENDER_UNLISTED
                                : ask(senders, &recipient, address, SENDER_BLOCKED_BY_USER);
    return word != SENDER_UNLISTED ? word
                                   : ask(senders, &domain, address, SENDER_BLOCKED_BY_DOMAIN);
}
