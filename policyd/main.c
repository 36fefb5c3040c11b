/*
 * rollcall-policyd - answers Postfix for every RCPT TO whether that recipient exists
 *
 * Here: the command line, the order in which the parts start and stop, SIGHUP. What each part does
 * stands in its own header; DESIGN NOTES are in the README.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "policyd/follower.h"
#include "policyd/gateway.h"
#include "policyd/metrics.h"
#include "policyd/policy.h"
#include "policyd/replica.h"
#include "policyd/server.h"
#include "policyd/settings.h"

static const int64_t STOP_GRACE = 2 * CLOCK_SECOND;

struct program {
    struct daemon_options options;
    struct conf_set conf;
    bool check;

    struct listeners listeners;

    struct metrics *metrics;
    struct replica *replica;
    struct policy policy;
    struct server *server;
    struct gateway *gateway;
    struct follower *follower;
};

static const char usage[] = "usage: rollcall-policyd [-c FILE] [-o NAME=VALUE]... [--check]\n"
                            "Answers Postfix's policy requests: does this recipient exist?\n"
                            "  -c FILE        the settings (default " CONF_DEFAULT_FILE ")\n"
                            "  -o NAME=VALUE  overrides a setting of the file\n"
                            "  --check        checks the settings and exits: 0 fine, 78 not\n"
                            "  --version      prints the version\n"
                            "  --help         prints this\n"
                            "See rollcall-policyd(8), rollcall.conf(5).\n";

/* ---- command line ---- */

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
        switch (o) {
        case 'c':
            p->options.file = optarg;
            break;
        case 'o':
            if (!daemon_override(&p->options, optarg, err))
                return false;
            break;
        case OPTION_CHECK:
            p->check = true;
            break;
        case OPTION_VERSION:
            puts("rollcall-policyd " ROLLCALL_VERSION);
            return false;
        case OPTION_HELP:
            fputs(usage, stdout);
            return false;
        default:
            return err_set(err, ERR_USAGE, "see 'rollcall-policyd --help'");
        }
    }
    return optind == argc ||
           err_set(err, ERR_USAGE, "'%s' is not an option; see 'rollcall-policyd --help'",
                   argv[optind]);
}

/* What conf.c cannot know: whether users and owners exist here. */
static bool check_surroundings(const struct conf *conf, struct err *err)
{
    uid_t user;
    gid_t group;

    if (!daemon_owner_ids(conf->policy_socket_owner, &user, &group, err))
        return err_prefix(err, "policy_socket_owner");
    if (geteuid() == 0 && getpwnam(conf->policy_user) == NULL)
        return err_set(err, ERR_CONFIG, "policy_user: there is no user '%s'", conf->policy_user);
    return true;
}

static bool open_listeners(struct program *p, struct err *err)
{
    const struct conf *conf = &p->conf.value;

    return listeners_open(&p->listeners,
                          &(struct listen_options){.setting = "policy_listen",
                                                   .addresses = conf->policy_listen,
                                                   .mode = (unsigned)conf->policy_socket_mode,
                                                   .owner_setting = "policy_socket_owner",
                                                   .owner = conf->policy_socket_owner},
                          err);
}

/* ---- starting ---- */

/* As root the directory is made for the user that we become. */
static bool prepare_directory(const struct conf *conf, struct err *err)
{
    const char *path = conf->replica_directory;
    const struct passwd *user = geteuid() == 0 ? getpwnam(conf->policy_user) : NULL;

    if (mkdir(path, 0750) != 0 && errno != EEXIST)
        return err_set(err, ERR_CONFIG, "replica_directory: %s cannot be made: %s", path,
                       strerror(errno));
    if (user != NULL && chown(path, user->pw_uid, user->pw_gid) != 0)
        return err_set(err, ERR_CONFIG, "replica_directory: %s cannot be given to %s: %s", path,
                       conf->policy_user, strerror(errno));
    return true;
}

static bool become_user(const struct conf *conf, struct err *err)
{
    bool root = geteuid() == 0;

    if (!daemon_drop_root("policy_user", conf->policy_user, err))
        return false;
    if (root)
        log_write(LOG_PRIVILEGES, "now user %s", conf->policy_user);
    return access(conf->replica_directory, R_OK | W_OK | X_OK) == 0 ||
           err_set(err, ERR_CONFIG,
                   "replica_directory: %s is not ours to write: %s; give it to the daemon's user",
                   conf->replica_directory, strerror(errno));
}

static void roll_changed(void *context)
{
    struct program *p = context;

    gateway_wake(p->gateway);
}

static size_t worker_count(const struct conf *conf)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    return conf->policy_workers > 0 ? (size_t)conf->policy_workers
           : processors > 0         ? (size_t)processors
                                    : 1;
}

static void give_up(const struct program *p)
{
    const struct conf *conf = &p->conf.value;

    daemon_sandbox(&p->options, conf,
                   &(struct daemon_keeps){.write = {conf->replica_directory},
                                          .sockets = p->listeners.paths,
                                          .socket_count = p->listeners.count});
}

/* The replica answers before PostgreSQL is looked for. */
static bool start(struct program *p, struct err *err)
{
    const struct conf *conf = &p->conf.value;
    size_t workers = worker_count(conf);
    struct network_list inside;

    give_up(p);
    if (!network_list_parse(span_text(conf->inside_networks), &inside, err))
        return false;
    if (!replica_open(&p->replica,
                      &(struct replica_options){.directory = conf->replica_directory,
                                                .cache_bytes = conf->replica_cache,
                                                .tombstone_life_us = conf->tombstone_life,
                                                .readers = workers},
                      err))
        return false;
    policy_init(&p->policy, p->replica, workers, &inside);
    p->server = server_start(
        &(struct server_options){.listeners = p->listeners.fds,
                                 .listener_count = p->listeners.count,
                                 .workers = workers,
                                 .max_connections = (size_t)conf->policy_max_connections,
                                 .idle_limit_us = conf->policy_idle_limit,
                                 .request_limit_us = conf->policy_request_limit,
                                 .handler = &policy_handler,
                                 .context = &p->policy});
    p->gateway = gateway_start(&(struct gateway_options){.conninfo = conf->database,
                                                         .timeout_us = conf->database_timeout,
                                                         .name = daemon_gateway_name(conf),
                                                         .replica = p->replica,
                                                         .policy = &p->policy});
    p->follower = follower_start(&(struct follower_options){.conninfo = conf->database,
                                                            .timeout_us = conf->database_timeout,
                                                            .replica = p->replica,
                                                            .changed = roll_changed,
                                                            .context = p});
    return true;
}

static bool prepare(struct program *p, struct err *err)
{
    const struct conf *conf = &p->conf.value;

    secret_init();
    settings_publish(conf);
    daemon_raise_files();
    signal(SIGPIPE, SIG_IGN);
    return open_listeners(p, err) && metrics_open(&p->metrics, conf->metrics_listen, err) &&
           prepare_directory(conf, err) && become_user(conf, err);
}

static void reload(void *context)
{
    struct program *p = context;
    struct conf_set fresh;
    struct err err;

    daemon_notify("RELOADING=1");
    if (!conf_load(&fresh, p->options.file, p->options.overrides, p->options.override_count,
                   &err)) {
        log_write(LOG_RELOAD_FAILED, "%s", err.text);
        daemon_notify("READY=1");
        return;
    }
    daemon_open_log("rollcall-policyd", &fresh.value);
    settings_publish(&fresh.value);
    server_set_limits(p->server, fresh.value.policy_idle_limit, fresh.value.policy_request_limit);
    conf_free(&fresh);
    log_write(LOG_RELOAD, "settings that can change while running are in force");
    daemon_notify("READY=1");
}

static void serve(struct program *p)
{
    log_write(LOG_READY, "%zu sockets, %zu workers", p->listeners.count, p->policy.workers);
    daemon_notify("READY=1");
    const char *why = metrics_run(
        p->metrics, &(struct metrics_options){.replica = p->replica,
                                              .replica_directory = p->conf.value.replica_directory,
                                              .policy = &p->policy,
                                              .server = p->server,
                                              .follower = p->follower,
                                              .reload = reload,
                                              .context = p});
    daemon_notify("STOPPING=1");
    log_write(LOG_STOP, "%s", why);
}

/* In the reverse order; each part may be missing. */
static void stop(struct program *p)
{
    server_stop(&p->server, STOP_GRACE);
    listeners_close(&p->listeners);
    follower_stop(&p->follower);
    gateway_stop(&p->gateway);
    replica_close(&p->replica);
    policy_free(&p->policy);
    metrics_close(&p->metrics);
    conf_free(&p->conf);
}

static int complain(const struct err *err)
{
    if (err->class == ERR_NONE)
        return 0;
    fprintf(stderr, "rollcall-policyd: %s\n", err->text);
    return (int)err->class;
}

int main(int argc, char **argv)
{
    static struct program program; /* on the stack it would be large */
    struct program *p = &program;
    struct err err;

    if (!parse_arguments(p, argc, argv, &err) ||
        !conf_load(&p->conf, p->options.file, p->options.overrides, p->options.override_count,
                   &err))
        return complain(&err);
    if (!check_surroundings(&p->conf.value, &err) || p->check) {
        int code = p->check && err.class == ERR_NONE ? 0 : complain(&err);
        if (code == 0)
            printf("rollcall-policyd: the settings are fine\n");
        conf_free(&p->conf);
        return code;
    }
    daemon_open_log("rollcall-policyd", &p->conf.value);
    log_write(LOG_START, "rollcall-policyd " ROLLCALL_VERSION);
    bool started = prepare(p, &err) && start(p, &err);
    if (started)
        serve(p);
    else
        log_write(LOG_STOP, "%s", err.text);
    stop(p);
    return started ? 0 : (int)err.class;
}
