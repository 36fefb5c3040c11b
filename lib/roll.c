/*
 * roll - see roll.h; here: a job from its first statement to its outcome, and problems in words
 *
 * DIAGNOSTICS. A list with problems is told to the listener, line by line, whatever becomes of it.
 * Errors leave the roll as it was: everything happens in the one transaction that the end of the
 * job commits or rolls back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roll_job.h"

const char *const source_names[] = {
    [SOURCE_SMTP] = "smtp",     [SOURCE_LDAP] = "ldap",   [SOURCE_IMPORT] = "import",
    [SOURCE_MANUAL] = "manual", [SOURCE_PANEL] = "panel",
};

const char *const roll_mode_names[] = {
    [ROLL_ADD] = "add",         [ROLL_REPLACE] = "replace", [ROLL_FOLLOW] = "follow",
    [ROLL_REMOVE] = "withdraw", [ROLL_DISABLE] = "disable", [ROLL_ENABLE] = "enable",
    [ROLL_RETIRE] = "retire",
};

const char *const roll_problem_names[] = {
    [PROBLEM_FOREIGN] = "foreign", [PROBLEM_CONFLICT] = "conflict", [PROBLEM_ABSENT] = "absent",
    [PROBLEM_KIND] = "kind",       [PROBLEM_OUTSIDE] = "outside",
};

void roll_problem_text(const struct roll_problem *problem, struct buf *out)
{
    bool owned = problem->owner[0] != '\0';

    buf_text(out, problem->address);
    switch (problem->kind) {
    case PROBLEM_FOREIGN:
        if (owned)
            buf_printf(out, ": its domain belongs to another customer than %s", problem->owner);
        else
            buf_text(out, ": its domain is not served here; 'rollcall domain list' shows what is");
        break;
    case PROBLEM_CONFLICT:
        if (strcmp(problem->owner, problem->address) == 0 || !owned)
            buf_text(out, " is the primary address of another user");
        else
            buf_printf(out, " is an alias of %s", problem->owner);
        break;
    case PROBLEM_ABSENT:
        buf_text(out, " is not on the roll");
        break;
    case PROBLEM_KIND:
        if (owned)
            buf_printf(out, " is an address of user %s, not a group; remove it first",
                       problem->owner);
        else
            buf_text(out, " is a group, not an address of a user; remove it first");
        break;
    case PROBLEM_OUTSIDE:
        buf_text(out, " is outside the domains that the list is for");
        break;
    }
}

/* ---- the job ---- */

/*
 * name is as long as an address may be, since it holds the address when its domain is foreign, and
 * null where the list says none; the bounds spare PostgreSQL a second table for long values. Plans
 * are not worth compiling for lists this short, nor for long ones, which are joined once.
 */
static const char open_sql[] =
    "begin;"
    "set local jit = off;"
    "create temp table roll_list (entry int not null, place int not null, line int not null,"
    " domain_id int not null, local_part varchar(64) collate \"C\" not null,"
    " kind recipient_kind not null, lone boolean not null, again boolean not null,"
    " disabled boolean not null, fault smallint, rival int not null,"
    " name varchar(400), known bigint) on commit drop";
/* What roll_eager.c writes is not staged. */
static const char open_eager_sql[] = "begin; set local jit = off";

bool roll_job_open(struct roll_job **out, struct db *db, const struct roll_request *request,
                   struct err *err)
{
    struct roll_job *job = mem_zero(1, sizeof *job);

    job->db = db;
    job->request = request;
    snprintf(job->source, sizeof job->source, "%s", source_names[request->source]);
    snprintf(job->source_id, sizeof job->source_id, "%d", (int)request->source_id);
    snprintf(job->own, sizeof job->own, request->source_id != 0 ? "%s:%s" : "%s", job->source,
             job->source_id);
    *out = job;
    if (!db_script(db, request->eager ? open_eager_sql : open_sql, err)) {
        roll_abort(out);
        return false;
    }
    return true;
}

bool roll_open(struct roll_job **job, struct db *db, const struct roll_request *request,
               struct err *err)
{
    *job = NULL;
    return roll_job_open(job, db, request, err);
}

void roll_abort(struct roll_job **job)
{
    if (*job == NULL)
        return;
    if (!(*job)->over)
        db_rollback((*job)->db);
    roll_stage_free(*job);
    free(*job);
    *job = NULL;
}

/* A long list is worth knowing before it is joined, and worth memory; an undo may be long too. */
bool roll_job_prepare(struct roll_job *job, struct err *err)
{
    if (job->places < ROLL_LARGE && job->undo == NULL)
        return true;
    return db_script(job->db,
                     "set local work_mem = '128MB'; set local default_statistics_target = 10;"
                     "analyze roll_list",
                     err);
}

static bool unchanged(const struct roll_plan *plan)
{
    return plan->added + plan->removed + plan->changed == 0;
}

/* What to do with a plan that is made. */
static bool decide(struct roll_job *job, const struct roll_plan *plan,
                   const struct roll_listener *listener, struct roll_outcome *outcome,
                   struct err *err)
{
    const struct roll_request *request = job->request;
    bool held;

    if (request->strict && plan->problems > 0)
        return err_set(err, ERR_DATA, "%lld problem%s with the list: nothing is changed",
                       (long long)plan->problems, plan->problems == 1 ? "" : "s");
    if (!roll_plan_held(job, plan, &held, outcome->why, sizeof outcome->why, err))
        return false;
    outcome->state = request->dry_run ? ROLL_DRY : ROLL_UNCHANGED;
    if (request->dry_run)
        return roll_tell_differences(job, listener, err);
    if (unchanged(plan) && job->held == NULL)
        return roll_apply_nothing(job, err);
    return held ? roll_apply_hold(job, plan, outcome, err) : roll_apply(job, plan, outcome, err);
}

bool roll_job_run(struct roll_job *job, const struct roll_listener *listener,
                  struct roll_outcome *outcome, struct err *err)
{
    static const struct roll_listener deaf;
    struct roll_plan plan = {0};

    if (listener == NULL)
        listener = &deaf;
    *outcome = (struct roll_outcome){0};
    bool fine = roll_plan_make(job, &plan, err);
    outcome->added = plan.added;
    outcome->removed = plan.removed;
    outcome->changed = plan.changed;
    outcome->problems = plan.problems;
    fine = fine && (plan.problems == 0 || roll_tell_problems(job, listener, err)) &&
           decide(job, &plan, listener, outcome, err);
    roll_plan_free(&plan);
    return fine;
}

bool roll_finish(struct roll_job **job, const struct roll_listener *listener,
                 struct roll_outcome *outcome, struct err *err)
{
    *outcome = (struct roll_outcome){0};
    bool fine = (*job)->broken.class == ERR_NONE;
    if (!fine)
        *err = (*job)->broken;
    if (fine && (*job)->request->eager)
        fine = roll_eager_finish(*job, outcome, err);
    else
        fine = fine && roll_stage_flush(*job, err) && roll_job_prepare(*job, err) &&
               roll_stage_judge(*job, err) && roll_job_run(*job, listener, outcome, err);
    roll_abort(job);
    return fine;
}
