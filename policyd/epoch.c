/* epoch - see epoch.h */
#include "policyd/epoch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/str.h"

struct epoch_garbage {
    struct epoch_garbage *next;
    void *object;
    size_t size;
    void (*release)(void *object, size_t size);
};

void epoch_init(struct epoch *epoch, size_t readers)
{
    size_t bytes = (readers > 0 ? readers : 1) * sizeof *epoch->readers;

    atomic_init(&epoch->now, 1);
    epoch->reader_count = readers;
    epoch->readers = aligned_alloc(_Alignof(struct epoch_reader), bytes);
    if (epoch->readers == NULL)
        abort();
    memset(epoch->readers, 0, bytes);
    epoch->garbage = NULL;
}

static void free_garbage(struct epoch *epoch)
{
    while (epoch->garbage != NULL) {
        struct epoch_garbage *first = epoch->garbage;
        epoch->garbage = first->next;
        first->release(first->object, first->size);
        free(first);
    }
}

void epoch_destroy(struct epoch *epoch)
{
    free_garbage(epoch);
    free(epoch->readers);
    epoch->readers = NULL;
}

void epoch_synchronize(struct epoch *epoch)
{
    uint64_t mine = atomic_fetch_add(&epoch->now, 1) + 1;

    for (size_t i = 0; i < epoch->reader_count; i++) {
        for (;;) {
            uint64_t inside = atomic_load(&epoch->readers[i].inside);
            if (inside == 0 || inside >= mine)
                break;
            nanosleep(&(struct timespec){.tv_nsec = 20000},
                      NULL); /* a reader stays for microseconds */
        }
    }
    free_garbage(epoch);
}

void epoch_retire(struct epoch *epoch, void *object, size_t size,
                  void (*release)(void *object, size_t size))
{
    struct epoch_garbage *garbage = mem_alloc(sizeof *garbage);

    *garbage = (struct epoch_garbage){epoch->garbage, object, size, release};
    epoch->garbage = garbage;
}
