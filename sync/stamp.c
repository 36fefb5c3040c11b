/* stamp - see stamp.h */
#include "sync/stamp.h"

#include <string.h>
#include <time.h>

#include "lib/clock.h"

static const int64_t DAY_S = 86400;

/* ---- reading ---- */

static bool digits(const char **at, const char *end, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (*at == end || **at < '0' || **at > '9')
            return false;
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

static bool mark(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    (*at)++;
    return true;
}

static bool month_name(const char **at, const char *end, int *month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (end - *at < 3)
        return false;
    for (*month = 1; *month <= 12; (*month)++)
        if (memcmp(names + 3 * (*month - 1), *at, 3) == 0) {
            *at += 3;
            return true;
        }
    return false;
}

/* "18:02:37" with a fraction of up to nine digits. */
static bool time_of_day(const char **at, const char *end, struct stamp *s)
{
    int32_t unit = 100000;

    if (!digits(at, end, 2, &s->hour) || !mark(at, end, ':') || !digits(at, end, 2, &s->minute) ||
        !mark(at, end, ':') || !digits(at, end, 2, &s->second))
        return false;
    if (*at == end || (**at != '.' && **at != ','))
        return true;
    for ((*at)++; *at < end && **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
        s->microsecond += (**at - '0') * unit;
    return true;
}

/* "Z", "+01:00", "-0500", or nothing */
static bool zone(const char **at, const char *end, struct stamp *s)
{
    int hours, minutes;

    if (*at == end)
        return true;
    s->zoned = true;
    if (mark(at, end, 'Z'))
        return true;
    bool west = **at == '-';
    if (!west && **at != '+')
        return false;
    (*at)++;
    if (!digits(at, end, 2, &hours))
        return false;
    mark(at, end, ':');
    if (!digits(at, end, 2, &minutes) || hours > 15 || minutes > 59)
        return false;
    s->east_s = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

static bool read_dashed(const char *at, const char *end, struct stamp *s)
{
    if (!digits(&at, end, 4, &s->year) || !mark(&at, end, '-') || !digits(&at, end, 2, &s->month) ||
        !mark(&at, end, '-') || !digits(&at, end, 2, &s->day) ||
        (!mark(&at, end, 'T') && !mark(&at, end, ' ')))
        return false;
    return time_of_day(&at, end, s) && zone(&at, end, s) && at == end && s->year >= 1970;
}

/* "Nov 23 18:02:37", "Nov  3 18:02:37", and the year behind it in asctime's form */
static bool read_named(const char *at, const char *end, struct stamp *s)
{
    if (!month_name(&at, end, &s->month) || !mark(&at, end, ' '))
        return false;
    if (!(mark(&at, end, ' ') ? digits(&at, end, 1, &s->day) : digits(&at, end, 2, &s->day)) ||
        !mark(&at, end, ' ') || !time_of_day(&at, end, s))
        return false;
    if (mark(&at, end, ' ') && (!digits(&at, end, 4, &s->year) || s->year < 1970))
        return false;
    return at == end;
}

static bool is_weekday(const char *at)
{
    static const char names[] = "SunMonTueWedThuFriSat";

    for (int i = 0; i < 7; i++)
        if (memcmp(names + 3 * i, at, 3) == 0)
            return true;
    return false;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

bool stamp_parse(struct span text, struct stamp *s)
{
    const char *at = text.at, *end = at + text.len;
    bool read;

    *s = (struct stamp){0};
    if (text.len < 15 || text.len > 40)
        return false;
    if (*at >= '0' && *at <= '9')
        read = read_dashed(at, end, s);
    else
        read = read_named(is_weekday(at) && at[3] == ' ' ? at + 4 : at, end, s);
    return read && s->month >= 1 && s->month <= 12 && s->day >= 1 && s->hour < 24 &&
           s->minute < 60 && s->second <= 60 && /* a leap second */
           s->day <= days_in(s->year != 0 ? s->year : 2000, s->month);
}

/* ---- civil time ---- */

/* Days since 1970-01-01 of the proleptic Gregorian calendar, years beginning in March. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int64_t stamp_civil(int year, int month, int day, int hour, int minute, int second)
{
    return days_from_civil(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second;
}

int stamp_gmt(int64_t civil_s, int64_t out_s[2])
{
    out_s[0] = civil_s;
    return 1;
}

/* Adds the time that `civil_s` is when the zone is `east_s` east of GMT, if it is so at that time.
 */
static int add_if_true(int64_t civil_s, long east_s, int64_t out_s[2], int count)
{
    time_t t = (time_t)(civil_s - east_s);
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL || tm.tm_gmtoff != east_s || (count > 0 && out_s[0] == t))
        return count;
    out_s[count] = t;
    return count + 1;
}

int stamp_local(int64_t civil_s, int64_t out_s[2])
{
    time_t before = (time_t)(civil_s - DAY_S), after = (time_t)(civil_s + DAY_S);
    struct tm early, late;
    int count;

    if (localtime_r(&before, &early) == NULL || localtime_r(&after, &late) == NULL)
        return stamp_gmt(civil_s, out_s);
    /* the offset before a change is the larger one when an hour occurs twice: the earlier time */
    count = add_if_true(civil_s, early.tm_gmtoff, out_s, 0);
    count = add_if_true(civil_s, late.tm_gmtoff, out_s, count);
    if (count == 0) /* an hour that is left out: as if the clock had not been changed yet */
        out_s[count++] = civil_s - early.tm_gmtoff;
    return count;
}

/* ---- times ---- */

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* The civil time in the year that suits: nearest to the last line, else as late as it may be. */
static int64_t civil_of(const struct stamp_clock *clock, const struct stamp *s)
{
    int64_t anchor_s = (clock->last_us != 0 ? clock->last_us : clock->newest_us) / CLOCK_SECOND;
    int year = s->year, anchor_year;
    int64_t best = 0;
    bool found = false;

    if (year != 0)
        return stamp_civil(year, s->month, s->day, s->hour, s->minute, s->second);
    anchor_year = 1970 + (int)(anchor_s / (365 * DAY_S + DAY_S / 4));
    for (year = anchor_year + 2; year >= anchor_year - 9; year--) {
        if (s->day > days_in(year, s->month))
            continue; /* 29 February */
        int64_t civil = stamp_civil(year, s->month, s->day, s->hour, s->minute, s->second);
        if (clock->last_us == 0 && civil > anchor_s + DAY_S)
            continue;
        if (!found || distance(civil, anchor_s) < distance(best, anchor_s))
            best = civil;
        found = true;
    }
    return best;
}

static int64_t utc_of(const struct stamp_clock *clock, const struct stamp *s, int64_t civil_s)
{
    int64_t out_s[2];

    if (s->zoned)
        return civil_s - s->east_s;
    int count = clock->zone(civil_s, out_s);
    /* it occurs twice: the second one once the first would mean that a quarter of an hour went
     * back; lines of neighbours come a little out of order */
    bool second = count == 2 && clock->last_us / CLOCK_SECOND > out_s[0] + 900;
    return out_s[second];
}

bool stamp_time(struct stamp_clock *clock, struct span text, int64_t *us)
{
    struct stamp s;

    if (text.len == clock->text_len && text.len > 0 &&
        memcmp(text.at, clock->text, text.len) == 0) {
        *us = clock->text_us;
        return true;
    }
    if (!stamp_parse(text, &s))
        return false;
    *us = utc_of(clock, &s, civil_of(clock, &s)) * CLOCK_SECOND + s.microsecond;
    memcpy(clock->text, text.at, text.len);
    clock->text_len = text.len;
    clock->text_us = clock->last_us = *us;
    return true;
}
