/*
 * index: against a plain model through random changes; a million recipients; stamps and sweeping;
 * readers beside the writer. Catches a recipient lost when a shard is rebuilt or a deleted slot
 * used again, a state that reads as another, stamps that come round, memory beyond its budget, and
 * tables given back while a reader looks.
 */
#include "policyd/index.h"

#include <pthread.h>

#include "lib/secret.h"
#include "tap.h"

enum { MILLION = 1000000 };

static uint8_t key[SECRET_HASH_KEY];

/* The key as the replica makes it: 4 bytes of domain number and the local part. */
static struct span key_of(char *room, uint32_t number)
{
    uint32_t domain = number % 100;

    memcpy(room, &domain, 4);
    return span_of(room, 4 + (size_t)snprintf(room + 4, 28, "u%07u", (unsigned)number));
}

static void set(struct index *index, uint32_t number, enum index_state state, uint32_t when)
{
    char room[32];

    index_set(index, key_of(room, number), (struct index_entry){state, when});
}

static struct index_entry find(const struct index *index, uint32_t number)
{
    char room[32];

    return index_find(index, key_of(room, number));
}

static bool is(const struct index *index, uint32_t number, enum index_state state, uint32_t when)
{
    struct index_entry e = find(index, number);

    return e.state == state && e.when == when;
}

static void check_words(void)
{
    struct epoch epoch;
    int wrong = 0;

    epoch_init(&epoch, 1);
    struct index *index = index_new(&epoch, 10, key);
    for (enum index_state state = INDEX_ACTIVE; state <= INDEX_REFUSED; state++)
        for (uint32_t when = 0; when <= INDEX_DIAL; when++) {
            set(index, 7, state, when);
            wrong += !is(index, 7, state, when);
        }
    is_int(wrong, 0, "every state with every stamp reads as it was written");
    is_int(index_count(index), 1, "one entry all the time");
    ok(is(index, 8, INDEX_ABSENT, 0), "another is absent");
    set(index, 8, INDEX_ABSENT, 0);
    is_int(index_count(index), 1, "removing what is not there changes nothing");
    set(index, 7, INDEX_ABSENT, 0);
    ok(is(index, 7, INDEX_ABSENT, 0) && index_count(index) == 0, "removed");
    ok(index_find(index, span_of("", 0)).state == INDEX_ABSENT, "the empty key is absent");
    index_free(&index);
    ok(index == NULL, "freed is NULL");
    index_free(&index);
    epoch_destroy(&epoch);
}

/* ---- a model */

static uint64_t random_state;

static uint32_t next_random(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) * limit >> 32);
}

static void check_model(bool shared)
{
    enum { KEYS = 100000, CHANGES = 600000 };
    struct index_entry *model = mem_zero(KEYS, sizeof *model);
    struct epoch epoch;
    uint64_t count = 0;
    int wrong = 0;

    epoch_init(&epoch, 1);
    struct index *index = index_new(shared ? &epoch : NULL, 0, key);
    for (int i = 0; i < CHANGES; i++) {
        uint32_t n = next_random(KEYS);
        struct index_entry e = {(enum index_state)next_random(5), next_random(INDEX_DIAL + 1)};
        if (e.state == INDEX_ABSENT)
            e.when = 0;
        wrong += !is(index, n, model[n].state, model[n].when);
        set(index, n, e.state, e.when);
        count += (uint64_t)(e.state != INDEX_ABSENT) - (uint64_t)(model[n].state != INDEX_ABSENT);
        model[n] = e;
        if (i % 10000 == 0)
            epoch_synchronize(&epoch);
    }
    for (uint32_t n = 0; n < KEYS; n++)
        wrong += !is(index, n, model[n].state, model[n].when);
    is_int(wrong, 0, "as the model, through %d random changes", CHANGES);
    is_int(index_count(index), count, "counted as the model");
    if (!shared)
        index_share(index, &epoch);
    for (uint32_t n = 0; n < KEYS; n++)
        set(index, n, INDEX_ACTIVE, 1);
    is_int(index_count(index), KEYS, "all set");
    epoch_synchronize(&epoch);
    index_free(&index);
    epoch_destroy(&epoch);
    free(model);
}

/* ---- a million */

static void check_million(uint64_t expected)
{
    struct epoch epoch;
    uint64_t wrong = 0, matched = 0, most;

    epoch_init(&epoch, 1);
    struct index *index = index_new(&epoch, expected, key);
    for (uint32_t n = 0; n < MILLION; n++) {
        set(index, n, INDEX_ACTIVE, n % INDEX_DIAL);
        if (n % 100000 == 0)
            epoch_synchronize(&epoch);
    }
    for (uint32_t n = 0; n < MILLION; n++)
        wrong += !is(index, n, INDEX_ACTIVE, n % INDEX_DIAL);
    for (uint32_t n = MILLION; n < 2 * MILLION; n++)
        matched += find(index, n).state != INDEX_ABSENT;
    is_int(wrong, 0, "a million are found (room for %d expected)", (int)expected);
    is_int(matched, 0, "a million others are not");
    is_int(index_count(index), MILLION, "a million counted");
    most = 12 * (uint64_t)MILLION;
    ok(index_bytes(index) <= most, "%.2f bytes a recipient", (double)index_bytes(index) / MILLION);
    for (uint32_t n = 0; n < MILLION; n += 2)
        set(index, n, INDEX_ABSENT, 0);
    is_int(index_count(index), MILLION / 2, "half of them left");
    for (uint32_t n = 2 * MILLION; n < 2 * MILLION + MILLION / 2; n++)
        set(index, n, INDEX_ACTIVE, 0);
    epoch_synchronize(&epoch);
    ok(index_bytes(index) <= most, "others in their place take no more: %.2f bytes",
       (double)index_bytes(index) / MILLION);
    index_free(&index);
    epoch_destroy(&epoch);
}

/* ---- stamps */

static void check_stamps(void)
{
    int wrong = 0;

    for (int64_t now = 20000; now < 22000; now++)
        for (int64_t age = 0; age <= INDEX_DAYS_MOST + 50; age++)
            wrong += index_age(index_stamp(now - age), now) != age;
    is_int(wrong, 0, "an age is told right until the dial comes round");
    is_int(index_age(0, 20000), -1, "no stamp has no age");
    is_int(index_age(index_stamp(20001), 20000), 0, "from the future: 0");
    is_int(index_age(index_stamp(20005), 20000), 0, "from five days ahead: 0");
    ok(index_stamp(0) >= 1 && index_stamp(INDEX_DIAL - 1) <= INDEX_DIAL, "stamps fit nine bits");
}

static void check_sweep(void)
{
    const int64_t day = 20700, hour = day * 24, now = day * 86400;
    const uint32_t young_day = index_stamp(day - INDEX_DAYS_MOST);
    const uint32_t old_day = index_stamp(day - INDEX_DAYS_MOST - 1);
    const uint32_t young_hour = index_stamp(hour - INDEX_HOURS_MOST);
    const uint32_t old_hour = index_stamp(hour - INDEX_HOURS_MOST - 1);
    struct epoch epoch;

    epoch_init(&epoch, 1);
    struct index *index = index_new(&epoch, 10, key);
    set(index, 1, INDEX_ACTIVE, young_day);
    set(index, 2, INDEX_ACTIVE, old_day);
    set(index, 3, INDEX_ACTIVE, 0);
    set(index, 4, INDEX_DISABLED, 0);
    set(index, 5, INDEX_ACTIVE_REFUSED, young_hour);
    set(index, 6, INDEX_ACTIVE_REFUSED, old_hour);
    set(index, 7, INDEX_REFUSED, young_hour);
    set(index, 8, INDEX_REFUSED, old_hour);
    index_sweep(index, now, INDEX_HOURS_MOST);
    ok(is(index, 1, INDEX_ACTIVE, young_day), "a stamp in time stays");
    ok(is(index, 2, INDEX_ACTIVE, 0), "an old one goes, the recipient stays");
    ok(is(index, 3, INDEX_ACTIVE, 0) && is(index, 4, INDEX_DISABLED, 0), "without one: as it was");
    ok(is(index, 5, INDEX_ACTIVE_REFUSED, young_hour), "a refusal in time stays");
    ok(is(index, 6, INDEX_ACTIVE, 0), "an old one leaves the recipient");
    ok(is(index, 7, INDEX_REFUSED, young_hour), "a refusal of an unlisted one in time stays");
    ok(is(index, 8, INDEX_ABSENT, 0), "an old one goes altogether");
    is_int(index_count(index), 7, "and is not counted");
    index_sweep(index, now, INDEX_HOURS_MOST);
    is_int(index_count(index), 7, "a second sweep finds nothing");
    set(index, 8, INDEX_ACTIVE, 0);
    ok(is(index, 8, INDEX_ACTIVE, 0) && index_count(index) == 8, "its slot is used again");
    index_free(&index);
    epoch_destroy(&epoch);
}

/* ---- readers beside the writer */

/* A table replaced waits in the epoch's garbage, since a reader may be in it. */
static void check_garbage(void)
{
    struct epoch epoch;
    uint32_t n = 0;

    epoch_init(&epoch, 1);
    struct index *index = index_new(&epoch, 0, key);
    for (uint64_t before = index_bytes(index); index_bytes(index) == before; n++)
        set(index, n, INDEX_ACTIVE, 0);
    ok(epoch.garbage != NULL, "the old table waits for those inside");
    epoch_synchronize(&epoch);
    ok(epoch.garbage == NULL && is(index, 0, INDEX_ACTIVE, 0), "and goes when they have left");
    index_free(&index);
    epoch_destroy(&epoch);
}

enum { READERS = 3, STABLE = 2000, MOVING = 100000, CHANGES = 400000 };

static struct {
    struct epoch epoch;
    struct index *index;
    _Atomic bool stop;
    _Atomic long wrong, reads;
} play;

static void *read_many(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument;
    long wrong = 0, reads = 0;

    while (!atomic_load_explicit(&play.stop, memory_order_relaxed)) {
        epoch_enter(&play.epoch, number);
        for (int i = 0; i < 50; i++, reads++) {
            uint32_t stable = (uint32_t)(reads % STABLE), moving = (uint32_t)(reads % MOVING);
            struct index_entry e = find(play.index, STABLE + moving);
            wrong += !is(play.index, stable, INDEX_ACTIVE, stable % INDEX_DIAL);
            wrong += e.state != INDEX_ABSENT &&
                     (e.state != INDEX_DISABLED || e.when != moving % INDEX_DIAL);
            wrong +=
                find(play.index, 10 * MILLION + (uint32_t)reads % MILLION).state != INDEX_ABSENT;
        }
        epoch_leave(&play.epoch, number);
        atomic_store_explicit(&play.reads, reads, memory_order_relaxed);
    }
    atomic_fetch_add(&play.wrong, wrong);
    return NULL;
}

static void check_readers(void)
{
    pthread_t readers[READERS];

    epoch_init(&play.epoch, READERS);
    play.index = index_new(&play.epoch, 0, key);
    for (uint32_t n = 0; n < STABLE; n++)
        set(play.index, n, INDEX_ACTIVE, n % INDEX_DIAL);
    for (size_t i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_many, (void *)(uintptr_t)i);
    for (int i = 0; i < CHANGES || atomic_load(&play.reads) < 10000; i++) {
        uint32_t moving = next_random(MOVING);
        /* the moving ones come, stay for a while, and leave, so that shards grow and slots free */
        bool comes = i / (CHANGES / 4) % 2 == 0 ? next_random(8) != 0 : next_random(8) == 0;
        set(play.index, STABLE + moving, comes ? INDEX_DISABLED : INDEX_ABSENT,
            comes ? moving % INDEX_DIAL : 0);
        if (i % 1000 == 0)
            epoch_synchronize(&play.epoch);
    }
    atomic_store(&play.stop, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    is_int(atomic_load(&play.wrong), 0, "readers always found what was there, and only that");
    epoch_synchronize(&play.epoch);
    index_free(&play.index);
    epoch_destroy(&play.epoch);
}

int main(void)
{
    const char *seed = getenv("ROLLCALL_SEED");

    secret_init();
    secret_random(key, sizeof key);
    secret_random(&random_state, sizeof random_state);
    if (seed != NULL)
        random_state = strtoull(seed, NULL, 10);
    random_state |= 1;
    printf("# seed %" PRIu64 " (repeat: ROLLCALL_SEED=%" PRIu64 "; the hash key stays random)\n",
           random_state, random_state);
    check_words();
    check_model(true);
    check_model(false);
    check_million(0);
    check_million(MILLION);
    check_stamps();
    check_sweep();
    check_garbage();
    check_readers();
    return tap_done();
}
