/*
 * marks - where the next newline or '=' is, sixteen bytes at a time (pure)
 *
 * A policy request has some sixty of them in six hundred bytes: a call of memchr for each costs
 * more than everything else that is done to parse it.
 */
#ifndef ROLLCALL_MARKS_H
#define ROLLCALL_MARKS_H

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "lib/str.h"

enum { MARKS_BLOCK = 64 };

/* Bit i: byte i is one. On any processor; what the faster one is compared with. */
static inline uint64_t marks_of_plainly(const char *block)
{
    uint64_t marks = 0;

    for (size_t i = 0; i < MARKS_BLOCK; i++)
        marks |= (uint64_t)(block[i] == '\n' || block[i] == '=') << i;
    return marks;
}

#ifdef __SSE2__
static inline uint64_t marks_of(const char *block)
{
    const __m128i newline = _mm_set1_epi8('\n'), equals = _mm_set1_epi8('=');
    uint64_t marks = 0;

    for (size_t i = 0; i < MARKS_BLOCK; i += 16) {
        __m128i bytes = _mm_loadu_si128((const void *)(block + i));
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(bytes, newline), _mm_cmpeq_epi8(bytes, equals));
        marks |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << i;
    }
    return marks;
}
#else
#define marks_of marks_of_plainly
#endif

/* Begins as {.bytes = …}. */
struct marks {
    struct span bytes;
    size_t block, next; /* where `left` belongs to; the block after it */
    uint64_t left;
};

/* False: there is none any more. Reads nothing behind the bytes. */
static inline bool marks_next(struct marks *m, size_t *at)
{
    char rest[MARKS_BLOCK];

    while (m->left == 0) {
        size_t there = m->bytes.len - m->next;
        const char *block = m->bytes.at + m->next;
        if (there == 0)
            return false;
        if (there < MARKS_BLOCK) {
            memset(rest, 0, sizeof rest);
            block = memcpy(rest, block, there);
        }
        m->left = marks_of(block);
        m->block = m->next;
        m->next += there < MARKS_BLOCK ? there : MARKS_BLOCK;
    }
    *at = m->block + (size_t)__builtin_ctzll(m->left);
    m->left &= m->left - 1;
    return true;
}

#endif
