/* apply - see apply.h */
#include "cli/apply.h"

#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

void apply_init(struct apply *apply, struct cli *cli, enum roll_mode mode, enum source_kind source)
{
    const char *note = cli_value(cli, "note");

    *apply = (struct apply){
        .cli = cli,
        .request = {.mode = mode,
                    .source = source,
                    .actor = cli->actor,
                    .program = "rollcall",
                    .note = note != NULL ? note : "",
                    .dry_run = cli_flag(cli, "dry-run"),
                    .strict = cli_flag(cli, "strict"),
                    .force = cli_flag(cli, "force"),
                    .guard = {.least = cli->conf.value.guard_least,
                              .percent = cli->conf.value.guard_percent}},
    };
}

void apply_free(struct apply *apply)
{
    roll_abort(&apply->job);
    for (size_t i = 0; i < apply->problem_count; i++)
        free(apply->problems[i].text);
    free(apply->problems);
    apply->problems = NULL;
    apply->problem_count = 0;
}

bool apply_open(struct apply *apply, struct err *err)
{
    if (!cli_write(apply->cli, err))
        return false;
    db_set_timeout(apply->cli->db, 0); /* a large list takes as long as it takes */
    return roll_open(&apply->job, apply->cli->db, &apply->request, err);
}

static void tell_problem(struct apply *apply, int64_t line, const char *kind, const char *text)
{
    if (apply->from_file)
        cli_warn("line %lld: %s", (long long)line, text);
    else
        cli_warn("%s", text);
    if (!apply->cli->json || apply->problem_count == APPLY_PROBLEMS_KEPT)
        return;
    if (apply->problem_count == apply->problem_room) {
        apply->problem_room = apply->problem_room > 0 ? apply->problem_room * 2 : 16;
        apply->problems = mem_grow(apply->problems, apply->problem_room * sizeof *apply->problems);
    }
    apply->problems[apply->problem_count++] = (struct apply_problem){line, kind, mem_text(text)};
}

bool apply_address(struct apply *apply, int64_t line, struct span text, struct addr *addr)
{
    struct err why;
    bool fine = addr_parse(text, true, addr, &why);

    if (fine && apply->job != NULL &&
        !roll_folds_case(apply->job, span_of(addr->domain, addr->domain_len)))
        fine = addr_parse(text, false, addr, &why);
    if (!fine) {
        tell_problem(apply, line, "malformed", why.text);
        apply->malformed++;
    }
    return fine;
}

static void on_problem(void *context, const struct roll_problem *problem)
{
    BUF_AUTO text = {0};

    roll_problem_text(problem, &text);
    tell_problem(context, problem->line, roll_problem_names[problem->kind], text.at);
}

static void on_difference(void *context, const struct roll_difference *difference)
{
    struct apply *apply = context;
    const char sign[] = {difference->sign, '\0'};

    out_text(apply->cli->out, sign);
    out_text(apply->cli->out, difference->address);
    out_text(apply->cli->out, difference->before);
    out_text(apply->cli->out, difference->after);
}

struct roll_listener apply_listener(struct apply *apply)
{
    static const char *const columns[] = {"", "address", "before", "after", NULL};
    static const char *const json_columns[] = {"sign", "address", "before", "after", NULL};

    if (apply->request.dry_run)
        out_section(apply->cli->out, "differences", NULL, OUT_TABLE,
                    apply->cli->json ? json_columns : columns);
    return (struct roll_listener){.context = apply,
                                  .problem = on_problem,
                                  .difference = apply->request.dry_run ? on_difference : NULL};
}

static void write_problems(struct apply *apply)
{
    static const char *const columns[] = {"line", "kind", "text", NULL};

    if (!apply->cli->json || apply->problem_count == 0)
        return;
    out_section(apply->cli->out, "problem_list", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < apply->problem_count; i++) {
        out_int(apply->cli->out, apply->problems[i].line);
        out_text(apply->cli->out, apply->problems[i].kind);
        out_text(apply->cli->out, apply->problems[i].text);
    }
}

bool apply_tell(struct apply *apply, const struct roll_outcome *outcome, struct err *err)
{
    static const char *const states[] = {
        [ROLL_UNCHANGED] = "unchanged",
        [ROLL_APPLIED] = "applied",
        [ROLL_HELD] = "held",
        [ROLL_DRY] = "dry-run",
    };
    struct cli *cli = apply->cli;

    write_problems(apply);
    if (outcome->problems > 0)
        cli->exit_code = ERR_DATA;
    else if (outcome->state == ROLL_HELD)
        cli->exit_code = ERR_OTHER;
    db_set_timeout(cli->db, cli->conf.value.database_timeout);
    return cli_tell(cli,
                    &(struct cli_outcome){.state = states[outcome->state],
                                          .changeset = outcome->changeset,
                                          .version = outcome->version,
                                          .added = outcome->added,
                                          .removed = outcome->removed,
                                          .changed = outcome->changed,
                                          .problems = outcome->problems,
                                          .what = "",
                                          .why = outcome->why},
                    err);
}

bool apply_finish(struct apply *apply, struct err *err)
{
    struct roll_outcome outcome = {0};

    if (apply->malformed > 0) {
        roll_abort(&apply->job);
        write_problems(apply);
        return err_set(err, ERR_DATA, "%lld bad address%s, nothing is changed",
                       (long long)apply->malformed, apply->malformed == 1 ? "" : "es");
    }
    struct roll_listener listener = apply_listener(apply);
    if (!roll_finish(&apply->job, &listener, &outcome, err)) {
        write_problems(apply);
        return false;
    }
    return apply_tell(apply, &outcome, err);
}
