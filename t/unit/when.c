/*
 * when: moments as PostgreSQL tells them, and as people of four languages read them.
 * Catches a day and month that change places, an offset that is lost, and a text that is no time
 * and is shown as one.
 */
#include "lib/when.h"

#include "table.h"
#include "tap.h"

static enum when_style style_of(const char *word)
{
    return word[0] == 'd' ? WHEN_DAY : word[0] == 'm' ? WHEN_MINUTE : WHEN_EXACT;
}

static void moment_row(int line, char **field, int fields)
{
    enum text_language language;
    struct when when;
    BUF_AUTO out = {0};
    BUF_AUTO want = {0};

    if (!ok(fields == 4 && text_language_find(field[1], &language), "line %d", line))
        return;
    if (!when_parse(span_text(field[0]), &when)) {
        is_text("-", field[3], "line %d: '%s' is no time", line, field[0]);
        return;
    }
    table_bytes(field[3], &want);
    when_text(&out, language, style_of(field[2]), when);
    is_text(out.at, want.at, "line %d: %s in %s", line, field[0], field[1]);
}

int main(void)
{
    struct when when = {0};

    tap_rows(TEST_DATA "/when/moments.txt", moment_row);
    ok(when_parse(span_text("2026-11-23 19:38:57.705239+01"), &when), "a time");
    is_int(when.local, 1795462737, "on the wall");
    is_int(when.offset, 3600, "its offset");
    return tap_done();
}
