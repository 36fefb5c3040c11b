/*
 * schedule - when a report is due: days and hours on somebody's wall clock (pure)
 *
 * A slot is the first moment at which the wall clock shows its hour or has passed it. So an hour
 * that is skipped in spring is due right after the gap, one that comes twice in autumn is due the
 * first time, and two slots that fall together are one.
 */
#ifndef ROLLCALL_SCHEDULE_H
#define ROLLCALL_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct schedule {
    unsigned days;  /* bit 0: Monday … bit 6: Sunday */
    unsigned hours; /* bit h: at h o'clock */
};

/* Local time minus GMT in seconds, at that moment (seconds since 1970). */
typedef int64_t schedule_offset_fn(int64_t seconds);

/* The last slot at or before `now`, both seconds since 1970; false: there is none in eight days. */
bool schedule_last(const struct schedule *schedule, schedule_offset_fn *offset, int64_t now,
                   int64_t *slot) MUST_CHECK;

#endif
