/*
 * report_setting - what customers, domains and users choose about their spam reports
 *
 * One row each; what is not set there is as the next above has it: user, domain, customer, and at
 * last the preset of view report_user. For the command line and the panel.
 */
#ifndef ROLLCALL_REPORT_SETTING_H
#define ROLLCALL_REPORT_SETTING_H

#include <stdbool.h>
#include <stddef.h>

#include "db.h"
#include "err.h"

struct report_setting_row {
    const char *name;   /* on the command line, without dashes */
    const char *value;  /* what stands for its value in the help */
    bool users;         /* a user may have it too */
    const char *preset; /* where nobody sets it, as view report_user has it; "": as rollcall.conf */
    const char *doc;
};
extern const struct report_setting_row report_setting_rows[];
extern const size_t report_setting_count;

enum report_of { REPORT_OF_CUSTOMER, REPORT_OF_DOMAIN, REPORT_OF_USER };

struct report_given {
    const char *name, *value; /* "default": as the next above has it */
};

/* Sets them all or none, with a row in `audit`. ERR_DATA names what is wrong. */
bool report_setting_set(struct db *db, enum report_of of, const char *whose,
                        const struct report_given *given, size_t count, const char *actor,
                        struct err *err) MUST_CHECK;

/* Calls `row` for each setting, in the order of the table; value NULL: not set there. */
typedef void report_setting_fn(void *context, const struct report_setting_row *row,
                               const char *value);
bool report_setting_show(struct db *db, enum report_of of, const char *whose,
                         report_setting_fn *row, void *context, struct err *err) MUST_CHECK;

#endif
