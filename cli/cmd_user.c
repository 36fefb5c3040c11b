/* cmd_user - users put on the roll, taken off it, disabled and enabled, one by one */
#include <stdlib.h>
#include <string.h>

#include "cli/apply.h"
#include "cli/cmd.h"
#include "cli/terminal.h"
#include "lib/str.h"

/* All addresses of the command line are parsed before the database is asked, and again under the
 * case rule of their domains once the job is open. */
static bool parse_all(struct apply *apply, const char *const *texts, size_t count,
                      struct addr *addresses)
{
    for (size_t i = 0; i < count; i++)
        apply_address(apply, (int64_t)i + 1, span_text(texts[i]), &addresses[i]);
    return apply->malformed == 0;
}

/* The texts of one user: the operand and each --alias. */
static size_t alias_count(const struct cli *cli)
{
    size_t count = 0;

    while (cli_nth(cli, "alias", count) != NULL)
        count++;
    return count;
}

static bool stage_each(struct apply *apply, const struct addr *addresses, size_t count,
                       struct err *err)
{
    const struct cli *cli = apply->cli;
    const char *name = cli_value(cli, "name");
    size_t aliases = alias_count(cli), step = aliases > 0 ? count : 1;

    for (size_t i = 0; i < count; i += step) {
        struct roll_entry entry = {
            .line = (int64_t)i + 1,
            .kind = cli_flag(cli, "group") ? ENTRY_GROUP : ENTRY_USER,
            .addresses = addresses + i,
            .address_count = step,
            .name = span_text(name != NULL ? name : ""),
            .unnamed = name != NULL && name[0] == '\0',
            .disabled = cli_flag(cli, "disabled"),
        };
        if (!roll_stage(apply->job, &entry, err))
            return false;
    }
    return true;
}

/* The job of a command whose list is on the command line: all of it, or nothing. */
static bool run_job(struct cli *cli, enum roll_mode mode, const char *const *texts, size_t count,
                    struct err *err)
{
    struct apply apply;
    struct addr *addresses = mem_zero(count, sizeof *addresses);

    apply_init(&apply, cli, mode, SOURCE_MANUAL);
    apply.request.strict = true;
    bool parsed = parse_all(&apply, texts, count, addresses);
    bool fine = !parsed || apply_open(&apply, err);
    if (parsed && fine)
        fine =
            parse_all(&apply, texts, count, addresses) && stage_each(&apply, addresses, count, err);
    fine = fine && apply_finish(&apply, err);
    free(addresses);
    apply_free(&apply);
    return fine;
}

bool cmd_user_add(struct cli *cli, struct err *err)
{
    size_t aliases = alias_count(cli), count = cli->operand_count + aliases;
    const char *name = cli_value(cli, "name");

    if (cli->operand_count > 1 && (aliases > 0 || name != NULL))
        return err_set(err, ERR_USAGE,
                       "--alias and --name belong to one user: give one ADDRESS, not %zu",
                       cli->operand_count);
    if (cli_flag(cli, "group") && (aliases > 0 || name != NULL))
        return err_set(err, ERR_USAGE,
                       "a --group is a single address: it has no --alias or --name");
    if (count - cli->operand_count >= ROLL_ADDRESSES_MAX)
        return err_set(err, ERR_DATA, "a user has at most %d addresses", ROLL_ADDRESSES_MAX);
    if (name != NULL && (strlen(name) > ROLL_NAME_MAX || !str_utf8_valid(span_text(name))))
        return err_set(err, ERR_DATA, "--name: not UTF-8 of at most %d bytes", ROLL_NAME_MAX);
    const char **texts = mem_zero(count, sizeof *texts);
    memcpy(texts, cli->operands, cli->operand_count * sizeof *texts);
    for (size_t i = 0; i < aliases; i++)
        texts[cli->operand_count + i] = cli_nth(cli, "alias", i);
    bool fine = run_job(cli, ROLL_ADD, texts, count, err);
    free(texts);
    return fine;
}

/* The empty list takes the place of the domain's: nothing that anybody should do by mistake. */
static bool remove_all(struct cli *cli, const char *domain, struct err *err)
{
    struct apply apply;

    apply_init(&apply, cli, ROLL_REPLACE, SOURCE_MANUAL);
    apply.request.force = true;
    bool fine =
        apply_open(&apply, err) && roll_scope(apply.job, domain, err) && apply_finish(&apply, err);
    apply_free(&apply);
    return fine;
}

static bool type_again(const char *domain, struct err *err)
{
    BUF_AUTO answer = {0};
    STR_AUTO question =
        mem_printf("This takes every user of %s off the roll. Type its name again: ", domain);

    if (!terminal_ask(question, true, &answer, err))
        return false;
    return strcasecmp(answer.at, domain) == 0 ||
           err_set(err, ERR_USAGE, "that is not '%s': nothing is changed", domain);
}

bool cmd_user_remove(struct cli *cli, struct err *err)
{
    const char *domain = cli_value(cli, "all-of");

    if ((domain == NULL) == (cli->operand_count == 0))
        return err_set(err, ERR_USAGE, "give each ADDRESS to remove, or --all-of DOMAIN");
    if (domain == NULL)
        return run_job(cli, ROLL_REMOVE, cli->operands, cli->operand_count, err);
    return (cli_flag(cli, "dry-run") || type_again(domain, err)) && remove_all(cli, domain, err);
}

bool cmd_user_disable(struct cli *cli, struct err *err)
{
    return run_job(cli, ROLL_DISABLE, cli->operands, cli->operand_count, err);
}

bool cmd_user_enable(struct cli *cli, struct err *err)
{
    return run_job(cli, ROLL_ENABLE, cli->operands, cli->operand_count, err);
}
