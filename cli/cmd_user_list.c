/* cmd_user_list - reading the roll: all users, and one with everything about it */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/filter.h"
#include "cli/pager.h"
#include "lib/roll.h"
#include "lib/str.h"

/* A line per user (its primary address) and per group, of what is on the roll. Fetched piece by
 * piece, so that memory stays constant however long the list is. */
/* clang-format off */
#define LIST(order)                                                                                \
    "declare list no scroll cursor for"                                                            \
    " select " SQL_ADDRESS("r.local_part", "d.name") ", coalesce(u.name, ''), r.kind, r.state,"    \
    " (select string_agg(" SQL_ADDRESS("a.local_part", "ad.name") ", e'\\n'"                       \
    "    order by ad.name, a.local_part)"                                                          \
    "  from recipient a join domain ad on ad.id = a.domain_id"                                     \
    "  where a.user_id = r.user_id and a.kind = 'alias' and a.state <> 'removed'),"                \
    " " SQL_SOURCES ", " SQL_TIME("c.created_at")                                                  \
    " from recipient r join domain d on d.id = r.domain_id"                                        \
    " join customer k on k.id = d.customer_id left join users u on u.id = r.user_id"               \
    " join changeset c on c.id = r.changed_by"                                                     \
    " where (r.kind = 'group' or r.kind = 'primary') and r.state <> 'removed'"                     \
    " and ($1::text is null or d.name = $1)"                                                       \
    " and ($2::text is null or lower(k.name) = lower($2))"                                         \
    " and ($3::recipient_state is null or r.state = $3::recipient_state)"                          \
    " and ($4::text is null or strpos(lower(r.local_part || '@' || d.name), lower($4)) > 0"        \
    "      or strpos(lower(u.name), lower($4)) > 0"                                                \
    "      or r.user_id in (select a.user_id from recipient a join domain ad on ad.id = a.domain_id"\
    "        where a.kind = 'alias' and a.state <> 'removed'"                                      \
    "        and strpos(lower(a.local_part || '@' || ad.name), lower($4)) > 0))"                   \
    " and ($5::source_kind is null or exists (select from recipient_source s"                      \
    "      where s.recipient_id = r.id and s.source = $5::source_kind))"                           \
    " and ($6::bigint is null or c.created_at >= now() - $6::bigint * interval '1 microsecond')"   \
    " and ($7::bigint is null or c.created_at < now() - $7::bigint * interval '1 microsecond')"    \
    " order by " order "d.name, r.local_part limit $8::bigint"
static const struct {
    const char *name, *sql;
} sorts[] = {
    {"address", LIST("")},
    {"name", LIST("lower(u.name) nulls last, ")},
    {"changed", LIST("c.created_at desc, ")},
};
/* clang-format on */
static const char fetch_sql[] = "fetch 5000 from list";

static void put_user(struct out *out, const struct db_result *rows, size_t row)
{
    out_text(out, db_text(rows, row, 0));
    out_text(out, db_text(rows, row, 1));
    out_text(out, db_text(rows, row, 2));
    out_text(out, db_text(rows, row, 3));
    out_list(out, db_text(rows, row, 4));
    out_list(out, db_text(rows, row, 5));
    out_text(out, db_text(rows, row, 6));
}

/* What the options ask for, as the statement's parameters. */
struct wish {
    const char *sql, *domain;
    char domain_name[ADDR_DOMAIN_MAX + 1];
    char newer[24], older[24], limit[24];
};

static bool put_list(struct cli *cli, const struct wish *wish, struct err *err)
{
    size_t count;

    if (!db_script(cli->db, "begin read only", err) ||
        !db_exec(cli->db, wish->sql,
                 DB_VALUES(wish->domain, cli_value(cli, "customer"), cli_value(cli, "state"),
                           cli_value(cli, "like"), cli_value(cli, "source"),
                           wish->newer[0] != '\0' ? wish->newer : NULL,
                           wish->older[0] != '\0' ? wish->older : NULL, wish->limit),
                 NULL, err))
        return false;
    do {
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(cli->db, &rows, fetch_sql, DB_NO_VALUES, err))
            return false;
        count = db_rows(rows);
        for (size_t i = 0; i < count; i++)
            put_user(cli->out, rows, i);
    } while (count > 0 && ferror(stdout) == 0); /* whoever has left the pager has seen enough */
    return db_script(cli->db, "commit", err);
}

static bool check_state(const struct cli *cli, struct err *err)
{
    const char *state = cli_value(cli, "state");

    return state == NULL || strcmp(state, "active") == 0 || strcmp(state, "disabled") == 0 ||
           strcmp(state, "retired") == 0 ||
           err_set(err, ERR_USAGE, "--state %s: not one of active, disabled, retired", state);
}

static bool check_source(const struct cli *cli, struct err *err)
{
    const char *source = cli_value(cli, "source");

    for (int i = SOURCE_SMTP; source != NULL && i <= SOURCE_PANEL; i++)
        if (strcmp(source, source_names[i]) == 0)
            return true;
    return source == NULL ||
           err_set(err, ERR_USAGE, "--source %s: not one of smtp, ldap, import, manual, panel",
                   source);
}

static bool read_age(const struct cli *cli, const char *option, char out[24], struct err *err)
{
    const char *text = cli_value(cli, option);
    int64_t age = 0;

    out[0] = '\0';
    if (text == NULL)
        return true;
    if (!conf_parse_time(span_text(text), &age) || age < 0)
        return err_set(err, ERR_USAGE, "--%s %s: not a time, like 12h or 30d", option, text);
    snprintf(out, 24, "%" PRId64, age);
    return true;
}

static bool read_sort(const struct cli *cli, struct wish *wish, struct err *err)
{
    const char *sort = cli_value(cli, "sort");

    wish->sql = sorts[0].sql;
    for (size_t i = 0; sort != NULL && i < sizeof sorts / sizeof sorts[0]; i++)
        if (strcmp(sort, sorts[i].name) == 0) {
            wish->sql = sorts[i].sql;
            return true;
        }
    return sort == NULL ||
           err_set(err, ERR_USAGE, "--sort %s: not one of address, name, changed", sort);
}

static bool read_wish(const struct cli *cli, struct wish *wish, struct err *err)
{
    int64_t limit;

    if (cli->json && cli_flag(cli, "csv"))
        return err_set(err, ERR_USAGE, "--json and --csv exclude each other");
    if (!check_state(cli, err) || !check_source(cli, err) || !read_sort(cli, wish, err) ||
        !read_age(cli, "newer", wish->newer, err) || !read_age(cli, "older", wish->older, err) ||
        !cli_number(cli, "limit", 1, INT64_MAX, INT64_MAX, &limit, err))
        return false;
    snprintf(wish->limit, sizeof wish->limit, "%" PRId64, limit);
    return true;
}

bool cmd_user_list(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"address", "name",    "kind",    "state",
                                          "aliases", "sources", "changed", NULL};
    struct wish wish = {0};

    if (!read_wish(cli, &wish, err) || !cli_read(cli, err) || !filter_customer(cli, err) ||
        !filter_domain(cli, wish.domain_name, &wish.domain, err))
        return false;
    if (cli_flag(cli, "csv"))
        out_as_csv(cli->out);
    else if (!cli->json)
        pager_begin();
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    bool fine = put_list(cli, &wish, err);
    out_end(cli->out);
    pager_end();
    return fine;
}

/* Under which domain's number the address would stand, and by which case rule. */
static bool find_address(struct cli *cli, const struct addr *addr, char *domain_id, size_t room,
                         bool *fold_case, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows,
                  "select t.id, t.case_sensitive from domain d join domain t"
                  " on t.id = coalesce(d.alias_of, d.id) where d.name = $1 and d.state = 'active'",
                  DB_VALUES(addr->domain), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "%s: not served here", addr->domain);
    snprintf(domain_id, room, "%s", db_text(rows, 0, 0));
    *fold_case = !db_bool(rows, 0, 1);
    return true;
}

static bool no_such_user(const struct db_result *rows, const char *address, struct err *err)
{
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "%s is not on the roll", address);
    return err_set(err, ERR_DATA,
                   "%s is not on the roll: changeset %s of %s removed it at %s; 'rollcall change "
                   "show %s'",
                   address, db_text(rows, 0, 4), db_text(rows, 0, 6), db_text(rows, 0, 5),
                   db_text(rows, 0, 4));
}

static void put_head(struct out *out, const struct db_result *rows, const char *address)
{
    static const char *const columns[] = {"asked", "user", "name", "customer", NULL};

    out_section(out, NULL, NULL, OUT_HEAD, columns);
    out_text(out, address);
    if (db_null(rows, 0, 0))
        out_null(out);
    else
        out_int(out, db_int(rows, 0, 0));
    out_text(out, db_text(rows, 0, 1));
    out_text(out, db_text(rows, 0, 2));
}

/* clang-format off */
static const char addresses_sql[] =
    "select " SQL_ADDRESS("r.local_part", "d.name") ", r.kind,"
    " r.state || case when r.disabled_by_person then ' (by a person)' else '' end,"
    " " SQL_SOURCES ", r.verified_on, " SQL_TIME("r.refused_at") ", c.id, c.actor,"
    " " SQL_TIME("c.created_at")
    " from recipient r join domain d on d.id = r.domain_id join changeset c on c.id = r.changed_by"
    " where r.user_id = $1::bigint or r.id = $2::bigint"
    " order by r.kind, d.name, r.local_part";
static const char one_sql[] =
    "select r.user_id, coalesce(u.name, ''), k.name, r.id, c.id, " SQL_TIME("c.created_at") ","
    " c.actor, r.state = 'removed'"
    " from recipient r join domain d on d.id = r.domain_id join customer k on k.id = d.customer_id"
    " join changeset c on c.id = r.changed_by left join users u on u.id = r.user_id"
    " where r.domain_id = $1::integer and r.local_part = $2";
/* clang-format on */

/* All rows of the user, or the one row of a group. */
static bool put_addresses(struct cli *cli, const char *user, const char *recipient, struct err *err)
{
    static const char *const columns[] = {"address", "kind",      "state", "sources", "verified",
                                          "refused", "changeset", "actor", "changed", NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, addresses_sql, DB_VALUES(user, recipient), err))
        return false;
    out_section(cli->out, "addresses", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        for (int c = 0; c < 9; c++) {
            if (c == 3)
                out_list(cli->out, db_text(rows, i, c));
            else if (c == 6)
                out_int(cli->out, db_int(rows, i, c));
            else
                out_text(cli->out, db_null(rows, i, c) ? NULL : db_text(rows, i, c));
        }
    return true;
}

bool cmd_user_show(struct cli *cli, struct err *err)
{
    struct addr addr;
    struct span text = span_text(cli->operands[0]);
    char domain_id[24], address[ADDR_TEXT_MAX + 1];
    bool fold_case = true;
    DB_RESULT_AUTO rows = NULL;

    if (!addr_parse(text, true, &addr, err) || !cli_read(cli, err) ||
        !find_address(cli, &addr, domain_id, sizeof domain_id, &fold_case, err) ||
        !addr_parse(text, fold_case, &addr, err) ||
        !db_query(cli->db, &rows, one_sql, DB_VALUES(domain_id, addr.local), err))
        return false;
    addr_format(&addr, address);
    if (db_rows(rows) == 0 || db_bool(rows, 0, 7))
        return no_such_user(rows, address, err);
    put_head(cli->out, rows, address);
    return put_addresses(cli, db_null(rows, 0, 0) ? NULL : db_text(rows, 0, 0), db_text(rows, 0, 3),
                         err);
}
