/* cmd_sender - whom users and domains trust or do not: allow lists and block lists */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/filter.h"
#include "lib/sender.h"
#include "lib/str.h"

/* Whose rules: exactly one of the two. */
struct whose {
    char user[24], domain[24]; /* numbers, or "" */
    const char *name;          /* as given */
};

static bool find_user(struct cli *cli, struct whose *whose, struct err *err)
{
    struct addr addr;
    DB_RESULT_AUTO rows = NULL;

    if (!addr_parse(span_text(whose->name), true, &addr, err) ||
        !db_query(cli->db, &rows,
                  "select r.user_id from recipient r where r.domain_id ="
                  " (select id from quarantine_domain($1)) and lower(r.local_part) = $2"
                  " and r.user_id is not null and r.state <> 'removed'",
                  DB_VALUES(addr.domain, addr.local), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "%s: nobody's address; 'rollcall user list'", whose->name);
    snprintf(whose->user, sizeof whose->user, "%s", db_text(rows, 0, 0));
    return true;
}

static bool find_domain(struct cli *cli, struct whose *whose, struct err *err)
{
    char name[ADDR_DOMAIN_MAX + 1];
    const char *domain;
    DB_RESULT_AUTO rows = NULL;

    if (!filter_domain(cli, name, &domain, err) ||
        !db_query(cli->db, &rows, "select id from quarantine_domain($1)", DB_VALUES(domain), err))
        return false;
    snprintf(whose->domain, sizeof whose->domain, "%s", db_text(rows, 0, 0));
    return true;
}

static bool find_whose(struct cli *cli, struct whose *whose, struct err *err)
{
    const char *user = cli_value(cli, "user"), *domain = cli_value(cli, "domain");

    *whose = (struct whose){.name = user != NULL ? user : domain};
    if ((user == NULL) == (domain == NULL))
        return err_set(err, ERR_USAGE, "whose rules? --user ADDRESS or --domain NAME");
    return user != NULL ? find_user(cli, whose, err) : find_domain(cli, whose, err);
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

typedef bool rule_fn(struct cli *cli, const struct whose *whose, const char *pattern,
                     struct err *err);

/* For every pattern or for none. */
static bool each_pattern(struct cli *cli, rule_fn *rule, struct err *err)
{
    struct whose whose;
    char pattern[SENDER_PATTERN_MOST + 1];

    if (!cli_write(cli, err) || !find_whose(cli, &whose, err) || !db_script(cli->db, "begin", err))
        return false;
    for (size_t i = 0; i < cli->operand_count; i++)
        if (!sender_pattern_parse(span_text(cli->operands[i]), pattern, err) ||
            !rule(cli, &whose, pattern, err))
            return db_rollback(cli->db);
    return db_script(cli->db, "commit", err);
}

static bool put_rule(struct cli *cli, const struct whose *whose, const char *pattern,
                     const char *action, struct err *err)
{
    /* the other list may have it: it moves */
    if (!db_exec(cli->db,
                 "delete from sender_rule where pattern = $3 and (user_id = $1::bigint or domain_id"
                 " = $2::integer)",
                 DB_VALUES(or_null(whose->user), or_null(whose->domain), pattern), NULL, err) ||
        !db_exec(
            cli->db,
            "insert into sender_rule (user_id, domain_id, pattern, action, actor)"
            " values ($1::bigint, $2::integer, $3, $4::rule_action, $5)",
            DB_VALUES(or_null(whose->user), or_null(whose->domain), pattern, action, cli->actor),
            NULL, err))
        return false;
    cli_say(cli, "%s %ss %s", whose->name, action, pattern);
    return true;
}

static bool allow(struct cli *cli, const struct whose *whose, const char *pattern, struct err *err)
{
    return put_rule(cli, whose, pattern, "allow", err);
}

static bool block(struct cli *cli, const struct whose *whose, const char *pattern, struct err *err)
{
    return put_rule(cli, whose, pattern, "block", err);
}

static bool drop(struct cli *cli, const struct whose *whose, const char *pattern, struct err *err)
{
    int64_t gone = 0;

    if (!db_exec(cli->db,
                 "delete from sender_rule where pattern = $3 and (user_id = $1::bigint or domain_id"
                 " = $2::integer)",
                 DB_VALUES(or_null(whose->user), or_null(whose->domain), pattern), &gone, err))
        return false;
    if (gone == 0)
        return err_set(err, ERR_DATA, "%s has no rule for %s; 'rollcall sender list'", whose->name,
                       pattern);
    cli_say(cli, "%s has no rule for %s any more", whose->name, pattern);
    return true;
}

bool cmd_sender_allow(struct cli *cli, struct err *err)
{
    return each_pattern(cli, allow, err);
}

bool cmd_sender_block(struct cli *cli, struct err *err)
{
    return each_pattern(cli, block, err);
}

bool cmd_sender_remove(struct cli *cli, struct err *err)
{
    return each_pattern(cli, drop, err);
}

bool cmd_sender_list(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"whose", "action", "pattern", "by", "since", NULL};
    struct whose whose = {.user = "", .domain = ""};
    DB_RESULT_AUTO rows = NULL;
    bool all = cli_value(cli, "user") == NULL && cli_value(cli, "domain") == NULL;

    if (!cli_read(cli, err) || (!all && !find_whose(cli, &whose, err)) ||
        !db_query(
            cli->db, &rows,
            "select coalesce(d.name, (select " SQL_ADDRESS(
                "r.local_part",
                "x.name") " from recipient r join domain x on x.id = r.domain_id where r.user_id ="
                          " s.user_id and r.kind = 'primary'), 'user ' || s.user_id), s.action, "
                          "s.pattern,"
                          " s.actor, " SQL_TIME(
                              "s.created_at") " from sender_rule s left join domain d on"
                                              " d.id = s.domain_id where ($1::bigint is null or "
                                              "s.user_id = $1::bigint) and"
                                              " ($2::integer is null or s.domain_id = $2::integer) "
                                              "order by 1, 2, 3",
            DB_VALUES(or_null(whose.user), or_null(whose.domain)), err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        for (int c = 0; columns[c] != NULL; c++)
            out_text(cli->out, db_text(rows, i, c));
    return true;
}
