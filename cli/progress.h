/*
 * progress - a line on the terminal that tells how far a long piece of work is
 *
 * Only where standard error is a terminal, and only once the work has taken a second.
 */
#ifndef ROLLCALL_PROGRESS_H
#define ROLLCALL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool possible, visible;
    int64_t begun_us, shown_us;
};

void progress_begin(struct progress *progress);
/* `done` of `all` (-1: not known); `what` counts what was done, like "42000 lines". */
void progress_show(struct progress *progress, int64_t done, int64_t all, const char *what);
/* Work whose end is not known, and that tells nothing on its way. */
void progress_say(struct progress *progress, const char *what);
/* Takes the line away, before anything else is printed and at the end. */
void progress_clear(struct progress *progress);

#endif
