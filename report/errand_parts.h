/* errand_parts - what errand.c shares with release.c (carrying out) and sweep.c (mending) */
#ifndef ROLLCALL_ERRAND_PARTS_H
#define ROLLCALL_ERRAND_PARTS_H

#include <pthread.h>

#include "lib/db.h"
#include "lib/submit.h"
#include "report/errand.h"

/* Where the slow round of sweep.c stands. */
struct sweep_round {
    char first[STORE_NAME + 1], behind[STORE_NAME + 1]; /* names of files */
    int64_t begun_us, looked_us;                        /* clock_elapsed_us; 0: never */
    bool turned, over; /* past the last name; past where it began */
};

struct errand {
    struct errand_options options;
    pthread_t thread;
    int stop_fd;
    struct db *db;
    struct submit *submit;
    bool told;          /* the present trouble is logged */
    int64_t swept_us;   /* clock_elapsed_us; 0: never */
    int64_t started_us; /* clock_wall_us */
    struct sweep_round round;
    int64_t figured_us; /* clock_elapsed_us; 0: never */
    uint64_t figured_sum;
    bool told_figures; /* that they cannot be written is logged */
};

/* release.c: requests that are due, some of them; *count tells how many. False: the database does
 * not answer. */
bool release_due(struct errand *e, size_t *count, struct err *err) MUST_CHECK;

/* sweep.c: files that nobody has any more; some of them. */
bool sweep_dropped(struct errand *e, size_t *count, struct err *err) MUST_CHECK;
/* sweep.c: files without rows, and rows whose file is gone or has another length. */
bool sweep_all(struct errand *e, struct err *err) MUST_CHECK;
/* sweep.c: reads some more files, when it is time; those that are not their rows' message. */
bool sweep_some(struct errand *e, struct err *err) MUST_CHECK;

#endif
