/*
 * schedule: when reports are due, on the wall clocks of real zones, over the changes of a year.
 * Catches a report that is lost in a skipped hour, comes twice in a repeated one, or drifts.
 */
#include "report/schedule.h"

#include <time.h>

#include "report/zone.h"
#include "tap.h"

enum { HOUR = 3600, DAY = 24 * HOUR };

static int64_t moment(const char *text)
{
    struct tm t = {0};

    return strptime(text, "%Y-%m-%dT%H:%M:%S", &t) != NULL ? (int64_t)timegm(&t) : -1;
}

static unsigned days_of(const char *text)
{
    unsigned days = 0;

    for (int i = 0; i < 7; i++)
        days |= (unsigned)(text[i] != '-') << i;
    return days;
}

static unsigned hours_of(const char *text)
{
    unsigned hours = 0;

    for (char *end; *text != '\0'; text = *end == ',' ? end + 1 : end)
        hours |= 1U << strtol(text, &end, 10);
    return hours;
}

static void slot_row(int line, char **field, int fields)
{
    struct schedule schedule;
    struct err err;
    int64_t slot = 0;

    if (!ok(fields == 5 && zone_use(field[0], &err), "line %d: %s", line, field[0]))
        return;
    schedule = (struct schedule){days_of(field[1]), hours_of(field[2])};
    ok(schedule_last(&schedule, zone_offset, moment(field[3]), &slot), "line %d: a slot", line);
    is_int(slot, moment(field[4]), "line %d: %s %s %s at %s", line, field[0], field[1], field[2],
           field[3]);
}

/* Asked every ten minutes for a year, every hour of the day comes on each day exactly once. */
static void year_of(const char *zone, int hour)
{
    struct schedule schedule = {0x7f, 1U << hour};
    struct err err;
    int64_t last = 0, slot, first = moment("2026-01-01T12:05:00"), least = 2 * DAY, most = 0;
    int slots = 0, wrong = 0;

    if (!ok(zone_use(zone, &err), "%s", zone))
        return;
    for (int64_t now = first; now <= first + 365 * DAY; now += 600) {
        if (!schedule_last(&schedule, zone_offset, now, &slot) || slot > now) {
            wrong++;
            continue;
        }
        if (slot == last)
            continue;
        if (last != 0) {
            slots++;
            least = slot - last < least ? slot - last : least;
            most = slot - last > most ? slot - last : most;
            wrong += slot - last != DAY && (slot - last < 23 * HOUR || slot - last > 25 * HOUR);
        }
        last = slot;
    }
    ok(slots == 365 && wrong == 0, "%s at %d: %d slots, %.1f to %.1f hours apart", zone, hour,
       slots, (double)least / HOUR, (double)most / HOUR);
}

int main(void)
{
    static const char *const zones[] = {"Europe/Berlin", "America/New_York", "Asia/Kolkata",
                                        "Australia/Lord_Howe"};
    static const char *const bad[] = {"", "Europe/Nowhere", "../passwd", "/etc/passwd", "Europe"};
    struct schedule never = {0, 1}, none = {0x7f, 0};
    struct err err;
    int64_t slot;

    tap_rows(TEST_DATA "/schedule/slots.txt", slot_row);
    for (size_t z = 0; z < 4; z++)
        for (int hour = 0; hour < 24; hour += hour < 4 ? 1 : 9)
            year_of(zones[z], hour);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ok(!zone_use(bad[i], &err), "'%s' is no zone", bad[i]);
    ok(!schedule_last(&never, zone_offset, moment("2026-06-01T00:00:00"), &slot), "no day");
    ok(!schedule_last(&none, zone_offset, moment("2026-06-01T00:00:00"), &slot), "no hour");
    return tap_done();
}
