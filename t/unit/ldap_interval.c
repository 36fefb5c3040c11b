/*
 * interval: when a source's turn is. Catches turns that drift with the run before, that are counted
 * from midnight instead of from 07:30 GMT, and a source that waits for ever after the clock was put
 * back.
 */
#include "sync/interval.h"

#include "tap.h"

#define MINUTE INT64_C(60000000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* Times of the 100th day, as hours and minutes. */
static int64_t at(int hour, int minute)
{
    return 100 * DAY + hour * HOUR + minute * MINUTE;
}

static void check(int64_t now, int64_t last, int64_t interval, bool want, const char *what)
{
    ok(interval_due(now, last, interval) == want, "%s", what);
}

int main(void)
{
    check(at(7, 29), at(4, 30), 3 * HOUR, false, "07:29 is not yet 07:30");
    check(at(7, 30), at(4, 30), 3 * HOUR, true, "07:30 is");
    check(at(10, 29), at(7, 30), 3 * HOUR, false, "10:29 after 07:30 is not");
    check(at(10, 31), at(10, 29), 3 * HOUR, true, "a late run does not shift the next");
    check(at(10, 31), at(10, 30), 3 * HOUR, false, "once at each turn");
    check(at(1, 30), at(1, 29), 3 * HOUR, true, "also before 07:30 of the day: 01:30");
    check(at(0, 10), at(0, 1) - 5 * MINUTE, 3 * HOUR, false, "over midnight: 22:30 to 01:30");
    check(at(12, 0), at(1, 0), DAY, true, "once a day: at 07:30");
    check(at(7, 0), at(0, 0) - 12 * HOUR, DAY, false, "once a day: not before 07:30");
    check(at(7, 35), at(7, 34), 5 * MINUTE, true, "every 5 minutes");
    check(at(7, 34), at(7, 31), 5 * MINUTE, false, "every 5 minutes, not sooner");
    check(at(9, 0), 0, 3 * HOUR, true, "a new source is read at once");
    check(at(9, 0), at(9, 20), 3 * HOUR, true, "a run in the future does not count");
    return tap_done();
}
