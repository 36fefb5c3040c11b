/* intake - see intake.h */
#include "cli/intake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/interrupt.h"
#include "lib/str.h"

static bool read_form(const struct cli *cli, enum list_form *form, struct err *err)
{
    const char *name = cli_value(cli, "format");

    *form = LIST_ANY;
    if (name == NULL)
        return true;
    for (int i = LIST_CSV; i <= LIST_LDIF; i++)
        if (strcmp(name, list_form_names[i]) == 0) {
            *form = (enum list_form)i;
            return true;
        }
    return err_set(err, ERR_USAGE, "--format %s: not one of csv, plain, ldif", name);
}

static bool read_delimiter(const struct cli *cli, char *delimiter, struct err *err)
{
    static const struct {
        const char *name;
        char sign;
    } names[] = {{"comma", ','}, {"semicolon", ';'}, {"tab", '\t'}, {"bar", '|'}};
    const char *given = cli_value(cli, "delimiter");

    *delimiter = '\0';
    for (size_t i = 0; given != NULL && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(given, names[i].name) == 0 || (given[0] == names[i].sign && given[1] == '\0'))
            *delimiter = names[i].sign;
    return given == NULL || *delimiter != '\0' ||
           err_set(err, ERR_USAGE, "--delimiter %s: not one of comma, semicolon, tab, bar", given);
}

static bool read_options(const struct cli *cli, struct list_options *options, struct err *err)
{
    *options = (struct list_options){
        .encoding = cli_value(cli, "encoding"),
        .columns = cli_value(cli, "columns"),
        .address_column = cli_value(cli, "address-column"),
        .aliases_column = cli_value(cli, "alias-column"),
        .name_column = cli_value(cli, "name-column"),
        .disabled = cli_flag(cli, "disabled"),
    };
    if (cli_flag(cli, "add") && cli_flag(cli, "replace"))
        return err_set(err, ERR_USAGE, "--add and --replace exclude each other");
    return read_form(cli, &options->form, err) && read_delimiter(cli, &options->delimiter, err);
}

static bool open_errors(struct apply *apply, struct err *err)
{
    const char *path = cli_value(apply->cli, "errors");

    if (path == NULL)
        return true;
    apply->errors = fopen(path, "we");
    if (apply->errors == NULL)
        return err_set(err, ERR_OTHER, "--errors %s: %s", path, strerror(errno));
    fputs("line,text,reason\n", apply->errors);
    return true;
}

/* Nothing is lost silently, and no list of errors is taken for whole that is not. */
static bool close_errors(struct apply *apply, struct err *err)
{
    FILE *file = apply->errors;

    apply->errors = NULL;
    if (file == NULL)
        return true;
    bool fine = ferror(file) == 0;
    return (fclose(file) == 0 && fine) ||
           err_set(err, ERR_OTHER, "--errors %s: could not be written",
                   cli_value(apply->cli, "errors"));
}

static void show_entry(struct out *out, const struct roll_entry *entry)
{
    char address[ADDR_TEXT_MAX + 1];
    STR_AUTO name = mem_span(entry->name);

    addr_format(&entry->addresses[0], address);
    out_int(out, entry->line);
    out_text(out, address);
    out_text(out, name);
}

static bool on_entry(void *context, const struct roll_entry *entry, struct err *err)
{
    struct intake *intake = context;

    if (intake->shown && intake->rows++ < INTAKE_ROWS_SHOWN)
        show_entry(intake->cli->out, entry);
    return roll_stage(intake->apply.job, entry, err);
}

static void on_problem(void *context, const struct list_problem *problem)
{
    struct intake *intake = context;
    char shown[120];

    if (!problem->passed_over) {
        apply_bad_line(&intake->apply, problem->line, problem->text, problem->why);
        return;
    }
    if (intake->apply.quiet)
        return;
    str_printable(shown, sizeof shown, problem->text.at, problem->text.len);
    cli_warn("line %lld: passed over: %s", (long long)problem->line, shown);
}

static bool folds_case(void *context, struct span domain)
{
    struct intake *intake = context;

    return roll_folds_case(intake->apply.job, domain);
}

static bool name_domains(struct intake *intake, struct err *err)
{
    const char *domain;

    for (size_t i = 0; (domain = cli_nth(intake->cli, "domain", i)) != NULL; i++)
        if (!roll_scope(intake->apply.job, domain, err))
            return false;
    return true;
}

bool intake_begin(struct intake *intake, struct cli *cli, enum source_kind source,
                  enum list_form form, const char *name, struct err *err)
{
    *intake = (struct intake){.cli = cli, .name = name};
    apply_init(&intake->apply, cli, cli_flag(cli, "replace") ? ROLL_REPLACE : ROLL_ADD, source);
    intake->apply.from_file = true;
    progress_begin(&intake->apply.progress);
    intake->sink = (struct list_sink){intake, on_entry, on_problem, folds_case};
    if (!read_options(cli, &intake->options, err))
        return false;
    if (form != LIST_ANY)
        intake->options.form = form;
    if (!list_open(&intake->list, &intake->options, &intake->sink, err) ||
        !open_errors(&intake->apply, err))
        return false;
    return apply_open(&intake->apply, err) && name_domains(intake, err);
}

static bool on_progress(void *context, int64_t read, int64_t size, struct err *err)
{
    struct intake *intake = context;
    char what[40];

    snprintf(what, sizeof what, "%lld lines", (long long)list_counts(intake->list).lines);
    progress_show(&intake->apply.progress, read, size, what);
    return !interrupt_seen() || err_set(err, ERR_TEMPORARY, "interrupted");
}

bool intake_file(struct intake *intake, const char *path, struct err *err)
{
    struct list_progress progress = {intake, on_progress};

    return list_read_file(intake->list, path, &progress, err) || apply_failed(&intake->apply, err);
}

bool intake_bytes(struct intake *intake, struct span bytes, struct err *err)
{
    return (list_feed(intake->list, bytes.at, bytes.len, err) && list_end(intake->list, err)) ||
           apply_failed(&intake->apply, err);
}

/* Text of any program's making on a terminal. */
static void say_counts(const struct intake *intake, const char *form)
{
    struct list_counts counts = list_counts(intake->list);

    cli_say(intake->cli, "%s: %s", intake->name, form);
    cli_say(intake->cli, "%s: %lld line%s, %lld user%s and group%s, %lld bad line%s", intake->name,
            (long long)counts.lines, counts.lines == 1 ? "" : "s", (long long)counts.entries,
            counts.entries == 1 ? "" : "s", counts.entries == 1 ? "" : "s",
            (long long)counts.problems, counts.problems == 1 ? "" : "s");
}

static void write_counts(const struct intake *intake, const char *form)
{
    static const char *const columns[] = {"list", "form", "lines", "entries", "bad_lines", NULL};
    struct list_counts counts = list_counts(intake->list);
    struct out *out = intake->cli->out;

    out_section(out, NULL, NULL, OUT_HEAD, columns);
    out_text(out, intake->name);
    out_text(out, form);
    out_int(out, counts.lines);
    out_int(out, counts.entries);
    out_int(out, counts.problems);
}

static void tell_list(const struct intake *intake)
{
    BUF_AUTO form = {0};

    list_describe(intake->list, &form);
    if (intake->cli->json)
        write_counts(intake, form.at);
    else
        say_counts(intake, form.at);
}

bool intake_finish(struct intake *intake, struct err *err)
{
    progress_clear(&intake->apply.progress);
    tell_list(intake);
    progress_say(&intake->apply.progress, "comparing with the roll …");
    bool fine = apply_finish(&intake->apply, err);
    progress_clear(&intake->apply.progress);
    return close_errors(&intake->apply, err) && fine;
}

bool intake_try(struct intake *intake, struct roll_outcome *outcome, struct err *err)
{
    out_end(intake->cli->out);
    if (intake->rows > INTAKE_ROWS_SHOWN)
        cli_say(intake->cli, "… and %lld more", (long long)(intake->rows - INTAKE_ROWS_SHOWN));
    return apply_try(&intake->apply, outcome, err);
}

void intake_free(struct intake *intake)
{
    progress_clear(&intake->apply.progress);
    if (intake->apply.errors != NULL)
        fclose(intake->apply.errors);
    apply_free(&intake->apply);
    list_free(&intake->list);
}
