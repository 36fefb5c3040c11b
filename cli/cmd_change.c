/* cmd_change - the history: changesets listed, shown, undone; held ones approved or rejected */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/apply.h"
#include "cli/cmd.h"
#include "cli/interrupt.h"
#include "cli/pager.h"
#include "lib/history.h"
#include "lib/str.h"

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
    for (int c = 0; c < HISTORY_COLUMNS; c++) {
        if (c == HISTORY_DOMAINS_OF)
            out_list(out, db_text(rows, row, c));
        else if (db_null(rows, row, c))
            out_null(out);
        else if (c == HISTORY_FORCED)
            out_bool(out, db_bool(rows, row, c));
        else if (c < 2 || (c >= HISTORY_ADDED && c < HISTORY_FORCED))
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
    if (!history_list(cli->db, cli_value(cli, "state"), cli_value(cli, "customer"), NULL, number,
                      &rows, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        put_changeset(cli->out, rows, i);
    return true;
}

static bool put_differences(struct cli *cli, enum history_part part, const char *section,
                            const char *id, int64_t limit, struct err *err)
{
    static const char *const sides[] = {"sign", "what", "before", "after", NULL};
    char number[24];
    DB_RESULT_AUTO rows = NULL;
    STR_AUTO title =
        mem_printf("--- %s before changeset %s\n+++ %s after it", section, id, section);

    snprintf(number, sizeof number, "%" PRId64, limit + 1);
    if (!history_differences(cli->db, part, id, number, &rows, err))
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

    if (!history_get(cli->db, text, &rows, err))
        return false;
    if (db_rows(rows) == 0)
        return no_such_changeset(text, err);
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    put_changeset(cli->out, rows, 0);
    if (strcmp(db_text(rows, 0, 2), "held") == 0)
        return show_held(cli, id, err);
    return put_differences(cli, HISTORY_DOMAINS, "domains", text, limit, err) &&
           put_differences(cli, HISTORY_ADDRESSES, "addresses", text, limit, err) &&
           put_differences(cli, HISTORY_NAMES, "names", text, limit, err);
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
