/*
 * figures - the quarantine, the reports and the outbox in figures, for the textfile collector
 */
#ifndef ROLLCALL_FIGURES_H
#define ROLLCALL_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"

/* quarantine_metrics_file; `db` NULL: PostgreSQL is away, what only it knows is left out. Files
 * that are not to be written ("") are not: so below. */
bool figures_quarantine(const struct conf *conf, struct db *db, const char *gateway,
                        struct err *err) MUST_CHECK;

/* report_metrics_file, after a run of `spam`. */
struct figures_run {
    bool fine;
    int64_t made, begun_us, took_us; /* wall clock; elapsed */
};
bool figures_reports(const struct conf *conf, const struct figures_run *run,
                     struct err *err) MUST_CHECK;

/* outbox_metrics_file. */
bool figures_outbox(const struct conf *conf, struct db *db, struct err *err) MUST_CHECK;

#endif
