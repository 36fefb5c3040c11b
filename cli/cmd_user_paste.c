/*
 * cmd_user_paste - what a person copied, put on the roll after it was shown
 *
 * Shown are the addresses that were understood, what is wrong with others, and how many the roll
 * would gain; that is a dry run of the very job. Then the question, then the job.
 */
#include <strings.h>

#include "cli/cmd.h"
#include "cli/intake.h"
#include "cli/terminal.h"
#include "lib/str.h"

static bool begin(struct intake *intake, struct cli *cli, struct err *err)
{
    return intake_begin(intake, cli, SOURCE_MANUAL, LIST_PASTE, "paste", err);
}

/* The job without a question before it. */
static bool put_on_roll(struct cli *cli, struct span text, bool told, struct err *err)
{
    struct intake intake;
    bool fine = begin(&intake, cli, err);

    intake.apply.quiet = told;
    fine = fine && intake_bytes(&intake, text, err) && intake_finish(&intake, err);
    intake_free(&intake);
    return fine;
}

static bool show_and_try(struct cli *cli, struct span text, struct roll_outcome *outcome,
                         struct err *err)
{
    static const char *const columns[] = {"line", "address", "name", NULL};
    struct intake intake;
    bool fine = begin(&intake, cli, err);

    intake.shown = !cli->json;
    intake.apply.request.dry_run = true;
    if (intake.shown)
        out_section(cli->out, NULL, "understood:", OUT_TABLE, columns);
    fine = fine && intake_bytes(&intake, text, err) && intake_try(&intake, outcome, err);
    intake_free(&intake);
    return fine;
}

static bool ask(struct cli *cli, const struct roll_outcome *outcome, bool *yes, struct err *err)
{
    BUF_AUTO answer = {0};

    cli_say(cli, "%lld to add, %lld to remove, %lld to change, %lld refused%s%s",
            (long long)outcome->added, (long long)outcome->removed, (long long)outcome->changed,
            (long long)outcome->problems, outcome->why[0] != '\0' ? "; " : "", outcome->why);
    if (!terminal_ask("Put this on the roll? [y/N] ", false, &answer, err))
        return false;
    *yes = strcasecmp(answer.at, "y") == 0 || strcasecmp(answer.at, "yes") == 0;
    if (!*yes)
        cli_say(cli, "nothing is changed");
    return true;
}

static bool run(struct cli *cli, struct span text, struct err *err)
{
    struct roll_outcome outcome = {0};
    bool yes = false;

    if (cli_flag(cli, "yes") || cli_flag(cli, "dry-run"))
        return put_on_roll(cli, text, false, err);
    if (!show_and_try(cli, text, &outcome, err))
        return false;
    if (outcome.added + outcome.removed + outcome.changed == 0)
        return put_on_roll(cli, text, true, err); /* says that there is nothing to change */
    return ask(cli, &outcome, &yes, err) && (!yes || put_on_roll(cli, text, true, err));
}

bool cmd_user_paste(struct cli *cli, struct err *err)
{
    BUF_AUTO text = {0};

    if (!terminal_read_paste(
            "paste addresses, however they are separated; end with an empty line or Ctrl-D", &text,
            err))
        return false;
    if (span_trim(span_of(text.at, text.len)).len == 0)
        return err_set(err, ERR_DATA, "nothing was pasted");
    return run(cli, span_of(text.at, text.len), err);
}
