/* cmd_domain - the domains that are served */
#include "cli/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/domain.h"
#include "lib/str.h"

/* The settings that were given to the command, but not that one (or NULL); release with free(). */
static struct domain_setting *given_settings(const struct cli *cli, const char *without,
                                             size_t *count)
{
    struct domain_setting *settings = mem_zero(cli->given_count + 1, sizeof *settings);

    *count = 0;
    for (size_t i = 0; i < cli->given_count; i++)
        if (cli->given[i].setting && (without == NULL || strcmp(cli->given[i].name, without) != 0))
            settings[(*count)++] = (struct domain_setting){cli->given[i].name, cli->given[i].value};
    return settings;
}

/* Every bad name is told before anything is done. */
static bool check_names(const struct cli *cli, struct err *err)
{
    char name[ADDR_DOMAIN_MAX + 1];
    size_t len, bad = 0;
    struct err first;

    for (size_t i = 0; i < cli->operand_count; i++) {
        if (addr_parse_domain(span_text(cli->operands[i]), name, &len, err))
            continue;
        if (bad++ == 0)
            first = *err;
        else
            cli_warn("%s", err->text);
    }
    if (bad > 0)
        *err = first;
    return bad == 0;
}

/* The changeset behind a version, and how many domains of it count as what. */
static bool tell(struct cli *cli, int64_t version, struct cli_outcome outcome, struct err *err)
{
    char number[24];
    DB_RESULT_AUTO rows = NULL;

    outcome.state = version != 0 ? "applied" : "unchanged";
    outcome.version = version;
    outcome.what = "domain";
    outcome.why = "";
    snprintf(number, sizeof number, "%lld", (long long)version);
    if (version != 0) {
        if (!db_query(cli->db, &rows, "select id from changeset where version = $1::bigint",
                      DB_VALUES(number), err))
            return false;
        outcome.changeset = db_rows(rows) > 0 ? db_int(rows, 0, 0) : 0;
    } else
        outcome.added = outcome.removed = outcome.changed = 0;
    return cli_tell(cli, &outcome, err);
}

bool cmd_domain_add(struct cli *cli, struct err *err)
{
    const char *customer = cli_value(cli, "customer");
    int64_t version = 0;
    size_t count;

    if (customer == NULL)
        return err_set(err, ERR_USAGE,
                       "'domain add' needs --customer NAME; 'rollcall customer list' shows them");
    if (!check_names(cli, err) || !cli_write(cli, err))
        return false;
    struct domain_setting *settings = given_settings(cli, "customer", &count);
    bool fine = domain_add(cli->db, cli->operands, cli->operand_count, customer, settings, count,
                           cli->actor, &version, err);
    free(settings);
    return fine &&
           tell(cli, version, (struct cli_outcome){.added = (int64_t)cli->operand_count}, err);
}

bool cmd_domain_set(struct cli *cli, struct err *err)
{
    int64_t version = 0;
    size_t count;
    struct domain_setting *settings = given_settings(cli, NULL, &count);
    bool fine = count > 0 || err_set(err, ERR_USAGE,
                                     "'domain set' needs a setting, like --relay-check panel; "
                                     "'rollcall domain set --help' lists them");

    fine = fine && check_names(cli, err) && cli_write(cli, err) &&
           domain_set(cli->db, cli->operands, cli->operand_count, settings, count, cli->actor,
                      &version, err);
    free(settings);
    return fine &&
           tell(cli, version, (struct cli_outcome){.changed = (int64_t)cli->operand_count}, err);
}

bool cmd_domain_remove(struct cli *cli, struct err *err)
{
    int64_t version = 0;

    return check_names(cli, err) && cli_write(cli, err) &&
           domain_remove(cli->db, cli->operands, cli->operand_count, cli_flag(cli, "with-users"),
                         cli->actor, &version, err) &&
           tell(cli, version, (struct cli_outcome){.removed = (int64_t)cli->operand_count}, err);
}

static void put_time(struct out *out, int64_t wall_us)
{
    char text[32];

    if (wall_us == 0) {
        out_null(out);
        return;
    }
    clock_rfc3339(text, sizeof text, wall_us);
    out_text(out, text);
}

static void put_limit(struct out *out, int32_t limit)
{
    if (limit < 0)
        out_null(out);
    else
        out_int(out, limit);
}

static const char *text_or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static const char *const domain_columns[] = {
    "name",          "customer",          "alias_of", "relay_check",         "shadow",
    "next_hop",      "recipients",        "loaded",   "recipient_delimiter", "case_sensitive",
    "threshold",     "follows_directory", "synced",   "stale_limit",         "source_stale_limit",
    "guard_percent", "changeset",         NULL};

static void put_domain(struct out *out, const struct domain_row *row)
{
    out_text(out, row->name);
    out_text(out, row->customer);
    out_text(out, text_or_null(row->alias_of));
    out_text(out, relay_check_names[row->check]);
    out_text(out, row->shadow == CHECK_NONE ? NULL : relay_check_names[row->shadow]);
    out_text(out, text_or_null(row->next_hop));
    out_int(out, row->recipients);
    put_time(out, row->loaded_at_us);
    out_text(out, row->delimiter);
    out_bool(out, row->case_sensitive);
    out_int(out, row->threshold);
    out_bool(out, row->follows_directory);
    put_time(out, row->synced_at_us);
    put_limit(out, row->stale_limit);
    put_limit(out, row->source_stale_limit);
    put_limit(out, row->guard_percent);
    out_int(out, row->changeset);
}

bool cmd_domain_show(struct cli *cli, struct err *err)
{
    struct domain_row row;

    if (!check_names(cli, err) || !cli_read(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_RECORD, domain_columns);
    for (size_t i = 0; i < cli->operand_count; i++) {
        if (!domain_get(cli->db, cli->operands[i], false, &row, err))
            return false;
        put_domain(cli->out, &row);
    }
    return true;
}

static bool put_listed(void *context, const struct domain_row *row, struct err *err)
{
    struct out *out = context;

    (void)err;
    if (out_is_json(out)) {
        put_domain(out, row);
        return true;
    }
    out_text(out, row->name);
    out_text(out, row->customer);
    out_text(out, row->alias_of[0] != '\0' ? row->alias_of : relay_check_names[row->check]);
    out_text(out, row->shadow == CHECK_NONE ? "" : relay_check_names[row->shadow]);
    out_int(out, row->recipients);
    out_bool(out, row->loaded_at_us != 0);
    out_text(out, row->next_hop);
    return true;
}

bool cmd_domain_list(struct cli *cli, struct err *err)
{
    static const char *const short_columns[] = {"name",     "customer",   "relay check or target",
                                                "shadow",   "recipients", "loaded",
                                                "next hop", NULL};

    if (!cli_read(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, cli->json ? domain_columns : short_columns);
    return domain_list(cli->db, cli_value(cli, "customer"), cli_value(cli, "like"), put_listed,
                       cli->out, err);
}
