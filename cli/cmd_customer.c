/* cmd_customer - the organisations whose mail is relayed */
#include "cli/cmd.h"
#include "lib/domain.h"

static const char *const columns[] = {"name", "domains", "users", "recipients", "created", NULL};

static bool put_customer(void *context, const struct customer_row *row, struct err *err)
{
    struct out *out = context;

    (void)err;
    out_text(out, row->name);
    out_int(out, row->domains);
    out_int(out, row->users);
    out_int(out, row->recipients);
    out_text(out, row->created_at);
    return true;
}

static void tell_name(struct cli *cli, const char *key, const char *name)
{
    static const char *const added[] = {"added", NULL}, *const removed[] = {"removed", NULL};

    cli_say(cli, "customer %s %s", name, key);
    if (!cli->json)
        return;
    out_section(cli->out, NULL, NULL, OUT_HEAD, key[0] == 'a' ? added : removed);
    out_text(cli->out, name);
}

bool cmd_customer_add(struct cli *cli, struct err *err)
{
    const char *name = cli->operands[0];

    if (!cli_write(cli, err) || !customer_add(cli->db, name, cli->actor, err))
        return false;
    tell_name(cli, "added", name);
    return true;
}

bool cmd_customer_remove(struct cli *cli, struct err *err)
{
    const char *name = cli->operands[0];

    if (!cli_write(cli, err) || !customer_remove(cli->db, name, cli->actor, err))
        return false;
    tell_name(cli, "removed", name);
    return true;
}

bool cmd_customer_list(struct cli *cli, struct err *err)
{
    if (!cli_read(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    return customer_list(cli->db, NULL, put_customer, cli->out, err);
}

static bool put_domain(void *context, const struct domain_row *row, struct err *err)
{
    struct out *out = context;

    (void)err;
    out_text(out, row->name);
    out_text(out, row->alias_of[0] != '\0' ? row->alias_of : NULL);
    out_text(out, relay_check_names[row->check]);
    out_int(out, row->recipients);
    return true;
}

bool cmd_customer_show(struct cli *cli, struct err *err)
{
    static const char *const domain_columns[] = {"domain", "alias_of", "relay_check", "recipients",
                                                 NULL};
    const char *name = cli->operands[0];

    if (!cli_read(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    if (!customer_list(cli->db, name, put_customer, cli->out, err))
        return false;
    out_section(cli->out, "domain_list", NULL, OUT_TABLE, domain_columns);
    return domain_list(cli->db, name, NULL, put_domain, cli->out, err);
}
