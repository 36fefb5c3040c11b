/* apply - see apply.h */
#include "cli/apply.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
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
    if (apply->cli->db != NULL)
        db_set_interrupt(apply->cli->db, -1);
    interrupt_end();
    roll_abort(&apply->job);
    for (size_t i = 0; i < apply->problem_count; i++)
        free(apply->problems[i].text);
    free(apply->problems);
    apply->problems = NULL;
    apply->problem_count = 0;
}

bool apply_connect(struct apply *apply, struct err *err)
{
    if (!cli_write(apply->cli, err))
        return false;
    db_set_timeout(apply->cli->db, 0); /* a large list takes as long as it takes */
    db_set_interrupt(apply->cli->db, interrupt_watch());
    return true;
}

bool apply_open(struct apply *apply, struct err *err)
{
    return apply_connect(apply, err) &&
           roll_open(&apply->job, apply->cli->db, &apply->request, err);
}

bool apply_failed(const struct apply *apply, struct err *err)
{
    size_t len = strlen(err->text);
    bool told = apply->done || strstr(err->text, "hangeset") != NULL;

    if (interrupt_seen() && !told)
        return err_set(err, ERR_TEMPORARY, "interrupted: nothing is changed");
    if (!told && strstr(err->text, "nothing is changed") == NULL)
        snprintf(err->text + len, sizeof err->text - len, ": nothing is changed");
    return false;
}

static void keep_problem(struct apply *apply, int64_t line, const char *kind, const char *text)
{
    if (!apply->cli->json || apply->problem_count == APPLY_PROBLEMS_KEPT)
        return;
    if (apply->problem_count == apply->problem_room) {
        apply->problem_room = apply->problem_room > 0 ? apply->problem_room * 2 : 16;
        apply->problems = mem_grow(apply->problems, apply->problem_room * sizeof *apply->problems);
    }
    apply->problems[apply->problem_count++] = (struct apply_problem){line, kind, mem_text(text)};
}

/* On a terminal nobody reads thousands; everywhere else they are all there. */
static bool is_shown(struct apply *apply)
{
    apply->told++;
    return apply->told <= APPLY_PROBLEMS_SHOWN || isatty(STDERR_FILENO) != 1;
}

static void tell_problem(struct apply *apply, int64_t line, const char *kind, const char *text)
{
    progress_clear(&apply->progress);
    if (!apply->from_file)
        cli_warn("%s", text);
    else if (!apply->quiet && is_shown(apply))
        cli_warn("line %lld: %s", (long long)line, text);
    keep_problem(apply, line, kind, text);
}

static void write_csv_cell(FILE *file, struct span text)
{
    char shown[1024];

    str_printable(shown, sizeof shown, text.at, text.len);
    fputs(shown[0] != '\0' && strchr("=+-@", shown[0]) != NULL ? "\"'" : "\"", file);
    for (const char *c = shown; *c != '\0'; c++)
        fputs(*c == '"' ? "\"\"" : (const char[]){*c, '\0'}, file);
    fputs("\"", file);
}

static void write_error(struct apply *apply, int64_t line, struct span text, const char *why)
{
    if (apply->errors == NULL)
        return;
    fprintf(apply->errors, "%lld,", (long long)line);
    write_csv_cell(apply->errors, text);
    fputc(',', apply->errors);
    write_csv_cell(apply->errors, span_text(why));
    fputc('\n', apply->errors);
}

void apply_bad_line(struct apply *apply, int64_t line, struct span text, const char *why)
{
    char shown[120];
    BUF_AUTO told = {0};

    str_printable(shown, sizeof shown, text.at, text.len);
    buf_printf(&told, "%s%s%s", shown, shown[0] != '\0' ? ": " : "", why);
    apply->bad++;
    tell_problem(apply, line, "malformed", told.at);
    write_error(apply, line, text, why);
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
    write_error(context, problem->line, span_text(problem->address), text.at);
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
    static const char *const columns[] = {"sign", "address", "before", "after", NULL};

    if (apply->request.dry_run)
        out_section(apply->cli->out, "differences", "--- the roll\n+++ after this", OUT_DIFF,
                    columns);
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

/* Nothing can be broken off any more. */
static void let_signals_be(struct apply *apply)
{
    apply->done = true;
    db_set_interrupt(apply->cli->db, -1);
    interrupt_end();
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

    let_signals_be(apply);
    write_problems(apply);
    if (apply->told > APPLY_PROBLEMS_SHOWN && apply->from_file && isatty(STDERR_FILENO) == 1)
        cli_warn("… and %lld more; --errors FILE has them all",
                 (long long)(apply->told - APPLY_PROBLEMS_SHOWN));
    if (outcome->problems + apply->bad > 0)
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
                                          .problems = outcome->problems + apply->bad,
                                          .what = "",
                                          .why = outcome->why},
                    err);
}

bool apply_try(struct apply *apply, struct roll_outcome *outcome, struct err *err)
{
    struct roll_listener listener = {.context = apply, .problem = on_problem};

    apply->request.dry_run = true;
    return roll_finish(&apply->job, &listener, outcome, err) || apply_failed(apply, err);
}

/* Any bad line forbids everything: what the roll would refuse as well is told all the same. */
static bool refuse_all(struct apply *apply, struct err *err)
{
    struct roll_outcome outcome = {0};

    apply->request.strict = false;
    bool fine = apply_try(apply, &outcome, err);
    write_problems(apply);
    return fine && err_set(err, ERR_DATA, "%lld bad line%s: nothing is changed",
                           (long long)(apply->bad + outcome.problems),
                           apply->bad + outcome.problems == 1 ? "" : "s");
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
    if (apply->request.strict && apply->bad > 0)
        return refuse_all(apply, err);
    struct roll_listener listener = apply_listener(apply);
    if (!roll_finish(&apply->job, &listener, &outcome, err)) {
        write_problems(apply);
        return apply_failed(apply, err);
    }
    progress_clear(&apply->progress);
    return apply_tell(apply, &outcome, err);
}
