/* replica_disk - see replica_parts.h: what is on disk, opened, read into memory, and mended */
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "policyd/replica_parts.h"

static const int64_t DISK_RETRY = 10 * CLOCK_SECOND;

static const char STATE_KEY[] = "state", CONFIRMED_KEY[] = "confirmed";

enum kv_outcome replica_put_state(struct kv_txn *txn, struct kv_table *meta,
                                  const struct replica_state *state, struct err *err)
{
    return kv_put(txn, meta, span_text(STATE_KEY), span_of((const char *)state, sizeof *state),
                  err);
}

enum kv_outcome replica_put_domain(struct kv_txn *txn, struct kv_table *table,
                                   const struct domain_record *record, struct err *err)
{
    return kv_put(txn, table, span_of(record->name, record->name_len),
                  span_of((const char *)record, sizeof *record), err);
}

/* ---- the disk ---- */

/* Readers may be in the table: takes it away and waits for them. */
static void withdraw_table(struct replica *r)
{
    struct replica_generation *live = atomic_load(&r->live);

    if (live != NULL && atomic_exchange(&live->recipients, NULL) != NULL)
        epoch_synchronize(&r->epoch);
}

void replica_disk_close(struct replica *r)
{
    withdraw_table(r);
    kv_table_close(&r->meta);
    kv_table_close(&r->domain_table);
    kv_table_close(&r->recipient_table);
    kv_close(&r->kv);
}

static enum kv_outcome read_state(struct replica *r, struct err *err)
{
    size_t len;
    enum kv_outcome outcome =
        kv_get(r->meta, span_text(STATE_KEY), &r->disk, sizeof r->disk, &len, err);

    if (outcome == KV_DONE && len == sizeof r->disk && r->disk.format == REPLICA_FORMAT)
        return KV_DONE;
    /* new, or of another version of this program: loaded anew */
    r->disk = (struct replica_state){.format = REPLICA_FORMAT};
    return outcome == KV_DONE ? KV_ABSENT : outcome;
}

/* What an interrupted full load left beside the generation in use. */
static void remove_leftovers(struct replica *r)
{
    static const char *const kinds[] = {"recipient", "domain"};
    struct err ignored;

    for (size_t k = 0; k < 2; k++) {
        for (uint32_t step = 0; step < 2; step++) {
            char name[REPLICA_TABLE_NAME];
            replica_table_name(name, kinds[k], r->disk.generation + 1 - 2 * step);
            if (kv_table_exists(r->kv, name) && kv_table_remove(r->kv, name, &ignored) != KV_DONE)
                log_write(LOG_REPLICA_FAILED, "%s", ignored.text);
        }
    }
}

static enum kv_outcome open_tables(struct replica *r, struct err *err)
{
    char name[REPLICA_TABLE_NAME];
    enum kv_outcome outcome = kv_table_open(&r->meta, r->kv, "meta", true, err);

    if (outcome == KV_DONE)
        outcome = read_state(r, err);
    if (outcome != KV_DONE)
        return outcome == KV_ABSENT ? KV_DONE : outcome;
    remove_leftovers(r);
    if (r->disk.position.version == 0)
        return KV_DONE;
    replica_table_name(name, "domain", r->disk.generation);
    outcome = kv_table_open(&r->domain_table, r->kv, name, false, err);
    if (outcome != KV_DONE)
        return outcome;
    replica_table_name(name, "recipient", r->disk.generation);
    return kv_table_open(&r->recipient_table, r->kv, name, false, err);
}

static enum kv_outcome open_disk(struct replica *r, struct err *err)
{
    r->disk = (struct replica_state){.format = REPLICA_FORMAT};
    enum kv_outcome outcome = kv_open(&r->kv, r->directory, r->cache_bytes, err);

    if (outcome == KV_DONE)
        outcome = open_tables(r, err);
    if (outcome != KV_DONE)
        replica_disk_close(r);
    return outcome;
}

static enum kv_outcome move_aside(struct replica *r, struct err *err)
{
    if (!kv_has_room(r->directory)) {
        replica_disk_close(r);
        return KV_FAILED; /* nothing says that the files are bad */
    }
    log_write(LOG_REPLICA_DAMAGED, "%s; moved to %s/damaged, to be loaded anew", err->text,
              r->directory);
    r->counted.damages++;
    replica_disk_close(r);
    if (!kv_move_aside(r->directory, err))
        return KV_FAILED;
    return open_disk(r, err);
}

/* Where the outcome left the store unusable, memory alone answers until replica_tend opens it. */
void replica_disk_trouble(struct replica *r, enum kv_outcome outcome, const struct err *why)
{
    struct replica_generation *live = atomic_load(&r->live);
    struct err err = *why;

    r->disk_behind = true;
    r->disk_retry_at = clock_elapsed_us() + DISK_RETRY;
    if (outcome == KV_DAMAGED && !r->disk_restarted) {
        /* often a failed write that Berkeley DB took for damage: recovery tells */
        r->disk_restarted = true;
        replica_disk_close(r);
        outcome = open_disk(r, &err);
        if (outcome == KV_DONE)
            outcome = KV_FAILED;
    }
    if (outcome == KV_DAMAGED)
        outcome = move_aside(r, &err);
    if (outcome != KV_DONE) {
        r->counted.write_failures++;
        log_write(LOG_REPLICA_FAILED, "%s; tried again in 10 s", err.text);
    }
    if (live != NULL && atomic_load(&live->index) == NULL && atomic_load(&live->recipients) == NULL)
        replica_switch(r, NULL); /* neither memory nor disk is whole: nobody can be told */
}

/* ---- opening ---- */

static bool take_domain(void *context, struct span key, struct span value, struct err *err)
{
    struct domains *domains = context;
    struct domain_record record;

    (void)key;
    if (value.len != sizeof record)
        return err_set(err, ERR_OTHER, "a domain's record has %zu bytes", value.len);
    memcpy(&record, value.at, sizeof record);
    domains_set(domains, &record);
    return true;
}

static void restore_confirmation(struct replica *r)
{
    int64_t confirmed_wall, now = clock_wall_us();
    size_t len;
    struct err err;

    if (kv_get(r->meta, span_text(CONFIRMED_KEY), &confirmed_wall, sizeof confirmed_wall, &len,
               &err) != KV_DONE ||
        len != sizeof confirmed_wall || confirmed_wall > now)
        return; /* not known, or the clock went back: as old as can be */
    atomic_store(&r->confirmed_at, clock_elapsed_us() - (now - confirmed_wall));
}

/* All domains go into memory at once; recipients are looked up on disk until replica_fill is done.
 */
static enum kv_outcome load_generation(struct replica *r, struct err *err)
{
    struct replica_generation *generation = replica_generation_new(r);
    enum kv_outcome outcome = kv_scan(r->domain_table, take_domain, generation->domains, err);

    if (outcome != KV_DONE) {
        replica_generation_free(&generation);
        return outcome == KV_FAILED ? KV_DAMAGED : outcome;
    }
    atomic_store(&generation->recipients, r->recipient_table);
    r->position = r->disk.position;
    r->pending = r->disk.pending;
    replica_switch(r, generation);
    restore_confirmation(r);
    return KV_DONE;
}

enum kv_outcome replica_disk_open(struct replica *r, struct err *err)
{
    enum kv_outcome outcome = open_disk(r, err);

    if (outcome == KV_DONE && r->disk.position.version > 0)
        outcome = load_generation(r, err);
    return outcome;
}

static bool same_position(const struct replica_position *a, const struct replica_position *b)
{
    return a->version == b->version && memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0;
}

void replica_save_confirmation(struct replica *r)
{
    int64_t age = replica_age_us(r, clock_elapsed_us());
    struct kv_txn *txn = NULL;
    struct err err;

    if (r->kv == NULL || age == INT64_MAX)
        return;
    int64_t wall = clock_wall_us() - age;
    enum kv_outcome outcome = kv_begin(r->kv, &txn, &err);
    if (outcome == KV_DONE)
        outcome = kv_put(txn, r->meta, span_text(CONFIRMED_KEY),
                         span_of((const char *)&wall, sizeof wall), &err);
    if (outcome == KV_DONE)
        outcome = kv_commit(&txn, &err);
    kv_abort(&txn);
    if (outcome != KV_DONE)
        replica_disk_trouble(r, outcome, &err);
    else if (same_position(&r->disk.position, &r->position) && r->disk.pending.version == 0)
        r->disk_behind = r->disk_restarted = false; /* nothing was missed while it failed */
}

/* ---- filling the index ---- */

struct filling {
    struct index *index;
    int64_t now_seconds;
    uint64_t count;
    const _Atomic bool *stop;
};

static bool take_recipient(void *context, struct span key, struct span value, struct err *err)
{
    struct filling *filling = context;
    struct replica_recipient recipient;

    if (atomic_load_explicit(filling->stop, memory_order_relaxed))
        return err_set(err, ERR_TEMPORARY, "stopped");
    if (key.len <= 4 || key.len > REPLICA_KEY_MAX || !replica_value_read(value, &recipient))
        return err_set(err, ERR_OTHER, "a recipient's record is no record");
    index_set(filling->index, key, replica_entry(&recipient, filling->now_seconds));
    filling->count++;
    return true;
}

static void publish_index(struct replica *r, struct replica_generation *live, struct index *index)
{
    index_share(index, &r->epoch);
    atomic_store(&live->index, index);
    withdraw_table(r);
    log_write(LOG_REPLICA_READY, "version %lld: %llu recipients in memory",
              (long long)r->position.version, (unsigned long long)index_count(index));
    replica_publish_figures(r);
}

void replica_fill(struct replica *r, const _Atomic bool *stop)
{
    struct replica_generation *live = atomic_load(&r->live);
    struct err err;

    if (live == NULL || atomic_load(&live->index) != NULL)
        return;
    struct filling filling = {.index = index_new(NULL, r->disk.recipients, r->key),
                              .now_seconds = clock_wall_us() / CLOCK_SECOND,
                              .stop = stop};
    enum kv_outcome outcome = kv_scan(r->recipient_table, take_recipient, &filling, &err);
    if (outcome == KV_DONE && filling.count == r->disk.recipients) {
        publish_index(r, live, filling.index);
        return;
    }
    index_free(&filling.index);
    if (atomic_load(stop))
        return;
    if (outcome == KV_DONE)
        err_set(&err, ERR_OTHER, "replica %s: holds %llu recipients where %llu were written",
                r->directory, (unsigned long long)filling.count,
                (unsigned long long)r->disk.recipients);
    r->disk_restarted = true; /* no failed write is behind this */
    replica_disk_trouble(r, KV_DAMAGED, &err);
}

void replica_disk_reopen(struct replica *r, int64_t now_us)
{
    struct err err;

    r->disk_retry_at = now_us + DISK_RETRY;
    /* with nothing in memory, what is on disk is as good as at a start */
    bool empty = atomic_load(&r->live) == NULL;
    enum kv_outcome outcome = empty ? replica_disk_open(r, &err) : open_disk(r, &err);
    if (outcome == KV_DAMAGED)
        outcome = move_aside(r, &err);
    if (outcome == KV_DONE)
        r->disk_retry_at = now_us;
    else
        log_write(LOG_REPLICA_FAILED, "%s; tried again in 10 s", err.text);
}
