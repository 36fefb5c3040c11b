/*
 * create - the nightly run: users for what was observed, and retirement; runs at one place
 *
 * Works through the GMT days that are over, in order, domain by domain, once every gateway's log
 * has been read to the day's end. Doing it again changes nothing. Everything goes through lib/roll.
 */
#ifndef ROLLCALL_CREATE_H
#define ROLLCALL_CREATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"

enum { CREATE_WITHOUT_MOST = 32 };

struct create_options {
    const struct conf *conf;
    int64_t now_us;
    int32_t day;        /* since 1970-01-01: only that one; INT32_MIN: all that are to be done */
    const char *domain; /* only that one; NULL: all */
    bool dry_run;       /* only tell */
    bool force;         /* apply what would be held for its size; only with `domain` */
    const char *without[CREATE_WITHOUT_MOST]; /* gateways not to wait for */
    size_t without_count;
};

struct create_report {
    int64_t days, domains; /* days of domains worked, domains concerned */
    int64_t created, retired, held;
    bool waiting;     /* a gateway's log is behind: try again later */
    bool late;        /* for longer than create_alert */
    char behind[512]; /* which */
};

bool create_run(const struct create_options *options, struct create_report *report,
                struct err *err) MUST_CHECK;

/* The evidence about an address, and what is missing, on standard output. */
bool create_explain(const struct create_options *options, const char *address,
                    struct err *err) MUST_CHECK;
/* How far gateways and domains are, on standard output. */
bool create_status(const struct create_options *options, struct err *err) MUST_CHECK;

/* A connection with the role's rights, the schema checked. */
bool create_connect(const struct conf *conf, struct db **db, struct err *err) MUST_CHECK;

#endif
