/*
 * domains: found by name and by number through adding, changing, removing, renumbering and growing,
 * also while readers look. Catches a served domain that is not found (its mail would be left to
 * Postfix alone), one found that is gone, and a record given back while a reader holds it.
 */
#include "policyd/domains.h"

#include <pthread.h>

#include "lib/secret.h"
#include "lib/str.h"
#include "tap.h"

static uint8_t key[SECRET_HASH_KEY];

static struct domain_record record_of(const char *name, int32_t id)
{
    struct domain_record r = {.id = id, .name_len = (uint8_t)strlen(name)};

    memcpy(r.name, name, strlen(name));
    r.check = CHECK_PANEL;
    return r;
}

static struct domain_record numbered(int32_t number, int32_t id)
{
    char name[32];

    snprintf(name, sizeof name, "d%d.test", (int)number);
    return record_of(name, id);
}

static bool is_there(const struct domains *domains, const struct domain_record *r)
{
    const struct domain_record *by_name = domains_by_name(domains, span_of(r->name, r->name_len));
    const struct domain_record *by_id = r->id != 0 ? domains_by_id(domains, r->id) : by_name;

    return by_name != NULL && by_name == by_id && memcmp(by_name, r, sizeof *r) == 0;
}

static bool is_gone(const struct domains *domains, const struct domain_record *r)
{
    return domains_by_name(domains, span_of(r->name, r->name_len)) == NULL &&
           domains_by_id(domains, r->id) == NULL;
}

static void check_changes(void)
{
    struct epoch epoch;
    struct domain_record a = record_of("a.test", 1), b = record_of("b.test", 2);

    epoch_init(&epoch, 1);
    struct domains *domains = domains_new(&epoch, key);
    ok(is_gone(domains, &a) && domains_count(domains) == 0, "empty");
    domains_set(domains, &a);
    domains_set(domains, &b);
    ok(is_there(domains, &a) && is_there(domains, &b), "two are there");
    a.check = CHECK_OFF;
    domains_set(domains, &a);
    ok(is_there(domains, &a) && domains_count(domains) == 2, "changed in place");
    domains_remove(domains, &a);
    ok(is_gone(domains, &a) && is_there(domains, &b), "removed, the other stays");
    is_int(domains_count(domains), 1, "one left");
    domains_remove(domains, &a);
    is_int(domains_count(domains), 1, "removing twice removes once");
    domains_set(domains, &a);
    ok(is_there(domains, &a), "there again");
    epoch_synchronize(&epoch);
    domains_free(&domains);
    ok(domains == NULL, "freed is NULL");
    domains_free(&domains);
    epoch_destroy(&epoch);
}

/* A restored database has numbered its domains otherwise; tombstones of other numbers have id 0. */
static void check_renumbered(void)
{
    struct epoch epoch;
    struct domain_record a = record_of("a.test", 1), b = record_of("b.test", 2);

    epoch_init(&epoch, 1);
    struct domains *domains = domains_new(&epoch, key);
    domains_set(domains, &a);
    domains_set(domains, &b);
    a.id = 2;
    b.id = 1;
    domains_set(domains, &a);
    domains_set(domains, &b);
    ok(is_there(domains, &a) && is_there(domains, &b), "two changed their numbers with each other");
    a.id = 3;
    domains_set(domains, &a);
    ok(is_there(domains, &a) && domains_by_id(domains, 2) == NULL, "a number nobody has any more");
    a.id = 1;
    domains_set(domains, &a);
    domains_remove(domains, &b);
    ok(is_there(domains, &a), "who leaves takes no number that is another's by now");
    a.id = 0;
    a.removed = 1;
    domains_set(domains, &a);
    ok(is_there(domains, &a) && domains_by_id(domains, 1) == NULL, "a tombstone without a number");
    b = record_of("c.test", 0);
    domains_set(domains, &b);
    ok(is_there(domains, &a) && is_there(domains, &b), "two of them");
    domains_remove(domains, &a);
    ok(is_there(domains, &b) && domains_count(domains) == 1, "and one again");
    domains_free(&domains);
    epoch_destroy(&epoch);
}

static void sum_ids(void *context, const struct domain_record *record)
{
    *(int64_t *)context += record->id;
}

/* Far more than the first table holds, with removals among them. */
static void check_many(void)
{
    enum { MANY = 20000 };
    struct epoch epoch;
    int64_t sum = 0, want = 0;
    int wrong = 0;

    epoch_init(&epoch, 1);
    struct domains *domains = domains_new(&epoch, key);
    for (int32_t i = 1; i <= MANY; i++) {
        struct domain_record r = numbered(i, i);
        domains_set(domains, &r);
        if (i % 3 == 0)
            domains_remove(domains, &r);
        if (i % 1000 == 0)
            epoch_synchronize(&epoch);
    }
    for (int32_t i = 1; i <= MANY; i++) {
        struct domain_record r = numbered(i, i);
        wrong += i % 3 == 0 ? !is_gone(domains, &r) : !is_there(domains, &r);
        want += i % 3 == 0 ? 0 : i;
    }
    is_int(wrong, 0, "of 20000 a third removed: each as it must be");
    is_int(domains_count(domains), MANY - MANY / 3, "counted");
    domains_each(domains, sum_ids, &sum);
    is_int(sum, want, "each is called for each");
    domains_free(&domains);
    epoch_destroy(&epoch);
}

/* Coming and going for ever must neither fill the table with removed slots nor grow it. */
static void check_churn(void)
{
    struct epoch epoch;
    struct domain_record stays = record_of("stays.test", 1);
    int wrong = 0, nobody = 0;

    epoch_init(&epoch, 1);
    struct domains *domains = domains_new(&epoch, key);
    domains_set(domains, &stays);
    for (int32_t i = 2; i < 20000; i++) {
        struct domain_record r = numbered(i, i);
        domains_set(domains, &r);
        wrong += !is_there(domains, &r) || !is_there(domains, &stays);
        domains_remove(domains, &r);
        wrong += !is_gone(domains, &r);
        nobody += domains_by_name(domains, span_text("")) != NULL;
        nobody += domains_by_id(domains, 0) != NULL;
        epoch_synchronize(&epoch);
    }
    is_int(wrong, 0, "20000 come and go");
    is_int(nobody, 0, "nobody has the empty name or the number 0");
    domains_free(&domains);
    epoch_destroy(&epoch);
}

/* ---- readers meanwhile */

enum { STABLE = 4, ROUNDS = 3000 };

static struct {
    struct epoch epoch;
    struct domains *domains;
    _Atomic bool stop;
    _Atomic long wrong, reads;
} play;

static void *read_many(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument;
    struct domain_record absent = record_of("never.test", 999999);

    for (int32_t i = 0; !atomic_load_explicit(&play.stop, memory_order_relaxed); i++) {
        struct domain_record r = numbered(i % STABLE, i % STABLE + 1);
        epoch_enter(&play.epoch, number);
        const struct domain_record *named =
            domains_by_name(play.domains, span_of(r.name, r.name_len));
        const struct domain_record *got = domains_by_id(play.domains, r.id);
        bool fine = named != NULL && got != NULL;
        for (int look = 0; fine && look < 30; look++) /* hold them for a while */
            fine = *(const volatile int32_t *)&named->id == r.id &&
                   *(const volatile uint8_t *)&got->name_len == r.name_len &&
                   memcmp(got->name, r.name, r.name_len) == 0;
        fine = fine && is_gone(play.domains, &absent);
        epoch_leave(&play.epoch, number);
        atomic_fetch_add_explicit(&play.wrong, !fine, memory_order_relaxed);
        atomic_fetch_add_explicit(&play.reads, 1, memory_order_relaxed);
    }
    return NULL;
}

static void check_readers(void)
{
    pthread_t readers[2];

    epoch_init(&play.epoch, 2);
    play.domains = domains_new(&play.epoch, key);
    for (int32_t i = 0; i < STABLE; i++) {
        struct domain_record r = numbered(i, i + 1);
        domains_set(play.domains, &r);
    }
    for (size_t i = 0; i < 2; i++)
        pthread_create(&readers[i], NULL, read_many, (void *)(uintptr_t)i);
    for (int32_t i = 0; i < ROUNDS || atomic_load(&play.reads) < ROUNDS; i++) {
        struct domain_record r = numbered(1000 + i % 500, 1001 + i % 500);
        struct domain_record changed = numbered(i % STABLE, i % STABLE + 1);
        changed.loaded_at = i;
        domains_set(play.domains, &r);
        domains_set(play.domains, &changed);
        if (i % 2 == 0)
            domains_remove(play.domains, &r);
        epoch_synchronize(&play.epoch);
    }
    atomic_store(&play.stop, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    is_int(atomic_load(&play.wrong), 0, "readers always found what was there, and only that");
    epoch_synchronize(&play.epoch);
    domains_free(&play.domains);
    epoch_destroy(&play.epoch);
}

int main(void)
{
    secret_init();
    secret_random(key, sizeof key);
    check_changes();
    check_renumbered();
    check_many();
    check_churn();
    check_readers();
    return tap_done();
}
