/* tally - see tally.h */
#include "report/tally.h"

#include <stdatomic.h>

static _Atomic uint64_t counts[TALLIES];

void tally_add(enum tally what, uint64_t count)
{
    atomic_fetch_add_explicit(&counts[what], count, memory_order_relaxed);
}

uint64_t tally_get(enum tally what)
{
    return atomic_load_explicit(&counts[what], memory_order_relaxed);
}

uint64_t tally_sum(void)
{
    uint64_t sum = 0;

    for (enum tally i = 0; i < TALLIES; i++)
        sum += tally_get(i);
    return sum;
}
