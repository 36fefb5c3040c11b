/* replica - see replica.h. Here: opening, reading, filling the index, trouble with the disk */
#include "policyd/replica_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/secret.h"

static const int64_t DISK_RETRY = 10 * CLOCK_SECOND;
static const int64_t CONFIRMATION_INTERVAL = 10 * CLOCK_SECOND;
static const int64_t SWEEP_INTERVAL = 3600 * CLOCK_SECOND;

/* ---- records ---- */

size_t replica_key(char *out, int32_t domain_id, struct span local)
{
    uint32_t id = (uint32_t)domain_id;

    /* big-endian: keys sort as PostgreSQL sorts (domain_id, local_part collate "C") */
    out[0] = (char)(id >> 24);
    out[1] = (char)(id >> 16);
    out[2] = (char)(id >> 8);
    out[3] = (char)id;
    memcpy(out + 4, local.at, local.len);
    return 4 + local.len;
}

/* Of the server's yes and no the newer counts; a yes is known by its day only, so on that day a no
 * wins: at worst the server is asked once more. */
struct index_entry replica_entry(const struct replica_recipient *recipient, int64_t now_seconds)
{
    int64_t refused_hour = recipient->refused_hour, verified_day = recipient->verified_day;

    if (recipient->state == STATE_DISABLED)
        return (struct index_entry){INDEX_DISABLED, 0};
    if (refused_hour != 0 && refused_hour / 24 >= verified_day &&
        now_seconds / 3600 - refused_hour <= INDEX_HOURS_MOST)
        return (struct index_entry){INDEX_ACTIVE_REFUSED, index_stamp(refused_hour)};
    if (verified_day != 0 && refused_hour / 24 < verified_day &&
        now_seconds / 86400 - verified_day <= INDEX_DAYS_MOST)
        return (struct index_entry){INDEX_ACTIVE, index_stamp(verified_day)};
    return (struct index_entry){INDEX_ACTIVE, 0};
}

size_t replica_value(char *out, const struct replica_recipient *recipient)
{
    out[0] = (char)recipient->state;
    if (recipient->verified_day == 0 && recipient->refused_hour == 0)
        return 1;
    memcpy(out + 1, &recipient->verified_day, 4);
    memcpy(out + 5, &recipient->refused_hour, 4);
    return REPLICA_VALUE_MAX;
}

bool replica_value_read(struct span value, struct replica_recipient *recipient)
{
    *recipient = (struct replica_recipient){0};
    if ((value.len != 1 && value.len != REPLICA_VALUE_MAX) ||
        (unsigned char)value.at[0] > STATE_DISABLED)
        return false;
    recipient->state = (enum recipient_state)value.at[0];
    if (value.len == REPLICA_VALUE_MAX) {
        memcpy(&recipient->verified_day, value.at + 1, 4);
        memcpy(&recipient->refused_hour, value.at + 5, 4);
    }
    return true;
}

void replica_table_name(char out[REPLICA_TABLE_NAME], const char *kind, uint32_t generation)
{
    snprintf(out, REPLICA_TABLE_NAME, "%s.%06u", kind, generation);
}

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

static enum kv_outcome open_and_load(struct replica *r, struct err *err)
{
    enum kv_outcome outcome = open_disk(r, err);

    if (outcome == KV_DONE && r->disk.position.version > 0)
        outcome = load_generation(r, err);
    return outcome;
}

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
    enum kv_outcome outcome = open_and_load(r, err);
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

static bool same_position(const struct replica_position *a, const struct replica_position *b)
{
    return a->version == b->version && memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0;
}

static void save_confirmation(struct replica *r)
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

void replica_close(struct replica **replica)
{
    struct replica *r = *replica;

    if (r == NULL)
        return;
    save_confirmation(r);
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
        save_confirmation(replica);
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

static void reopen_disk(struct replica *r, int64_t now_us)
{
    struct err err;

    r->disk_retry_at = now_us + DISK_RETRY;
    /* with nothing in memory, what is on disk is as good as at a start */
    bool empty = atomic_load(&r->live) == NULL;
    enum kv_outcome outcome = empty ? open_and_load(r, &err) : open_disk(r, &err);
    if (outcome == KV_DAMAGED)
        outcome = move_aside(r, &err);
    if (outcome == KV_DONE)
        r->disk_retry_at = now_us;
    else
        log_write(LOG_REPLICA_FAILED, "%s; tried again in 10 s", err.text);
}

void replica_tend(struct replica *r, int64_t now_us, int64_t refused_for_us)
{
    struct replica_generation *live;
    struct err err;

    if (r->kv == NULL && now_us >= r->disk_retry_at)
        reopen_disk(r, now_us);
    if (now_us - r->confirmation_saved_at >= CONFIRMATION_INTERVAL) {
        r->confirmation_saved_at = now_us;
        save_confirmation(r);
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
