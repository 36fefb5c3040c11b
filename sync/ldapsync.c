/*
 * rollcall-ldapsync - the roll follows the directories of the customers
 *
 * Here: the command line, and which sources' turn it is. ldaprun.c does one source in a process of
 * its own, fleet.c many of them side by side.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/directory.h"
#include "lib/job_run.h"
#include "lib/ldap_source.h"
#include "lib/log.h"
#include "lib/schema.h"
#include "lib/secret.h"
#include "sync/fleet.h"
#include "sync/interval.h"
#include "sync/ldapmetrics.h"
#include "sync/ldaprun.h"
#include "sync/records.h"
#include "sync/requests.h"

static const char program[] = "rollcall-ldapsync";

enum {
    SOURCES_MOST = 10000,
    APPLY_S = 1800, /* beyond a source's time-limit: for the roll to follow what was read */
};

struct ldapsync {
    struct daemon_options options;
    struct conf_set conf;
    const char *named[64]; /* --source */
    size_t named_count;
    bool all;
    bool requests, follow;
    struct ldaprun_options run; /* of each source, its name apart */
    char **sources;
    struct fleet_task *tasks;
    size_t count;
    int code; /* of the first that failed; 0: none */
};

/* ---- whose turn it is ---- */

static bool open_database(const struct ldapsync *s, struct db **db, struct err *err)
{
    struct db_options options = {.conninfo = s->conf.value.database,
                                 .target = DB_PRIMARY,
                                 .timeout_us = s->conf.value.database_timeout,
                                 .program = program};

    return db_open(db, &options, err) && schema_check(*db, err);
}

/* What is not set is the same with every preset. */
static int64_t time_of(const struct db_result *rows, size_t row, int column, const char *setting)
{
    return ldap_setting_time_us(db_null(rows, row, column)
                                    ? ldap_setting_find(setting)->fallback[PRESET_CUSTOM]
                                    : db_text(rows, row, column));
}

static bool is_named(const struct ldapsync *s, const char *source)
{
    for (size_t i = 0; i < s->named_count; i++)
        if (strcasecmp(s->named[i], source) == 0)
            return true;
    return false;
}

static void add_source(struct ldapsync *s, const char *name, int64_t limit_us)
{
    s->sources[s->count] = mem_text(name);
    s->tasks[s->count++].limit_us = limit_us + APPLY_S * CLOCK_SECOND;
}

/* Who waited longest goes first. */
static const char sources_sql[] =
    "select s.name, s.settings ->> 'interval', s.settings ->> 'time-limit',"
    " coalesce(s.settings ->> 'enabled', 'yes') = 'yes',"
    " coalesce((extract(epoch from r.at) * 1000000)::bigint, 0) from ldap_source s"
    " left join lateral (select max(started_at) as at from ldap_run where source_id = s.id) r"
    "   on true order by r.at nulls first, s.id limit $1::int";

static bool find_sources(struct ldapsync *s, struct db *db, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    int64_t now = clock_wall_us();
    char most[16];

    snprintf(most, sizeof most, "%d", SOURCES_MOST);
    if (!db_query(db, &rows, sources_sql, DB_VALUES(most), err))
        return false;
    s->sources = mem_zero(db_rows(rows) + 1, sizeof *s->sources);
    s->tasks = mem_zero(db_rows(rows) + 1, sizeof *s->tasks);
    for (size_t i = 0; i < db_rows(rows); i++) {
        bool wanted =
            s->named_count > 0
                ? is_named(s, db_text(rows, i, 0))
                : db_bool(rows, i, 3) && (s->all || interval_due(now, db_int(rows, i, 4),
                                                                 time_of(rows, i, 1, "interval")));
        if (wanted)
            add_source(s, db_text(rows, i, 0), time_of(rows, i, 2, "time-limit"));
    }
    for (size_t i = 0; i < s->named_count; i++) {
        bool exists = false;
        for (size_t k = 0; k < s->count; k++)
            exists = exists || strcasecmp(s->sources[k], s->named[i]) == 0;
        if (!exists)
            return err_set(err, ERR_DATA,
                           "there is no LDAP source '%s'; 'rollcall ldap list' shows those there "
                           "are",
                           s->named[i]);
    }
    return true;
}

/* ---- runs ---- */

static int work(void *context, size_t task)
{
    struct ldapsync *s = context;
    struct ldaprun_options options = s->run;
    struct err err;

    options.source = s->sources[task];
    return ldaprun(&options, &err) ? 0 : (int)err.class;
}

static void done(void *context, size_t task, const struct fleet_task *how)
{
    struct ldapsync *s = context;
    struct ldaprun_options options = s->run;
    struct err why, err;

    if (s->code == 0)
        s->code = how->code >= 0 ? how->code : ERR_TEMPORARY;
    if (how->lost == NULL)
        return;
    options.source = s->sources[task];
    err_set(&why, ERR_TEMPORARY, "%s", how->lost);
    if (!ldaprun_lost(&options, &why, &err))
        log_write(LOG_LDAP_FAILED, "%s: its failure cannot be recorded: %s", options.source,
                  err.text);
}

static bool write_metrics(const struct ldapsync *s, struct err *err)
{
    const char *path = s->conf.value.ldap_metrics_file;
    struct db *db = NULL;

    if (path[0] == '\0' || s->run.look || s->run.dry_run)
        return true;
    bool fine = open_database(s, &db, err) && ldapmetrics_write(db, path, err);
    db_close(&db);
    return fine;
}

static bool sync_all(struct ldapsync *s, struct err *err)
{
    struct fleet fleet = {
        .parallel = (size_t)s->conf.value.ldap_parallel, .context = s, .work = work, .done = done};
    struct db *db = NULL;
    bool fine = open_database(s, &db, err) && find_sources(s, db, err);

    db_close(&db); /* children make their own */
    return fine && fleet_run(&fleet, s->tasks, s->count, err) && write_metrics(s, err);
}

static void forget_sources(struct ldapsync *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->sources[i]);
    free(s->sources);
    free(s->tasks);
}

/* ---- command line ---- */

enum {
    OPTION_SOURCE = 256,
    OPTION_ALL,
    OPTION_DRY_RUN,
    OPTION_FORCE,
    OPTION_LOOK,
    OPTION_RECORDS,
    OPTION_RECORDS_MOST,
    OPTION_ACTOR,
    OPTION_REQUESTS,
    OPTION_REQUEST,
    OPTION_FOLLOW,
    OPTION_VERSION,
    OPTION_HELP
};

static const struct option option_names[] = {
    {"source", required_argument, NULL, OPTION_SOURCE},
    {"all", no_argument, NULL, OPTION_ALL},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"force", no_argument, NULL, OPTION_FORCE},
    {"look", no_argument, NULL, OPTION_LOOK},
    {"records", no_argument, NULL, OPTION_RECORDS},
    {"records-most", required_argument, NULL, OPTION_RECORDS_MOST},
    {"actor", required_argument, NULL, OPTION_ACTOR},
    {"requests", no_argument, NULL, OPTION_REQUESTS},
    {"request", required_argument, NULL, OPTION_REQUEST},
    {"follow", no_argument, NULL, OPTION_FOLLOW},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"help", no_argument, NULL, OPTION_HELP},
    {0}};

static void print_usage(void)
{
    printf("usage: rollcall-ldapsync [option]...\n"
           "Reads the directories whose turn it is; the roll follows.\n"
           "  --source NAME  that one, whether it is its turn or not; may be given several times\n"
           "  --all          all that are enabled, whether it is their turn or not\n"
           "  --dry-run      shows the difference, changes nothing\n"
           "  --force        the guard holds nothing, whatever the directory answers\n"
           "  --look         reads one page, shows who would be taken, does not ask the roll\n"
           "  --records      tells what happens on standard output, for programs\n"
           "  --records-most NUMBER  of each kind at most so many\n"
           "  --actor NAME   who asks, for the history\n"
           "  --requests     carries out what people ask for in the panel, nothing else\n"
           "  --follow       with --requests: goes on, as a service\n"
           "  --request NUMBER  tells that request of the panel how far it is\n"
           "  -c FILE        the settings (default " CONF_DEFAULT_FILE ")\n"
           "  -o NAME=VALUE  overrides a setting of the file\n"
           "  --version      prints the version\n"
           "  --help         prints this\n"
           "See rollcall-ldapsync(8), rollcall.conf(5).\n");
}

static bool take_source(struct ldapsync *s, const char *name, struct err *err)
{
    const size_t room = sizeof s->named / sizeof s->named[0];

    if (s->named_count == room)
        return err_set(err, ERR_USAGE, "more than %zu times --source", room);
    s->named[s->named_count++] = name;
    return true;
}

static bool take_most(const char *text, struct err *err)
{
    int64_t most;

    if (!str_int64(span_text(text), &most) || most < 1 || most > 1000000)
        return err_set(err, ERR_USAGE, "--records-most: '%s' is no number from 1 to 1000000", text);
    record_limit((size_t)most);
    return true;
}

/* False with ERR_NONE: all that was asked for is printed. */
static bool take_option(struct ldapsync *s, int option, struct err *err)
{
    switch (option) {
    case 'c':
        s->options.file = optarg;
        return true;
    case 'o':
        return daemon_override(&s->options, optarg, err);
    case OPTION_SOURCE:
        return take_source(s, optarg, err);
    case OPTION_ALL:
        return s->all = true;
    case OPTION_DRY_RUN:
        return s->run.dry_run = true;
    case OPTION_FORCE:
        return s->run.force = true;
    case OPTION_LOOK:
        return s->run.look = true;
    case OPTION_RECORDS:
        return s->run.records = true;
    case OPTION_RECORDS_MOST:
        return take_most(optarg, err);
    case OPTION_ACTOR:
        s->run.actor = optarg;
        return true;
    case OPTION_REQUESTS:
        return s->requests = true;
    case OPTION_REQUEST:
        s->run.request = optarg;
        return true;
    case OPTION_FOLLOW:
        return s->follow = true;
    case OPTION_VERSION:
        puts("rollcall-ldapsync " ROLLCALL_VERSION);
        return false;
    case OPTION_HELP:
        print_usage();
        return false;
    default:
        return err_set(err, ERR_USAGE, "see 'rollcall-ldapsync --help'");
    }
}

static bool parse_arguments(struct ldapsync *s, int argc, char **argv, struct err *err)
{
    *err = (struct err){.class = ERR_NONE};
    for (int option; (option = getopt_long(argc, argv, "c:o:", option_names, NULL)) != -1;)
        if (!take_option(s, option, err))
            return false;
    if (optind < argc)
        return err_set(err, ERR_USAGE, "'%s' is not taken; see 'rollcall-ldapsync --help'",
                       argv[optind]);
    if (s->all && s->named_count > 0)
        return err_set(err, ERR_USAGE, "--all and --source exclude each other");
    if (s->requests && (s->all || s->named_count > 0))
        return err_set(err, ERR_USAGE, "--requests excludes --all and --source");
    if (s->follow && !s->requests)
        return err_set(err, ERR_USAGE, "--follow goes with --requests");
    return true;
}

static int complain(const struct err *err)
{
    if (err->class == ERR_NONE)
        return 0;
    fprintf(stderr, "%s: %s\n", program, err->text);
    return (int)err->class;
}

static bool serve_requests(const struct ldapsync *s, struct err *err)
{
    const struct requests_options options = {.conf = &s->conf.value,
                                             .file = s->options.file,
                                             .overrides = s->options.overrides,
                                             .override_count = s->options.override_count,
                                             .follow = s->follow};
    struct db *db = NULL;
    /* a service waits for a database that is away; it does not wait for another schema */
    bool fine = s->follow || open_database(s, &db, err);

    db_close(&db);
    return fine && requests_serve(&options, err);
}

/* Directories are asked by processes; requests start this program again for each. */
static void give_up(const struct ldapsync *s)
{
    const struct conf *conf = &s->conf.value;
    const char *temporary = getenv("TMPDIR");

    daemon_sandbox(&s->options, conf,
                   &(struct daemon_keeps){.read = {conf->secret_key_file},
                                          .write = {temporary != NULL ? temporary : "/tmp"},
                                          .replace = {conf->ldap_metrics_file},
                                          .forks = true,
                                          .executes = s->requests});
}

int main(int argc, char **argv)
{
    struct ldapsync s = {.run = {.actor = program}};
    struct err err;

    if (!parse_arguments(&s, argc, argv, &err) ||
        !conf_load(&s.conf, s.options.file, s.options.overrides, s.options.override_count, &err))
        return complain(&err);
    secret_init();
    directory_init();
    daemon_open_log(program, &s.conf.value);
    give_up(&s);
    s.run.conf = &s.conf.value;
    /* a dry run that tells nobody would be none */
    s.run.records = s.run.records || s.run.look || s.run.dry_run;
    bool by_itself = !s.requests && s.named_count == 0 && !s.run.look && !s.run.dry_run;
    bool fine = s.requests ? serve_requests(&s, &err) : sync_all(&s, &err);
    int code = fine ? s.code : complain(&err);
    /* that a directory fails is told of that directory */
    if (by_itself)
        job_run_tell(&s.conf.value, JOB_RUN_LDAPSYNC, fine ? NULL : &err);
    forget_sources(&s);
    conf_free(&s.conf);
    return code;
}
