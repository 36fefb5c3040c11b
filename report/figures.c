/* figures - see figures.h */
#include "report/figures.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/disk.h"
#include "lib/metrics_file.h"
#include "report/tally.h"

static double now_seconds(void)
{
    return (double)clock_wall_us() / CLOCK_SECOND;
}

/* ---- the quarantine ---- */

static const struct counter {
    enum tally what;
    const char *name, *help;
} counters[] = {
    {TALLY_MESSAGES, "rollcall_quarantine_messages_total", "Messages that were kept."},
    {TALLY_RECIPIENTS, "rollcall_quarantine_recipients_total", "Recipients of these."},
    {TALLY_BYTES, "rollcall_quarantine_bytes_total", "Their size."},
    {TALLY_PUT_OFF, "rollcall_quarantine_put_off_total",
     "Messages and recipients answered with 4xx: disk or database would not take them."},
    {TALLY_REFUSED, "rollcall_quarantine_refused_total",
     "Messages and recipients answered with 5xx: too large, or of no domain of ours."},
    {TALLY_SESSIONS_REFUSED, "rollcall_quarantine_sessions_refused_total",
     "Sessions refused for their number (quarantine_max_connections)."},
    {TALLY_RELEASED, "rollcall_quarantine_released_total", "Releases that were taken."},
    {TALLY_RELEASE_LATER, "rollcall_quarantine_release_later_total",
     "Releases that were not taken and are tried again."},
    {TALLY_RELEASE_FAILED, "rollcall_quarantine_release_failed_total",
     "Releases that were given up."},
    {TALLY_MENDED, "rollcall_quarantine_mended_total", "Files without rows, recorded again."},
    {TALLY_LOST, "rollcall_quarantine_lost_total",
     "Messages whose file was gone, had another length or was altered."},
    {TALLY_CHECKED, "rollcall_quarantine_checked_bytes_total",
     "Bytes of messages that were read again and compared with their rows."},
};

static void put_room(struct buf *out, const char *directory)
{
    struct disk disk;
    struct err ignored;

    if (!disk_look(directory, &disk, &ignored))
        return;
    metrics_put(out, "rollcall_quarantine_free_bytes", "gauge",
                "Room on the disk of quarantine_directory.", (double)disk.free_bytes);
    metrics_put(out, "rollcall_quarantine_free_percent", "gauge",
                "The same in percent of it, or of its inodes when fewer of these are left.",
                disk_percent(&disk));
}

static bool put_requests(struct buf *out, struct db *db, const char *gateway, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select count(*), coalesce(extract(epoch from now() - min(asked_at)), 0)::bigint"
                  " from quarantine_request where gateway = $1 and state = 'waiting'",
                  DB_VALUES(gateway), err))
        return false;
    metrics_put(out, "rollcall_quarantine_requests", "gauge",
                "Releases and raw views that wait to be carried out here.",
                (double)db_int(rows, 0, 0));
    metrics_put(out, "rollcall_quarantine_oldest_request_seconds", "gauge",
                "Age of the oldest of them; 0: none.", (double)db_int(rows, 0, 1));
    return true;
}

bool figures_quarantine(const struct conf *conf, struct db *db, const char *gateway,
                        struct err *err)
{
    BUF_AUTO out = {0};

    if (conf->quarantine_metrics_file[0] == '\0')
        return true;
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        metrics_put(&out, counters[i].name, "counter", counters[i].help,
                    (double)tally_get(counters[i].what));
    put_room(&out, conf->quarantine_directory);
    metrics_put(&out, "rollcall_quarantine_database_connected", "gauge",
                "1 while PostgreSQL does what it is asked.", db != NULL);
    metrics_put(&out, "rollcall_quarantine_written_timestamp_seconds", "gauge",
                "When these figures were written.", now_seconds());
    return (db == NULL || put_requests(&out, db, gateway, err)) &&
           metrics_file_write("quarantine_metrics_file", conf->quarantine_metrics_file, &out, err);
}

/* ---- reports ---- */

bool figures_reports(const struct conf *conf, const struct figures_run *run, struct err *err)
{
    BUF_AUTO out = {0};

    if (conf->report_metrics_file[0] == '\0')
        return true;
    metrics_put(&out, "rollcall_report_last_run_timestamp_seconds", "gauge",
                "When 'rollcall-report spam' last began.", (double)run->begun_us / CLOCK_SECOND);
    metrics_put(&out, "rollcall_report_last_run_success", "gauge",
                "Whether it made all reports that were due.", run->fine);
    metrics_put(&out, "rollcall_report_last_run_duration_seconds", "gauge", "How long it took.",
                (double)run->took_us / CLOCK_SECOND);
    metrics_put(&out, "rollcall_report_last_run_reports", "gauge", "Reports that it made.",
                (double)run->made);
    return metrics_file_write("report_metrics_file", conf->report_metrics_file, &out, err);
}

/* ---- the outbox ---- */

static const char outbox_sql[] =
    "select k.kind, count(o.id) filter (where o.state = 'waiting'),"
    " coalesce(extract(epoch from now() - min(o.made_at) filter (where o.state = 'waiting')), 0)"
    "   ::bigint,"
    " count(o.id) filter (where o.state = 'dead' and o.done_at > now() - interval '1 day'),"
    " count(o.id) filter (where o.state = 'sent')"
    " from unnest(array['report', 'central', 'confirm', 'password', 'directory', 'notice',"
    "   'changed']) k (kind)"
    " left join outbox o on o.kind = k.kind and (o.state = 'waiting'"
    "   or o.state <> 'waiting' and o.done_at > now() - interval '1 hour'"
    "   or o.state = 'dead' and o.done_at > now() - interval '1 day')"
    " group by k.kind order by k.kind";

static const struct {
    const char *name, *help;
} outbox_gauges[] = {
    {"rollcall_outbox_waiting", "Mails that wait to be handed over."},
    {"rollcall_outbox_oldest_seconds", "Age of the oldest of them; 0: none."},
    {"rollcall_outbox_given_up", "Mails that were given up within a day."},
    {"rollcall_outbox_sent_last_hour", "Mails that were handed over within an hour."},
};

bool figures_outbox(const struct conf *conf, struct db *db, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO out = {0};

    if (conf->outbox_metrics_file[0] == '\0')
        return true;
    if (!db_query(db, &rows, outbox_sql, DB_NO_VALUES, err))
        return false;
    for (size_t g = 0; g < sizeof outbox_gauges / sizeof outbox_gauges[0]; g++) {
        metrics_family(&out, outbox_gauges[g].name, "gauge", outbox_gauges[g].help);
        for (size_t i = 0; i < db_rows(rows); i++)
            metrics_value(&out, outbox_gauges[g].name, "kind", db_text(rows, i, 0),
                          db_text(rows, i, (int)g + 1));
    }
    metrics_put(&out, "rollcall_outbox_written_timestamp_seconds", "gauge",
                "When these figures were written.", now_seconds());
    return metrics_file_write("outbox_metrics_file", conf->outbox_metrics_file, &out, err);
}
