/*
 * roll_first - see roll_job.h; here: a list that meets an empty roll
 *
 * Where none of the domains concerned has ever had an address, all of a list without problems
 * comes, each entry as a user of its own: there is nothing to compare, and so no roll_diff. Users
 * and addresses are numbered in the order of the list and written from roll_list as it is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "roll_job.h"

/* clang-format off */

/* $1 changeset, $2 number of the first user, $3 of the first address, $4 and $5 the claims of an
 * enabled and of a disabled address. */
static const char addresses_sql[] =
    "insert into recipient (id, domain_id, local_part, user_id, kind, state, claims, changed_by,"
    "   born_by) overriding system value"
    " select $3::bigint + place - 1, domain_id, local_part,"
    "   case when kind <> 'group' then $2::bigint + entry - 1 end, kind,"
    "   case when disabled then 'disabled'::recipient_state else 'active' end,"
    "   case when disabled then $5::text[] else $4::text[] end, $1::bigint, $1::bigint"
    "   from roll_list";

static const char users_sql[] =
    "insert into users (id, customer_id, name) overriding system value"
    " select $1::bigint + l.entry - 1, d.customer_id, coalesce(l.name, '') from roll_list l"
    "   join domain d on d.id = l.domain_id where l.kind = 'primary'";

/* clang-format on */

/* Whether the list is one that may be written as it stands, as far as it can tell by itself. */
static bool plain(const struct roll_job *job)
{
    return job->request->mode <= ROLL_FOLLOW && !job->request->dry_run && job->undo == NULL &&
           job->held == NULL && job->places > 0 && job->faults == 0 && !job->repeats && !job->known;
}

bool roll_reserve(struct db *db, const char *sequence, int32_t count, int64_t *first,
                  struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char text[16];

    snprintf(text, sizeof text, "%d", (int)count);
    if (!db_query(db, &rows,
                  "select min(n), max(n) from (select nextval($1::regclass) as n"
                  "   from generate_series(1, $2::int)) x",
                  DB_VALUES(sequence, text), err))
        return false;
    *first = db_int(rows, 0, 1) - db_int(rows, 0, 0) + 1 == count ? db_int(rows, 0, 0) : 0;
    return true;
}

static bool is_empty(struct roll_job *job, bool *empty, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO ids = {0};

    roll_ids_text(&job->locked, &ids);
    if (!db_query(job->db, &rows,
                  "select exists (select from recipient where domain_id = any ($1::int[]))",
                  DB_VALUES(ids.at), err))
        return false;
    *empty = !db_bool(rows, 0, 0);
    return true;
}

bool roll_first_fits(struct roll_job *job, bool *fits, struct err *err)
{
    *fits = false;
    job->first_user = job->first_address = 0;
    if (!plain(job))
        return true;
    if (!is_empty(job, fits, err))
        return false;
    if (!*fits)
        return true;
    if (!roll_reserve(job->db, "users_id_seq", job->entries, &job->first_user, err) ||
        !roll_reserve(job->db, "recipient_id_seq", job->places, &job->first_address, err))
        return false;
    *fits = job->first_user > 0 && job->first_address > 0;
    return true;
}

/* How many addresses of the list are in that domain or in aliases of it. */
static int64_t staged_in(const struct roll_job *job, int32_t target)
{
    int64_t count = 0;

    for (size_t i = 0; i < job->domain_room; i++)
        if (job->domains[i].name != NULL && job->domains[i].target == target)
            count += job->domains[i].staged;
    return count;
}

bool roll_first_plan(struct roll_job *job, struct roll_plan *plan, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO ids = {0};

    roll_plan_free(plan);
    roll_ids_sort(&job->listed);
    roll_ids_text(&job->listed, &ids);
    if (!db_query(job->db, &rows,
                  "select id, name, customer_id, coalesce(guard_percent, -1), loaded_at is null"
                  " from domain where id = any ($1::int[]) order by id",
                  DB_VALUES(ids.at), err))
        return false;
    plan->domain_count = db_rows(rows);
    plan->domains = mem_zero(plan->domain_count + 1, sizeof *plan->domains);
    for (size_t i = 0; i < plan->domain_count; i++) {
        roll_plan_domain_read(&plan->domains[i], rows, i);
        plan->domains[i].kept = staged_in(job, plan->domains[i].id);
        plan->domains[i].touched = true;
    }
    plan->added = plan->fresh = job->places;
    plan->new_users = job->users;
    return true;
}

bool roll_first_write(struct roll_job *job, const char *changeset, struct err *err)
{
    char user[24], address[24], claim[40], disabled[40];

    snprintf(user, sizeof user, "%" PRId64, job->first_user);
    snprintf(address, sizeof address, "%" PRId64, job->first_address);
    snprintf(claim, sizeof claim, "{%s}", job->own);
    snprintf(disabled, sizeof disabled, "{%s!}", job->own);
    return (job->users == 0 || db_exec(job->db, users_sql, DB_VALUES(user), NULL, err)) &&
           db_exec(job->db, addresses_sql, DB_VALUES(changeset, user, address, claim, disabled),
                   NULL, err);
}
