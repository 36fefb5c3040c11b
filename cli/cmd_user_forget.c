/* cmd_user_forget - `user forget`: a person asks that nothing be kept; see sql/0007_forget.sql */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "lib/addr.h"

const struct cli_option user_forget_options[] = {
    {"dry-run", NULL, false, "show how many traces there are, erase nothing"},
    {0},
};

/* An address, and under which domain and local part traces of it stand. */
struct whom {
    char address[ADDR_TEXT_MAX + 1], domain_id[24], local[ADDR_LOCAL_MAX + 1];
};

static bool find(struct cli *cli, const char *text, struct whom *whom, struct err *err)
{
    struct addr addr;
    DB_RESULT_AUTO rows = NULL;

    if (!addr_parse(span_text(text), true, &addr, err) ||
        !db_query(cli->db, &rows,
                  "select t.id, t.case_sensitive from domain d join domain t"
                  " on t.id = coalesce(d.alias_of, d.id) where d.name = $1",
                  DB_VALUES(addr.domain), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "%s: nothing is known of that domain", addr.domain);
    snprintf(whom->domain_id, sizeof whom->domain_id, "%s", db_text(rows, 0, 0));
    if (!addr_parse(span_text(text), !db_bool(rows, 0, 1), &addr, err))
        return false;
    snprintf(whom->local, sizeof whom->local, "%s", addr.local);
    addr_format(&addr, whom->address);
    return true;
}

/* Whether it may be forgotten: it is off the roll, and every live gateway knows. */
static bool may(struct cli *cli, const struct whom *whom, const char *live, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows,
                  "select r.state <> 'removed', (select string_agg(g.name, ', ' order by g.name)"
                  " from gateway g where g.version < c.version"
                  " and g.seen_at > now() - $3::bigint * interval '1 microsecond')"
                  " from recipient r join changeset c on c.id = r.changed_by"
                  " where r.domain_id = $1::integer and r.local_part = $2",
                  DB_VALUES(whom->domain_id, whom->local, live), err))
        return false;
    if (db_rows(rows) == 0)
        return true;
    if (db_bool(rows, 0, 0))
        return err_set(err, ERR_DATA, "%s is on the roll: 'rollcall user remove' first",
                       whom->address);
    if (!db_null(rows, 0, 1))
        return err_set(err, ERR_TEMPORARY, "%s: the removal is not yet live on: %s; try again",
                       whom->address, db_text(rows, 0, 1));
    return true;
}

/* Of all before any, in one order for everybody: see sql/0024_retention.sql. */
static bool lock(struct cli *cli, const struct whom *all, struct err *err)
{
    BUF_AUTO domains = {0};
    BUF_AUTO locals = {0};

    for (size_t i = 0; i < cli->operand_count; i++) {
        db_array_add(&domains, all[i].domain_id);
        db_array_add(&locals, all[i].local);
    }
    db_array_end(&domains);
    db_array_end(&locals);
    return db_exec(cli->db, "select user_forget_lock($1::integer[], $2::text[])",
                   DB_VALUES(domains.at, locals.at), NULL, err);
}

static bool forget(struct cli *cli, const struct whom *whom, const char *live, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!may(cli, whom, live, err) ||
        !db_query(cli->db, &rows,
                  "select what, traces from user_forget($1::integer, $2,"
                  " $3::bigint * interval '1 microsecond', $4)"
                  " union all select what, traces from user_forget_mentions($1::integer, $2)",
                  DB_VALUES(whom->domain_id, whom->local, live, cli->actor), err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, whom->address);
        out_text(cli->out, db_text(rows, i, 0));
        out_int(cli->out, db_int(rows, i, 1));
    }
    return true;
}

bool cmd_user_forget(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"address", "what", "traces", NULL};
    bool dry = cli_flag(cli, "dry-run"), fine = true;
    struct whom *all = mem_zero(cli->operand_count, sizeof *all);
    char live[24];

    snprintf(live, sizeof live, "%lld", (long long)cli->conf.value.gateway_live_limit);
    fine = cli_write(cli, err) && db_script(cli->db, "begin", err);
    for (size_t i = 0; fine && i < cli->operand_count; i++)
        fine = find(cli, cli->operands[i], &all[i], err);
    fine = fine && lock(cli, all, err);
    if (fine)
        out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; fine && i < cli->operand_count; i++)
        fine = forget(cli, &all[i], live, err);
    free(all);
    if (!fine)
        return cli->db != NULL && db_rollback(cli->db);
    if (!db_script(cli->db, dry ? "rollback" : "commit", err))
        return false;
    out_end(cli->out);
    cli_say(cli, dry ? "dry run: nothing was erased" : "erased");
    return true;
}
