/*
 * stamp - the time stamps of log lines as times (pure but for the local zone)
 *
 * Old syslog writes neither year nor zone. The year is taken so that a line lies nearest to the one
 * before it, and the first one as late as it may be: not after the file was written. A local time
 * that occurs twice (the hour when summer time ends) is taken so that time goes on.
 */
#ifndef ROLLCALL_STAMP_H
#define ROLLCALL_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/str.h"

/* What a stamp says by itself. */
struct stamp {
    int year;  /* 0: not said */
    int month; /* 1 to 12 */
    int day, hour, minute, second;
    int32_t microsecond;
    bool zoned;
    int32_t east_s; /* of GMT; only with zoned */
};

/*
 * "Nov 23 18:02:37", "Nov  3 18:02:37.123456", "2026-11-23T18:38:57.705239+00:00" (or Z, +0000, or
 * no zone), "2026-11-23 18:19:44", "Mon Nov 23 18:08:24 2026". The whole span or nothing.
 */
bool stamp_parse(struct span text, struct stamp *stamp);

/* The civil time as if it were GMT, in seconds since 1970. */
int64_t stamp_civil(int year, int month, int day, int hour, int minute, int second);

/*
 * The times that a local civil time can stand for, ascending (two in the hour that occurs twice,
 * one else); returns how many. `civil_s` as stamp_civil gives it.
 */
typedef int stamp_zone_fn(int64_t civil_s, int64_t out_s[2]);
/* By the C library, for the TZ in force. */
stamp_zone_fn stamp_local, stamp_gmt;

/* Turns the stamps of one stream of lines into times; zero-initialise but for the first three. */
struct stamp_clock {
    stamp_zone_fn *zone;
    int64_t newest_us; /* no line was written later: time of the file's last change, or now */
    int64_t last_us;   /* of the line before; 0: none */
    char text[40];     /* the last stamp again, since neighbours share it */
    size_t text_len;
    int64_t text_us;
};
/* Microseconds since 1970; false when the span is no stamp. */
bool stamp_time(struct stamp_clock *clock, struct span text, int64_t *us);

#endif
