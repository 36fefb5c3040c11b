/* cmd_db - the database's tables: making, upgrading, purging, telling */
#include <stdio.h>

#include "cli/cmd.h"
#include "lib/job_run.h"
#include "lib/schema.h"
#include "lib/str.h"

static void tell_migration(struct cli *cli, int from, int to)
{
    static const char *const columns[] = {"from", "to", NULL};

    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_int(cli->out, from);
        out_int(cli->out, to);
    } else if (from == to)
        cli_say(cli, "the tables are at version %d already, nothing to do", to);
    else if (from == 0)
        cli_say(cli, "tables and roles made, version %d", to);
    else
        cli_say(cli, "upgraded from version %d to %d", from, to);
}

bool cmd_db_init(struct cli *cli, struct err *err)
{
    int from, to;

    if (!cli_connect(cli, err) || !schema_version(cli->db, &from, err))
        return false;
    if (from > 0 && from < schema_known())
        return err_set(err, ERR_CONFIG,
                       "the database has tables of version %d, this program needs %d: run "
                       "'rollcall db upgrade'",
                       from, schema_known());
    if (!schema_upgrade(cli->db, &from, &to, err))
        return false;
    tell_migration(cli, from, to);
    return true;
}

bool cmd_db_upgrade(struct cli *cli, struct err *err)
{
    int from, to;

    if (!cli_connect(cli, err) || !schema_version(cli->db, &from, err))
        return false;
    if (from == 0)
        return err_set(err, ERR_CONFIG,
                       "the database has no tables of Rollcall: run 'rollcall db init'");
    if (!schema_upgrade(cli->db, &from, &to, err))
        return false;
    tell_migration(cli, from, to);
    return true;
}

bool cmd_db_status(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"host",  "database", "role",         "primary", "schema",
                                          "needs", "size",     "roll_version", NULL};
    DB_RESULT_AUTO rows = NULL;
    DB_RESULT_AUTO clock = NULL;
    int version;

    if (!cli_connect_any(cli, err) || !schema_version(cli->db, &version, err) ||
        !db_query(cli->db, &rows,
                  "select current_database(), current_user, not pg_is_in_recovery(),"
                  " pg_size_pretty(pg_database_size(current_database()))",
                  DB_NO_VALUES, err) ||
        (version > 0 &&
         !db_query(cli->db, &clock, "select version from roll_clock", DB_NO_VALUES, err)))
        return false;
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    out_text(cli->out, db_host(cli->db));
    out_text(cli->out, db_text(rows, 0, 0));
    out_text(cli->out, db_text(rows, 0, 1));
    out_bool(cli->out, db_bool(rows, 0, 2));
    out_int(cli->out, version);
    out_int(cli->out, schema_known());
    out_text(cli->out, db_text(rows, 0, 3));
    if (clock != NULL)
        out_int(cli->out, db_int(clock, 0, 0));
    else
        out_null(cli->out);
    return schema_check(cli->db, err);
}

enum { GONE_TOMBSTONES, GONE_OBSERVATIONS, GONE_AUDIT, GONE_EVIDENCE, GONE };

static bool purge_old(struct cli *cli, const char *life, const char *live, int64_t gone[GONE],
                      struct err *err)
{
    const struct conf *conf = &cli->conf.value;
    char observations[24], audit[24];
    DB_RESULT_AUTO tombstones = NULL;
    DB_RESULT_AUTO old = NULL;

    snprintf(observations, sizeof observations, "%lld", (long long)conf->observation_life);
    snprintf(audit, sizeof audit, "%lld", (long long)conf->audit_life);
    if (!db_query(cli->db, &tombstones,
                  "select roll_purge($1::bigint * interval '1 microsecond',"
                  " $2::bigint * interval '1 microsecond')",
                  DB_VALUES(life, live), err) ||
        !db_query(cli->db, &old,
                  "select gone from forget_old($1::bigint * interval '1 microsecond',"
                  " $2::bigint * interval '1 microsecond')",
                  DB_VALUES(observations, audit), err))
        return false;
    gone[GONE_TOMBSTONES] = db_int(tombstones, 0, 0);
    gone[GONE_OBSERVATIONS] = db_int(old, 0, 0);
    gone[GONE_AUDIT] = db_int(old, 1, 0);
    return true;
}

/* In pieces: of years that nobody has purged there are many. */
static bool purge_evidence(struct cli *cli, const char *life, const char *live, int64_t *gone,
                           struct err *err)
{
    char after[24] = "0";

    *gone = 0;
    for (;;) {
        DB_RESULT_AUTO piece = NULL;
        if (!db_query(cli->db, &piece,
                      "select last, gone from evidence_purge($1::bigint * interval '1 microsecond',"
                      " $2::bigint * interval '1 microsecond', $3::bigint, 10000)",
                      DB_VALUES(life, live, after), err))
            return false;
        if (db_null(piece, 0, 0))
            return true;
        snprintf(after, sizeof after, "%s", db_text(piece, 0, 0));
        *gone += db_int(piece, 0, 1);
    }
}

static bool purge(struct cli *cli, int64_t gone[GONE], struct err *err)
{
    char life[24], live[24];

    snprintf(life, sizeof life, "%lld", (long long)cli->conf.value.tombstone_life);
    snprintf(live, sizeof live, "%lld", (long long)cli->conf.value.gateway_live_limit);
    return purge_old(cli, life, live, gone, err) &&
           purge_evidence(cli, life, live, &gone[GONE_EVIDENCE], err);
}

static const char *ending(int64_t count)
{
    return count == 1 ? "" : "s";
}

bool cmd_db_purge(struct cli *cli, struct err *err)
{
    static const char *const columns[GONE + 1] = {"purged", "observations", "audit", "evidence",
                                                  NULL};
    int64_t gone[GONE];

    if (!cli_write(cli, err))
        return false;
    db_set_timeout(cli->db, 0);
    if (!purge(cli, gone, err)) {
        job_run_tell(&cli->conf.value, JOB_RUN_DB_PURGE, err);
        return false;
    }
    cli_say(cli,
            "%lld tombstone%s forgotten, %lld observation%s, %lld line%s of the audit,"
            " %lld changeset%s of evidence",
            (long long)gone[GONE_TOMBSTONES], ending(gone[GONE_TOMBSTONES]),
            (long long)gone[GONE_OBSERVATIONS], ending(gone[GONE_OBSERVATIONS]),
            (long long)gone[GONE_AUDIT], ending(gone[GONE_AUDIT]), (long long)gone[GONE_EVIDENCE],
            ending(gone[GONE_EVIDENCE]));
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        for (int i = 0; i < GONE; i++)
            out_int(cli->out, gone[i]);
    }
    return job_run_tell_over(cli->db, &cli->conf.value, JOB_RUN_DB_PURGE, NULL, err);
}
