/*
 * rollcall-observe - users from what the customers' servers accept
 *
 * Here: the command line and what is printed. collect.c reads logs (on each gateway), create.c adds
 * and retires users (centrally), flush.c takes stale answers out of Postfix's cache.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/job_run.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "sync/collect.h"
#include "sync/confine.h"
#include "sync/create.h"
#include "sync/flush.h"
#include "sync/stamp.h"

static const char program[] = "rollcall-observe";

struct observe {
    struct daemon_options options;
    struct conf_set conf;
    const struct command *command;
    int64_t now_us;
    bool print, history, dry_run, force, reload;
    const char *day, *domain, *explain;
    const char *without[CREATE_WITHOUT_MOST];
    size_t without_count;
    char **arguments;
    int argument_count;
};

struct command {
    const char *name, *arguments, *doc;
    bool (*run)(struct observe *o, struct err *err);
};

/* ---- collect ---- */

static bool print_events(struct observe *o, const struct collect_options *options, struct err *err)
{
    if (o->argument_count == 0)
        return err_set(err, ERR_USAGE, "collect --print: which log? ('-': standard input)");
    confine_collect(&o->options, options);
    for (int i = 0; i < o->argument_count; i++)
        if (!collect_print(&o->conf.value, o->arguments[i], o->now_us, err))
            return false;
    return true;
}

static void tell_collected(const struct collect_report *r)
{
    char read_to[32];

    clock_rfc3339(read_to, sizeof read_to, r->read_to_us);
    log_write(LOG_OBSERVED,
              "%.1f MB, %" PRIu64 " deliveries to customers' servers, %" PRIu64 " counted, %" PRIu64
              " spam, %" PRIu64 " from inside, %" PRIu64 " unproven, %" PRIu64
              " waiting; read to %s",
              (double)r->bytes / 1e6, r->figures.deliveries, r->figures.counted, r->figures.spam,
              r->figures.inside, r->figures.unproven, r->figures.waiting, read_to);
}

static bool collect(struct observe *o, struct err *err)
{
    struct collect_options options = {.conf = &o->conf.value,
                                      .gateway = daemon_gateway_name(&o->conf.value),
                                      .now_us = o->now_us,
                                      .history = o->history,
                                      .aside = o->argument_count > 0};
    struct collect_report report;

    if (o->argument_count > COLLECT_SOURCES_MOST)
        return err_set(err, ERR_USAGE, "collect: more than %d logs", COLLECT_SOURCES_MOST);
    for (int i = 0; i < o->argument_count; i++)
        options.sources[options.source_count++] = o->arguments[i];
    if (o->print)
        return print_events(o, &options, err);
    bool fine =
        o->argument_count > 0 || collect_sources(o->conf.value.observe_sources, &options, err);
    if (fine && !options.aside && o->conf.value.catch_all_probe != 0)
        fine = prober_start(&options.prober, o->conf.value.postfix_config_directory, err);
    if (fine) {
        mkdir(o->conf.value.observe_directory,
              0750); /* while that is allowed; told by who needs it */
        confine_collect(&o->options, &options);
    }
    fine = fine && collect_run(&options, &report, err);
    prober_stop(&options.prober);
    collect_sources_free(&options);
    if (!fine)
        return false;
    tell_collected(&report);
    return report.trouble[0] == '\0' || err_set(err, ERR_OTHER, "%s", report.trouble);
}

static bool run_collect(struct observe *o, struct err *err)
{
    bool fine = collect(o, err);

    if (!o->print && !o->history)
        job_run_tell(&o->conf.value, JOB_RUN_COLLECT, fine ? NULL : err);
    return fine;
}

/* ---- create, status, flush ---- */

static bool create_options(struct observe *o, struct create_options *options, struct err *err)
{
    struct stamp_clock clock = {.zone = stamp_gmt};
    int64_t us;

    *options = (struct create_options){.conf = &o->conf.value,
                                       .now_us = o->now_us,
                                       .day = INT32_MIN,
                                       .domain = o->domain,
                                       .dry_run = o->dry_run,
                                       .force = o->force,
                                       .without_count = o->without_count};
    memcpy(options->without, o->without, sizeof o->without);
    if (o->force && o->domain == NULL)
        return err_set(err, ERR_USAGE, "--force: which --domain?");
    if (o->day == NULL)
        return true;
    STR_AUTO text = mem_printf("%sT00:00:00Z", o->day);
    if (strlen(o->day) != 10 || !stamp_time(&clock, span_text(text), &us))
        return err_set(err, ERR_USAGE, "--day: '%s' is no day like 2026-11-23", o->day);
    options->day = (int32_t)(us / (86400 * CLOCK_SECOND));
    return true;
}

static bool create(struct observe *o, struct err *err)
{
    struct create_options options;
    struct create_report report;

    if (!create_options(o, &options, err))
        return false;
    confine_rest(&o->options, &o->conf.value);
    if (o->explain != NULL)
        return create_explain(&options, o->explain, err);
    if (!create_run(&options, &report, err))
        return false;
    if (report.waiting && (report.late || options.day != INT32_MIN || options.dry_run))
        return err_set(err, ERR_TEMPORARY, "waiting for %s", report.behind);
    return true;
}

static bool run_create(struct observe *o, struct err *err)
{
    bool fine = create(o, err);

    if (o->explain == NULL && !o->dry_run && o->domain == NULL)
        job_run_tell(&o->conf.value, JOB_RUN_CREATE, fine ? NULL : err);
    return fine;
}

static bool run_status(struct observe *o, struct err *err)
{
    struct create_options options;

    if (!create_options(o, &options, err))
        return false;
    confine_rest(&o->options, &o->conf.value);
    return create_status(&options, err);
}

static bool run_flush(struct observe *o, struct err *err)
{
    if (o->argument_count != 1)
        return err_set(err, ERR_USAGE, "flush: one address or domain");
    return flush_run(&(struct flush_options){.conf = &o->conf.value,
                                             .gateway = daemon_gateway_name(&o->conf.value),
                                             .target = o->arguments[0],
                                             .reload = o->reload},
                     err);
}

/* ---- command line ---- */

static const struct command commands[] = {
    {"collect", "[--history] [LOG...] | --print LOG...",
     "reads what Postfix logged since last time and adds it up in PostgreSQL", run_collect},
    {"create", "[--day DAY] [--domain NAME [--force]] [--dry-run] [--without GATEWAY]...",
     "adds the users, and retires those, that the days gone by have shown", run_create},
    {"create", "--explain ADDRESS", "the evidence about an address, and what is missing",
     run_create},
    {"status", "", "how far gateways and domains are, and what is held", run_status},
    {"flush", "[--reload] ADDRESS|DOMAIN",
     "forgets that the customer's server said no, in PostgreSQL and in Postfix's cache", run_flush},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(void)
{
    printf("usage: rollcall-observe [-c FILE] [-o NAME=VALUE]... COMMAND\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %s %s\n      %s\n", commands[i].name, commands[i].arguments, commands[i].doc);
    printf("  -c FILE        the settings (default " CONF_DEFAULT_FILE ")\n"
           "  -o NAME=VALUE  overrides a setting of the file\n"
           "  --now TIME     acts as if it were that time (2026-11-24T00:05:00Z)\n"
           "  --version      prints the version\n"
           "  --help         prints this\n"
           "See rollcall-observe(8), rollcall.conf(5).\n");
}

enum {
    OPTION_NOW = 256,
    OPTION_PRINT,
    OPTION_HISTORY,
    OPTION_DAY,
    OPTION_DOMAIN,
    OPTION_DRY_RUN,
    OPTION_EXPLAIN,
    OPTION_FORCE,
    OPTION_WITHOUT,
    OPTION_RELOAD,
    OPTION_VERSION,
    OPTION_HELP,
};

static bool take_now(struct observe *o, const char *text, struct err *err)
{
    struct stamp_clock clock = {.zone = stamp_gmt};
    struct stamp stamp;

    if (!stamp_parse(span_text(text), &stamp) || !stamp.zoned ||
        !stamp_time(&clock, span_text(text), &o->now_us))
        return err_set(err, ERR_USAGE, "--now: '%s' is no time like 2026-11-24T00:05:00Z", text);
    return true;
}

static bool take_without(struct observe *o, const char *gateway, struct err *err)
{
    if (o->without_count == CREATE_WITHOUT_MOST)
        return err_set(err, ERR_USAGE, "more than %d times --without", CREATE_WITHOUT_MOST);
    o->without[o->without_count++] = gateway;
    return true;
}

/* False with ERR_NONE: all that was asked for is printed. */
static bool take_option(struct observe *o, int option, struct err *err)
{
    switch (option) {
    case 'c':
        o->options.file = optarg;
        return true;
    case 'o':
        return daemon_override(&o->options, optarg, err);
    case OPTION_NOW:
        return take_now(o, optarg, err);
    case OPTION_PRINT:
        o->print = true;
        return true;
    case OPTION_HISTORY:
        o->history = true;
        return true;
    case OPTION_DAY:
        o->day = optarg;
        return true;
    case OPTION_DOMAIN:
        o->domain = optarg;
        return true;
    case OPTION_DRY_RUN:
        o->dry_run = true;
        return true;
    case OPTION_EXPLAIN:
        o->explain = optarg;
        return true;
    case OPTION_FORCE:
        o->force = true;
        return true;
    case OPTION_WITHOUT:
        return take_without(o, optarg, err);
    case OPTION_RELOAD:
        o->reload = true;
        return true;
    case OPTION_VERSION:
        puts("rollcall-observe " ROLLCALL_VERSION);
        return false;
    case OPTION_HELP:
        print_usage();
        return false;
    default:
        return err_set(err, ERR_USAGE, "see 'rollcall-observe --help'");
    }
}

static bool find_command(struct observe *o, const char *name, struct err *err)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            o->command = &commands[i];
    return o->command != NULL ||
           err_set(err, ERR_USAGE, "'%s' is no command; see 'rollcall-observe --help'", name);
}

static bool parse_arguments(struct observe *o, int argc, char **argv, struct err *err)
{
    static const struct option names[] = {{"now", required_argument, NULL, OPTION_NOW},
                                          {"print", no_argument, NULL, OPTION_PRINT},
                                          {"history", no_argument, NULL, OPTION_HISTORY},
                                          {"day", required_argument, NULL, OPTION_DAY},
                                          {"domain", required_argument, NULL, OPTION_DOMAIN},
                                          {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                          {"explain", required_argument, NULL, OPTION_EXPLAIN},
                                          {"force", no_argument, NULL, OPTION_FORCE},
                                          {"without", required_argument, NULL, OPTION_WITHOUT},
                                          {"reload", no_argument, NULL, OPTION_RELOAD},
                                          {"version", no_argument, NULL, OPTION_VERSION},
                                          {"help", no_argument, NULL, OPTION_HELP},
                                          {0}};

    *err = (struct err){.class = ERR_NONE};
    for (int option; (option = getopt_long(argc, argv, "c:o:", names, NULL)) != -1;)
        if (!take_option(o, option, err))
            return false;
    if (optind == argc)
        return err_set(err, ERR_USAGE, "which command? see 'rollcall-observe --help'");
    if (!find_command(o, argv[optind], err))
        return false;
    o->arguments = argv + optind + 1;
    o->argument_count = argc - optind - 1;
    return true;
}

static int complain(const struct err *err)
{
    if (err->class == ERR_NONE)
        return 0;
    fprintf(stderr, "%s: %s\n", program, err->text);
    return (int)err->class;
}

/* Stamps without a zone are the zone's of the setting, else of the machine. */
static void set_time_zone(const struct conf *conf)
{
    if (conf->observe_time_zone[0] != '\0')
        setenv("TZ", conf->observe_time_zone, 1);
    tzset();
}

int main(int argc, char **argv)
{
    struct observe o = {.now_us = clock_wall_us()};
    struct err err;

    if (!parse_arguments(&o, argc, argv, &err) ||
        !conf_load(&o.conf, o.options.file, o.options.overrides, o.options.override_count, &err))
        return complain(&err);
    secret_init();
    set_time_zone(&o.conf.value);
    daemon_open_log(program, &o.conf.value);
    int code = o.command->run(&o, &err) ? 0 : complain(&err);
    conf_free(&o.conf);
    return code;
}
