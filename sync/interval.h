/*
 * interval - when a source's turn is (pure)
 *
 * Turns stand at fixed times of the day, counted from 07:30 GMT, so that a late run does not shift
 * the next one: every 3 hours means 07:30, 10:30, 13:30 …
 */
#ifndef ROLLCALL_INTERVAL_H
#define ROLLCALL_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a turn has come since the last run began (0: there was none). Microseconds, wall time. A
 * last run in the future (the clock was put back) does not count. */
bool interval_due(int64_t now_us, int64_t last_us, int64_t interval_us);

#endif
