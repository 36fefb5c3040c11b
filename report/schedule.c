/* schedule - see schedule.h */
#include "report/schedule.h"

enum {
    HOUR = 3600,
    DAY = 24 * HOUR,
    STEP = 900, /* offsets and their changes are multiples of it, in our days */
    EAST = 15 * HOUR,
    WEST = 14 * HOUR, /* further from GMT than any zone */
};

static int64_t days_of(int64_t local)
{
    return local >= 0 ? local / DAY : -((DAY - 1 - local) / DAY);
}

/* 1970-01-01 was a Thursday. */
static bool is_day(const struct schedule *schedule, int64_t day)
{
    return schedule->days >> (((day + 3) % 7 + 7) % 7) & 1;
}

/* The first moment at which the wall shows `local` or more. */
static int64_t moment_of(schedule_offset_fn *offset, int64_t local)
{
    int64_t at = local - EAST;

    while (at < local + WEST && at + offset(at) < local)
        at += STEP;
    /* a change that is no multiple of STEP: between here and one step before */
    for (int64_t step = STEP / 2; step > 0; step /= 2)
        if (at - step + offset(at - step) >= local)
            at -= step;
    return at;
}

bool schedule_last(const struct schedule *schedule, schedule_offset_fn *offset, int64_t now,
                   int64_t *slot)
{
    int64_t today = days_of(now + offset(now));

    /* tomorrow too: a clock that was put back shows less than it did */
    for (int64_t day = today + 1; day >= today - 8; day--) {
        if (!is_day(schedule, day))
            continue;
        for (int hour = 23; hour >= 0; hour--) {
            if ((schedule->hours >> hour & 1) == 0)
                continue;
            *slot = moment_of(offset, day * DAY + hour * HOUR);
            if (*slot <= now)
                return true;
        }
    }
    return false;
}
