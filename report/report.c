/*
 * rollcall-report - spam reports and password mails: makes them, and hands them over
 *
 * Here: the command line and what is printed. compose.c makes reports, letter.c password mails,
 * outbox.c sends.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/job_run.h"
#include "lib/log.h"
#include "lib/schema.h"
#include "report/compose.h"
#include "report/figures.h"
#include "report/outbox.h"

struct program {
    struct daemon_options options;
    struct conf_set conf;
    const struct command *command;
    int64_t now; /* seconds since 1970 */
    bool follow, json;
    const char *since, *directory;
    const char *address;
};

struct command {
    const char *name, *arguments, *doc;
    bool (*run)(struct program *p, struct err *err);
};

static bool open_database(const struct program *p, struct db **db, struct err *err)
{
    return db_open(db,
                   &(struct db_options){.conninfo = p->conf.value.database,
                                        .target = DB_PRIMARY,
                                        .timeout_us = p->conf.value.database_timeout,
                                        .program = "rollcall-report"},
                   err) &&
           schema_check(*db, err);
}

/* ---- spam ---- */

/* Keys that are not there yet are made while that may be written; an error is told by who needs
 * them. */
static void give_up(const struct program *p)
{
    const struct conf *conf = &p->conf.value;
    const char *const files[] = {conf->secret_key_file, conf->link_key_file};
    uint8_t key[SECRET_KEY];
    struct err ignored;

    for (size_t i = 0; i < 2; i++)
        if (secret_key_load(files[i], true, key, &ignored))
            secret_forget(key, sizeof key);
    daemon_sandbox(
        &p->options, conf,
        &(struct daemon_keeps){.read = {files[0], files[1]},
                               .replace = {conf->report_metrics_file, conf->outbox_metrics_file}});
}

static bool run_spam(struct program *p, struct err *err)
{
    struct compose compose = {.conf = &p->conf.value, .now = p->now};
    struct figures_run run = {.begun_us = clock_wall_us()};
    int64_t made = 0, begun = clock_elapsed_us();
    struct err trouble;

    give_up(p);
    bool fine = open_database(p, &compose.db, err) && compose_prepare(&compose, err);

    if (fine)
        db_set_timeout(compose.db, 0); /* who is due may be many */
    fine = fine && compose_due(&compose, &made, err);
    db_close(&compose.db);
    if (made > 0 || fine)
        log_write(LOG_REPORTS, "%" PRId64, made);
    run.fine = fine;
    run.made = made;
    run.took_us = clock_elapsed_us() - begun;
    if (!figures_reports(compose.conf, &run, &trouble))
        log_write(LOG_MAIL_TROUBLE, "%s", trouble.text);
    job_run_tell(&p->conf.value, JOB_RUN_REPORT, fine ? NULL : err);
    return fine;
}

/* ---- send ---- */

static atomic_bool stop;

struct stopper {
    sigset_t signals;
    int wake;
};

static void *wait_for_signal(void *context)
{
    struct stopper *stopper = context;

    daemon_wait_signal(&stopper->signals);
    stop = true;
    daemon_notify("STOPPING=1");
    if (eventfd_write(stopper->wake, 1) != 0)
        _exit(1);
    return NULL;
}

static bool run_send(struct program *p, struct err *err)
{
    static struct stopper stopper;
    struct outbox_tally tally = {0};
    pthread_t thread;

    give_up(p);
    stopper.wake = eventfd(0, EFD_CLOEXEC);
    sigemptyset(&stopper.signals);
    sigaddset(&stopper.signals, SIGTERM);
    sigaddset(&stopper.signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stopper.signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (stopper.wake < 0 || pthread_create(&thread, NULL, wait_for_signal, &stopper) != 0)
        return err_set(err, ERR_TEMPORARY, "no thread can be started");
    pthread_detach(thread);
    if (p->follow)
        daemon_notify("READY=1");
    bool fine = outbox_send(
        &(struct outbox_options){
            .conf = &p->conf.value, .follow = p->follow, .wake = stopper.wake, .stop = &stop},
        &tally, err);
    printf("%" PRId64 " sent, %" PRId64 " to be tried again, %" PRId64 " given up\n", tally.sent,
           tally.late, tally.dead);
    if (!p->follow) /* a service tells each hour */
        job_run_tell(&p->conf.value, JOB_RUN_SEND, fine ? NULL : err);
    return fine;
}

/* ---- one by hand ---- */

static bool write_file(const struct program *p, const char *name, const struct buf *bytes,
                       struct err *err)
{
    STR_AUTO path = mem_printf("%s/%s", p->directory, name);
    FILE *file = fopen(path, "we");
    bool fine = file != NULL && fwrite(bytes->at, 1, bytes->len, file) == bytes->len;

    if (file != NULL && fclose(file) != 0)
        fine = false;
    if (fine && !p->json)
        printf("%s\n", path);
    return fine || err_set(err, ERR_OTHER, "%s: cannot be written", path);
}

static void tell_one(const struct program *p, const struct compose_one *one, const char *what)
{
    if (p->json)
        printf("{\"%s\": %" PRId64 "}\n", what, one->listed);
    else
        printf("%" PRId64 " message%s %s\n", one->listed, one->listed == 1 ? "" : "s", what);
}

static bool by_hand(struct program *p, struct compose_one *one,
                    bool (*tell)(struct program *p, struct compose_one *one, struct err *err),
                    struct err *err)
{
    struct compose compose = {.conf = &p->conf.value, .now = p->now};

    if (p->address == NULL)
        return err_set(err, ERR_USAGE, "whose? give one ADDRESS");
    one->address = p->address;
    bool fine = open_database(p, &compose.db, err) && compose_prepare(&compose, err) &&
                compose_one(&compose, one, err);
    /* nothing new: then what was told last, then everything there is */
    while (fine && one->listed == 0 && !one->send && one->what != COMPOSE_SINCE) {
        one->what++;
        fine = compose_one(&compose, one, err);
    }
    fine = fine && tell(p, one, err);
    db_close(&compose.db);
    compose_one_free(one);
    return fine;
}

static bool tell_preview(struct program *p, struct compose_one *one, struct err *err)
{
    if (one->listed == 0)
        return err_set(err, ERR_DATA, "%s: the quarantine holds nothing to show", p->address);
    if (!write_file(p, "report.txt", &one->text, err) ||
        !write_file(p, "report.html", &one->html, err) ||
        !write_file(p, "report.eml", &one->mail, err))
        return false;
    tell_one(p, one, "listed");
    return true;
}

static bool run_preview(struct program *p, struct err *err)
{
    struct compose_one one = {.what = COMPOSE_PENDING};

    return by_hand(p, &one, tell_preview, err);
}

static bool tell_resend(struct program *p, struct compose_one *one, struct err *err)
{
    if (one->listed == 0)
        return err_set(err, ERR_DATA, "%s: there is nothing to send again; see --since",
                       p->address);
    tell_one(p, one, "sent");
    return true;
}

static bool run_resend(struct program *p, struct err *err)
{
    struct compose_one one = {.what = COMPOSE_LAST, .send = true};
    int64_t us;

    if (p->since != NULL) {
        if (!conf_parse_time(span_text(p->since), &us))
            return err_set(err, ERR_USAGE, "--since: '%s' is no time like 12h or 3d", p->since);
        one.what = COMPOSE_SINCE;
        one.since = p->now - us / CLOCK_SECOND;
    }
    return by_hand(p, &one, tell_resend, err);
}

/* ---- command line ---- */

static const struct command commands[] = {
    {"spam", "", "makes the reports that are due", run_spam},
    {"send", "[--follow]", "hands over what is in the outbox; with --follow goes on", run_send},
    {"preview", "[--directory DIRECTORY] ADDRESS",
     "writes a user's next report to report.txt, report.html and report.eml", run_preview},
    {"resend", "[--since TIME] ADDRESS", "sends a user's last report again, or all since then",
     run_resend},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(void)
{
    printf("usage: rollcall-report [-c FILE] [-o NAME=VALUE]... COMMAND\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %s %s\n      %s\n", commands[i].name, commands[i].arguments, commands[i].doc);
    printf("  -c FILE        the settings (default " CONF_DEFAULT_FILE ")\n"
           "  -o NAME=VALUE  overrides a setting of the file\n"
           "  --now SECONDS  acts as if it were that time (seconds since 1970)\n"
           "  --json         tells it as JSON\n"
           "  --version      prints the version\n"
           "  --help         prints this\n"
           "See rollcall-report(8), rollcall.conf(5).\n");
}

enum {
    OPTION_NOW = 256,
    OPTION_FOLLOW,
    OPTION_SINCE,
    OPTION_DIRECTORY,
    OPTION_JSON,
    OPTION_VERSION,
    OPTION_HELP
};

/* False with ERR_NONE: all that was asked for is printed. */
static bool take_option(struct program *p, int option, struct err *err)
{
    switch (option) {
    case 'c':
        p->options.file = optarg;
        return true;
    case 'o':
        return daemon_override(&p->options, optarg, err);
    case OPTION_NOW:
        return str_int64(span_text(optarg), &p->now) ||
               err_set(err, ERR_USAGE, "--now: '%s' is no number of seconds", optarg);
    case OPTION_FOLLOW:
        p->follow = true;
        return true;
    case OPTION_SINCE:
        p->since = optarg;
        return true;
    case OPTION_DIRECTORY:
        p->directory = optarg;
        return true;
    case OPTION_JSON:
        p->json = true;
        return true;
    case OPTION_VERSION:
        puts("rollcall-report " ROLLCALL_VERSION);
        return false;
    case OPTION_HELP:
        print_usage();
        return false;
    default:
        return err_set(err, ERR_USAGE, "see 'rollcall-report --help'");
    }
}

static bool parse_arguments(struct program *p, int argc, char **argv, struct err *err)
{
    static const struct option names[] = {{"now", required_argument, NULL, OPTION_NOW},
                                          {"follow", no_argument, NULL, OPTION_FOLLOW},
                                          {"since", required_argument, NULL, OPTION_SINCE},
                                          {"directory", required_argument, NULL, OPTION_DIRECTORY},
                                          {"json", no_argument, NULL, OPTION_JSON},
                                          {"version", no_argument, NULL, OPTION_VERSION},
                                          {"help", no_argument, NULL, OPTION_HELP},
                                          {0}};

    *err = (struct err){.class = ERR_NONE};
    for (int o; (o = getopt_long(argc, argv, "c:o:", names, NULL)) != -1;)
        if (!take_option(p, o, err))
            return false;
    if (optind == argc)
        return err_set(err, ERR_USAGE, "which command? see 'rollcall-report --help'");
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, argv[optind]) == 0)
            p->command = &commands[i];
    if (p->command == NULL)
        return err_set(err, ERR_USAGE, "'%s' is no command; see 'rollcall-report --help'",
                       argv[optind]);
    p->address = argv[optind + 1];
    return argc - optind <= 2 || err_set(err, ERR_USAGE, "'%s' is too much", argv[optind + 2]);
}

static int complain(const struct err *err)
{
    if (err->class == ERR_NONE)
        return 0;
    fprintf(stderr, "rollcall-report: %s\n", err->text);
    return (int)err->class;
}

int main(int argc, char **argv)
{
    struct program p = {.now = clock_wall_us() / CLOCK_SECOND, .directory = "."};
    struct err err;

    if (!parse_arguments(&p, argc, argv, &err) ||
        !conf_load(&p.conf, p.options.file, p.options.overrides, p.options.override_count, &err))
        return complain(&err);
    secret_init();
    daemon_open_log("rollcall-report", &p.conf.value);
    int code = p.command->run(&p, &err) ? 0 : complain(&err);
    conf_free(&p.conf);
    return code;
}
