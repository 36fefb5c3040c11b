/* cmd_db - the database's tables: making, upgrading, purging, telling */
#include <stdio.h>

#include "cli/cmd.h"
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

bool cmd_db_purge(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"purged", NULL};
    char life[24], live[24];
    DB_RESULT_AUTO rows = NULL;

    snprintf(life, sizeof life, "%lld", (long long)cli->conf.value.tombstone_life);
    snprintf(live, sizeof live, "%lld", (long long)cli->conf.value.gateway_live_limit);
    if (!cli_write(cli, err))
        return false;
    db_set_timeout(cli->db, 0);
    if (!db_query(cli->db, &rows,
                  "select roll_purge($1::bigint * interval '1 microsecond',"
                  " $2::bigint * interval '1 microsecond')",
                  DB_VALUES(life, live), err))
        return false;
    cli_say(cli, "%lld tombstone%s forgotten", (long long)db_int(rows, 0, 0),
            db_int(rows, 0, 0) == 1 ? "" : "s");
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_int(cli->out, db_int(rows, 0, 0));
    }
    return true;
}
