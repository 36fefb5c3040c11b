/* doctor_database - PostgreSQL as the settings name it: reachable, current, with the rights */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "lib/clock.h"
#include "lib/schema.h"

void check_database(struct doctor *d)
{
    struct err err;
    DB_RESULT_AUTO rows = NULL;

    if (!cli_connect_any(d->cli, &err) ||
        !db_query(d->cli->db, &rows, "select current_database(), current_user, pg_is_in_recovery()",
                  DB_NO_VALUES, &err)) {
        doctor_bad(d, "correct the setting database, or start PostgreSQL there", "%s", err.text);
        return;
    }
    d->database = true;
    doctor_ok(d, "database %s on %s as %s", db_text(rows, 0, 0), db_host(d->cli->db),
              db_text(rows, 0, 1));
    if (!db_bool(rows, 0, 2))
        return;
    db_close(&d->cli->db);
    if (cli_connect(d->cli, &err))
        doctor_ok(d, "the first host is a standby; the primary is %s", db_host(d->cli->db));
    else {
        doctor_warn(d, "name the primary in the setting database, too: host=a,b",
                    "only a standby is reachable: nothing can be changed, and this gateway's row "
                    "cannot be written");
        d->database = cli_connect_any(d->cli, &err);
    }
}

/* What Postfix must relay, and whether it must ask customers' servers. */
static bool read_served(struct doctor *d, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(d->cli->db, &rows,
                  "select name, (coalesce(shadow, relay_check) in ('smtp', 'either')"
                  " or relay_check in ('smtp', 'either'))::int"
                  " from domain where state = 'active' order by name",
                  DB_NO_VALUES, err))
        return false;
    buf_text(&d->served, "");
    for (size_t i = 0; i < db_rows(rows); i++) {
        buf_printf(&d->served, "%s\n", db_text(rows, i, 0));
        d->asking += db_int(rows, i, 1);
    }
    return true;
}

void check_schema(struct doctor *d)
{
    struct err err;
    int version;

    if (!d->database) {
        doctor_skip(d, "no database");
        return;
    }
    d->database = schema_version(d->cli->db, &version, &err) && schema_check(d->cli->db, &err) &&
                  read_served(d, &err);
    if (d->database)
        doctor_ok(d, "version %d, as this program needs", version);
    else
        doctor_bad(d,
                   "rollcall db init, or rollcall db upgrade; or install the program's newer "
                   "version",
                   "%s", err.text);
}

/* What the role lacks of the rights, "table: right", or "". */
static bool lacking(struct doctor *d, const char *table_rights, char *out, size_t room,
                    struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(
            d->cli->db, &rows,
            "select string_agg(split_part(w, ':', 2) || ' on ' || split_part(w, ':', 1), ', ')"
            " from unnest(string_to_array($1, ' ')) w where not"
            " has_table_privilege(split_part(w, ':', 1), split_part(w, ':', 2))",
            DB_VALUES(table_rights), err))
        return false;
    snprintf(out, room, "%s", db_text(rows, 0, 0));
    return true;
}

void check_rights(struct doctor *d)
{
    static const char daemon[] =
        "domain:select recipient:select changeset:select roll_clock:select "
        "schema_version:select gateway:select gateway:insert "
        "gateway:update";
    static const char admin[] = "changeset:insert change_line:insert recipient:insert "
                                "recipient:update users:insert domain:update";
    char for_daemon[400], for_admin[400];
    struct err err;

    if (!d->database) {
        doctor_skip(d, "no database");
        return;
    }
    if (!lacking(d, daemon, for_daemon, sizeof for_daemon, &err) ||
        !lacking(d, admin, for_admin, sizeof for_admin, &err))
        doctor_bad(d, "see PostgreSQL's log", "%s", err.text);
    else if (for_daemon[0] != '\0' && for_admin[0] == '\0')
        doctor_warn(d, "where rollcall-policyd reads these settings: user=rollcall_policyd",
                    "an administrator's role; rollcall-policyd would lack: %s", for_daemon);
    else if (for_daemon[0] != '\0')
        doctor_bad(d,
                   "connect as rollcall_policyd or rollcall_admin; the owner of the tables grants "
                   "their rights with 'rollcall db upgrade'",
                   "rollcall-policyd would lack: %s", for_daemon);
    else
        doctor_ok(d, "all that rollcall-policyd needs%s",
                  for_admin[0] == '\0' ? ", and to change the roll"
                                       : "; to change the roll connect "
                                         "as rollcall_admin");
}

static void judge_row(struct doctor *d, const char *name, const struct db_result *rows)
{
    char age[32];
    int64_t seen_us = db_int(rows, 0, 0), behind = db_int(rows, 0, 2);
    int64_t age_us = db_int(rows, 0, 1) * 1000 + seen_us;
    const char *trouble = db_text(rows, 0, 3);

    clock_age_text(age, sizeof age, seen_us);
    if (seen_us > d->cli->conf.value.gateway_live_limit)
        doctor_bad(d, "start rollcall-policyd, or see its log", "%s was last seen %s ago", name,
                   age);
    else if (db_null(rows, 0, 1))
        doctor_bad(d, "see the log of rollcall-policyd", "%s has not loaded the roll yet", name);
    else if (age_us > d->cli->conf.value.stale_limit)
        doctor_bad(d, "see the log of rollcall-policyd",
                   "%s has old data: unknown recipients get 450", name);
    else
        doctor_ok(d, "%s was seen %s ago, %lld versions behind", name, age, (long long)behind);
    if (trouble[0] != '\0')
        doctor_warn(d, "see the log of rollcall-policyd", "%s: %s", name, trouble);
}

/* clang-format off */
static const char gateway_sql[] =
    "select " SQL_AGE("g.seen_at") ", g.age_ms, greatest(c.version - g.version, 0), g.trouble"
    " from gateway g, roll_clock c where g.name = $1";
/* clang-format on */

/* The name under which this gateway's programs tell of themselves. */
void doctor_gateway_name(const struct doctor *d, char *name, size_t room)
{
    snprintf(name, room, "%s", d->cli->conf.value.gateway_name);
    if (name[0] == '\0' && gethostname(name, room) != 0)
        snprintf(name, room, "localhost");
}

void check_gateway(struct doctor *d)
{
    char name[256];
    struct err err;
    DB_RESULT_AUTO rows = NULL;

    if (!d->database) {
        doctor_skip(d, "no database");
        return;
    }
    doctor_gateway_name(d, name, sizeof name);
    if (!db_query(d->cli->db, &rows, gateway_sql, DB_VALUES(name), &err))
        doctor_bad(d, "see PostgreSQL's log", "%s", err.text);
    else if (db_rows(rows) == 0)
        doctor_warn(d, "on a gateway: start rollcall-policyd; elsewhere nothing",
                    "no rollcall-policyd has told of itself as %s", name);
    else
        judge_row(d, name, rows);
}

/* ---- observation ---- */

static void judge_log(struct doctor *d, const char *name, int64_t age_us)
{
    char age[32];

    clock_age_text(age, sizeof age, age_us);
    if (age_us > d->cli->conf.value.create_alert)
        doctor_warn(d, "see whether 'rollcall-observe collect' runs here (cron, systemd timer)",
                    "%s: its mail log was read to %s ago", name, age);
    else
        doctor_ok(d, "the mail log of %s was read to %s ago", name, age);
}

void check_observation(struct doctor *d)
{
    DB_RESULT_AUTO rows = NULL;
    char name[256];
    struct err err;

    if (!d->database || d->asking == 0) {
        doctor_skip(d, d->database
                           ? "no domain asks the customer's server (relay check smtp or either)"
                           : "no database");
        return;
    }
    doctor_gateway_name(d, name, sizeof name);
    if (!db_query(d->cli->db, &rows,
                  "select " SQL_AGE("read_to") " from log_position where gateway = $1",
                  DB_VALUES(name), &err))
        doctor_bad(d, "see PostgreSQL's log", "%s", err.text);
    else if (db_rows(rows) == 0)
        doctor_warn(d, "on a gateway: run 'rollcall-observe collect' (cron, systemd timer)",
                    "no mail log of %s was ever read: domains in relay check smtp get no users",
                    name);
    else
        judge_log(d, name, db_int(rows, 0, 0));
}
