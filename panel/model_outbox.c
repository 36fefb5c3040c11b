/* model_outbox - see model.h; here: mails on their way, and the jobs that run by themselves */
#include <stdio.h>

#include "lib/job_run.h"
#include "panel/model.h"
#include "panel/view.h"

static const char counts_sql[] =
    "select count(*) filter (where state = 'waiting') as n_waiting,"
    " count(*) filter (where state = 'dead') as n_dead,"
    " count(*) filter (where state = 'waiting' and trouble <> '') as n_troubled from panel_outbox"
    " where state in ('waiting', 'dead')";
static const char mails_sql[] =
    "select o.id, o.kind, o.envelope_to as address, coalesce(k.name, '') as customer, o.state,"
    " o.tries as n_tries, o.trouble, o.made_at as at_made, o.next_at as at_next,"
    " o.done_at as at_done, o.state = 'waiting' as is_waiting"
    " from panel_outbox o left join customer k on k.id = o.customer_id"
    " where o.state = $1 and ($2::bigint is null or o.id < $2::bigint)"
    " and ($3 = '' or strpos(lower(o.envelope_to || ' ' || o.trouble), lower($3)) > 0)"
    " order by o.id desc limit 51";

bool model_outbox(struct db *db, const char *state, const char *fragment, const char *before,
                  struct data *page, struct err *err)
{
    DB_RESULT_AUTO counts = NULL;
    DB_RESULT_AUTO mails = NULL;

    if (!db_query(db, &counts, counts_sql, DB_NO_VALUES, err) ||
        !db_query(db, &mails, mails_sql, DB_VALUES(state, before, fragment), err))
        return false;
    view_row(page, counts, 0);
    view_rows(page, "mails", mails);
    if (db_rows(mails) > MODEL_PAGE)
        data_text(page, "next", db_text(mails, MODEL_PAGE - 1, 0));
    return true;
}

bool model_outbox_act(struct db *db, const char *mails, const char *what, const char *actor,
                      int64_t *done, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select panel_outbox_act($1::bigint[], $2, $3)",
                  DB_VALUES(mails, what, actor), err))
        return false;
    *done = db_int(row, 0, 0);
    return true;
}

bool model_jobs(struct db *db, struct data *page, struct err *err)
{
    struct data *list = data_list(page, "jobs");

    for (size_t i = 0; i < JOB_RUNS; i++) {
        DB_RESULT_AUTO rows = NULL;
        struct data *job = data_item(list);
        if (!job_run_query(db, (enum job_run)i, &rows, err))
            return false;
        data_text(job, "name", job_run_rows[i].name);
        view_rows(job, "runs", rows);
    }
    return true;
}

/* What waits for somebody, beside the jobs themselves. */
static const char waiting_sql[] =
    "select (select count(*) from ldap_source where failing_since is not null) as n_failing,"
    " (select count(*) from changeset where state = 'held') as n_held,"
    " (select count(*) from domain_observation where since is not null and held <> '')"
    "   as n_observed,"
    " (select count(*) from panel_outbox where state = 'dead') as n_dead,"
    " (select count(*) from panel_outbox where state = 'waiting'"
    "   and made_at < now() - interval '15 minutes') as n_late";

bool model_attention(struct db *db, struct data *page, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, waiting_sql, DB_NO_VALUES, err))
        return false;
    view_row(page, row, 0);
    static const char *const flags[] = {"failing", "held", "observed", "dead", "late"};
    for (int i = 0; i < 5; i++)
        data_flag(page, flags[i], db_int(row, 0, i) > 0);
    return true;
}
