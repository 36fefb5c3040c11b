/* status_jobs - see status.h; here: jobs that run by themselves, and the mails that one of them
 * sends */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/status.h"
#include "lib/clock.h"
#include "lib/job_run.h"

void status_attention(struct buf *todo, const char *format, ...)
{
    char raw[1024], line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    str_printable(line, sizeof line, raw, strlen(raw));
    buf_printf(todo, "%s%s", todo->len > 0 ? "\n" : "", line);
}

/* ---- jobs ---- */

static void judge_job(const char *job, const struct db_result *rows, size_t row, struct buf *todo)
{
    const char *host = db_text(rows, row, JOB_RUN_HOST);
    char age[32];

    clock_age_text(age, sizeof age, db_int(rows, row, JOB_RUN_ENDED_AGO));
    if (!db_bool(rows, row, JOB_RUN_FINE))
        status_attention(todo, "job %s on %s: %s", job, host, db_text(rows, row, JOB_RUN_WHY));
    else if (db_bool(rows, row, JOB_RUN_LATE))
        status_attention(todo, "job %s on %s ran %s ago: is its timer on?", job, host, age);
}

static void put_job(struct cli *cli, const char *job, const struct db_result *rows, size_t row)
{
    out_text(cli->out, job);
    out_text(cli->out, db_text(rows, row, JOB_RUN_HOST));
    out_text(cli->out, db_text(rows, row, JOB_RUN_ENDED));
    out_age(cli->out, db_int(rows, row, JOB_RUN_ENDED_AGO));
    out_text(cli->out, db_text(rows, row, JOB_RUN_NEXT));
    out_bool(cli->out, db_bool(rows, row, JOB_RUN_FINE));
    out_text(cli->out, db_text(rows, row, JOB_RUN_WHY));
    out_text(cli->out,
             db_null(rows, row, JOB_RUN_LAST_FINE) ? NULL : db_text(rows, row, JOB_RUN_LAST_FINE));
}

bool status_jobs(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {"job",  "host", "last_run",  "ago", "next_run",
                                          "fine", "why",  "last_fine", NULL};
    bool any = false;

    for (int job = 0; job < JOB_RUNS; job++) {
        DB_RESULT_AUTO rows = NULL;
        if (!job_run_query(cli->db, (enum job_run)job, &rows, err))
            return false;
        for (size_t i = 0; i < db_rows(rows); i++) {
            if (!any)
                out_section(cli->out, "jobs", "jobs", OUT_TABLE, columns);
            any = true;
            put_job(cli, job_run_rows[job].name, rows, i);
            judge_job(job_run_rows[job].name, rows, i, todo);
        }
    }
    if (!any)
        out_section(cli->out, "jobs", NULL, OUT_TABLE, columns);
    return true;
}

/* ---- mails ---- */

static const char outbox_sql[] =
    "select kind, count(*) filter (where state = 'waiting'),"
    " count(*) filter (where state = 'waiting' and trouble <> ''),"
    " " SQL_AGE(
        "min(made_at) filter (where state = 'waiting')") ","
                                                         " count(*) filter (where state = 'dead'),"
                                                         " count(*) filter (where state = "
                                                         "'waiting' and made_at < now() - interval "
                                                         "'15 minutes')"
                                                         " from outbox where state = 'waiting' or "
                                                         "state = 'dead' and done_at > now() - "
                                                         "interval '1 day'"
                                                         " group by kind order by kind";
static const char last_trouble_sql[] =
    "select envelope_to || ': ' || trouble from outbox where trouble <> '' and (state = 'waiting'"
    " or state = 'dead' and done_at > now() - interval '1 day')"
    " order by coalesce(done_at, next_at) desc limit 1";

/* Mails that were given up lately, and those that wait for long. */
static void judge_outbox(int64_t given_up, int64_t late, const char *last, struct buf *todo)
{
    const char *point = last[0] != '\0' ? "; the last: " : "";

    if (given_up > 0)
        status_attention(todo, "%lld reports or password mails were given up within a day%s%s",
                         (long long)given_up, point, last);
    if (late > 0)
        status_attention(todo, "%lld reports or password mails wait for longer than 15 minutes%s%s",
                         (long long)late, point, last);
}

bool status_outbox(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {"kind",   "waiting",  "troubled",
                                          "oldest", "given_up", NULL};
    DB_RESULT_AUTO rows = NULL;
    DB_RESULT_AUTO last = NULL;
    int64_t given_up = 0, late = 0;

    if (!db_query(cli->db, &rows, outbox_sql, DB_NO_VALUES, err) ||
        !db_query(cli->db, &last, last_trouble_sql, DB_NO_VALUES, err))
        return false;
    out_section(cli->out, "outbox", db_rows(rows) > 0 ? "outbox" : NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        out_int(cli->out, db_int(rows, i, 1));
        out_int(cli->out, db_int(rows, i, 2));
        out_age(cli->out, db_null(rows, i, 3) ? -1 : db_int(rows, i, 3));
        out_int(cli->out, db_int(rows, i, 4));
        given_up += db_int(rows, i, 4);
        late += db_int(rows, i, 5);
    }
    judge_outbox(given_up, late, db_rows(last) > 0 ? db_text(last, 0, 0) : "", todo);
    return true;
}
