/*
 * spool: entries stand in the order of their identities, each once, and another thread gets them as
 * they come. Catches an entry that is lost or torn between two readings, an end that nobody hears
 * of, a digest that depends on the order.
 */
#include "sync/spool.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "t/unit/tap.h"

enum { ENTRIES = 20000 };

/* Entry n: its identity runs backwards, and it is as long as n says. */
static void make(struct spool_entry *entry, struct addr *addresses, char *dn, size_t n)
{
    *entry = (struct spool_entry){
        .kind = n % 7 == 0 ? ENTRY_GROUP : ENTRY_USER,
        .disabled = n % 3 == 0,
        .name = span_text(n % 2 == 0 ? "Some Body" : ""),
        .addresses = addresses,
        .address_count = n % 5 + 1,
    };
    uint32_t back = (uint32_t)(ENTRIES - n);
    for (size_t i = 0; i < 4; i++)
        entry->identity[i] = (uint8_t)(back >> (24 - 8 * i));
    memset(dn, 'd', n % 1000);
    entry->dn = span_of(dn, n % 1000);
    for (size_t i = 0; i < entry->address_count; i++) {
        addresses[i].local_len =
            (uint8_t)snprintf(addresses[i].local, sizeof addresses[i].local, "u%zu-%zu", n, i);
        addresses[i].domain_len =
            (uint8_t)snprintf(addresses[i].domain, sizeof addresses[i].domain, "a%zu.test", n % 11);
    }
}

static bool same_text(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static bool same(const struct spool_entry *a, const struct spool_entry *b)
{
    bool equal = memcmp(a->identity, b->identity, ENTRY_IDENTITY) == 0 && a->kind == b->kind &&
                 a->disabled == b->disabled && a->address_count == b->address_count &&
                 same_text(a->name, b->name) && same_text(a->dn, b->dn);

    for (size_t i = 0; equal && i < a->address_count; i++)
        equal = strcmp(a->addresses[i].local, b->addresses[i].local) == 0 &&
                strcmp(a->addresses[i].domain, b->addresses[i].domain) == 0;
    return equal;
}

struct follower {
    struct spool *spool;
    size_t right, wrong;
    enum spool_step end;
};

static void *follow(void *context)
{
    struct follower *f = context;
    struct spool_cursor *cursor = spool_follow(f->spool);
    struct spool_entry got, want;
    struct addr addresses[5];
    char dn[1000];
    struct err err;
    size_t at;

    while ((f->end = spool_next(cursor, &got, &at, &err)) == SPOOL_ENTRY) {
        make(&want, addresses, dn, at);
        f->right += at == f->right && same(&got, &want);
        f->wrong += f->right != at + 1;
    }
    spool_cursor_free(&cursor);
    return NULL;
}

static void fill(struct spool *spool, bool backwards)
{
    struct spool_entry entry;
    struct addr addresses[5];
    char dn[1000];
    struct err err;
    bool fine = true;

    for (size_t i = 0; fine && i < ENTRIES; i++) {
        make(&entry, addresses, dn, backwards ? ENTRIES - 1 - i : i);
        fine = spool_add(spool, &entry, &err);
    }
    ok(fine, "%d entries are put aside", (int)ENTRIES);
}

static void check_following(void)
{
    struct follower f = {0};
    pthread_t thread;
    struct err err;

    ok(spool_open(&f.spool, &err), "a spool");
    if (pthread_create(&thread, NULL, follow, &f) != 0)
        abort();
    fill(f.spool, false);
    ok(spool_end(f.spool, &err), "ended");
    pthread_join(thread, NULL);
    is_int((int64_t)f.right, ENTRIES, "all came, in order");
    is_int((int64_t)f.wrong, 0, "and nothing else");
    is_int(f.end, SPOOL_END, "and the end");
    struct follower late = {.spool = f.spool};
    follow(&late);
    is_int((int64_t)late.right, ENTRIES, "who comes late gets the same");
    spool_close(&f.spool);
}

/* Whether entries stand there as they were made, whatever order they came in. */
static size_t right_in(struct spool *spool)
{
    struct spool_entry got, want;
    struct addr addresses[5];
    char dn[1000];
    struct err err;
    size_t right = 0;

    for (size_t i = 0; i < ENTRIES; i++) {
        make(&want, addresses, dn, ENTRIES - 1 - i);
        right += spool_get(spool, i, &got, &err) && same(&got, &want);
    }
    return right;
}

static void check_order(void)
{
    struct spool *one = NULL, *other = NULL;
    uint8_t digest[SECRET_DIGEST], same_digest[SECRET_DIGEST];
    struct spool_entry got, want;
    struct addr addresses[5];
    char dn[1000];
    struct err err;

    ok(spool_open(&one, &err) && spool_open(&other, &err), "two spools");
    fill(one, false);
    fill(other, true);
    make(&want, addresses, dn, 5);
    want.name = span_text("Somebody else");
    ok(spool_add(one, &want, &err), "one identity again");
    ok(spool_seal(one, digest, &err) && spool_seal(other, same_digest, &err), "sealed");
    ok(memcmp(digest, same_digest, sizeof digest) == 0, "the digest is the same");
    is_int((int64_t)spool_count(one), ENTRIES, "each identity once");
    make(&want, addresses, dn, 5);
    ok(spool_get(one, ENTRIES - 1 - 5, &got, &err) && same(&got, &want), "the first that came");
    is_int((int64_t)spool_came(one, ENTRIES - 1 - 5), 5, "as the sixth");
    is_int((int64_t)right_in(one), ENTRIES, "all are read against the order of the file");
    is_int((int64_t)right_in(other), ENTRIES, "and along it");
    is_int((int64_t)spool_came(other, 0), 0, "the last identity came first there");
    spool_close(&one);
    spool_close(&other);
}

int main(void)
{
    check_following();
    check_order();
    return tap_done();
}
