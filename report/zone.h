/*
 * zone - what the clock on the wall shows somewhere: the system's tzdata, through the C library
 *
 * One zone is loaded at a time, for the whole process: for programs of one thread.
 */
#ifndef ROLLCALL_ZONE_H
#define ROLLCALL_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

/* From now on zone_offset is about this one. ERR_CONFIG: there is no such zone. */
bool zone_use(const char *name, struct err *err) MUST_CHECK;
/* Local time minus GMT, in seconds, at that moment. */
int64_t zone_offset(int64_t seconds);

#endif
