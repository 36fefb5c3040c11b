/* replica_batch - changes of the roll, applied to disk and memory; see replica.h */
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "policyd/replica_parts.h"

static enum kv_outcome write_recipient(struct replica *r, struct kv_txn *txn,
                                       struct replica_state *state,
                                       const struct replica_change *change, struct err *err)
{
    char key[REPLICA_KEY_MAX], value[REPLICA_VALUE_MAX];
    struct span k = span_of(
        key, replica_key(key, change->domain_id, span_of(change->local, change->local_len)));

    if (change->leaves) {
        enum kv_outcome outcome = kv_delete(txn, r->recipient_table, k, err);
        state->recipients -= outcome == KV_DONE;
        return outcome == KV_ABSENT ? KV_DONE : outcome;
    }
    enum kv_outcome had = kv_has(txn, r->recipient_table, k, err);
    if (had != KV_DONE && had != KV_ABSENT)
        return had;
    state->recipients += had == KV_ABSENT;
    size_t len = replica_value(value, &change->recipient);
    return kv_put(txn, r->recipient_table, k, span_of(value, len), err);
}

static enum kv_outcome write_changes(struct replica *r, struct kv_txn *txn,
                                     struct replica_state *state, struct err *err)
{
    enum kv_outcome outcome = KV_DONE;

    for (size_t i = 0; outcome == KV_DONE && i < r->change_count; i++) {
        const struct replica_change *change = &r->changes[i];
        if (change->domain != NULL)
            outcome = replica_put_domain(txn, r->domain_table, change->domain, err);
        else if (!change->refusal)
            outcome = write_recipient(r, txn, state, change, err);
    }
    return outcome == KV_DONE ? replica_put_state(txn, r->meta, state, err) : outcome;
}

/* One transaction; on failure the disk falls behind, which is no reason to stop. */
static void write_to_disk(struct replica *r, bool last)
{
    struct replica_state state = r->disk;
    struct kv_txn *txn = NULL;
    struct err err;

    if (last) {
        state.position = r->batch_upto;
        state.pending = (struct replica_position){0};
    } else {
        state.pending = r->batch_upto;
    }
    enum kv_outcome outcome = kv_begin(r->kv, &txn, &err);
    if (outcome == KV_DONE)
        outcome = write_changes(r, txn, &state, &err);
    if (outcome == KV_DONE)
        outcome = kv_commit(&txn, &err);
    kv_abort(&txn);
    if (outcome == KV_DONE) {
        r->disk = state;
        return;
    }
    r->batch_on_disk = false;
    replica_disk_trouble(r, outcome, &err);
}

/* Of an address that is not on the roll: recipients do not give way. */
static void note_refusal(struct index *index, struct span key, uint32_t hour, int64_t now_seconds)
{
    enum index_state state = index_find(index, key).state;
    bool counts = hour != 0 && now_seconds / 3600 - (int64_t)hour <= INDEX_HOURS_MOST;

    if (state != INDEX_ABSENT && state != INDEX_REFUSED)
        return;
    if (counts && (state == INDEX_REFUSED || index_refusals(index) < REPLICA_REFUSALS_MOST))
        index_set(index, key, (struct index_entry){INDEX_REFUSED, index_stamp(hour)});
    else
        index_set(index, key, (struct index_entry){INDEX_ABSENT, 0});
}

static void change_memory(struct replica *r)
{
    struct replica_generation *live = atomic_load(&r->live);
    struct index *index = live != NULL ? atomic_load(&live->index) : NULL;
    int64_t now = clock_wall_us() / CLOCK_SECOND;

    for (size_t i = 0; index != NULL && i < r->change_count; i++) {
        const struct replica_change *change = &r->changes[i];
        char key[REPLICA_KEY_MAX];
        if (change->domain != NULL) {
            domains_set(live->domains, change->domain);
            continue;
        }
        size_t len = replica_key(key, change->domain_id, span_of(change->local, change->local_len));
        if (change->refusal)
            note_refusal(index, span_of(key, len), change->recipient.refused_hour, now);
        else
            index_set(index, span_of(key, len),
                      change->leaves ? (struct index_entry){INDEX_ABSENT, 0}
                                     : replica_entry(&change->recipient, now));
    }
    if (r->epoch.garbage != NULL)
        epoch_synchronize(&r->epoch);
}

static void forget_changes(struct replica *r)
{
    for (size_t i = 0; i < r->change_count; i++)
        free(r->changes[i].domain);
    r->change_count = 0;
}

static void flush(struct replica *r, bool last)
{
    if (r->batch_on_disk)
        write_to_disk(r, last);
    change_memory(r);
    r->counted.rows += r->change_count;
    forget_changes(r);
}

static struct replica_change *next_change(struct replica *r)
{
    if (r->change_count == REPLICA_BATCH_ROWS) {
        r->pending = r->batch_upto;
        flush(r, false);
    }
    struct replica_change *change = &r->changes[r->change_count++];
    *change = (struct replica_change){0};
    return change;
}

void replica_batch_begin(struct replica *r, const struct replica_position *upto)
{
    forget_changes(r);
    r->batch_upto = *upto;
}

void replica_batch_recipient(struct replica *r, int32_t domain_id, struct span local,
                             const struct replica_recipient *recipient)
{
    struct replica_change *change = next_change(r);

    change->domain_id = domain_id;
    change->local_len = (uint8_t)local.len;
    memcpy(change->local, local.at, local.len);
    change->leaves = recipient == NULL;
    if (recipient != NULL)
        change->recipient = *recipient;
}

void replica_batch_refusal(struct replica *r, int32_t domain_id, struct span local, uint32_t hour)
{
    struct replica_recipient recipient = {.refused_hour = hour};

    replica_batch_recipient(r, domain_id, local, hour != 0 ? &recipient : NULL);
    r->changes[r->change_count - 1].refusal = true;
}

void replica_batch_domain(struct replica *r, const struct domain_record *record)
{
    struct replica_change *change = next_change(r);

    change->domain = mem_alloc(sizeof *record);
    *change->domain = *record;
}

void replica_batch_end(struct replica *r)
{
    flush(r, true);
    r->position = r->batch_upto;
    r->pending = (struct replica_position){0};
    r->disk_behind = !r->batch_on_disk;
    if (r->batch_on_disk)
        r->disk_restarted = false;
    r->counted.batches++;
    replica_publish_figures(r);
}

void replica_batch_abort(struct replica *r)
{
    forget_changes(r);
}

/* ---- sender rules ---- */

const struct senders *replica_senders(const struct replica *replica)
{
    return atomic_load_explicit(&replica->senders, memory_order_acquire);
}

static void release_senders(void *object, size_t size)
{
    struct senders *senders = object;

    (void)size;
    senders_free(&senders);
}

void replica_set_senders(struct replica *r, struct senders *senders)
{
    struct senders *old = atomic_exchange(&r->senders, senders);

    r->counted.sender_rules = senders != NULL ? senders_count(senders) : 0;
    if (old != NULL) {
        epoch_retire(&r->epoch, old, 0, release_senders);
        epoch_synchronize(&r->epoch);
    }
    replica_publish_figures(r);
}
