/*
 * rollcall-quarantine - takes what the spam filter caught, by LMTP, and does what is asked with it
 *
 * Here: the command line, the order in which the parts start and stop, signals. What each part does
 * stands in its own header.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/pool.h"
#include "lib/secret.h"
#include "report/category.h"
#include "report/errand.h"
#include "report/intake.h"
#include "report/record.h"
#include "report/store.h"

static const int64_t STOP_GRACE = 5 * CLOCK_SECOND;

struct program {
    struct daemon_options options;
    struct conf_set conf;
    bool check;
    char host[256];

    struct listeners listeners;
    struct store *store;
    struct pool *pool;
    struct recorder *recorder;
    struct errand *errand;
    struct intake *intake;
};

static const char usage[] = "usage: rollcall-quarantine [-c FILE] [-o NAME=VALUE]... [--check]\n"
                            "Keeps what the spam filter caught, and releases it when asked.\n"
                            "  -c FILE        the settings (default " CONF_DEFAULT_FILE ")\n"
                            "  -o NAME=VALUE  overrides a setting of the file\n"
                            "  --check        checks the settings and exits: 0 fine, 78 not\n"
                            "  --version      prints the version\n"
                            "  --help         prints this\n"
                            "See rollcall-quarantine(8), rollcall.conf(5).\n";

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_HELP };

/* False with ERR_NONE: all that was asked for is printed. */
static bool parse_arguments(struct program *p, int argc, char **argv, struct err *err)
{
    static const struct option names[] = {{"check", no_argument, NULL, OPTION_CHECK},
                                          {"version", no_argument, NULL, OPTION_VERSION},
                                          {"help", no_argument, NULL, OPTION_HELP},
                                          {0}};

    *err = (struct err){.class = ERR_NONE};
    for (int o; (o = getopt_long(argc, argv, "c:o:", names, NULL)) != -1;) {
        if (o == 'c') {
            p->options.file = optarg;
        } else if (o == 'o') {
            if (!daemon_override(&p->options, optarg, err))
                return false;
        } else if (o == OPTION_CHECK) {
            p->check = true;
        } else if (o == OPTION_VERSION) {
            puts("rollcall-quarantine " ROLLCALL_VERSION);
            return false;
        } else if (o == OPTION_HELP) {
            fputs(usage, stdout);
            return false;
        } else {
            return err_set(err, ERR_USAGE, "see 'rollcall-quarantine --help'");
        }
    }
    return optind == argc ||
           err_set(err, ERR_USAGE, "'%s' is not an option; see 'rollcall-quarantine --help'",
                   argv[optind]);
}

/* What conf.c cannot know. */
static bool check_settings(const struct conf *conf, struct err *err)
{
    uid_t user;
    gid_t group;

    if (!daemon_owner_ids(conf->quarantine_socket_owner, &user, &group, err))
        return err_prefix(err, "quarantine_socket_owner");
    if (geteuid() == 0 && getpwnam(conf->quarantine_user) == NULL)
        return err_set(err, ERR_CONFIG, "quarantine_user: there is no user '%s'",
                       conf->quarantine_user);
    return category_check_rules(conf->quarantine_rules, err) || err_prefix(err, "quarantine_rules");
}

/* ---- starting ---- */

/* As root the directory is made for the user that we become. */
static bool prepare_directory(const struct conf *conf, struct err *err)
{
    const char *path = conf->quarantine_directory;
    const struct passwd *user = geteuid() == 0 ? getpwnam(conf->quarantine_user) : NULL;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(err, ERR_CONFIG, "quarantine_directory: %s cannot be made: %s", path,
                       strerror(errno));
    if (user != NULL && chown(path, user->pw_uid, user->pw_gid) != 0)
        return err_set(err, ERR_CONFIG, "quarantine_directory: %s cannot be given to %s: %s", path,
                       conf->quarantine_user, strerror(errno));
    return true;
}

static bool become_user(const struct conf *conf, struct err *err)
{
    bool root = geteuid() == 0;

    if (!daemon_drop_root("quarantine_user", conf->quarantine_user, err))
        return false;
    if (root)
        log_write(LOG_PRIVILEGES, "now user %s", conf->quarantine_user);
    return true;
}

static bool prepare(struct program *p, struct err *err)
{
    const struct conf *conf = &p->conf.value;
    const struct listen_options listening = {.setting = "quarantine_listen",
                                             .addresses = conf->quarantine_listen,
                                             .mode = (unsigned)conf->quarantine_socket_mode,
                                             .owner_setting = "quarantine_socket_owner",
                                             .owner = conf->quarantine_socket_owner};

    secret_init();
    daemon_raise_files();
    signal(SIGPIPE, SIG_IGN);
    if (gethostname(p->host, sizeof p->host - 1) != 0 || p->host[0] == '\0')
        snprintf(p->host, sizeof p->host, "localhost");
    return listeners_open(&p->listeners, &listening, err) && prepare_directory(conf, err) &&
           become_user(conf, err) &&
           (store_open(&p->store, conf->quarantine_directory, err) ||
            err_prefix(err, "quarantine_directory"));
}

/* Threads take no signals: serve() waits for them. */
static bool start(struct program *p, struct err *err)
{
    const struct conf *conf = &p->conf.value;
    const char *gateway = daemon_gateway_name(conf);
    size_t connections = (size_t)conf->quarantine_database_connections;

    daemon_sandbox(&p->options, conf,
                   &(struct daemon_keeps){.write = {conf->quarantine_directory},
                                          .replace = {conf->quarantine_metrics_file},
                                          .sockets = p->listeners.paths,
                                          .socket_count = p->listeners.count});

    p->pool = pool_open(&(struct pool_options){.conninfo = conf->database,
                                               .program = "rollcall-quarantine",
                                               .timeout_us = conf->database_timeout,
                                               .most = connections,
                                               .prepared = "quarantine_add_all",
                                               .sql = record_sql});
    p->recorder = recorder_open(&(struct recorder_options){.pool = p->pool,
                                                           .writers = (connections + 1) / 2,
                                                           .store = p->store,
                                                           .gateway = gateway,
                                                           .rules = conf->quarantine_rules,
                                                           .reasons = conf->quarantine_reasons});
    if (!errand_start(&p->errand,
                      &(struct errand_options){.conf = conf,
                                               .store = p->store,
                                               .recorder = p->recorder,
                                               .gateway = gateway,
                                               .host = p->host},
                      err))
        return false;
    p->intake =
        intake_start(&(struct intake_options){.listeners = &p->listeners,
                                              .store = p->store,
                                              .recorder = p->recorder,
                                              .host = p->host,
                                              .most = (size_t)conf->quarantine_max_connections,
                                              .size_most = (uint64_t)conf->quarantine_size_limit,
                                              .idle_us = conf->quarantine_idle_limit});
    return true;
}

static void serve(struct program *p, const sigset_t *signals)
{
    log_write(LOG_READY, "%zu sockets", p->listeners.count);
    daemon_notify("READY=1");
    int signal_number = daemon_wait_signal(signals);
    daemon_notify("STOPPING=1");
    log_write(LOG_STOP, "signal %d", signal_number);
}

/* In the reverse order; each part may be missing. */
static void stop(struct program *p)
{
    intake_stop(&p->intake, STOP_GRACE);
    errand_stop(&p->errand);
    recorder_close(&p->recorder);
    pool_close(&p->pool);
    store_close(&p->store);
    listeners_close(&p->listeners);
    conf_free(&p->conf);
}

static int complain(const struct err *err)
{
    if (err->class == ERR_NONE)
        return 0;
    fprintf(stderr, "rollcall-quarantine: %s\n", err->text);
    return (int)err->class;
}

int main(int argc, char **argv)
{
    static struct program program; /* on the stack it would be large */
    struct program *p = &program;
    struct err err;
    sigset_t signals;

    if (!parse_arguments(p, argc, argv, &err) ||
        !conf_load(&p->conf, p->options.file, p->options.overrides, p->options.override_count,
                   &err))
        return complain(&err);
    if (!check_settings(&p->conf.value, &err) || p->check) {
        int code = complain(&err);
        if (code == 0)
            printf("rollcall-quarantine: the settings are fine\n");
        conf_free(&p->conf);
        return code;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    daemon_open_log("rollcall-quarantine", &p->conf.value);
    log_write(LOG_START, "rollcall-quarantine " ROLLCALL_VERSION);
    bool started = prepare(p, &err) && start(p, &err);
    if (started)
        serve(p, &signals);
    else
        log_write(LOG_STOP, "%s", err.text);
    stop(p);
    return started ? 0 : (int)err.class;
}
