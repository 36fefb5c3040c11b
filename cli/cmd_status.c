/* cmd_status - the gateways and how far they are, what waits for a decision, what is wrong; see
 * status.h */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/status.h"
#include "lib/clock.h"
#include "lib/str.h"

/* How long a release may wait before somebody should look. */
static const int64_t REQUEST_LATE = 600 * CLOCK_SECOND;

struct gateway {
    const char *name, *trouble;
    int64_t version, behind, seen_us;
    int64_t age_us; /* of its data; -1: it has none */
    bool live;
};

static struct gateway gateway_of(const struct cli *cli, const struct db_result *rows, size_t row)
{
    int64_t seen_us = db_int(rows, row, 4) > 0 ? db_int(rows, row, 4) : 0;

    return (struct gateway){
        .name = db_text(rows, row, 0),
        .version = db_int(rows, row, 1),
        .behind = db_int(rows, row, 2),
        .age_us = db_null(rows, row, 3) ? -1 : db_int(rows, row, 3) * 1000 + seen_us,
        .seen_us = seen_us,
        .live = seen_us <= cli->conf.value.gateway_live_limit,
        .trouble = db_text(rows, row, 9),
    };
}

static void judge(const struct cli *cli, const struct gateway *g, struct buf *out)
{
    char age[32];

    if (!g->live) {
        clock_age_text(age, sizeof age, g->seen_us);
        status_attention(
            out,
            "gateway %s was last seen %s ago; if it is gone for good: 'rollcall status "
            "--forget %s'",
            g->name, age, g->name);
    } else if (g->age_us < 0)
        status_attention(out, "gateway %s has not loaded the roll yet: it accepts nobody", g->name);
    else if (g->age_us > cli->conf.value.stale_limit) {
        clock_age_text(age, sizeof age, g->age_us);
        status_attention(out, "gateway %s has data of %s ago: unknown recipients get 450", g->name,
                         age);
    }
    if (g->trouble[0] != '\0')
        status_attention(out, "gateway %s: %s", g->name, g->trouble);
}

/* clang-format off */
static const char head_sql[] =
    "select not pg_is_in_recovery(), c.version,"
    " (select " SQL_TIME("coalesce(s.decided_at, s.created_at)") " from changeset s"
    "  where s.version = c.version),"
    " (select count(*) from domain where state = 'active') from roll_clock c";
static const char gateways_sql[] =
    "select g.name, g.version, greatest(c.version - g.version, 0), g.age_ms,"
    " " SQL_AGE("g.seen_at") ", g.recipients, g.answers, g.refused, g.deferred, g.trouble,"
    " g.program from gateway g, roll_clock c order by g.name";
static const char held_sql[] =
    "select c.id, coalesce(k.name, ''), c.mode, c.source, c.actor, " SQL_TIME("c.created_at") ","
    " c.removed, c.note from changeset c left join customer k on k.id = c.customer_id"
    " where c.state = 'held' order by c.id limit 1000";
static const char observed_sql[] =
    "select d.name, " SQL_TIME("o.since") ", o.worked_to, o.accepts_everything, o.held"
    " from domain_observation o join domain d on d.id = o.domain_id"
    " where o.since is not null and o.held <> '' order by d.name limit 1000";
static const char quarantine_sql[] =
    "select m.gateway, count(q.id) filter (where q.state = 'held'),"
    " count(distinct m.id) filter (where m.lost_at is not null),"
    " (select count(*) from quarantine_request r where r.gateway = m.gateway and r.state = 'waiting'),"
    " (select " SQL_AGE("min(r.asked_at)") " from quarantine_request r"
    "   where r.gateway = m.gateway and r.state = 'waiting'),"
    " coalesce((select r.answer from quarantine_request r where r.gateway = m.gateway"
    "   and r.state = 'waiting' and r.answer <> '' order by r.asked_at limit 1), '')"
    " from quarantine_message m join quarantine_recipient q on q.message_id = m.id"
    " where m.dropped_at is null group by m.gateway order by m.gateway";
static const char late_log_sql[] =
    "select p.gateway, " SQL_AGE("p.read_to") " from log_position p join gateway g on g.name = p.gateway"
    " where exists (select from domain_observation where since is not null) order by 1";
static const char failing_sql[] =
    "select s.name, " SQL_AGE("s.failing_since") ", coalesce((select why from ldap_run"
    "   where source_id = s.id and outcome = 'failed' order by id desc limit 1), '')"
    " from ldap_source s where s.failing_since is not null order by s.name limit 100";
/* clang-format on */

static bool put_gateways(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {"gateway", "live",       "version", "behind",  "data_age",
                                          "seen",    "recipients", "answers", "refused", "deferred",
                                          "program", "trouble",    NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, gateways_sql, DB_NO_VALUES, err))
        return false;
    out_section(cli->out, "gateways", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct gateway g = gateway_of(cli, rows, i);
        out_text(cli->out, g.name);
        out_bool(cli->out, g.live);
        out_int(cli->out, g.version);
        out_int(cli->out, g.behind);
        out_age(cli->out, g.age_us);
        out_age(cli->out, g.seen_us);
        for (int c = 5; c < 9; c++)
            out_int(cli->out, db_int(rows, i, c));
        out_text(cli->out, db_text(rows, i, 10));
        out_text(cli->out, g.trouble);
        judge(cli, &g, todo);
    }
    if (db_rows(rows) == 0)
        status_attention(todo, "no gateway follows: start rollcall-policyd on the gateways");
    return true;
}

static bool put_held(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {"changeset", "customer", "mode", "source", "actor",
                                          "created",   "removes",  "note", NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, held_sql, DB_NO_VALUES, err))
        return false;
    out_section(cli->out, "held", db_rows(rows) > 0 ? "held changesets" : NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        for (int c = 0; c < 8; c++) {
            if (c == 0 || c == 6)
                out_int(cli->out, db_int(rows, i, c));
            else
                out_text(cli->out, db_text(rows, i, c));
        }
    if (db_rows(rows) > 0)
        status_attention(todo,
                         "changeset %s waits: 'rollcall change show %s', then approve or reject",
                         db_text(rows, 0, 0), db_text(rows, 0, 0));
    return true;
}

/* Domains whose users observation holds back. */
static bool put_observed(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {
        "domain", "observed_since", "worked_to", "catch_all", "why", NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, observed_sql, DB_NO_VALUES, err))
        return false;
    out_section(cli->out, "observation_held",
                db_rows(rows) > 0 ? "users of these domains are held back" : NULL, OUT_TABLE,
                columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        out_text(cli->out, db_text(rows, i, 1));
        out_text(cli->out, db_null(rows, i, 2) ? NULL : db_text(rows, i, 2));
        out_bool(cli->out, db_bool(rows, i, 3));
        out_text(cli->out, db_text(rows, i, 4));
        status_attention(todo, "%s: %s", db_text(rows, i, 0), db_text(rows, i, 4));
    }
    return true;
}

/* Releases that nobody carries out, and files that are gone. */
static bool put_quarantine(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {"gateway", "held", "lost", "waiting", "oldest", NULL};
    DB_RESULT_AUTO rows = NULL;
    char age[32];

    if (!db_query(cli->db, &rows, quarantine_sql, DB_NO_VALUES, err))
        return false;
    out_section(cli->out, "quarantine", db_rows(rows) > 0 ? "quarantine" : NULL, OUT_TABLE,
                columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        const char *gateway = db_text(rows, i, 0), *why = db_text(rows, i, 5);
        int64_t lost = db_int(rows, i, 2), oldest_us = db_int(rows, i, 4);
        out_text(cli->out, gateway);
        for (int c = 1; c < 4; c++)
            out_int(cli->out, db_int(rows, i, c));
        if (db_null(rows, i, 4))
            out_null(cli->out);
        else
            out_age(cli->out, oldest_us);
        clock_age_text(age, sizeof age, oldest_us);
        if (oldest_us > REQUEST_LATE)
            status_attention(
                todo,
                "gateway %s: a release waits since %s: %s; see rollcall-quarantine and "
                "release_to there",
                gateway, age, why[0] != '\0' ? why : "nobody carries it out");
        if (lost > 0)
            status_attention(
                todo,
                "gateway %s: the files of %lld quarantined message%s are gone or altered; its "
                "log names them (quarantine-mended)",
                gateway, (long long)lost, lost == 1 ? "" : "s");
    }
    return true;
}

/* Logs that should have been read since the day ended. */
static bool judge_logs(struct cli *cli, struct buf *todo, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char age[32];

    if (!db_query(cli->db, &rows, late_log_sql, DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++) {
        if (db_int(rows, i, 1) <= cli->conf.value.create_alert)
            continue;
        clock_age_text(age, sizeof age, db_int(rows, i, 1));
        status_attention(todo,
                         "gateway %s: its mail log was read to %s ago; see rollcall-observe there",
                         db_text(rows, i, 0), age);
    }
    return true;
}

/* Directories that fail, since when and why. */
static bool judge_directories(struct cli *cli, struct buf *todo, struct err *err)
{
    char age[32];
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, failing_sql, DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++) {
        clock_age_text(age, sizeof age, db_int(rows, i, 1));
        status_attention(todo, "LDAP source %s fails since %s: %s", db_text(rows, i, 0), age,
                         db_text(rows, i, 2));
    }
    return true;
}

static bool put_head(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"database", "primary", "roll_version",
                                          "changed",  "domains", NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, head_sql, DB_NO_VALUES, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    out_text(cli->out, db_host(cli->db));
    out_bool(cli->out, db_bool(rows, 0, 0));
    out_int(cli->out, db_int(rows, 0, 1));
    out_text(cli->out, db_null(rows, 0, 2) ? NULL : db_text(rows, 0, 2));
    out_int(cli->out, db_int(rows, 0, 3));
    return true;
}

static bool forget(struct cli *cli, const char *name, struct err *err)
{
    int64_t touched;

    if (!cli_write(cli, err) ||
        !db_exec(cli->db, "delete from gateway where name = $1", DB_VALUES(name), &touched, err) ||
        !db_exec(cli->db, "delete from log_position where gateway = $1", DB_VALUES(name), NULL,
                 err))
        return false;
    if (touched == 0)
        return err_set(err, ERR_DATA, "there is no gateway '%s'; 'rollcall status'", name);
    cli_say(cli, "gateway %s forgotten", name);
    if (cli->json) {
        static const char *const columns[] = {"forgotten", NULL};
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_text(cli->out, name);
    }
    return true;
}

/* One look; the exit code says whether there is something to look at. */
static bool show(struct cli *cli, struct err *err)
{
    static const char *const people[] = {"attention", NULL}, *const json[] = {"text", NULL};
    BUF_AUTO todo = {0};

    buf_text(&todo, "");
    if (!cli_read(cli, err) ||
        !db_script(cli->db, "begin isolation level repeatable read read only", err) ||
        !put_head(cli, err) || !put_gateways(cli, &todo, err) || !put_held(cli, &todo, err) ||
        !put_observed(cli, &todo, err) || !put_quarantine(cli, &todo, err) ||
        !status_jobs(cli, &todo, err) || !status_outbox(cli, &todo, err) ||
        !status_disks(cli, &todo, err) || !judge_logs(cli, &todo, err) ||
        !judge_directories(cli, &todo, err) || !db_script(cli->db, "commit", err))
        return false;
    out_section(cli->out, "attention", NULL, OUT_TABLE, cli->json ? json : people);
    for (struct span rest = span_text(todo.at), line;
         todo.len > 0 && span_next(&rest, '\n', &line);) {
        STR_AUTO text = mem_span(line);
        out_text(cli->out, text);
    }
    cli->exit_code = todo.len > 0 ? ERR_OTHER : 0;
    return true;
}

enum { WATCH_EVERY = 2000 /* ms */ };

/* As many rows as there are, in memory, so that a terminal changes at once. */
static bool show_into(struct cli *cli, struct buf *text, struct err *err)
{
    struct out *before = cli->out;
    char *at = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&at, &len);

    if (memory == NULL)
        return err_set(err, ERR_OTHER, "out of memory");
    cli->out = out_open(memory, false);
    bool fine = show(cli, err);
    out_close(&cli->out);
    fclose(memory);
    cli->out = before;
    buf_append(text, at, len);
    free(at);
    return fine;
}

/* Again and again until somebody ends it; a database that is away is told, and tried again. */
static bool watch_status(struct cli *cli, struct err *err)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;
    struct pollfd ended = {.fd = interrupt_watch(), .events = POLLIN};

    while (!interrupt_seen()) {
        char now[32], line[sizeof err->text + 64];
        BUF_AUTO text = {0};
        buf_text(&text, "");
        clock_rfc3339(now, sizeof now, clock_wall_us());
        if (!show_into(cli, &text, err)) {
            cli->exit_code = (int)err->class;
            text.len = 0;
            str_printable(line, sizeof line, err->text, strlen(err->text));
            buf_printf(&text, "%s; tried again\n", line);
            db_close(&cli->db);
        }
        printf("%s%s\n%.*s%s", terminal ? "\033[H\033[2J" : "", now, (int)text.len, text.at,
               terminal ? "" : "\n");
        if (fflush(stdout) != 0)
            return err_set(err, ERR_OTHER, "standard output: %s", strerror(errno));
        poll(&ended, 1, WATCH_EVERY);
    }
    interrupt_end();
    return true;
}

bool cmd_status(struct cli *cli, struct err *err)
{
    const char *name = cli_value(cli, "forget");
    bool watch = cli_flag(cli, "watch");

    if (watch && (cli->json || name != NULL))
        return err_set(err, ERR_USAGE, "--watch is for people: without --json and --forget");
    if (name != NULL)
        return forget(cli, name, err);
    return watch ? watch_status(cli, err) : show(cli, err);
}
