/*
 * epoch - when may memory that readers could still hold be given back?
 *
 * Readers never wait: they mark the time in which they look at shared tables (one store each way).
 * The one writer swaps a pointer, then waits until every reader that was inside has left. What
 * lives in the tables is index.h's and domains.h's matter.
 */
#ifndef ROLLCALL_EPOCH_H
#define ROLLCALL_EPOCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct epoch_reader {
    _Alignas(64) _Atomic uint64_t inside; /* the epoch in which it entered; 0: outside */
};

struct epoch {
    _Alignas(64) _Atomic uint64_t now;
    size_t reader_count;
    struct epoch_reader *readers;
    struct epoch_garbage *garbage; /* the writer's: what waits to be freed */
};

void epoch_init(struct epoch *epoch, size_t readers);
void epoch_destroy(struct epoch *epoch); /* frees the garbage; no reader may be left */

/* Around everything that looks at shared tables; reader `number` is one thread's own. */
static inline void epoch_enter(struct epoch *epoch, size_t number)
{
    uint64_t now = atomic_load_explicit(&epoch->now, memory_order_relaxed);

    /* sequentially consistent: the mark must be seen before any table pointer is read */
    atomic_store(&epoch->readers[number].inside, now);
}

static inline void epoch_leave(struct epoch *epoch, size_t number)
{
    atomic_store_explicit(&epoch->readers[number].inside, 0, memory_order_release);
}

/* The writer only: waits until no reader is left that entered before the call, then frees the
 * garbage. */
void epoch_synchronize(struct epoch *epoch);
/* The writer only: `release(object, size)` runs at the next epoch_synchronize. */
void epoch_retire(struct epoch *epoch, void *object, size_t size,
                  void (*release)(void *object, size_t size));

#endif
