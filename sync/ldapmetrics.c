/* ldapmetrics - see ldapmetrics.h */
#include "sync/ldapmetrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* In a label value a backslash, a quote and a newline are escaped; names have no newline. */
static void put_label(struct buf *out, const char *value)
{
    for (; *value != '\0'; value++)
        buf_printf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
}

static void put_metric(struct buf *out, const struct db_result *rows, size_t metric)
{
    const char *name = metrics[metric].name;

    buf_printf(out, "# HELP rollcall_ldap_%s %s\n# TYPE rollcall_ldap_%s gauge\n", name,
               metrics[metric].doc, name);
    for (size_t i = 0; i < db_rows(rows); i++) {
        if (db_null(rows, i, (int)metric + 1))
            continue;
        buf_printf(out, "rollcall_ldap_%s{source=\"", name);
        put_label(out, db_text(rows, i, 0));
        buf_printf(out, "\"} %s\n", db_text(rows, i, (int)metric + 1));
    }
}

static bool put_file(const char *path, const struct buf *text, struct err *err)
{
    STR_AUTO aside = mem_printf("%s.%d.tmp", path, (int)getpid());
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool fine = fd >= 0 && write(fd, text->at, text->len) == (ssize_t)text->len;

    if (fd >= 0)
        fine = close(fd) == 0 && fine;
    if (fine && rename(aside, path) == 0)
        return true;
    int why = errno;
    unlink(aside);
    return err_set(err, ERR_CONFIG, "ldap_metrics_file: %s cannot be written: %s", path,
                   strerror(why));
}

bool ldapmetrics_write(struct db *db, const char *path, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO text = {0};

    if (!db_query(db, &rows, runs_sql, DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < METRICS; i++)
        put_metric(&text, rows, i);
    return put_file(path, &text, err);
}
