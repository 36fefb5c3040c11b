/* evidence_tables - see evidence_parts.h */
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "sync/evidence_parts.h"

/* ---- flight ---- */

enum { FLIGHT_LEAST = 1024 };

void flight_init(struct flight *t, size_t room)
{
    t->room = room;
    t->count = 0;
    t->slots = mem_zero(t->room, sizeof *t->slots);
}

void flight_free(struct flight *t)
{
    free(t->slots);
    *t = (struct flight){0};
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= UINT64_C(0x9fb21c651e98df25);
    return h ^ h >> 28;
}

/* Eight bytes at a time. Queue ids are Postfix's own; who makes two Message-IDs fall together only
 * mixes up his own messages. */
uint64_t flight_key(struct span id)
{
    uint64_t h = id.len * UINT64_C(0x9e3779b97f4a7c15), word;

    for (; id.len >= 8; id = span_of(id.at + 8, id.len - 8)) {
        memcpy(&word, id.at, 8);
        h = mix(h ^ word) * UINT64_C(0xd6e8feb86659fd93);
    }
    word = 0;
    memcpy(&word, id.at, id.len);
    h = mix(h ^ word);
    return h != 0 ? h : 1;
}

static size_t home(const struct flight *t, uint64_t key)
{
    return (size_t)key & (t->room - 1);
}

static size_t slot_of(const struct flight *t, uint64_t key)
{
    size_t i = home(t, key);

    while (t->slots[i].key != 0 && t->slots[i].key != key)
        i = (i + 1) & (t->room - 1);
    return i;
}

struct message *flight_find(const struct flight *t, uint64_t key)
{
    struct message *m = &t->slots[slot_of(t, key)];

    return m->key != 0 ? m : NULL;
}

static void flight_resize(struct flight *t, size_t room)
{
    struct flight old = *t;

    flight_init(t, room);
    for (size_t i = 0; i < old.room; i++)
        if (old.slots[i].key != 0)
            t->slots[slot_of(t, old.slots[i].key)] = old.slots[i];
    t->count = old.count;
    free(old.slots);
}

struct message *flight_put(struct flight *t, uint64_t key)
{
    size_t i = slot_of(t, key);

    if (t->slots[i].key != 0)
        return &t->slots[i];
    if (t->count * 2 >= t->room) {
        flight_resize(t, t->room * 2);
        i = slot_of(t, key);
    }
    t->slots[i] = (struct message){.key = key};
    t->count++;
    return &t->slots[i];
}

/* Followers whose home is at or before the hole move into it. */
void flight_drop(struct flight *t, struct message *message)
{
    size_t hole = (size_t)(message - t->slots), mask = t->room - 1;

    for (size_t i = (hole + 1) & mask; t->slots[i].key != 0; i = (i + 1) & mask) {
        size_t distance = (i - home(t, t->slots[i].key)) & mask;
        if (distance >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = (struct message){0};
    t->count--;
}

struct message *flight_at(const struct flight *t, size_t *i)
{
    while (*i < t->room && t->slots[*i].key == 0)
        (*i)++;
    return *i < t->room ? &t->slots[*i] : NULL;
}

size_t flight_sweep(struct flight *t, bool (*ends)(void *context, const struct message *m),
                    void *context)
{
    size_t before = t->count, live = 0;

    for (size_t i = 0; i < t->room; i++) {
        if (t->slots[i].key != 0 && ends(context, &t->slots[i]))
            t->slots[i].key = 0;
        live += t->slots[i].key != 0;
    }
    t->count = live;
    if (live == before)
        return 0;
    size_t room = t->room; /* holes in chains: all find their places again */
    while (room > FLIGHT_LEAST && live * 8 < room)
        room /= 2;
    flight_resize(t, room);
    return before - live;
}

/* ---- tally ---- */

void tally_init(struct tally *t)
{
    t->slot_room = 4096;
    t->slots = mem_zero(t->slot_room, sizeof *t->slots);
    t->count = 0;
    t->text.len = 0;
}

void tally_free(struct tally *t)
{
    free(t->rows);
    free(t->slots);
    buf_free(&t->text);
    *t = (struct tally){0};
}

void tally_clear(struct tally *t)
{
    tally_free(t);
    tally_init(t);
}

static void tally_slots_grow(struct tally *t)
{
    free(t->slots);
    t->slot_room *= 2;
    t->slots = mem_zero(t->slot_room, sizeof *t->slots);
    for (size_t r = 0; r < t->count; r++) {
        size_t i = (size_t)t->rows[r].key & (t->slot_room - 1);
        while (t->slots[i] != 0)
            i = (i + 1) & (t->slot_room - 1);
        t->slots[i] = (uint32_t)r + 1;
    }
}

/* The row of that key; `made` tells whether it is new. */
static struct tally_row *tally_put(struct tally *t, uint64_t key, bool *made)
{
    size_t i = (size_t)key & (t->slot_room - 1);

    while (t->slots[i] != 0 && t->rows[t->slots[i] - 1].key != key)
        i = (i + 1) & (t->slot_room - 1);
    *made = t->slots[i] == 0;
    if (!*made)
        return &t->rows[t->slots[i] - 1];
    if (t->count == t->room) {
        t->room = t->room > 0 ? t->room * 2 : 1024;
        t->rows = mem_grow(t->rows, t->room * sizeof *t->rows);
    }
    t->rows[t->count] = (struct tally_row){.key = key};
    t->slots[i] = (uint32_t)++t->count;
    if (t->count * 3 >= t->slot_room * 2)
        tally_slots_grow(t);
    return &t->rows[t->count - 1];
}

static void keep_local(struct tally *t, struct tally_row *row, struct span local)
{
    row->local = (uint32_t)t->text.len;
    row->local_len = (uint8_t)local.len;
    buf_append(&t->text, local.at, local.len);
}

static uint64_t tally_key(const uint8_t key[16], struct span address, int32_t day)
{
    return secret_hash64(address.at, address.len, key) ^
           mix((uint64_t)(uint32_t)day + UINT64_C(0x9e3779b97f4a7c15));
}

struct tally_row *tally_row(struct tally *t, const struct evidence_rules *rules,
                            struct span address, int32_t day)
{
    char local[ADDR_LOCAL_MAX + 1];
    size_t len = 0;
    bool made;
    struct tally_row *row = tally_put(t, tally_key(rules->key, address, day), &made);

    if (!made)
        return row;
    row->day = day;
    row->address = served_recipient(rules->served, address, &row->domain, local, &len);
    if (row->address == SERVED_EXACT || row->address == SERVED_TAGGED)
        keep_local(t, row, span_of(local, len));
    row->domain_id = row->domain != NULL ? served_id(row->domain) : 0;
    return row;
}

/* Such rows are few: they have a key of their own kind and are added up with the others later. */
struct tally_row *tally_known(struct tally *t, int32_t domain_id, struct span local, int32_t day)
{
    uint64_t key = mix(flight_key(local) + (uint64_t)(uint32_t)domain_id) ^
                   mix((uint64_t)(uint32_t)day + UINT64_C(0xc2b2ae3d27d4eb4f));
    bool made;
    struct tally_row *row = tally_put(t, key, &made);

    if (!made)
        return row;
    row->day = day;
    row->address = SERVED_EXACT;
    row->domain_id = domain_id;
    keep_local(t, row, local);
    return row;
}

const char *tally_local(const struct tally *t, const struct tally_row *row)
{
    return t->text.at + row->local;
}

bool tally_each(const struct tally *t, evidence_count_fn *row, void *context, struct err *err)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct tally_row *r = &t->rows[i];
        struct evidence_count count = {
            .day = r->day,
            .domain_id = r->domain_id,
            .accepted = r->accepted,
            .deliverable = r->deliverable,
            .refused = r->refused,
            .unknown = r->unknown,
            .late = r->late,
            .last_yes_us = r->last_yes_s * CLOCK_SECOND,
            .last_no_us = r->last_no_s * CLOCK_SECOND,
        };
        if (r->domain_id == 0 || r->accepted + r->deliverable + r->refused == 0)
            continue;
        count.local = span_of(tally_local(t, r), r->local_len);
        if (!row(context, &count, err))
            return false;
    }
    return true;
}
