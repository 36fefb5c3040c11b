/*
 * index - see index.h
 *
 * 256 shards by the hash's top bits, each an open-addressing table of whole pages with linear
 * probing, so that growing replaces a small part of the memory at a time and the load stays between
 * 3/4 and 7/8. A slot is one atomic word: fingerprint (52 bits), when (9), state (3). Where probing
 * starts is told by the fingerprint itself, so that a shard can be rebuilt without the keys. A
 * deleted slot keeps readers' probes going and is used again.
 */
#include "policyd/index.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/secret.h"

enum {
    SHARD_BITS = 8,
    SHARDS = 1 << SHARD_BITS,
    PAGE = 4096,
    STATE_BITS = 3,
    WHEN_BITS = 9,
    DATA_BITS = STATE_BITS + WHEN_BITS,
};
static const uint64_t STATE_MASK = (1 << STATE_BITS) - 1;
static const uint64_t WHEN_MASK = (1 << WHEN_BITS) - 1;
static const uint64_t SLOT_DELETED = 7; /* a state that no entry has */

struct table {
    uint64_t slots;      /* how many; the word arrays fill whole pages with this header */
    uint64_t live, used; /* the writer's: entries, and entries with deleted slots */
    _Atomic uint64_t slot[];
};

struct index {
    _Atomic(struct table *) shard[SHARDS];
    uint8_t key[SECRET_HASH_KEY];
    struct epoch *epoch;
    _Atomic uint64_t count, refusals, bytes;
};

static size_t table_bytes(uint64_t slots)
{
    return sizeof(struct table) + slots * sizeof(uint64_t);
}

/* Room for `live` entries at a load of 3/4, rounded up to whole pages. */
static struct table *table_new(uint64_t live)
{
    size_t bytes = table_bytes(live + live / 3 + 8);

    bytes = (bytes + PAGE - 1) / PAGE * PAGE;
    struct table *table =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        abort(); /* as every allocation here: without memory nothing can go on */
    table->slots = (bytes - sizeof *table) / sizeof(uint64_t);
    return table;
}

static void table_release(void *object, size_t size)
{
    munmap(object, size);
}

struct index *index_new(struct epoch *epoch, uint64_t expected, const uint8_t key[16])
{
    struct index *index = mem_zero(1, sizeof *index);
    uint64_t bytes = 0;

    memcpy(index->key, key, sizeof index->key);
    index->epoch = epoch;
    for (size_t i = 0; i < SHARDS; i++) {
        struct table *table = table_new(expected / SHARDS);
        bytes += table_bytes(table->slots);
        atomic_init(&index->shard[i], table);
    }
    atomic_init(&index->count, 0);
    atomic_init(&index->refusals, 0);
    atomic_init(&index->bytes, bytes);
    return index;
}

void index_share(struct index *index, struct epoch *epoch)
{
    index->epoch = epoch;
}

void index_free(struct index **index)
{
    if (*index == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct table *table = atomic_load_explicit(&(*index)->shard[i], memory_order_relaxed);
        munmap(table, table_bytes(table->slots));
    }
    free(*index);
    *index = NULL;
}

/* Where probing starts: the top 32 bits of the fingerprint, scaled to the table. */
static inline uint64_t home_slot(uint64_t print, uint64_t slots)
{
    return ((print >> (64 - DATA_BITS - 32) & UINT32_MAX) * slots) >> 32;
}

static inline bool same_print(uint64_t word, uint64_t hash)
{
    return ((word >> DATA_BITS) ^ hash) << DATA_BITS == 0;
}

static inline bool is_live(uint64_t word)
{
    return (word & STATE_MASK) != SLOT_DELETED;
}

static uint64_t word_of(uint64_t hash, struct index_entry entry)
{
    return hash << DATA_BITS | (entry.when & WHEN_MASK) << STATE_BITS | (uint64_t)entry.state;
}

static struct index_entry entry_of(uint64_t word)
{
    return (struct index_entry){(enum index_state)(word & STATE_MASK),
                                (uint32_t)(word >> STATE_BITS & WHEN_MASK)};
}

static inline struct table *table_of(const struct index *index, uint64_t hash)
{
    return atomic_load_explicit(&index->shard[hash >> (64 - SHARD_BITS)], memory_order_acquire);
}

static inline uint64_t load_slot(const struct table *table, uint64_t i)
{
    return atomic_load_explicit(&table->slot[i], memory_order_relaxed);
}

uint64_t index_hash(const struct index *index, struct span key)
{
    uint64_t hash = secret_hash64(key.at, key.len, index->key);
    const struct table *table = table_of(index, hash);

    __builtin_prefetch((const void *)(uintptr_t)&table->slot[home_slot(hash, table->slots)]);
    return hash;
}

struct index_entry index_find_hashed(const struct index *index, uint64_t hash)
{
    const struct table *table = table_of(index, hash);

    for (uint64_t i = home_slot(hash, table->slots), word; (word = load_slot(table, i)) != 0;) {
        if (same_print(word, hash) && is_live(word))
            return entry_of(word);
        i = i + 1 == table->slots ? 0 : i + 1;
    }
    return (struct index_entry){INDEX_ABSENT, 0};
}

/* Into the first slot without a live entry; the table has one, and not this fingerprint. */
static void place(struct table *table, uint64_t word)
{
    uint64_t i = home_slot(word >> DATA_BITS, table->slots), old;

    while ((old = load_slot(table, i)) != 0 && is_live(old))
        i = i + 1 == table->slots ? 0 : i + 1;
    table->used += old == 0;
    table->live++;
    atomic_store_explicit(&table->slot[i], word, memory_order_relaxed);
}

/* A fresh table with the live entries of the old one and room for more takes its place. */
static struct table *rebuild(struct index *index, uint64_t hash)
{
    struct table *old = table_of(index, hash), *fresh = table_new(old->live + 1);

    for (uint64_t i = 0; i < old->slots; i++) {
        uint64_t word = load_slot(old, i);
        if (word != 0 && is_live(word))
            place(fresh, word);
    }
    atomic_store_explicit(&index->shard[hash >> (64 - SHARD_BITS)], fresh, memory_order_release);
    atomic_fetch_add_explicit(&index->bytes, table_bytes(fresh->slots) - table_bytes(old->slots),
                              memory_order_relaxed);
    if (index->epoch != NULL)
        epoch_retire(index->epoch, old, table_bytes(old->slots), table_release);
    else
        table_release(old, table_bytes(old->slots));
    return fresh;
}

static void count(struct index *index, enum index_state before, enum index_state after)
{
    atomic_fetch_add_explicit(&index->count,
                              (uint64_t)(after != INDEX_ABSENT) - (before != INDEX_ABSENT),
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&index->refusals,
                              (uint64_t)(after == INDEX_REFUSED) - (before == INDEX_REFUSED),
                              memory_order_relaxed);
}

void index_set(struct index *index, struct span key, struct index_entry entry)
{
    uint64_t hash = secret_hash64(key.at, key.len, index->key);
    struct table *table = table_of(index, hash);
    uint64_t i = home_slot(hash, table->slots), word;

    for (; (word = load_slot(table, i)) != 0; i = i + 1 == table->slots ? 0 : i + 1)
        if (same_print(word, hash) && is_live(word))
            break;
    if (word != 0) {
        bool leaves = entry.state == INDEX_ABSENT;
        atomic_store_explicit(&table->slot[i], leaves ? SLOT_DELETED : word_of(hash, entry),
                              memory_order_relaxed);
        table->live -= leaves;
        count(index, entry_of(word).state, entry.state);
        return;
    }
    if (entry.state == INDEX_ABSENT)
        return;
    if (table->used >= table->slots - table->slots / 8)
        table = rebuild(index, hash);
    place(table, word_of(hash, entry));
    count(index, INDEX_ABSENT, entry.state);
}

/* What becomes of a word whose stamp is too old: 0 when it stays as it is. */
static uint64_t swept(uint64_t word, int64_t now_seconds, int64_t refused_hours)
{
    struct index_entry e = entry_of(word);
    uint64_t print = word >> DATA_BITS;

    if (word == 0 || !is_live(word) || e.when == 0)
        return 0;
    if (e.state == INDEX_ACTIVE)
        return index_age(e.when, now_seconds / 86400) > INDEX_DAYS_MOST
                   ? word_of(print, (struct index_entry){INDEX_ACTIVE, 0})
                   : 0;
    int64_t age = index_age(e.when, now_seconds / 3600);
    if (e.state == INDEX_REFUSED)
        return age > refused_hours || age > INDEX_HOURS_MOST ? SLOT_DELETED : 0;
    return age > INDEX_HOURS_MOST ? word_of(print, (struct index_entry){INDEX_ACTIVE, 0}) : 0;
}

void index_sweep(struct index *index, int64_t now_seconds, int64_t refused_hours)
{
    for (uint64_t s = 0; s < SHARDS; s++) {
        struct table *table = table_of(index, s << (64 - SHARD_BITS));
        for (uint64_t i = 0; i < table->slots; i++) {
            uint64_t fresh = swept(load_slot(table, i), now_seconds, refused_hours);
            if (fresh == 0)
                continue;
            atomic_store_explicit(&table->slot[i], fresh, memory_order_relaxed);
            table->live -= fresh == SLOT_DELETED;
            if (fresh == SLOT_DELETED)
                count(index, INDEX_REFUSED, INDEX_ABSENT);
        }
    }
}

uint64_t index_count(const struct index *index)
{
    return atomic_load_explicit(&index->count, memory_order_relaxed);
}

uint64_t index_refusals(const struct index *index)
{
    return atomic_load_explicit(&index->refusals, memory_order_relaxed);
}

uint64_t index_bytes(const struct index *index)
{
    return atomic_load_explicit(&index->bytes, memory_order_relaxed);
}
