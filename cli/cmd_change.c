/* cmd_change - the history: changesets listed, shown, undone; held ones approved or rejected */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/apply.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/pager.h"
#include "lib/str.h"

/* clang-format off */
/* The names of the first five domains of a changeset, and a sign that there are more. The history
 * may have a million rows: their index is skipped through. */
#define DOMAINS                                                                                    \
    "(with recursive met(id) as (select min(domain_id) from change where changeset_id = c.id"      \
    "    union all select (select min(h.domain_id) from change h where h.changeset_id = c.id"      \
    "      and h.domain_id > met.id) from met where met.id is not null),"                          \
    "  every(id) as (select id from met where id is not null union"                                \
    "    select domain_id from held_domain where changeset_id = c.id union"                        \
    "    select domain_id from domain_change where changeset_id = c.id limit 6)"                   \
    "  select string_agg(case when n > 5 then '…' else name end, e'\\n' order by n) from"          \
    "    (select row_number() over (order by d.name) as n, d.name from every e"                    \
    "     join domain d on d.id = e.id) x)"
#define CHANGESETS                                                                                 \
    "select c.id, c.version, c.state, c.mode,"                                                     \
    " c.source || case when c.source_id <> 0 then ':' || c.source_id else '' end, k.name, c.actor,"\
    " c.program, " SQL_TIME("coalesce(c.decided_at, c.created_at)") ", c.added, c.removed,"        \
    " c.changed, c.forced, " DOMAINS ", nullif(c.note, '')"                                        \
    " from changeset c left join customer k on k.id = c.customer_id"
static const char list_sql[] =
    CHANGESETS " where ($1::changeset_state is null or c.state = $1::changeset_state)"
    " and ($2::text is null or lower(k.name) = lower($2)) and c.mode <> 'evidence'"
    " order by c.id desc limit $3::bigint";
static const char one_sql[] = CHANGESETS " where c.id = $1::bigint";

/* One side of the change of an address, as a dry run words it. The user is called by the primary
 * address that the changeset itself found or left, or else by the one there is now. */
#define PRIMARY_OF(user)                                                                           \
    "coalesce((select " SQL_ADDRESS("p.local_part", "pd.name")                                     \
    " from recipient p join domain pd on pd.id = p.domain_id"                                      \
    " where p.user_id = " user " and p.kind = 'primary'), 'number ' || " user ")"
#define HEADS(which)                                                                               \
    which "(id, address) as (select h." which "_user, " SQL_ADDRESS("h.local_part", "d.name")      \
    " from change h join domain d on d.id = h.domain_id where h.changeset_id = $1::bigint"         \
    " and h." which "_kind = 'primary' and h." which "_user in (select " which "_user from page))"
#define SIDE(which)                                                                                \
    "case when h." which "_state is null then '' else concat_ws(', ',"                             \
    " 'user ' || coalesce(" which ".address, " PRIMARY_OF("h." which "_user") "),"                 \
    " h." which "_kind,"                                                                           \
    " h." which "_state || case when h." which "_person then ' (by a person)' else '' end,"        \
    " array_to_string(h." which "_claims, ' ')) end"
static const char addresses_sql[] =
    "with page as materialized (select h.*, d.name as domain from change h"
    "   join domain d on d.id = h.domain_id where h.changeset_id = $1::bigint"
    "   order by h.domain_id, h.local_part limit $2::bigint),"
    " " HEADS("before") ", " HEADS("after")
    " select case when coalesce(h.after_state, 'removed') = 'removed' then '-'"
    " when coalesce(h.before_state, 'removed') = 'removed' then '+' else '~' end,"
    " " SQL_ADDRESS("h.local_part", "h.domain") ", " SIDE("before") ", " SIDE("after")
    " from page h left join before on before.id = h.before_user"
    " left join after on after.id = h.after_user order by h.domain_id, h.local_part";

/* Only the settings that differ. */
#define DIFFERING(mine, other)                                                                     \
    "(select string_agg(e.key || '=' || e.value, ' ' order by e.key)"                              \
    "  from jsonb_each_text(" mine ") e"                                                           \
    "  where e.key not in ('id', 'name', 'customer_id', 'created_at', 'changed_by')"               \
    "  and e.value is distinct from (" other " ->> e.key))"
static const char domains_sql[] =
    "select case when h.before is null then '+' when h.after ->> 'state' = 'removed' then '-'"
    " else '~' end, d.name, " DIFFERING("h.before", "h.after") ","
    " " DIFFERING("h.after", "coalesce(h.before, '{}')")
    " from domain_change h join domain d on d.id = h.domain_id"
    " where h.changeset_id = $1::bigint order by d.name limit $2::bigint";
#define NAME(column) "case " column " when '' then 'without a name' else " column " end"
/* Names are a user's, shown at its primary address. */
static const char names_sql[] =
    "select '~', " PRIMARY_OF("h.user_id") ", " NAME("h.before_name") ", " NAME("h.after_name")
    " from user_change h where h.changeset_id = $1::bigint and h.before_name <> h.after_name"
    " order by 2 limit $2::bigint";
/* clang-format on */

enum { COLUMN_ADDED = 9, COLUMN_FORCED = 12, COLUMN_DOMAINS = 13, COLUMNS = 15 };
static const char *const columns[] = {"id",     "version", "state", "mode",  "source",  "customer",
                                      "actor",  "program", "when",  "added", "removed", "changed",
                                      "forced", "domains", "note",  NULL};

static bool check_state(const struct cli *cli, struct err *err)
{
    static const char *const states[] = {"applied", "held", "undone", "rejected"};
    const char *state = cli_value(cli, "state");

    for (size_t i = 0; state != NULL && i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return state == NULL ||
           err_set(err, ERR_USAGE, "--state %s: not one of applied, held, undone, rejected", state);
}

static void put_changeset(struct out *out, const struct db_result *rows, size_t row)
{
    for (int c = 0; c < COLUMNS; c++) {
        if (c == COLUMN_DOMAINS)
            out_list(out, db_text(rows, row, c));
        else if (db_null(rows, row, c))
            out_null(out);
        else if (c == COLUMN_FORCED)
            out_bool(out, db_bool(rows, row, c));
        else if (c < 2 || (c >= COLUMN_ADDED && c < COLUMN_FORCED))
            out_int(out, db_int(rows, row, c));
        else
            out_text(out, db_text(rows, row, c));
    }
}

bool cmd_change_list(struct cli *cli, struct err *err)
{
    char number[24];
    int64_t limit;
    DB_RESULT_AUTO rows = NULL;

    if (!check_state(cli, err) || !cli_number(cli, "limit", 1, 100000, 50, &limit, err) ||
        !cli_read(cli, err))
        return false;
    snprintf(number, sizeof number, "%" PRId64, limit);
    if (!db_query(cli->db, &rows, list_sql,
                  DB_VALUES(cli_value(cli, "state"), cli_value(cli, "customer"), number), err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        put_changeset(cli->out, rows, i);
    return true;
}

static bool put_differences(struct cli *cli, const char *sql, const char *section, const char *id,
                            int64_t limit, struct err *err)
{
    static const char *const sides[] = {"sign", "what", "before", "after", NULL};
    char number[24];
    DB_RESULT_AUTO rows = NULL;
    STR_AUTO title =
        mem_printf("--- %s before changeset %s\n+++ %s after it", section, id, section);

    snprintf(number, sizeof number, "%" PRId64, limit + 1);
    if (!db_query(cli->db, &rows, sql, DB_VALUES(id, number), err))
        return false;
    out_section(cli->out, section, title, OUT_DIFF, sides);
    for (size_t i = 0; i < db_rows(rows) && (int64_t)i < limit; i++)
        for (int c = 0; c < 4; c++)
            out_text(cli->out, db_text(rows, i, c));
    out_end(cli->out); /* the title ends here */
    if ((int64_t)db_rows(rows) > limit)
        cli_warn("there are more %s; see --limit", section);
    return true;
}

/* What a held changeset would do to the roll as it is now: planned where it can be locked. */
static bool show_held(struct cli *cli, int64_t id, struct err *err)
{
    struct roll_outcome outcome = {0};
    struct apply apply;

    db_close(&cli->db);
    if (!cli_write(cli, err))
        return false;
    apply_init(&apply, cli, ROLL_ADD, SOURCE_MANUAL);
    apply.request.dry_run = true;
    struct roll_listener listener = apply_listener(&apply);
    bool fine = roll_approve(cli->db, id, &apply.request, &listener, &outcome, err);
    if (fine)
        cli_say(cli,
                "approved now it would add %lld, remove %lld, change %lld: 'rollcall change "
                "approve %lld', or reject",
                (long long)outcome.added, (long long)outcome.removed, (long long)outcome.changed,
                (long long)id);
    apply_free(&apply);
    return fine;
}

static bool no_such_changeset(const char *id, struct err *err)
{
    return err_set(err, ERR_DATA, "there is no changeset %s; 'rollcall change list'", id);
}

static bool show(struct cli *cli, const char *text, int64_t id, int64_t limit, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, one_sql, DB_VALUES(text), err))
        return false;
    if (db_rows(rows) == 0)
        return no_such_changeset(text, err);
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    put_changeset(cli->out, rows, 0);
    if (strcmp(db_text(rows, 0, 2), "held") == 0)
        return show_held(cli, id, err);
    return put_differences(cli, domains_sql, "domains", text, limit, err) &&
           put_differences(cli, addresses_sql, "addresses", text, limit, err) &&
           put_differences(cli, names_sql, "names", text, limit, err);
}

bool cmd_change_show(struct cli *cli, struct err *err)
{
    const char *text;
    int64_t id, limit;

    if (!cli_changeset(cli, 0, &text, &id, err) ||
        !cli_number(cli, "limit", 1, 1000000, 1000, &limit, err) || !cli_read(cli, err))
        return false;
    if (!cli->json)
        pager_begin();
    bool fine = show(cli, text, id, limit, err);
    out_end(cli->out);
    pager_end();
    return fine;
}

/* undo and approve: a job without a list of its own. */
typedef bool decide_fn(struct db *db, int64_t id, const struct roll_request *request,
                       const struct roll_listener *listener, struct roll_outcome *outcome,
                       struct err *err);

static bool decide(struct cli *cli, decide_fn *fn, struct err *err)
{
    const char *text;
    int64_t id;
    struct roll_outcome outcome = {0};
    struct apply apply;

    if (!cli_changeset(cli, 0, &text, &id, err))
        return false;
    apply_init(&apply, cli, ROLL_ADD, SOURCE_MANUAL);
    bool fine = apply_connect(&apply, err);
    struct roll_listener listener = apply_listener(&apply);
    fine = fine && fn(cli->db, id, &apply.request, &listener, &outcome, err) &&
           apply_tell(&apply, &outcome, err);
    if (!fine && interrupt_seen())
        apply_failed(&apply, err);
    apply_free(&apply);
    return fine;
}

bool cmd_change_undo(struct cli *cli, struct err *err)
{
    return decide(cli, roll_undo, err);
}

bool cmd_change_approve(struct cli *cli, struct err *err)
{
    return decide(cli, roll_approve, err);
}

bool cmd_change_reject(struct cli *cli, struct err *err)
{
    static const char *const rejected[] = {"rejected", NULL};
    const char *text;
    int64_t id;
    struct apply apply;

    if (!cli_changeset(cli, 0, &text, &id, err) || !cli_write(cli, err))
        return false;
    apply_init(&apply, cli, ROLL_ADD, SOURCE_MANUAL);
    bool fine = roll_reject(cli->db, id, &apply.request, err);
    apply_free(&apply);
    if (!fine)
        return false;
    cli_say(cli, "changeset %s rejected, nothing is changed", text);
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, rejected);
        out_int(cli->out, id);
    }
    return true;
}
