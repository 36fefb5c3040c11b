/*
 * job_run - how a job that runs by itself ended, for `rollcall status` and the panel
 *
 * One row for each job and host. A job whose database is away cannot tell; that its last run was
 * long ago tells the rest.
 */
#ifndef ROLLCALL_JOB_RUN_H
#define ROLLCALL_JOB_RUN_H

#include "conf.h"
#include "db.h"
#include "err.h"

enum job_run {
    JOB_RUN_COLLECT,
    JOB_RUN_CREATE,
    JOB_RUN_LDAPSYNC,
    JOB_RUN_REPORT,
    JOB_RUN_SEND,
    JOB_RUN_PURGE,
    JOB_RUN_DB_PURGE,
    JOB_RUNS
};
struct job_run_row {
    const char *name;
    const char *every; /* as PostgreSQL writes intervals */
};
extern const struct job_run_row job_run_rows[JOB_RUNS];

/* `why` NULL: it ended well. Over a connection of its own, or the one that is there. */
void job_run_tell(const struct conf *conf, enum job_run job, const struct err *why);
bool job_run_tell_over(struct db *db, const struct conf *conf, enum job_run job,
                       const struct err *why, struct err *err) MUST_CHECK;

/* How a job ended on each host that runs it, in order of hosts; no row: it never ran. Times that
 * are read by people come once more as RFC 3339. */
enum job_run_column {
    JOB_RUN_HOST,     /* host */
    JOB_RUN_AT_ENDED, /* at_ended */
    JOB_RUN_FINE,     /* is_fine */
    JOB_RUN_WHY,      /* why: "" when it was fine */
    JOB_RUN_AT_FINE,  /* at_fine: the last one that was, or null */
    JOB_RUN_AT_NEXT,  /* at_next: when it is due again */
    JOB_RUN_LATE,     /* is_late: not run for three times as long as it should */
    JOB_RUN_ENDED,
    JOB_RUN_ENDED_AGO, /* microseconds */
    JOB_RUN_LAST_FINE,
    JOB_RUN_NEXT,
};
bool job_run_query(struct db *db, enum job_run job, struct db_result **rows,
                   struct err *err) MUST_CHECK;

#endif
