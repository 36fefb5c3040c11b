/* progress - see progress.h */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"

enum { BAR = 30 };
#define QUIET (1 * CLOCK_SECOND)
#define EVERY (CLOCK_SECOND / 10)

void progress_begin(struct progress *progress)
{
    *progress =
        (struct progress){.possible = isatty(STDERR_FILENO) == 1, .begun_us = clock_elapsed_us()};
}

static void put(struct progress *progress, const char *line)
{
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
    progress->visible = true;
}

static void bar_text(char out[BAR + 1], double share)
{
    size_t full = (size_t)(share * BAR);

    memset(out, '-', BAR);
    memset(out, '#', full < BAR ? full : BAR);
    out[BAR] = '\0';
}

void progress_show(struct progress *progress, int64_t done, int64_t all, const char *what)
{
    int64_t now = clock_elapsed_us();
    char line[160], bar[BAR + 1], rest[32];

    if (!progress->possible || now - progress->begun_us < QUIET || now - progress->shown_us < EVERY)
        return;
    progress->shown_us = now;
    if (all <= 0 || done > all) {
        snprintf(line, sizeof line, "read %s", what);
    } else {
        double share = (double)done / (double)all;
        double taken = (double)(now - progress->begun_us);
        bar_text(bar, share);
        clock_age_text(rest, sizeof rest, (int64_t)(share > 0 ? taken / share - taken : 0));
        snprintf(line, sizeof line, "[%s] %2d %%  %s, %s left", bar, (int)(share * 100), what,
                 rest);
    }
    put(progress, line);
}

void progress_say(struct progress *progress, const char *what)
{
    if (progress->possible && clock_elapsed_us() - progress->begun_us >= QUIET)
        put(progress, what);
}

void progress_clear(struct progress *progress)
{
    if (!progress->visible)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->visible = false;
}
