/* clock - see clock.h */
#include "clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * CLOCK_SECOND + now.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_elapsed_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

struct timespec clock_until(int64_t wait_us)
{
    int64_t until = read_clock(CLOCK_MONOTONIC) + wait_us;

    return (struct timespec){.tv_sec = until / CLOCK_SECOND,
                             .tv_nsec = until % CLOCK_SECOND * 1000};
}

void clock_rfc3339(char *out, size_t room, int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / CLOCK_SECOND);
    struct tm tm;
    char day[24];

    gmtime_r(&seconds, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, room, "%s.%03dZ", day, (int)(wall_us % CLOCK_SECOND / 1000));
}

void clock_age_text(char *out, size_t room, int64_t age_us)
{
    double s = (double)age_us / CLOCK_SECOND;

    if (s < 10)
        snprintf(out, room, "%.1f s", s);
    else if (s < 120)
        snprintf(out, room, "%.0f s", s);
    else if (s < 7200)
        snprintf(out, room, "%.0f min", s / 60);
    else if (s < 172800)
        snprintf(out, room, "%.1f h", s / 3600);
    else
        snprintf(out, room, "%.0f d", s / 86400);
}
