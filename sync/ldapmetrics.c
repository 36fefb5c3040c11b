/* ldapmetrics - see ldapmetrics.h */
#include "sync/ldapmetrics.h"

#include "lib/metrics_file.h"

/* In the order of the columns behind the source's name. */
static const struct {
    const char *name, *doc;
} metrics[] = {
    {"last_run_timestamp_seconds", "When the last run began."},
    {"last_success_timestamp_seconds", "When the roll last agreed with a complete answer."},
    {"last_run_success", "Whether the last run was complete and is not held."},
    {"last_run_duration_seconds", "How long the last run took."},
    {"held", "Whether a change waits to be approved."},
    {"entries", "Entries that the directory gave in the last run."},
    {"users", "Of these, taken as users."},
    {"left_out", "Of these, not taken."},
    {"problems", "Addresses that the roll refused in the last run."},
    {"added", "Addresses that the last run added."},
    {"removed", "Addresses that the last run took away."},
    {"changed", "Addresses that the last run changed."},
};
enum { METRICS = sizeof metrics / sizeof metrics[0] };

static const char runs_sql[] =
    "select s.name, extract(epoch from r.started_at)::numeric(20, 3),"
    " extract(epoch from s.synced_at)::numeric(20, 3),"
    " (r.outcome in ('applied', 'unchanged'))::int,"
    " extract(epoch from r.ended_at - r.started_at)::numeric(20, 3), (s.held is not null)::int,"
    " r.entries, r.users, r.left_out, r.problems, r.added, r.removed, r.changed"
    " from ldap_source s left join lateral (select * from ldap_run r where r.source_id = s.id"
    "   and r.outcome <> 'running' order by r.id desc limit 1) r on true order by s.name";

static void put_metric(struct buf *out, const struct db_result *rows, size_t metric)
{
    STR_AUTO name = mem_printf("rollcall_ldap_%s", metrics[metric].name);

    metrics_family(out, name, "gauge", metrics[metric].doc);
    for (size_t i = 0; i < db_rows(rows); i++)
        if (!db_null(rows, i, (int)metric + 1))
            metrics_value(out, name, "source", db_text(rows, i, 0),
                          db_text(rows, i, (int)metric + 1));
}

bool ldapmetrics_write(struct db *db, const char *path, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO text = {0};

    if (!db_query(db, &rows, runs_sql, DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < METRICS; i++)
        put_metric(&text, rows, i);
    return metrics_file_write("ldap_metrics_file", path, &text, err);
}
