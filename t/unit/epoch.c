/*
 * epoch: memory is given back only when no reader can hold it, and then it is. Catches a
 * synchronize that does not wait for those inside, or waits for those who came later, and garbage
 * freed too early (by ASan and by what a reader sees) or never (LeakSanitizer).
 */
#include "policyd/epoch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/str.h"
#include "tap.h"

static _Atomic int released;

static void count_release(void *object, size_t size)
{
    atomic_fetch_add(&released, (int)size);
    free(object);
}

static void pause_briefly(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

static void check_garbage(void)
{
    struct epoch epoch;

    epoch_init(&epoch, 2);
    atomic_store(&released, 0);
    epoch_retire(&epoch, mem_alloc(8), 1, count_release);
    epoch_retire(&epoch, mem_alloc(8), 10, count_release);
    is_int(atomic_load(&released), 0, "retired is not yet released");
    epoch_synchronize(&epoch);
    is_int(atomic_load(&released), 11, "synchronize releases all, with their sizes");
    epoch_synchronize(&epoch);
    is_int(atomic_load(&released), 11, "and each once");
    epoch_enter(&epoch, 1);
    epoch_leave(&epoch, 1);
    epoch_synchronize(&epoch);
    ok(true, "who has left is not waited for");
    epoch_retire(&epoch, mem_alloc(8), 100, count_release);
    epoch_destroy(&epoch);
    is_int(atomic_load(&released), 111, "destroy releases what is left");
    epoch_init(&epoch, 0);
    epoch_synchronize(&epoch);
    epoch_destroy(&epoch);
    ok(true, "an epoch without readers");
}

struct sync_thread {
    struct epoch *epoch;
    _Atomic bool done;
};

static void *synchronize(void *argument)
{
    struct sync_thread *t = argument;

    epoch_synchronize(t->epoch);
    atomic_store(&t->done, true);
    return NULL;
}

static void check_waiting(void)
{
    struct epoch epoch;
    struct sync_thread t = {.epoch = &epoch};
    pthread_t thread;

    epoch_init(&epoch, 2);
    atomic_store(&released, 0);
    epoch_retire(&epoch, mem_alloc(8), 1, count_release);
    epoch_enter(&epoch, 0);
    uint64_t before = atomic_load(&epoch.now);
    pthread_create(&thread, NULL, synchronize, &t);
    while (atomic_load(&epoch.now) == before)
        pause_briefly();
    epoch_enter(&epoch, 1); /* later: must not be waited for */
    for (int i = 0; i < 40 && !atomic_load(&t.done); i++)
        pause_briefly();
    ok(!atomic_load(&t.done) && atomic_load(&released) == 0, "who is inside is waited for");
    epoch_leave(&epoch, 0);
    for (int64_t end = clock_elapsed_us() + 10 * CLOCK_SECOND;
         !atomic_load(&t.done) && clock_elapsed_us() < end;)
        pause_briefly();
    ok(atomic_load(&t.done) && atomic_load(&released) == 1, "who came later is not");
    epoch_leave(&epoch, 1);
    pthread_join(thread, NULL);
    epoch_destroy(&epoch);
}

/* ---- many readers, one writer */

enum { READERS = 3, SWAPS = 3000, ALIVE = 0x600d, DEAD = 0xdead };

struct object {
    int magic;
};

static struct {
    struct epoch epoch;
    _Atomic(struct object *) shared;
    _Atomic bool stop;
    _Atomic long seen_dead, reads;
} play;

static void *read_many(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument;

    while (!atomic_load_explicit(&play.stop, memory_order_relaxed)) {
        epoch_enter(&play.epoch, number);
        const struct object *object = atomic_load_explicit(&play.shared, memory_order_acquire);
        for (int i = 0; i < 20; i++)
            if (*(const volatile int *)&object->magic != ALIVE)
                atomic_fetch_add(&play.seen_dead, 1);
        epoch_leave(&play.epoch, number);
        atomic_fetch_add_explicit(&play.reads, 1, memory_order_relaxed);
    }
    return NULL;
}

static void kill_object(void *object, size_t size)
{
    ((struct object *)object)->magic = DEAD;
    count_release(object, size);
}

static struct object *fresh_object(void)
{
    struct object *object = mem_alloc(sizeof *object);

    object->magic = ALIVE;
    return object;
}

static void check_stress(void)
{
    pthread_t readers[READERS];

    epoch_init(&play.epoch, READERS);
    atomic_store(&released, 0);
    atomic_store(&play.shared, fresh_object());
    for (size_t i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_many, (void *)(uintptr_t)i);
    for (int i = 0; i < SWAPS || atomic_load(&play.reads) < SWAPS; i++) {
        struct object *old = atomic_exchange(&play.shared, fresh_object());
        epoch_retire(&play.epoch, old, 1, kill_object);
        if (i % 3 == 0)
            epoch_synchronize(&play.epoch);
    }
    atomic_store(&play.stop, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    epoch_retire(&play.epoch, atomic_load(&play.shared), 1, kill_object);
    epoch_synchronize(&play.epoch);
    is_int(atomic_load(&play.seen_dead), 0, "no reader saw what was given back");
    ok(atomic_load(&released) > SWAPS, "all was given back");
    epoch_destroy(&play.epoch);
}

int main(void)
{
    check_garbage();
    check_waiting();
    check_stress();
    return tap_done();
}
