/*
 * domains - see domains.h
 *
 * Two open-addressing tables of pointers, by name and by number, in one block that is replaced when
 * it fills.
 */
#include "policyd/domains.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "lib/secret.h"

typedef _Atomic(const struct domain_record *) domain_slot;

struct block {
    size_t slots; /* of each table; a power of two */
    domain_slot *by_name, *by_id;
};

struct domains {
    _Atomic(struct block *) block;
    _Atomic size_t count;
    size_t used; /* the writer's: slots that are or were taken, per table at most */
    struct epoch *epoch;
    uint8_t key[SECRET_HASH_KEY];
};

/* Stands where a record was removed, so that probing goes on. */
static const struct domain_record gone;

static struct block *block_new(size_t slots)
{
    struct block *block = mem_zero(1, sizeof *block);

    block->slots = slots;
    block->by_name = mem_zero(slots, sizeof *block->by_name);
    block->by_id = mem_zero(slots, sizeof *block->by_id);
    return block;
}

static void block_release(void *object, size_t size)
{
    struct block *block = object;

    (void)size;
    free(block->by_name);
    free(block->by_id);
    free(block);
}

static void record_release(void *object, size_t size)
{
    (void)size;
    free(object);
}

struct domains *domains_new(struct epoch *epoch, const uint8_t key[16])
{
    struct domains *domains = mem_zero(1, sizeof *domains);

    memcpy(domains->key, key, sizeof domains->key);
    domains->epoch = epoch;
    atomic_init(&domains->block, block_new(256));
    atomic_init(&domains->count, 0);
    return domains;
}

void domains_free(struct domains **domains)
{
    if (*domains == NULL)
        return;
    struct block *block = atomic_load(&(*domains)->block);
    for (size_t i = 0; i < block->slots; i++) {
        const struct domain_record *record = atomic_load(&block->by_name[i]);
        if (record != &gone)
            free((void *)(uintptr_t)record);
    }
    block_release(block, 0);
    free(*domains);
    *domains = NULL;
}

static size_t name_home(const struct domains *domains, const struct block *block, struct span name)
{
    return secret_hash64(name.at, name.len, domains->key) & (block->slots - 1);
}

static size_t id_home(const struct block *block, int32_t id)
{
    return (size_t)((uint64_t)(uint32_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
           (block->slots - 1);
}

/* The slot that holds the name, or the empty one where probing ends. */
static domain_slot *name_slot(const struct domains *domains, const struct block *block,
                              struct span name)
{
    size_t i = name_home(domains, block, name);

    for (;; i = (i + 1) & (block->slots - 1)) {
        const struct domain_record *record =
            atomic_load_explicit(&block->by_name[i], memory_order_acquire);
        if (record == NULL || (record != &gone && record->name_len == name.len &&
                               memcmp(record->name, name.at, name.len) == 0))
            return &block->by_name[i];
    }
}

static domain_slot *id_slot(const struct block *block, int32_t id)
{
    size_t i = id_home(block, id);

    for (;; i = (i + 1) & (block->slots - 1)) {
        const struct domain_record *record =
            atomic_load_explicit(&block->by_id[i], memory_order_acquire);
        if (record == NULL || (record != &gone && record->id == id))
            return &block->by_id[i];
    }
}

const struct domain_record *domains_by_name(const struct domains *domains, struct span name)
{
    const struct block *block = atomic_load_explicit(&domains->block, memory_order_acquire);

    return atomic_load_explicit(name_slot(domains, block, name), memory_order_acquire);
}

const struct domain_record *domains_by_id(const struct domains *domains, int32_t id)
{
    const struct block *block = atomic_load_explicit(&domains->block, memory_order_acquire);

    return atomic_load_explicit(id_slot(block, id), memory_order_acquire);
}

/* Twice the room for what lives; slots of removed records are given back. */
static struct block *grow(struct domains *domains)
{
    struct block *old = atomic_load(&domains->block);
    size_t count = atomic_load(&domains->count), slots = old->slots;

    while (slots < count * 4)
        slots *= 2;
    struct block *fresh = block_new(slots);
    for (size_t i = 0; i < old->slots; i++) {
        const struct domain_record *record = atomic_load(&old->by_name[i]);
        if (record == NULL || record == &gone)
            continue;
        atomic_store(name_slot(domains, fresh, span_of(record->name, record->name_len)), record);
        if (record->id != 0)
            atomic_store(id_slot(fresh, record->id), record);
    }
    atomic_store_explicit(&domains->block, fresh, memory_order_release);
    domains->used = count;
    epoch_retire(domains->epoch, old, 0, block_release);
    return fresh;
}

/* Unless the number is another's by now. */
static void forget_id(struct block *block, const struct domain_record *record)
{
    domain_slot *slot = id_slot(block, record->id);

    if (record->id != 0 && atomic_load(slot) == record)
        atomic_store_explicit(slot, &gone, memory_order_release);
}

void domains_set(struct domains *domains, const struct domain_record *record)
{
    struct block *block = atomic_load(&domains->block);
    struct span name = span_of(record->name, record->name_len);

    if (domains->used >= block->slots / 2)
        block = grow(domains);
    struct domain_record *copy = mem_alloc(sizeof *copy);
    *copy = *record;
    domain_slot *slot = name_slot(domains, block, name);
    const struct domain_record *old = atomic_load(slot);
    if (old == NULL) {
        domains->used++;
        atomic_fetch_add(&domains->count, 1);
    } else if (old->id != record->id) {
        domains->used++; /* a restored database numbered anew */
        forget_id(block, old);
    }
    if (record->id != 0)
        atomic_store_explicit(id_slot(block, record->id), copy, memory_order_release);
    atomic_store_explicit(slot, copy, memory_order_release);
    if (old != NULL)
        epoch_retire(domains->epoch, (void *)(uintptr_t)old, 0, record_release);
}

void domains_remove(struct domains *domains, const struct domain_record *record)
{
    struct block *block = atomic_load(&domains->block);
    domain_slot *slot = name_slot(domains, block, span_of(record->name, record->name_len));
    const struct domain_record *old = atomic_load(slot);

    if (old == NULL)
        return;
    atomic_store_explicit(slot, &gone, memory_order_release);
    forget_id(block, old);
    atomic_fetch_sub(&domains->count, 1);
    epoch_retire(domains->epoch, (void *)(uintptr_t)old, 0, record_release);
}

size_t domains_count(const struct domains *domains)
{
    return atomic_load_explicit(&domains->count, memory_order_relaxed);
}

void domains_each(const struct domains *domains,
                  void (*each)(void *context, const struct domain_record *record), void *context)
{
    const struct block *block = atomic_load(&domains->block);

    for (size_t i = 0; i < block->slots; i++) {
        const struct domain_record *record = atomic_load(&block->by_name[i]);
        if (record != NULL && record != &gone)
            each(context, record);
    }
}
