/* cmd_report - spam reports: their settings, a look at one, one again; and mails for a password */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "lib/password_request.h"
#include "lib/report_setting.h"
#include "lib/spawn.h"

enum { SECONDS = 120, ARGUMENTS_MOST = 160 };

/* ---- settings ---- */

/* Exactly one of --customer, --domain and --user. */
static bool find_whose(const struct cli *cli, enum report_of *of, const char **whose,
                       struct err *err)
{
    static const char *const options[] = {"customer", "domain", "user"};
    int given = 0;

    for (int i = 0; i < 3; i++)
        if (cli_value(cli, options[i]) != NULL) {
            *of = (enum report_of)i;
            *whose = cli_value(cli, options[i]);
            given++;
        }
    return given == 1 ||
           err_set(err, ERR_USAGE, "whose? give one of --customer, --domain and --user");
}

bool cmd_report_set(struct cli *cli, struct err *err)
{
    struct report_given given[32];
    enum report_of of;
    const char *whose;
    size_t count = 0;

    for (size_t i = 0; i < report_setting_count; i++) {
        const char *value = cli_value(cli, report_setting_rows[i].name);
        if (value != NULL)
            given[count++] = (struct report_given){report_setting_rows[i].name, value};
    }
    if (!find_whose(cli, &of, &whose, err))
        return false;
    if (count == 0)
        return err_set(err, ERR_USAGE, "which setting? see 'rollcall report set --help'");
    if (!cli_write(cli, err) ||
        !report_setting_set(cli->db, of, whose, given, count, cli->actor, err))
        return false;
    cli_say(cli, "%s: %zu settings of reports set", whose, count);
    return true;
}

static void put_setting(void *context, const struct report_setting_row *row, const char *value)
{
    struct out *out = context;

    out_text(out, row->name);
    out_text(out, value);
    out_text(out, row->doc);
}

bool cmd_report_show(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"setting", "value", "meaning", NULL};
    enum report_of of;
    const char *whose;

    if (!find_whose(cli, &of, &whose, err) || !cli_read(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    return report_setting_show(cli->db, of, whose, put_setting, cli->out, err);
}

/* ---- rollcall-report does it ---- */

/* With the settings of this program; what it prints is printed. */
static bool run_program(struct cli *cli, const char *const *words, struct err *err)
{
    char path[4096];
    const char *arguments[ARGUMENTS_MOST] = {spawn_beside("rollcall-report", path)};
    struct spawn_output output = {0};
    size_t count = 1;

    if (cli->file != NULL) {
        arguments[count++] = "-c";
        arguments[count++] = cli->file;
    }
    for (size_t i = 0; i < cli->override_count && count < ARGUMENTS_MOST - 16; i++) {
        arguments[count++] = "-o";
        arguments[count++] = cli->overrides[i];
    }
    if (cli->json)
        arguments[count++] = "--json";
    for (size_t i = 0; words[i] != NULL; i++)
        arguments[count++] = words[i];
    if (!spawn_run_within(arguments, span_of("", 0), SECONDS, &output, err))
        return false;
    bool fine = output.code == 0;
    struct span said = span_trim(span_of(output.errors.at, output.errors.len));
    if (!fine)
        err_set(err, output.code < 126 ? (enum err_class)output.code : ERR_OTHER, "%.*s",
                said.len > 900 ? 900 : (int)said.len, said.at != NULL ? said.at : "");
    else if (output.out.len > 0)
        fwrite(output.out.at, 1, output.out.len, stdout);
    spawn_output_free(&output);
    return fine;
}

bool cmd_report_preview(struct cli *cli, struct err *err)
{
    const char *directory = cli_value(cli, "directory");
    const char *words[] = {"preview", "--directory",    directory != NULL ? directory : ".",
                           "--",      cli->operands[0], NULL};

    return run_program(cli, words, err);
}

bool cmd_report_resend(struct cli *cli, struct err *err)
{
    const char *since = cli_value(cli, "since");
    const char *all[] = {"resend", "--since", since, "--", cli->operands[0], NULL};
    const char *last[] = {"resend", "--", cli->operands[0], NULL};

    return run_program(cli, since != NULL ? all : last, err);
}

/* ---- passwords ---- */

bool cmd_user_password_request(struct cli *cli, struct err *err)
{
    const char *address = cli->operands[0];

    if (!cli_write(cli, err))
        return false;
    switch (password_request(cli->db, &cli->conf.value, address, NULL, err)) {
    case PASSWORD_ASKED:
        cli_say(cli, "%s: a confirmation mail is on its way, if a user has that address", address);
        return true;
    case PASSWORD_TOO_MANY:
        return err_set(err, ERR_TEMPORARY,
                       "%s: that was asked too often within the hour; see "
                       "password_requests_address",
                       address);
    default:
        return false;
    }
}
