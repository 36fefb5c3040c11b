/* ldaprun_record - see ldaprun_private.h */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "sync/ldaprun_private.h"

#define RUNS_KEPT "1000" /* of each source */

/* A run that is still "running" although nobody holds the lock ended without a word. */
bool ldaprun_record_begin(struct run *run, struct err *err)
{
    DB_RESULT_AUTO made = NULL;

    if (run->options->look || run->options->dry_run)
        return true;
    if (!db_query(run->db, &made,
                  "with lost as (update ldap_run set ended_at = now(), outcome = 'failed',"
                  "   why = 'ended without a word' where source_id = $1::int"
                  "   and outcome = 'running')"
                  " insert into ldap_run (source_id) values ($1::int) returning id",
                  DB_VALUES(run->id), err))
        return false;
    snprintf(run->number, sizeof run->number, "%s", db_text(made, 0, 0));
    return true;
}

static void tell_waiting(struct run *run, int64_t changeset, bool rejected)
{
    run->outcome.state = ROLL_HELD;
    run->outcome.changeset = changeset;
    if (rejected)
        snprintf(run->outcome.why, sizeof run->outcome.why,
                 "the same answer as changeset %" PRId64
                 ", which was rejected; correct the directory, or 'rollcall ldap sync %s --force'",
                 changeset, run->source.name);
    else
        snprintf(run->outcome.why, sizeof run->outcome.why,
                 "the same answer as before; 'rollcall change show %" PRId64
                 "', then approve or reject it",
                 changeset);
}

bool ldaprun_nothing_new(struct run *run, bool *agrees, bool *waits, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(
            run->db, &rows,
            "select coalesce(s.digest = decode($2, 'hex') and not exists (select"
            "     from changeset c where c.version > s.version and c.mode <> 'evidence'"
            "     and (c.customer_id is null or c.customer_id = s.customer_id)), false),"
            "   coalesce(s.held_digest = decode($2, 'hex') and h.state in ('held', 'rejected'),"
            "     false), (select version from roll_clock), s.held, h.state = 'rejected'"
            " from ldap_source s left join changeset h on h.id = s.held where s.id = $1::int",
            DB_VALUES(run->id, run->digest_hex), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_TEMPORARY, "was removed while it was read");
    snprintf(run->version, sizeof run->version, "%s", db_text(rows, 0, 2));
    *agrees = db_bool(rows, 0, 0) && !run->options->dry_run;
    *waits = db_bool(rows, 0, 1) && !run->options->dry_run && !run->options->force;
    if (*waits)
        tell_waiting(run, db_int(rows, 0, 3), db_bool(rows, 0, 4));
    return true;
}

/* ---- what the source's row remembers ---- */

/* Domains are as fresh as the oldest of what feeds them. A changeset without history, as evidence
 * is. */
static const char freshen_sql[] =
    "with fed as (select f.domain_id as id, case when bool_and(s.synced_at is not null)"
    "     then min(s.synced_at) end as at from ldap_source_domain f"
    "     join ldap_source s on s.id = f.source_id and (s.id = $1::int"
    "       or (s.settings ->> 'enabled') is distinct from 'no')"
    "     where f.domain_id in (select domain_id from ldap_source_domain"
    "       where source_id = $1::int) group by f.domain_id),"
    " old as materialized (select d.id, fed.at from domain d join fed on fed.id = d.id"
    "   where d.state = 'active' and fed.at is not null and d.synced_at is distinct from fed.at"
    "   order by d.id for update of d)"
    " update domain d set synced_at = old.at, changed_by = roll_changeset() from old"
    " where d.id = old.id";

/* A failure that is over is told once. (What `old` says must be read before the update: it joins.)
 */
static const char agreement_sql[] =
    "with old as (select id, customer_id, failing_since from ldap_source where id = $1::int"
    "   for update),"
    " told as (insert into ldap_notice (source_id, customer_id, kind, why) select id, customer_id,"
    "   'recovered', 'it had failed since ' || to_char(failing_since at time zone 'UTC',"
    "   'YYYY-MM-DD HH24:MI') || ' GMT' from old where failing_since is not null)"
    " update ldap_source s set synced_at = (select started_at from ldap_run where id = $2::bigint),"
    "   digest = decode($3, 'hex'), version = $4::bigint, entries = $5::bigint,"
    "   failing_since = null, held = null, held_digest = null from old where s.id = old.id";

static const char evidence_sql[] =
    "with made as (insert into changeset (customer_id, mode, source, source_id, actor, program,"
    "   note) values ((select customer_id from ldap_source where id = $1::int), 'evidence', 'ldap',"
    "   $1::int, $2, $3, 'directory read completely') returning id)"
    " select set_config('rollcall.changeset', id::text, true) from made";

/* ---- the run's own row ---- */

static const char end_sql[] =
    "update ldap_run set ended_at = clock_timestamp(), outcome = $2, why = $3, server = $4,"
    "   pages = $5::int, entries = $6::bigint, users = $7::bigint, groups = $8::bigint,"
    "   left_out = $9::bigint, added = $10::int, removed = $11::int, changed = $12::int,"
    "   problems = $13::bigint, changeset_id = nullif($14::bigint, 0) where id = $1::bigint";
static const char forget_sql[] =
    "delete from ldap_run where source_id = $1::int and id <= (select id from ldap_run"
    "   where source_id = $1::int order by id desc offset " RUNS_KEPT " limit 1)";

/* The values of end_sql. */
struct ending {
    char numbers[10][24];
    const char *values[14];
};

static void ending_make(struct ending *e, const struct run *run, const char *what, const char *why)
{
    const struct gather_report *r = &run->report;
    const struct roll_outcome *o = &run->outcome;
    const int64_t values[] = {r->read.pages, r->read.entries, r->users,   r->groups,
                              r->left_out,   o->added,        o->removed, o->changed,
                              o->problems,   o->changeset};

    e->values[0] = run->number;
    e->values[1] = what;
    e->values[2] = why;
    e->values[3] = r->server;
    for (size_t i = 0; i < 10; i++) {
        snprintf(e->numbers[i], sizeof e->numbers[i], "%" PRId64, values[i]);
        e->values[4 + i] = e->numbers[i];
    }
}

static bool ignore_row(void *context, size_t statement, const struct db_result *row,
                       struct err *err)
{
    (void)context, (void)statement, (void)row, (void)err;
    return true;
}

static bool record_end(struct run *run, const char *what, const char *why, struct err *err)
{
    struct ending e;
    const char *const id[] = {run->id};

    ending_make(&e, run, what, why);
    const struct db_statement statements[] = {{"begin", NULL, 0, NULL},
                                              {end_sql, e.values, 14, NULL},
                                              {forget_sql, id, 1, NULL},
                                              {"commit", NULL, 0, NULL}};
    return db_pipeline(run->db, statements, 4, ignore_row, NULL, err);
}

/* In one round trip, and all or nothing. */
bool ldaprun_record_agreed(struct run *run, struct err *err)
{
    struct ending e;
    char entries[24];
    const char *const agreement[] = {run->id, run->number, run->digest_hex, run->version, entries};
    const char *const evidence[] = {run->id, run->options->actor, LDAPRUN_PROGRAM};

    snprintf(entries, sizeof entries, "%" PRId64, run->report.read.entries);
    ending_make(&e, run, run->what, "");
    const struct db_statement statements[] = {
        {"begin", NULL, 0, NULL},          {agreement_sql, agreement, 5, NULL},
        {evidence_sql, evidence, 3, NULL}, {freshen_sql, evidence, 1, NULL},
        {end_sql, e.values, 14, NULL},     {forget_sql, evidence, 1, NULL},
        {"commit", NULL, 0, NULL}};
    return db_pipeline(run->db, statements, 7, ignore_row, NULL, err);
}

/* That an answer waits is told once, not at each run that brings it again. */
static const char held_sql[] =
    "with old as (select id, customer_id, held from ldap_source where id = $1::int for update),"
    " told as (insert into ldap_notice (source_id, customer_id, kind, why) select id, customer_id,"
    "   'held', $4 from old where held is distinct from $2::bigint)"
    " update ldap_source s set held = $2::bigint, held_digest = decode($3, 'hex'),"
    "   failing_since = null from old where s.id = old.id";

bool ldaprun_record_held(struct run *run, struct err *err)
{
    char changeset[24];

    snprintf(changeset, sizeof changeset, "%" PRId64, run->outcome.changeset);
    return db_exec(run->db, held_sql,
                   DB_VALUES(run->id, changeset, run->digest_hex, run->outcome.why), NULL, err) &&
           record_end(run, run->what, run->outcome.why, err);
}

/* ---- who waits for it ---- */

/* Whoever watches is told; that they cannot be is no reason to stop. */
void ldaprun_record_step(struct run *run, const char *step)
{
    int64_t now = clock_elapsed_us();
    char entries[24];
    struct err ignored;

    if (run->options->request == NULL || now - run->told_us < CLOCK_SECOND / 2)
        return;
    run->told_us = now;
    snprintf(entries, sizeof entries, "%" PRId64, run->seen);
    if (!db_exec(run->db,
                 "update ldap_request set step = $2, entries = $3::bigint where id = $1::bigint",
                 DB_VALUES(run->options->request, step, entries), NULL, &ignored))
        run->told_us = INT64_MAX;
}

/* ---- failures ---- */

/* The first failure of an episode is told, not each of it. $1 the source's name, $2 why. */
static const char failing_sql[] =
    "with old as (select id, customer_id, failing_since from ldap_source"
    "   where lower(name) = lower($1) for update),"
    " told as (insert into ldap_notice (source_id, customer_id, kind, why) select id, customer_id,"
    "   'failed', $2 from old where failing_since is null)"
    " update ldap_source s set failing_since = coalesce(s.failing_since, now()) from old"
    " where s.id = old.id";

static bool connect_again(struct db **db, const struct ldaprun_options *options, struct err *err)
{
    struct db_options connection = {.conninfo = options->conf->database,
                                    .target = DB_PRIMARY,
                                    .timeout_us = options->conf->database_timeout,
                                    .program = LDAPRUN_PROGRAM};

    if (*db != NULL && db_alive(*db))
        return true;
    db_close(db);
    return db_open(db, &connection, err);
}

void ldaprun_record_failed(struct run *run, const struct err *why)
{
    struct err err;

    if (run->number[0] == '\0')
        return;
    if (!connect_again(&run->db, run->options, &err) ||
        !record_end(run, "failed", why->text, &err) ||
        !db_exec(run->db, failing_sql, DB_VALUES(run->options->source, why->text), NULL, &err))
        log_write(LOG_LDAP_FAILED, "%s: its failure cannot be recorded: %s", run->options->source,
                  err.text);
}

bool ldaprun_lost(const struct ldaprun_options *options, const struct err *why, struct err *err)
{
    struct db *db = NULL;

    ldaprun_tell_failed(options, why);
    if (options->look || options->dry_run)
        return true;
    bool fine = connect_again(&db, options, err) &&
                db_exec(db,
                        "update ldap_run r set ended_at = now(), outcome = 'failed', why = $2"
                        " from ldap_source s where s.id = r.source_id and lower(s.name) = lower($1)"
                        " and r.outcome = 'running'",
                        DB_VALUES(options->source, why->text), NULL, err) &&
                db_exec(db, failing_sql, DB_VALUES(options->source, why->text), NULL, err);
    db_close(&db);
    return fine;
}
