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

enum {
    PIECE = 16384, /* addresses of one COPY: what its triggers look at waits in memory */
    NUMBERS_TRIES = 10,
};

static const char copy_sql[] =
    "copy recipient (domain_id, local_part, user_id, kind, state, claims, changed_by, born_by)"
    " from stdin";

bool roll_numbers(struct db *db, int32_t count, int64_t *first, struct err *err)
{
    for (int i = 0; i < NUMBERS_TRIES; i++) {
        if (!roll_reserve(db, "users_id_seq", count, first, err))
            return false;
        if (*first > 0)
            return true;
    }
    return err_set(err, ERR_TEMPORARY, "others take numbers of users all the time; try again");
}

/* It is no list for this: what was written of it is taken back, what comes is ignored. */
static bool spoil(struct roll_job *job, struct err *err)
{
    job->spoiled = job->over = true;
    buf_clear(&job->rows);
    return roll_stage_pause(job, err) && db_script(job->db, "rollback", err);
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

/* One line of COPY, in the order of copy_sql's columns. */
void roll_eager_row(struct roll_job *job, const struct roll_eager_row *row)
{
    struct buf *out = &job->rows;

    job->in_piece++;
    roll_put_number(out, row->domain);
    db_copy_escape(out, row->local_part);
    buf_text(out, "\t");
    if (row->user != 0)
        roll_put_number(out, row->user);
    else
        buf_text(out, "\\N\t");
    buf_text(out, row->kind);
    buf_text(out, row->disabled ? "\tdisabled\t{" : "\tactive\t{");
    buf_text(out, job->own);
    buf_text(out, row->disabled ? "!}\t" : "}\t");
    buf_text(out, job->changeset);
    buf_text(out, "\t");
    buf_text(out, job->changeset);
    buf_text(out, "\n");
}

bool roll_eager_send(struct roll_job *job, struct err *err)
{
    bool others = false;

    if (job->spoiled || job->faults > 0 || job->again)
        return job->spoiled || spoil(job, err);
    if (job->looked_at < job->listed.count &&
        (!roll_stage_pause(job, err) || !look_at_new_domains(job, &others, err)))
        return false;
    if (others)
        return spoil(job, err);
    return job->rows.len == 0 || roll_stage_send(job, copy_sql, err);
}

bool roll_pause(struct roll_job *job, struct err *err)
{
    return roll_eager_send(job, err) && roll_stage_pause(job, err);
}

bool roll_eager_begin(struct roll_job *job, struct err *err)
{
    if (job->spoiled || (job->changeset[0] != '\0' && job->in_piece < PIECE))
        return true;
    job->in_piece = 0;
    return roll_pause(job, err) && (job->spoiled || job->changeset[0] != '\0' || begin(job, err));
}

/* An empty list is none to write. */
static bool all_written(struct roll_job *job, struct err *err)
{
    if (!job->spoiled && job->places == 0)
        return spoil(job, err);
    return roll_pause(job, err);
}

bool roll_staged(struct roll_job *job, struct err *err)
{
    if (!all_written(job, err))
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
    bool fine = all_written(job, err) && (job->spoiled || finish(job, outcome, err));

    if (fine && job->spoiled)
        outcome->state = ROLL_AGAIN;
    return fine;
}
