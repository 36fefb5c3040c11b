/* job_run - see job_run.h */
#include "job_run.h"

#include "clock.h"
#include "daemon.h"
#include "sql.h"

static const int64_t PATIENCE = 2 * CLOCK_SECOND;

/* How often each is meant to run: by the timers and jobs of etc/, and by rollcall-report itself. */
const struct job_run_row job_run_rows[JOB_RUNS] = {
    [JOB_RUN_COLLECT] = {"observe-collect", "5 minutes"},
    [JOB_RUN_CREATE] = {"observe-create", "5 minutes"},
    [JOB_RUN_LDAPSYNC] = {"ldapsync", "5 minutes"},
    [JOB_RUN_REPORT] = {"report-spam", "5 minutes"},
    [JOB_RUN_SEND] = {"report-send", "1 hour"},
    [JOB_RUN_PURGE] = {"quarantine-purge", "1 day"},
    [JOB_RUN_DB_PURGE] = {"db-purge", "1 day"},
};

bool job_run_tell_over(struct db *db, const struct conf *conf, enum job_run job,
                       const struct err *why, struct err *err)
{
    const struct job_run_row *row = &job_run_rows[job];

    return db_exec(db, "select job_tell($1, $2, $3, $4, $5::interval)",
                   DB_VALUES(row->name, daemon_gateway_name(conf), why == NULL ? "t" : "f",
                             why == NULL ? "" : why->text, row->every),
                   NULL, err);
}

void job_run_tell(const struct conf *conf, enum job_run job, const struct err *why)
{
    struct db_options options = {
        .conninfo = conf->database,
        .target = DB_PRIMARY,
        .timeout_us = conf->database_timeout < PATIENCE ? conf->database_timeout : PATIENCE,
        .program = "rollcall job"};
    struct db *db = NULL;
    struct err ignored;

    if (db_open(&db, &options, &ignored) && !job_run_tell_over(db, conf, job, why, &ignored))
        db_close(&db);
    db_close(&db);
}

bool job_run_query(struct db *db, enum job_run job, struct db_result **rows, struct err *err)
{
    static const char sql[] =
        "select host, ended_at as at_ended, fine as is_fine, why, fine_at as at_fine,"
        " ended_at + every as at_next, ended_at < now() - 3 * every as is_late,"
        " " SQL_TIME("ended_at") ", " SQL_AGE("ended_at") ", " SQL_TIME(
            "fine_at") ","
                       " " SQL_TIME(
                           "ended_at + every") " from job_run where job = $1 order by host";

    return db_query(db, rows, sql, DB_VALUES(job_run_rows[job].name), err);
}
