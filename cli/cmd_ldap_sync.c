/*
 * cmd_ldap_sync - a directory looked at, or read now
 *
 * rollcall-ldapsync does it, as by itself at its turn; its records (lines of fields with tabs
 * between) are shown here for people or as JSON.
 */
#include "cli/cmd.h"

#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/ldap_source.h"
#include "lib/record.h"
#include "lib/spawn.h"

enum { ARGUMENTS_MOST = 300, GRACE_S = 1860 };

/* ---- the program ---- */

struct arguments {
    const char *at[ARGUMENTS_MOST];
    size_t count;
};

static void add(struct arguments *arguments, const char *text)
{
    if (arguments->count < ARGUMENTS_MOST - 1)
        arguments->at[arguments->count++] = text;
}

/* Runs it with the settings of this program; false when it could not say anything. */
static bool run_program(struct cli *cli, struct arguments *arguments, int64_t seconds,
                        struct spawn_output *output, struct err *err)
{
    add(arguments, "--records");
    add(arguments, "--actor");
    add(arguments, cli->actor);
    if (cli->file != NULL) {
        add(arguments, "-c");
        add(arguments, cli->file);
    }
    for (size_t i = 0; i < cli->override_count; i++) {
        add(arguments, "-o");
        add(arguments, cli->overrides[i]);
    }
    if (!spawn_run_within(arguments->at, span_of("", 0), seconds, output, err))
        return false;
    if (output->out.len > 0 || output->code == 0)
        return true;
    struct span said = span_trim(span_of(output->errors.at, output->errors.len));
    enum err_class class = output->code < 126 ? (enum err_class)output->code : ERR_OTHER;
    return err_set(err, class, "%.*s", said.len > 900 ? 900 : (int)said.len, said.at);
}

/* ---- which sources ---- */

static const char names_sql[] =
    "select s.name from ldap_source s where lower(s.name) = lower($1) union"
    " select s.name from ldap_source s join ldap_source_domain f on f.source_id = s.id"
    "   join domain d on d.id = f.domain_id where d.name = lower($1) order by 1 limit 64";

/* Its name, or a domain that it feeds; the longest of their time limits. */
static bool find_sources(struct cli *cli, const char *what, struct buf *names, int64_t *seconds,
                         struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    struct ldap_source source;

    if (!cli_read(cli, err) || !db_query(cli->db, &rows, names_sql, DB_VALUES(what), err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++) {
        if (!ldap_source_get(cli->db, db_text(rows, i, 0), false, &source, err))
            return false;
        int64_t limit = ldap_setting_time_us(source.settings.time_limit) / CLOCK_SECOND;
        *seconds = limit > *seconds ? limit : *seconds;
        ldap_source_free(&source);
        buf_printf(names, "%s\n", db_text(rows, i, 0));
    }
    /* says that there is none, and which there are */
    return db_rows(rows) > 0 || ldap_source_get(cli->db, what, false, &source, err);
}

/* ---- showing ---- */

static void put_field(struct out *out, const struct record *record, size_t at)
{
    STR_AUTO text = mem_span(record_field(record, at));

    out_text(out, text);
}

/* A section of all records of a kind: `columns` are the fields behind the source. */
static void put_records(struct cli *cli, struct span output, const char *kind, const char *title,
                        const char *const *columns)
{
    struct record record;
    bool any = false;

    for (struct span rest = output; record_next(&rest, &record);)
        any = any || record_is(&record, kind);
    if (!any && !cli->json)
        return;
    out_section(cli->out, kind, title, OUT_TABLE, columns);
    for (struct span rest = output; record_next(&rest, &record);)
        for (size_t i = 0; record_is(&record, kind) && columns[i] != NULL; i++)
            put_field(cli->out, &record, i + 1);
}

/* The first failure ends the command with its text. */
static bool no_failure(struct span output, struct err *err)
{
    struct record record;
    bool fine = true;

    for (struct span rest = output; record_next(&rest, &record);) {
        if (!record_is(&record, "failed") || record.count < 4)
            continue;
        if (!fine)
            cli_warn("%s", err->text);
        STR_AUTO source = mem_span(record.fields[1]);
        STR_AUTO why = mem_span(record.fields[3]);
        fine = err_set(err, (enum err_class)record_number(&record, 2), "%s: %s", source, why);
    }
    return fine;
}

/* ---- test ---- */

static void say_looked(struct cli *cli, struct span output)
{
    struct record record;

    for (struct span rest = output; record_next(&rest, &record);) {
        if (!record_is(&record, "done"))
            continue;
        STR_AUTO source = mem_span(record.fields[1]);
        STR_AUTO server = mem_span(record.fields[RECORD_DONE_SERVER]);
        cli_say(cli,
                "%s: %s answers: %" PRId64 " entries on the first page%s, %" PRId64
                " of them would be users, %" PRId64 " groups or contacts, %" PRId64 " left out",
                source, server, record_number(&record, RECORD_DONE_ENTRIES),
                record_number(&record, RECORD_DONE_MORE) != 0 ? ", there are more"
                                                              : ", there are no more",
                record_number(&record, RECORD_DONE_USERS),
                record_number(&record, RECORD_DONE_GROUPS),
                record_number(&record, RECORD_DONE_LEFT_OUT));
    }
}

static void show_look(struct cli *cli, struct span output)
{
    static const char *const taken[] = {"source",  "kind", "state", "address",
                                        "aliases", "name", "dn",    NULL};
    static const char *const left[] = {"source", "dn", "why", NULL};
    static const char *const notes[] = {"source", "dn", "value", "why", NULL};
    static const char *const foreign[] = {"source", "domain", "addresses", NULL};

    put_records(cli, output, "user", "would be taken", taken);
    put_records(cli, output, "left", "left out", left);
    put_records(cli, output, "note", "values that are not taken", notes);
    put_records(cli, output, "foreign", "domains of others", foreign);
    say_looked(cli, output);
}

bool cmd_ldap_test(struct cli *cli, struct err *err)
{
    struct arguments arguments = {0};
    struct spawn_output output = {0};
    char path[4096];
    BUF_AUTO names = {0};
    int64_t seconds = 0;

    if (cli_flag(cli, "sign-in"))
        return cmd_ldap_sign_in(cli, cli_value(cli, "sign-in"), err);
    if (!find_sources(cli, cli->operands[0], &names, &seconds, err))
        return false;
    add(&arguments, spawn_beside("rollcall-ldapsync", path));
    add(&arguments, "--look");
    for (char *name = strtok(names.at, "\n"); name != NULL; name = strtok(NULL, "\n")) {
        add(&arguments, "--source");
        add(&arguments, name);
    }
    bool fine = run_program(cli, &arguments, seconds + GRACE_S, &output, err);
    struct span records = span_of(output.out.at, output.out.len);
    if (fine)
        show_look(cli, records);
    fine = fine && no_failure(records, err);
    spawn_output_free(&output);
    return fine;
}

/* ---- sync ---- */

static void say_done(struct cli *cli, const struct record *r)
{
    STR_AUTO source = mem_span(r->fields[1]);
    STR_AUTO what = mem_span(r->fields[RECORD_DONE_WHAT]);
    STR_AUTO why = mem_span(record_field(r, RECORD_DONE_WHY));
    int64_t changeset = record_number(r, RECORD_DONE_CHANGESET);
    STR_AUTO where =
        changeset != 0 ? mem_printf(" (changeset %" PRId64 ")", changeset) : mem_text("");

    cli_say(cli,
            "%s: %s%s: %" PRId64 " added, %" PRId64 " removed, %" PRId64 " changed, %" PRId64
            " refused; %" PRId64 " users and %" PRId64 " groups of %" PRId64 " entries%s%s",
            source, what, where, record_number(r, RECORD_DONE_ADDED),
            record_number(r, RECORD_DONE_REMOVED), record_number(r, RECORD_DONE_CHANGED),
            record_number(r, RECORD_DONE_PROBLEMS), record_number(r, RECORD_DONE_USERS),
            record_number(r, RECORD_DONE_GROUPS), record_number(r, RECORD_DONE_ENTRIES),
            why[0] != '\0' ? "; " : "", why);
}

static void show_sync(struct cli *cli, struct span output)
{
    static const char *const done[] = {"source",     "outcome",  "server",    "entries", "pages",
                                       "users",      "groups",   "left_out",  "added",   "removed",
                                       "changed",    "problems", "changeset", "version", "more",
                                       "bad_values", "why",      NULL};
    static const char *const differences[] = {"source", "sign", "address", "before", "after", NULL};
    static const char *const problems[] = {"source", "kind", "address", "dn", "why", NULL};
    struct record record;

    put_records(cli, output, "difference", "difference", differences);
    put_records(cli, output, "problem", "refused", problems);
    if (cli->json)
        put_records(cli, output, "done", NULL, done);
    for (struct span rest = output; record_next(&rest, &record);)
        if (record_is(&record, "done"))
            say_done(cli, &record);
}

bool cmd_ldap_sync(struct cli *cli, struct err *err)
{
    struct arguments arguments = {0};
    struct spawn_output output = {0};
    char path[4096];
    BUF_AUTO names = {0};
    int64_t seconds = 0;

    if (cli_flag(cli, "all") == (cli->operand_count > 0))
        return err_set(err, ERR_USAGE, "'ldap sync' takes names of sources, or --all");
    add(&arguments, spawn_beside("rollcall-ldapsync", path));
    for (size_t i = 0; i < cli->operand_count; i++)
        if (!find_sources(cli, cli->operands[i], &names, &seconds, err))
            return false;
    for (char *name = names.len > 0 ? strtok(names.at, "\n") : NULL; name != NULL;
         name = strtok(NULL, "\n")) {
        add(&arguments, "--source");
        add(&arguments, name);
    }
    static const char *const passed[] = {"all", "dry-run", "force"};
    static const char *const as[] = {"--all", "--dry-run", "--force"};
    for (size_t i = 0; i < 3; i++)
        if (cli_flag(cli, passed[i]))
            add(&arguments, as[i]);
    seconds = cli_flag(cli, "all") ? 86400 : seconds * (int64_t)arguments.count;
    bool fine = run_program(cli, &arguments, seconds + GRACE_S, &output, err);
    struct span records = span_of(output.out.at, output.out.len);
    if (fine)
        show_sync(cli, records);
    fine = fine && no_failure(records, err);
    spawn_output_free(&output);
    return fine;
}
