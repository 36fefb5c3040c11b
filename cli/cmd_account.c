/* cmd_account - who may sign in to the panel to manage: operators, administrators of a customer */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "lib/account.h"
#include "lib/password.h"
#include "lib/secret.h"

/* The password and its hash: generated, or a line of standard input. */
struct fresh {
    char text[PASSWORD_MOST + 2];
    char hash[PASSWORD_HASH_ROOM];
    bool generated;
};

static bool read_line(struct fresh *fresh, struct err *err)
{
    if (fgets(fresh->text, sizeof fresh->text, stdin) == NULL)
        return err_set(err, ERR_DATA, "no password came on standard input");
    fresh->text[strcspn(fresh->text, "\r\n")] = '\0';
    return true;
}

static bool take_password(const struct cli *cli, struct fresh *fresh, struct err *err)
{
    const char *login = cli->operands[0];

    fresh->generated = !cli_flag(cli, "password-stdin");
    if (fresh->generated)
        password_generate(fresh->text);
    else if (!read_line(fresh, err))
        return false;
    return password_check_rules(span_text(fresh->text), login, err) &&
           password_hash(span_text(fresh->text), fresh->hash, err);
}

static void tell_account(struct cli *cli, const char *what, const struct fresh *fresh)
{
    static const char *const columns[] = {"login", "done", "password", NULL};
    const char *login = cli->operands[0];

    cli_say(cli, "account %s %s", login, what);
    if (fresh != NULL && fresh->generated)
        cli_say(cli, "password: %s (to be changed at the first sign-in)", fresh->text);
    if (!cli->json)
        return;
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    out_text(cli->out, login);
    out_text(cli->out, what);
    out_text(cli->out, fresh != NULL && fresh->generated ? fresh->text : NULL);
}

bool cmd_account_add(struct cli *cli, struct err *err)
{
    struct fresh fresh = {0};
    const char *customer = cli_value(cli, "customer");

    if ((customer == NULL) == !cli_flag(cli, "operator"))
        return err_set(err, ERR_USAGE,
                       "say what for: --operator (of the gateway) or --customer NAME");
    secret_init();
    bool fine = take_password(cli, &fresh, err) && cli_write(cli, err) &&
                account_add(cli->db, cli->operands[0], customer, fresh.hash, cli->actor, err);
    if (fine)
        tell_account(cli, "added", &fresh);
    secret_forget(&fresh, sizeof fresh);
    return fine;
}

bool cmd_account_password(struct cli *cli, struct err *err)
{
    struct fresh fresh = {0};

    secret_init();
    bool fine =
        take_password(cli, &fresh, err) && cli_write(cli, err) &&
        account_do(cli->db, ACCOUNT_PASSWORD, cli->operands[0], fresh.hash, cli->actor, err);
    if (fine)
        tell_account(cli, "has another password", &fresh);
    secret_forget(&fresh, sizeof fresh);
    return fine;
}

static bool act(struct cli *cli, enum account_act what, const char *done, struct err *err)
{
    if (!cli_write(cli, err) || !account_do(cli->db, what, cli->operands[0], NULL, cli->actor, err))
        return false;
    tell_account(cli, done, NULL);
    return true;
}

bool cmd_account_remove(struct cli *cli, struct err *err)
{
    return act(cli, ACCOUNT_REMOVE, "removed", err);
}

bool cmd_account_disable(struct cli *cli, struct err *err)
{
    return act(cli, ACCOUNT_DISABLE, "disabled", err);
}

bool cmd_account_enable(struct cli *cli, struct err *err)
{
    return act(cli, ACCOUNT_ENABLE, "enabled", err);
}

bool cmd_account_reset(struct cli *cli, struct err *err)
{
    return act(cli, ACCOUNT_RESET_SECOND, "needs no second factor any more", err);
}

static bool put_account(void *context, const struct account_row *row, struct err *err)
{
    struct out *out = context;

    (void)err;
    out_text(out, row->login);
    out_text(out, row->role);
    out_text(out, row->customer[0] != '\0' ? row->customer : NULL);
    out_text(out, row->state);
    out_text(out, row->signed_in_at[0] != '\0' ? row->signed_in_at : NULL);
    return true;
}

bool cmd_account_list(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"login", "role", "customer", "state", "signed_in", NULL};

    if (!cli_read(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    return account_list(cli->db, put_account, cli->out, err);
}
