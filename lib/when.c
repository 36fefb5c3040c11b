/* when - see when.h */
#include "when.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- reading ---- */

/* Exactly two digits at *rest, of a number within these bounds. */
static bool take_two(struct span *rest, int least, int most, int *value)
{
    if (rest->len < 2 || rest->at[0] < '0' || rest->at[0] > '9' || rest->at[1] < '0' ||
        rest->at[1] > '9')
        return false;
    *value = 10 * (rest->at[0] - '0') + (rest->at[1] - '0');
    *rest = span_of(rest->at + 2, rest->len - 2);
    return *value >= least && *value <= most;
}

static bool take_char(struct span *rest, char c)
{
    if (rest->len == 0 || rest->at[0] != c)
        return false;
    *rest = span_of(rest->at + 1, rest->len - 1);
    return true;
}

static void skip_fraction(struct span *rest)
{
    if (take_char(rest, '.'))
        while (rest->len > 0 && rest->at[0] >= '0' && rest->at[0] <= '9')
            *rest = span_of(rest->at + 1, rest->len - 1);
}

/* "+01", "-03:30", "+00:53:28" */
static bool take_offset(struct span *rest, int32_t *offset)
{
    int hours, minutes = 0, seconds = 0;
    bool west = take_char(rest, '-');

    if ((!west && !take_char(rest, '+')) || !take_two(rest, 0, 15, &hours))
        return false;
    if (take_char(rest, ':') && !take_two(rest, 0, 59, &minutes))
        return false;
    if (take_char(rest, ':') && !take_two(rest, 0, 59, &seconds))
        return false;
    *offset = (west ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

bool when_parse(struct span text, struct when *when)
{
    struct tm t = {0};
    int century, year;

    if (!take_two(&text, 0, 99, &century) || !take_two(&text, 0, 99, &year) ||
        !take_char(&text, '-') || !take_two(&text, 1, 12, &t.tm_mon) || !take_char(&text, '-') ||
        !take_two(&text, 1, 31, &t.tm_mday) || !take_char(&text, ' ') ||
        !take_two(&text, 0, 24, &t.tm_hour) || !take_char(&text, ':') ||
        !take_two(&text, 0, 59, &t.tm_min) || !take_char(&text, ':') ||
        !take_two(&text, 0, 60, &t.tm_sec))
        return false;
    skip_fraction(&text);
    t.tm_year = 100 * century + year - 1900;
    t.tm_mon--;
    when->local = (int64_t)timegm(&t);
    return take_offset(&text, &when->offset) && text.len == 0;
}

/* ---- writing ---- */

static void put_day(struct buf *out, enum text_language language, const struct tm *t)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int year = t->tm_year + 1900, month = t->tm_mon + 1;

    switch (language) {
    case TEXT_DE:
        buf_printf(out, "%02d.%02d.%d", t->tm_mday, month, year);
        break;
    case TEXT_FR:
    case TEXT_ES:
        buf_printf(out, "%02d/%02d/%d", t->tm_mday, month, year);
        break;
    default: /* numbers alone mean one day in London and another in New York */
        buf_printf(out, "%d %s %d", t->tm_mday, months[t->tm_mon], year);
    }
}

/* "UTC", "UTC+1", "UTC−3:30" */
static void put_offset(struct buf *out, int32_t offset)
{
    int minutes = abs(offset) / 60;

    buf_text(out, " UTC");
    if (minutes == 0)
        return;
    buf_printf(out, "%s%d", offset < 0 ? "\u2212" : "+", minutes / 60);
    if (minutes % 60 != 0)
        buf_printf(out, ":%02d", minutes % 60);
}

void when_text(struct buf *out, enum text_language language, enum when_style style,
               struct when when)
{
    time_t seconds = (time_t)when.local;
    struct tm t;

    if (gmtime_r(&seconds, &t) == NULL)
        return;
    put_day(out, language, &t);
    if (style == WHEN_DAY)
        return;
    buf_printf(out, "%s %02d:%02d", language == TEXT_FR ? "" : ",", t.tm_hour, t.tm_min);
    if (style == WHEN_MINUTE)
        return;
    buf_printf(out, ":%02d", t.tm_sec);
    put_offset(out, when.offset);
}
