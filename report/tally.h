/*
 * tally - what rollcall-quarantine has done since its start, counted; any thread
 */
#ifndef ROLLCALL_TALLY_H
#define ROLLCALL_TALLY_H

#include <stdint.h>

enum tally {
    TALLY_MESSAGES,
    TALLY_RECIPIENTS,
    TALLY_BYTES,
    TALLY_PUT_OFF,
    TALLY_REFUSED,
    TALLY_SESSIONS_REFUSED,
    TALLY_RELEASED,
    TALLY_RELEASE_LATER,
    TALLY_RELEASE_FAILED,
    TALLY_MENDED,
    TALLY_LOST,
    TALLY_CHECKED, /* bytes */
    TALLIES,
};

void tally_add(enum tally what, uint64_t count);
uint64_t tally_get(enum tally what);
/* Of all: whether anything happened. */
uint64_t tally_sum(void);

#endif
