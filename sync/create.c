/* create - see create.h; here: which days and domains are to be worked */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/schema.h"
#include "sync/create_parts.h"

static const int64_t STATEMENT_US = 600 * CLOCK_SECOND;

/* ---- texts ---- */

const char *day_text(int32_t day, char text[DAY_TEXT])
{
    char whole[TIME_TEXT];

    clock_rfc3339(whole, sizeof whole, day * DAY_US);
    snprintf(text, DAY_TEXT, "%.10s", whole);
    return text;
}

const char *number_text(int64_t number, char text[NUMBER_TEXT])
{
    snprintf(text, NUMBER_TEXT, "%" PRId64, number);
    return text;
}

/* ---- gateways ---- */

/* $1 the end of the day, $2 those not to wait for. Who was alive in that day must have been read.
 */
static const char behind_sql[] =
    "with alive as (select name as gateway from gateway where seen_at >= $1::timestamptz - "
    "     interval '1 day' union select gateway from log_position"
    "     where read_to >= $1::timestamptz - interval '1 day')"
    " select a.gateway, coalesce(to_char(p.read_to at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), "
    "   'never') from alive a left join log_position p using (gateway)"
    " where coalesce(p.read_to, '-infinity') < $1::timestamptz and a.gateway <> all ($2::text[])"
    " order by 1";

static void without_text(const struct create_options *o, struct buf *out)
{
    buf_text(out, "{");
    for (size_t i = 0; i < o->without_count; i++) {
        buf_text(out, i > 0 ? ",\"" : "\"");
        for (const char *c = o->without[i]; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                buf_text(out, "\\");
            buf_append(out, c, 1);
        }
        buf_text(out, "\"");
    }
    buf_text(out, "}");
}

static bool gateways_ready(struct create *c, int32_t day, bool *ready, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO without = {0};
    char end[TIME_TEXT];
    size_t used = 0;

    *ready = day <= c->ready_day;
    if (*ready)
        return true;
    clock_rfc3339(end, sizeof end, (day + INT64_C(1)) * DAY_US);
    without_text(c->options, &without);
    if (!db_query(c->db, &rows, behind_sql, DB_VALUES(end, without.at), err))
        return false;
    *ready = db_rows(rows) == 0;
    if (*ready) {
        c->ready_day = day;
        return true;
    }
    c->report->waiting = true;
    c->report->late = c->options->now_us - (day + 1) * DAY_US > c->options->conf->create_alert;
    for (size_t i = 0; i < db_rows(rows) && used < sizeof c->report->behind - 100; i++)
        used += (size_t)snprintf(c->report->behind + used, sizeof c->report->behind - used,
                                 "%s%.60s (read to %s)", i > 0 ? ", " : "", db_text(rows, i, 0),
                                 db_text(rows, i, 1));
    return true;
}

/* ---- domains ---- */

/*
 * $1 the last day that is over, $2 how many days observations are kept, $3 a domain's name or '',
 * $4 also those that are worked already.
 * A domain's first day is the first one that it was observed in from its beginning, by somebody
 * whose logs were read from before that.
 */
static const char domains_sql[] =
    "with facts as (select o.*, d.name, d.guard_percent,"
    "     ((greatest(o.since, (select min(read_from) from log_position))"
    "       at time zone 'UTC') + interval '1 day' - interval '1 microsecond')::date as whole"
    "   from domain_observation o join domain d on d.id = o.domain_id where o.since is not null"
    "   and exists (select from log_position) and ($3 = '' or d.name = $3))"
    " select domain_id, name, greatest(whole, coalesce(worked_to + 1, whole),"
    "     $1::date - $2::int) - date '1970-01-01', created_first, accepts_everything,"
    "   probe_answered_at is not null, coalesce(guard_percent, -1), held"
    " from facts where ($4::boolean or coalesce(worked_to, '-infinity') < $1::date)"
    "   and whole <= $1::date"
    " order by domain_id";

static void read_domain(struct domain *d, const struct db_result *rows, size_t i)
{
    *d = (struct domain){
        .id = (int32_t)db_int(rows, i, 0),
        .name = db_text(rows, i, 1),
        .first_day = (int32_t)db_int(rows, i, 2),
        .created_first = db_bool(rows, i, 3),
        .accepts_everything = db_bool(rows, i, 4),
        .probe_answered = db_bool(rows, i, 5),
        .guard_percent = db_int(rows, i, 6),
    };
    snprintf(d->held, sizeof d->held, "%s", db_text(rows, i, 7));
}

/* ---- the run ---- */

/* A day that was worked, once more: what was held of it. */
static bool again(const struct create_options *o)
{
    return o->force && o->day != INT32_MIN;
}

static bool work_domain(struct create *c, struct domain *d, int32_t last_day, struct err *err)
{
    const struct create_options *o = c->options;
    bool done = true, ready;
    int32_t first = o->day != INT32_MIN ? o->day : d->first_day;

    if ((first < d->first_day && !again(o)) || first > last_day)
        return true; /* worked already, or not observed all that day */
    if (o->day != INT32_MIN)
        last_day = first;
    for (int32_t day = first; done && day <= last_day; day++) {
        if (!gateways_ready(c, day, &ready, err))
            return false;
        if (!ready)
            return true;
        if (!create_work_day(c, d, day, &done, err))
            return false;
    }
    c->report->domains++;
    return true;
}

bool create_connect(const struct conf *conf, struct db **db, struct err *err)
{
    struct db_options options = {.conninfo = conf->database,
                                 .target = DB_PRIMARY,
                                 .timeout_us = conf->database_timeout,
                                 .program = "rollcall-observe"};

    if (!db_open(db, &options, err))
        return false;
    db_set_timeout(*db, STATEMENT_US);
    if (schema_check(*db, err))
        return true;
    db_close(db);
    return false;
}

/* Old days, and refusals that no setting can make count any more. */
static bool forget_old(struct create *c, int32_t last_day, struct err *err)
{
    char day_name[DAY_TEXT], now[TIME_TEXT];
    int64_t life_days = c->options->conf->observation_life / DAY_US;

    clock_rfc3339(now, sizeof now, c->options->now_us);
    return c->options->dry_run ||
           (db_exec(c->db, "delete from observation where day < $1::date",
                    DB_VALUES(day_text(last_day - (int32_t)life_days, day_name)), NULL, err) &&
            db_exec(c->db,
                    "delete from refusal f using changeset s where s.id = f.changed_by and"
                    " (f.refused_at < $1::timestamptz - interval '31 days'"
                    "   or f.refused_at is null and s.created_at < $1::timestamptz"
                    "     - interval '1 day')",
                    DB_VALUES(now), NULL, err));
}

static bool lock_run(struct create *c, struct err *err)
{
    DB_RESULT_AUTO locked = NULL;

    if (!db_query(c->db, &locked, "select pg_try_advisory_lock(x'726f6c6c'::int, x'6f627376'::int)",
                  DB_NO_VALUES, err))
        return false;
    return db_bool(locked, 0, 0) ||
           err_set(err, ERR_TEMPORARY, "another rollcall-observe is creating users");
}

static bool work_all(struct create *c, int32_t last_day, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char last[DAY_TEXT], life[NUMBER_TEXT];
    bool fine = true;

    if (!db_query(c->db, &rows, domains_sql,
                  DB_VALUES(day_text(last_day, last),
                            number_text(c->options->conf->observation_life / DAY_US, life),
                            c->options->domain != NULL ? c->options->domain : "",
                            again(c->options) ? "true" : "false"),
                  err))
        return false;
    for (size_t i = 0; fine && !c->report->waiting && i < db_rows(rows); i++) {
        struct domain d;
        read_domain(&d, rows, i);
        fine = work_domain(c, &d, last_day, err);
    }
    return fine;
}

bool create_run(const struct create_options *options, struct create_report *report, struct err *err)
{
    struct create c = {.options = options, .report = report, .ready_day = INT32_MIN};
    int32_t last_day = (int32_t)(options->now_us / DAY_US) - 1;
    bool fine;

    *report = (struct create_report){0};
    if (!create_connect(options->conf, &c.db, err))
        return false;
    fine = lock_run(&c, err) && work_all(&c, last_day, err) && forget_old(&c, last_day, err);
    db_close(&c.db);
    if (fine && report->late)
        log_write(LOG_CREATE_LATE, "waiting for %s", report->behind);
    return fine;
}
