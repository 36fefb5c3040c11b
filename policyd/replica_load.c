/* replica_load - a full load: a new generation beside the old one; see replica.h */
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "policyd/replica_parts.h"

/* A load is dear: not tried on a full disk as often as a batch. */
static const int64_t LOAD_RETRY = 60 * CLOCK_SECOND;

/* The load goes on in memory alone. */
static void give_up_disk(struct replica *r, enum kv_outcome outcome, const struct err *err)
{
    kv_load_abort(&r->load);
    replica_disk_trouble(r, outcome, err);
}

void replica_load_begin(struct replica *r)
{
    char name[REPLICA_TABLE_NAME];
    struct err err;

    r->loading = replica_generation_new(r);
    atomic_store(&r->loading->index, index_new(NULL, r->counted.recipients, r->key));
    r->load_recipients = 0;
    r->load_seconds = clock_wall_us() / CLOCK_SECOND;
    r->load_generation = r->disk.generation + 1;
    if (r->kv == NULL)
        return;
    replica_table_name(name, "recipient", r->load_generation);
    enum kv_outcome outcome = kv_load_begin(&r->load, r->kv, name, &err);
    if (outcome != KV_DONE)
        give_up_disk(r, outcome, &err);
}

void replica_load_domain(struct replica *r, const struct domain_record *record)
{
    domains_set(r->loading->domains, record);
}

void replica_load_recipient(struct replica *r, int32_t domain_id, struct span local,
                            const struct replica_recipient *recipient)
{
    char key[REPLICA_KEY_MAX], value[REPLICA_VALUE_MAX];
    struct span k = span_of(key, replica_key(key, domain_id, local));
    struct err err;

    index_set(atomic_load_explicit(&r->loading->index, memory_order_relaxed), k,
              replica_entry(recipient, r->load_seconds));
    r->load_recipients++;
    if (r->load == NULL)
        return;
    enum kv_outcome outcome =
        kv_load_put(r->load, k, span_of(value, replica_value(value, recipient)), &err);
    if (outcome != KV_DONE)
        give_up_disk(r, outcome, &err);
}

struct missing {
    struct domains *fresh;
    int64_t now_seconds;
};

/* A domain that we served and that the database has lost (restored from an older dump): Postfix may
 * relay for it still, so it answers "not sure" as a removed one does. */
static void keep_as_removed(void *context, const struct domain_record *old)
{
    const struct missing *missing = context;
    struct domain_record record = *old;

    if (domains_by_name(missing->fresh, span_of(old->name, old->name_len)) != NULL)
        return;
    if (!record.removed) {
        record.removed = 1;
        record.removed_at = missing->now_seconds;
    }
    record.id = 0; /* its number may be another's now */
    record.alias_of = 0;
    domains_set(missing->fresh, &record);
}

struct domain_writing {
    struct replica *replica;
    struct kv_table *table;
    struct kv_txn *txn;
    enum kv_outcome outcome;
    size_t in_txn;
    struct err err;
};

static void write_domain(void *context, const struct domain_record *record)
{
    struct domain_writing *w = context;

    if (w->outcome == KV_DONE && w->txn == NULL)
        w->outcome = kv_begin(w->replica->kv, &w->txn, &w->err);
    if (w->outcome == KV_DONE)
        w->outcome = replica_put_domain(w->txn, w->table, record, &w->err);
    if (w->outcome == KV_DONE && ++w->in_txn % REPLICA_BATCH_ROWS == 0)
        w->outcome = kv_commit(&w->txn, &w->err);
}

static enum kv_outcome write_domains(struct replica *r, struct kv_table *table, struct err *err)
{
    struct domain_writing w = {.replica = r, .table = table, .outcome = KV_DONE};

    domains_each(r->loading->domains, write_domain, &w);
    if (w.outcome == KV_DONE && w.txn != NULL)
        w.outcome = kv_commit(&w.txn, &w.err);
    kv_abort(&w.txn);
    *err = w.err;
    return w.outcome;
}

static enum kv_outcome commit_state(struct replica *r, const struct replica_state *state,
                                    struct err *err)
{
    struct kv_txn *txn = NULL;
    enum kv_outcome outcome = kv_begin(r->kv, &txn, err);

    if (outcome == KV_DONE)
        outcome = replica_put_state(txn, r->meta, state, err);
    if (outcome == KV_DONE)
        outcome = kv_commit(&txn, err);
    kv_abort(&txn);
    return outcome;
}

/* Completes the new tables; nothing refers to them before commit_state. */
static enum kv_outcome finish_tables(struct replica *r, struct kv_table **domains,
                                     struct kv_table **recipients, struct err *err)
{
    char name[REPLICA_TABLE_NAME];
    enum kv_outcome outcome = kv_load_end(&r->load, err);

    if (outcome != KV_DONE)
        return outcome;
    replica_table_name(name, "recipient", r->load_generation);
    outcome = kv_table_open(recipients, r->kv, name, false, err);
    if (outcome != KV_DONE)
        return outcome;
    replica_table_name(name, "domain", r->load_generation);
    if (kv_table_exists(r->kv, name)) {
        outcome = kv_table_remove(r->kv, name, err);
        if (outcome != KV_DONE)
            return outcome;
    }
    outcome = kv_table_open(domains, r->kv, name, true, err);
    return outcome == KV_DONE ? write_domains(r, *domains, err) : outcome;
}

static void remove_table(struct replica *r, const char *kind, uint32_t generation)
{
    char name[REPLICA_TABLE_NAME];
    struct err err;

    replica_table_name(name, kind, generation);
    if (kv_table_exists(r->kv, name) && kv_table_remove(r->kv, name, &err) != KV_DONE)
        log_write(LOG_REPLICA_FAILED, "%s", err.text);
}

/* The new generation takes the old one's place on disk. */
static bool commit_load(struct replica *r, const struct replica_position *position)
{
    struct kv_table *domains = NULL, *recipients = NULL;
    struct replica_state state = {.format = REPLICA_FORMAT,
                                  .generation = r->load_generation,
                                  .position = *position,
                                  .recipients = r->load_recipients};
    uint32_t old_generation = r->disk.generation;
    struct err err;
    enum kv_outcome outcome = finish_tables(r, &domains, &recipients, &err);

    if (outcome == KV_DONE)
        outcome = commit_state(r, &state, &err);
    if (outcome != KV_DONE) {
        kv_table_close(&domains);
        kv_table_close(&recipients);
        give_up_disk(r, outcome, &err);
        return false;
    }
    r->disk = state;
    kv_table_close(&r->domain_table);
    kv_table_close(&r->recipient_table);
    r->domain_table = domains;
    r->recipient_table = recipients;
    remove_table(r, "domain", old_generation);
    remove_table(r, "recipient", old_generation);
    return true;
}

void replica_load_end(struct replica *r, const struct replica_position *position)
{
    struct replica_generation *live = atomic_load(&r->live), *fresh = r->loading;
    struct missing missing = {fresh->domains, clock_wall_us() / CLOCK_SECOND};

    if (live != NULL)
        domains_each(live->domains, keep_as_removed, &missing);
    bool on_disk = r->load != NULL && commit_load(r, position);
    r->loading = NULL;
    index_share(atomic_load(&fresh->index), &r->epoch);
    replica_switch(r, fresh);
    r->position = *position;
    r->pending = (struct replica_position){0};
    r->disk_behind = !on_disk;
    r->batch_on_disk = on_disk;
    if (on_disk)
        r->disk_restarted = false;
    else
        r->disk_retry_at = clock_elapsed_us() + LOAD_RETRY;
    r->counted.loads++;
    replica_publish_figures(r);
}

void replica_load_abort(struct replica *r)
{
    kv_load_abort(&r->load);
    replica_generation_free(&r->loading);
}
