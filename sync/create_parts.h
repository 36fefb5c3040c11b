/* create_parts - what the files of the nightly run share; for nobody else */
#ifndef ROLLCALL_CREATE_PARTS_H
#define ROLLCALL_CREATE_PARTS_H

#include "lib/clock.h"
#include "sync/create.h"

#define DAY_US (86400 * CLOCK_SECOND)

enum { DAY_TEXT = 16, TIME_TEXT = 32, NUMBER_TEXT = 24, HELD_TEXT = 512 };

/* One domain, as the run finds it and leaves it from day to day. */
struct domain {
    int32_t id;
    const char *name;
    int32_t first_day; /* the first one to work */
    bool created_first, accepts_everything, probe_answered;
    int64_t guard_percent; /* -1: the setting */
    char held[HELD_TEXT];  /* why users were held back, as it was told last; "": they were not */
};

struct create {
    const struct create_options *options;
    struct create_report *report;
    struct db *db;
    int32_t ready_day; /* all gateways' logs are read to the end of that day */
};

const char *day_text(int32_t day, char text[DAY_TEXT]);
const char *number_text(int64_t number, char text[NUMBER_TEXT]);

/* create_domain.c: one day of one domain. *done is false when its later days must wait for it. */
bool create_work_day(struct create *c, struct domain *d, int32_t day, bool *done,
                     struct err *err) MUST_CHECK;

#endif
