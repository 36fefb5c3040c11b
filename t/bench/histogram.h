/*
 * histogram - latencies in nanoseconds, counted in buckets that are less than 1 % wide
 *
 * As HdrHistogram does it: 128 buckets for each power of two, so that recording is a few
 * instructions and a percentile is right to within a bucket, up to 2^40 ns (18 minutes).
 */
#ifndef ROLLCALL_BENCH_HISTOGRAM_H
#define ROLLCALL_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_POWERS = 40 - HISTOGRAM_BITS };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_POWERS + 1) << HISTOGRAM_BITS };

struct histogram {
    uint64_t count, sum, most;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* Values below 256 have a bucket each; above, the top eight bits tell the bucket. */
static inline size_t histogram_place(uint64_t ns)
{
    uint64_t capped = ns < (UINT64_C(1) << 40) ? ns : (UINT64_C(1) << 40) - 1;
    int power = 63 - __builtin_clzll(capped | 1);
    int shift = power > HISTOGRAM_BITS ? power - HISTOGRAM_BITS : 0;

    return ((size_t)shift << HISTOGRAM_BITS) + (size_t)(capped >> shift);
}

/* The middle of a bucket. */
static inline uint64_t histogram_value(size_t place)
{
    if (place < (size_t)2 << HISTOGRAM_BITS)
        return place;
    size_t shift = (place >> HISTOGRAM_BITS) - 1;
    uint64_t low = (uint64_t)(place - (shift << HISTOGRAM_BITS)) << shift;

    return low + ((UINT64_C(1) << shift) >> 1);
}

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count++;
    h->sum += ns;
    h->most = ns > h->most ? ns : h->most;
    h->bucket[histogram_place(ns)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->most = from->most > into->most ? from->most : into->most;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

/* The value that `share` (0 to 1) of all values do not exceed; 0 when there are none. */
static inline uint64_t histogram_percentile(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count + 0.5), seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS && h->count > 0; i++) {
        seen += h->bucket[i];
        if (seen >= (wanted > 0 ? wanted : 1))
            return histogram_value(i) < h->most ? histogram_value(i) : h->most;
    }
    return h->most;
}

#endif
