/*
 * roll_eager - see roll.h and roll_job.h; here: a first list is written while it comes
 *
 * Comparing needs the whole list; where there is nothing to compare, each piece of it can be
 * written at once, so that reading a directory and writing the roll take place side by side. All of
 * it is one transaction as ever. As soon as the list turns out to be no such list (an address that
 * is there already, or twice in it, or not ours), everything is rolled back and the caller asked to
 * give it again.
 *
 * No domain is locked before the end, so that nobody waits for a slow directory; then it is looked
 * whether they still are as they were. The lock is not waited for: whoever has it may be waiting
 * for an address that is written here.
 */
#include <stdio.h>
#include <string.h>

#include "roll_job.h"

/* clang-format off */

/* $1 changeset, $2 and $3 the claims of an enabled and of a disabled address. */
static const char addresses_sql[] =
    "insert into recipient (domain_id, local_part, user_id, kind, state, claims, changed_by,"
    "   born_by)"
    " select domain_id, local_part, known, kind,"
    "   case when disabled then 'disabled'::recipient_state else 'active' end,"
    "   case when disabled then $3::text[] else $2::text[] end, $1::bigint, $1::bigint"
    "   from roll_list";

/* clang-format on */

enum { NUMBERS_TRIES = 10 };

bool roll_numbers(struct db *db, int32_t count, int64_t *first, struct err *err)
{
    char text[16];

    snprintf(text, sizeof text, "%d", (int)count);
    for (int i = 0; i < NUMBERS_TRIES; i++) {
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(db, &rows,
                      "select min(n), max(n) from (select nextval('users_id_seq') as n"
                      "   from generate_series(1, $1::int)) x",
                      DB_VALUES(text), err))
            return false;
        *first = db_int(rows, 0, 0);
        if (db_int(rows, 0, 1) - *first + 1 == count)
            return true;
    }
    return err_set(err, ERR_TEMPORARY, "others take numbers of users all the time; try again");
}

/* It is no list for this: what was written of it is taken back, what comes is ignored. */
static bool spoil(struct roll_job *job, struct err *err)
{
    job->spoiled = job->over = true;
    buf_clear(&job->rows);
    return db_script(job->db, "rollback", err);
}

/* Whether somebody else has an address in one of these domains. */
static bool others_in(struct roll_job *job, const struct roll_ids *domains, bool *others,
                      struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO ids = {0};

    roll_ids_text(domains, &ids);
    if (!db_query(job->db, &rows,
                  "select exists (select from recipient where domain_id = any ($1::int[])"
                  "   and changed_by <> $2::bigint)",
                  DB_VALUES(ids.at, job->changeset), err))
        return false;
    *others = db_bool(rows, 0, 0);
    return true;
}

/* The changeset, and how far the roll was when it began. */
static bool begin(struct roll_job *job, struct err *err)
{
    static const struct roll_plan nothing;
    DB_RESULT_AUTO rows = NULL;

    /* the trigram index: see roll_tidy_search() */
    if (!db_script(job->db, "set local gin_pending_list_limit = '1GB'", err) ||
        !db_query(job->db, &rows, "select version from roll_clock", DB_NO_VALUES, err))
        return false;
    job->version = db_int(rows, 0, 0);
    return roll_apply_changeset(job, &nothing, "applied", err);
}

/* Domains that were not named before may have somebody already. */
static bool look_at_new_domains(struct roll_job *job, bool *others, struct err *err)
{
    struct roll_ids fresh = {0};

    *others = false;
    for (; job->looked_at < job->listed.count; job->looked_at++)
        roll_ids_add(&fresh, job->listed.at[job->looked_at]);
    bool fine = fresh.count == 0 || others_in(job, &fresh, others, err);
    roll_ids_free(&fresh);
    return fine;
}

static bool write_piece(struct roll_job *job, struct err *err)
{
    char claim[40], disabled[40];
    bool others;

    if (job->changeset[0] == '\0' && !begin(job, err))
        return false;
    if (!look_at_new_domains(job, &others, err))
        return false;
    if (others)
        return spoil(job, err);
    snprintf(claim, sizeof claim, "{%s}", job->own);
    snprintf(disabled, sizeof disabled, "{%s!}", job->own);
    return roll_stage_flush(job, err) &&
           db_exec(job->db, addresses_sql, DB_VALUES(job->changeset, claim, disabled), NULL, err) &&
           db_script(job->db, "truncate roll_list", err);
}

bool roll_eager_write(struct roll_job *job, struct err *err)
{
    if (!job->spoiled && (job->places == 0 || job->faults > 0 || job->again))
        return spoil(job, err);
    return job->spoiled || write_piece(job, err);
}

bool roll_staged(struct roll_job *job, struct err *err)
{
    if (!roll_eager_write(job, err))
        return false;
    return !job->spoiled || err_set(err, ERR_OTHER, "somebody is on the roll already");
}

/* Whether somebody came in between. */
static bool disturbed(struct roll_job *job, bool *others, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(job->db, &rows, "select version from roll_clock", DB_NO_VALUES, err))
        return false;
    *others = db_int(rows, 0, 0) != job->version;
    return !*others || others_in(job, &job->locked, others, err);
}

static bool outside(struct roll_job *job)
{
    roll_ids_sort(&job->scope);
    for (size_t i = 0; job->scope.count > 0 && i < job->listed.count; i++)
        if (!roll_ids_have(&job->scope, job->listed.at[i]))
            return true;
    return false;
}

static bool finish(struct roll_job *job, struct roll_outcome *outcome, struct err *err)
{
    struct roll_plan plan = {0};
    bool others;

    if (outside(job))
        return spoil(job, err);
    if (!roll_stage_lock(job, err) || !disturbed(job, &others, err))
        return false;
    if (others)
        return spoil(job, err);
    bool fine = roll_first_plan(job, &plan, err) && roll_apply_eager(job, &plan, outcome, err);
    outcome->added = plan.added;
    roll_plan_free(&plan);
    return fine;
}

bool roll_eager_finish(struct roll_job *job, struct roll_outcome *outcome, struct err *err)
{
    bool fine = roll_eager_write(job, err) && (job->spoiled || finish(job, outcome, err));

    if (fine && job->spoiled)
        outcome->state = ROLL_AGAIN;
    return fine;
}
