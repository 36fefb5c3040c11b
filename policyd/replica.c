/* replica - see replica.h. Here: opening and closing, reading, the writer's regular work */
#include "policyd/replica_parts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/secret.h"

static const int64_t CONFIRMATION_INTERVAL = 10 * CLOCK_SECOND;
static const int64_t SWEEP_INTERVAL = 3600 * CLOCK_SECOND;

/* ---- generations ---- */

struct replica_generation *replica_generation_new(struct replica *replica)
{
    struct replica_generation *generation = mem_zero(1, sizeof *generation);

    generation->domains = domains_new(&replica->epoch, replica->key);
    atomic_init(&generation->index, NULL);
    atomic_init(&generation->recipients, NULL);
    return generation;
}

void replica_generation_free(struct replica_generation **generation)
{
    if (*generation == NULL)
        return;
    struct index *index = atomic_load(&(*generation)->index);
    index_free(&index);
    domains_free(&(*generation)->domains);
    free(*generation);
    *generation = NULL;
}

void replica_switch(struct replica *replica, struct replica_generation *generation)
{
    struct replica_generation *old = atomic_exchange(&replica->live, generation);

    epoch_synchronize(&replica->epoch);
    replica_generation_free(&old);
}

/* ---- opening ---- */

bool replica_open(struct replica **out, const struct replica_options *options, struct err *err)
{
    struct replica *r = mem_zero(1, sizeof *r);

    r->directory = mem_text(options->directory);
    r->cache_bytes = options->cache_bytes;
    r->tombstone_life_us = options->tombstone_life_us;
    secret_random(r->key, sizeof r->key);
    epoch_init(&r->epoch, options->readers);
    atomic_init(&r->live, NULL);
    atomic_init(&r->confirmed_at, INT64_MIN);
    r->changes = mem_zero(REPLICA_BATCH_ROWS, sizeof *r->changes);
    pthread_mutex_init(&r->figures_lock, NULL);
    enum kv_outcome outcome = replica_disk_open(r, err);
    if (outcome == KV_FAILED && err->class == ERR_CONFIG) {
        replica_close(&r);
        *out = NULL;
        return false;
    }
    if (outcome != KV_DONE) {
        r->disk_restarted = true; /* opening has just run recovery */
        replica_disk_trouble(r, outcome, err);
    }
    replica_publish_figures(r);
    *out = r;
    return true;
}

void replica_close(struct replica **replica)
{
    struct replica *r = *replica;

    if (r == NULL)
        return;
    replica_save_confirmation(r);
    replica_switch(r, NULL);
    replica_set_senders(r, NULL);
    replica_disk_close(r);
    epoch_destroy(&r->epoch);
    pthread_mutex_destroy(&r->figures_lock);
    free(r->changes);
    free(r->directory);
    free(r);
    *replica = NULL;
}

/* ---- readers ---- */

const struct replica_generation *replica_enter(struct replica *replica, size_t number)
{
    epoch_enter(&replica->epoch, number);
    return atomic_load_explicit(&replica->live, memory_order_acquire);
}

void replica_leave(struct replica *replica, size_t number)
{
    epoch_leave(&replica->epoch, number);
}

static enum lookup find_on_disk(struct kv_table *table, struct span key, struct index_entry *entry)
{
    struct replica_recipient recipient;
    char value[REPLICA_VALUE_MAX];
    size_t len;
    struct err err;

    switch (kv_get(table, key, value, sizeof value, &len, &err)) {
    case KV_ABSENT:
        return LOOKUP_ABSENT;
    case KV_DONE:
        if (len > sizeof value || !replica_value_read(span_of(value, len), &recipient))
            return LOOKUP_FAILED;
        *entry = replica_entry(&recipient, clock_wall_us() / CLOCK_SECOND);
        return LOOKUP_FOUND;
    default:
        return LOOKUP_FAILED;
    }
}

void replica_probe(const struct replica_generation *generation, int32_t domain_id,
                   struct span local, struct replica_probe *probe)
{
    probe->key_len = replica_key(probe->key, domain_id, local);
    probe->index = atomic_load_explicit(&generation->index, memory_order_acquire);
    if (probe->index != NULL)
        probe->hash = index_hash(probe->index, span_of(probe->key, probe->key_len));
}

static enum lookup find_in_memory(const struct index *index, uint64_t hash,
                                  struct index_entry *entry)
{
    *entry = index_find_hashed(index, hash);
    return entry->state == INDEX_ABSENT || entry->state == INDEX_REFUSED ? LOOKUP_ABSENT
                                                                         : LOOKUP_FOUND;
}

enum lookup replica_find(const struct replica_generation *generation,
                         const struct replica_probe *probe, struct index_entry *entry)
{
    struct span key = span_of(probe->key, probe->key_len);

    *entry = (struct index_entry){INDEX_ABSENT, 0};
    if (probe->index != NULL)
        return find_in_memory(probe->index, probe->hash, entry);
    struct kv_table *table = atomic_load(&generation->recipients);
    if (table != NULL)
        return find_on_disk(table, key, entry);
    /* Taken away since the probe was made: the index is there by now, or there is nothing. */
    const struct index *index = atomic_load(&generation->index);
    return index != NULL ? find_in_memory(index, index_hash(index, key), entry) : LOOKUP_FAILED;
}

int64_t replica_age_us(const struct replica *replica, int64_t now_us)
{
    int64_t at = atomic_load_explicit(&replica->confirmed_at, memory_order_relaxed);

    return at == INT64_MIN ? INT64_MAX : now_us > at ? now_us - at : 0;
}

/* ---- the writer's regular work ---- */

void replica_confirm(struct replica *replica, int64_t at_us)
{
    /* A list that was never confirmed is worth nothing after a restart: the first word is written
     * at once, later ones from time to time. */
    bool first = atomic_exchange(&replica->confirmed_at, at_us) == INT64_MIN;

    if (first)
        replica_save_confirmation(replica);
}

void replica_grow_older(struct replica *replica, int64_t by_us)
{
    int64_t at = atomic_load(&replica->confirmed_at);

    if (at != INT64_MIN)
        atomic_store(&replica->confirmed_at, at - by_us);
}

struct replica_from replica_from(struct replica *r, int64_t now_us)
{
    struct replica_from from = {.position = r->position, .pending = r->pending};
    bool disk_now = r->disk_behind && r->kv != NULL && now_us >= r->disk_retry_at;

    r->batch_on_disk = r->kv != NULL && (!r->disk_behind || disk_now);
    if (atomic_load(&r->live) == NULL) {
        from.load = true;
    } else if (disk_now && r->disk.position.version == 0) {
        from.load = true;
    } else if (disk_now) {
        from.position = r->disk.position;
        if (from.pending.version == 0)
            from.pending = r->disk.pending;
    }
    return from;
}

void replica_publish_figures(struct replica *r)
{
    const struct replica_generation *live = atomic_load(&r->live);
    const struct index *index = live != NULL ? atomic_load(&live->index) : NULL;

    r->counted.position = r->position;
    r->counted.domains = live != NULL ? domains_count(live->domains) : 0;
    r->counted.refusals = index != NULL ? index_refusals(index) : 0;
    r->counted.recipients =
        index != NULL ? index_count(index) - index_refusals(index) : r->disk.recipients;
    r->counted.index_bytes = index != NULL ? index_bytes(index) : 0;
    r->counted.in_memory = index != NULL;
    r->counted.disk_behind = r->disk_behind;
    pthread_mutex_lock(&r->figures_lock);
    r->figures = r->counted;
    pthread_mutex_unlock(&r->figures_lock);
}

void replica_figures(struct replica *replica, struct replica_figures *figures)
{
    pthread_mutex_lock(&replica->figures_lock);
    *figures = replica->figures;
    pthread_mutex_unlock(&replica->figures_lock);
}

struct old_tombstones {
    int64_t before; /* wall seconds */
    const struct domain_record *found[256];
    size_t count;
};

static void find_tombstone(void *context, const struct domain_record *record)
{
    struct old_tombstones *old = context;

    if (record->removed && record->removed_at < old->before &&
        old->count < sizeof old->found / sizeof old->found[0])
        old->found[old->count++] = record;
}

/* A domain that was removed long ago is foreign again. What is more than the array holds waits for
 * the next time. */
static void drop_tombstones(struct replica *r, struct replica_generation *live)
{
    struct old_tombstones old = {.before = (clock_wall_us() - r->tombstone_life_us) / CLOCK_SECOND};
    struct kv_txn *txn = NULL;
    struct err err;
    enum kv_outcome outcome = KV_DONE;

    domains_each(live->domains, find_tombstone, &old);
    if (old.count == 0)
        return;
    if (r->kv != NULL && r->domain_table != NULL)
        outcome = kv_begin(r->kv, &txn, &err);
    for (size_t i = 0; txn != NULL && outcome == KV_DONE && i < old.count; i++) {
        outcome = kv_delete(txn, r->domain_table,
                            span_of(old.found[i]->name, old.found[i]->name_len), &err);
        outcome = outcome == KV_ABSENT ? KV_DONE : outcome;
    }
    if (txn != NULL && outcome == KV_DONE)
        outcome = kv_commit(&txn, &err);
    kv_abort(&txn);
    for (size_t i = 0; i < old.count; i++)
        domains_remove(live->domains, old.found[i]);
    epoch_synchronize(&r->epoch);
    if (outcome != KV_DONE)
        replica_disk_trouble(r, outcome, &err);
}

void replica_tend(struct replica *r, int64_t now_us, int64_t refused_for_us)
{
    struct replica_generation *live;
    struct err err;

    if (r->kv == NULL && now_us >= r->disk_retry_at)
        replica_disk_reopen(r, now_us);
    if (now_us - r->confirmation_saved_at >= CONFIRMATION_INTERVAL) {
        r->confirmation_saved_at = now_us;
        replica_save_confirmation(r);
        enum kv_outcome outcome = r->kv != NULL ? kv_checkpoint(r->kv, &err) : KV_DONE;
        if (outcome != KV_DONE)
            replica_disk_trouble(r, outcome, &err);
    }
    live = atomic_load(&r->live);
    if (live != NULL && now_us - r->swept_at >= SWEEP_INTERVAL) {
        struct index *index = atomic_load(&live->index);
        r->swept_at = now_us;
        if (index != NULL)
            index_sweep(index, clock_wall_us() / CLOCK_SECOND,
                        refused_for_us / (3600 * CLOCK_SECOND) + 1);
        drop_tombstones(r, live);
    }
    replica_publish_figures(r);
}
