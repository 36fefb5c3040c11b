/*
 * clock - the two times there are
 *
 * Wall time is for people and for what is kept on disk; it may jump. Elapsed time is for waits and
 * ages; it never jumps and counts while the machine sleeps. Everything that decides takes a time as
 * a parameter.
 */
#ifndef ROLLCALL_CLOCK_H
#define ROLLCALL_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND INT64_C(1000000) /* microseconds */

/* Microseconds since 1970-01-01 00:00 GMT. */
int64_t clock_wall_us(void);
/* Microseconds since boot (CLOCK_BOOTTIME). */
int64_t clock_elapsed_us(void);
/* That time from now, for pthread_cond_timedwait of a condition made with CLOCK_MONOTONIC. */
struct timespec clock_until(int64_t wait_us);

/* "2026-11-23T18:38:57.705Z" (RFC 3339); at least 32 bytes of room. */
void clock_rfc3339(char *out, size_t room, int64_t wall_us);
/* An age for people: "0.4 s", "12 s", "3 min", "2.5 h", "4 d"; at least 32 bytes of room. */
void clock_age_text(char *out, size_t room, int64_t age_us);

#endif
