/*
 * rollcall-panel - the control panel: for operators, customers' administrators, and users
 *
 * Here: the command line, the order in which the parts start and stop.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/conf.h"
#include "lib/daemon.h"
#include "lib/directory.h"
#include "lib/link.h"
#include "lib/log.h"
#include "lib/schema.h"
#include "panel/http.h"
#include "panel/job.h"
#include "panel/view.h"

/*
 * Of malloc: many threads, little memory. What is larger than a page of the panel goes back to the
 * system when it is freed. Left alone, malloc raises both bounds after the first list (whose filter
 * of addresses has 16 MiB), and keeps as much in each arena from then on.
 */
enum { ARENAS_MOST = 2, LARGE = 512 * 1024, KEPT_FREE = 2 * 1024 * 1024 };

struct program {
    struct daemon_options options;
    struct conf_set conf;
    bool check;
    struct panel panel;
    struct http *http;
};

static const char usage[] = "usage: rollcall-panel [-c FILE] [-o NAME=VALUE]... [--check]\n"
                            "The control panel, over HTTP; a reverse proxy adds TLS.\n"
                            "  -c FILE        the settings (default " CONF_DEFAULT_FILE ")\n"
                            "  -o NAME=VALUE  overrides a setting of the file\n"
                            "  --check        checks the settings and exits: 0 fine, 78 not\n"
                            "  --version      prints the version\n"
                            "  --help         prints this\n"
                            "See rollcall-panel(8), rollcall.conf(5).\n";

enum { OPTION_CHECK = 256, OPTION_VERSION, OPTION_HELP };

static bool take_override(struct daemon_options *options, const char *text, struct err *err)
{
    const size_t room = sizeof options->overrides / sizeof options->overrides[0];

    if (options->override_count == room)
        return err_set(err, ERR_USAGE, "more than %zu times -o", room);
    options->overrides[options->override_count++] = text;
    return true;
}

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
            if (!take_override(&p->options, optarg, err))
                return false;
            break;
        case OPTION_CHECK:
            p->check = true;
            break;
        case OPTION_VERSION:
            puts("rollcall-panel " ROLLCALL_VERSION);
            return false;
        case OPTION_HELP:
            fputs(usage, stdout);
            return false;
        default:
            return err_set(err, ERR_USAGE, "see 'rollcall-panel --help'");
        }
    }
    return optind == argc ||
           err_set(err, ERR_USAGE, "'%s' is not an option; see 'rollcall-panel --help'",
                   argv[optind]);
}

/* As root the directory is made for the user that we become. */
static bool prepare_spool(const struct conf *conf, struct err *err)
{
    const char *path = conf->panel_spool_directory;
    const struct passwd *user = geteuid() == 0 ? getpwnam(conf->panel_user) : NULL;

    if (geteuid() == 0 && user == NULL)
        return err_set(err, ERR_CONFIG, "panel_user: there is no user '%s'", conf->panel_user);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(err, ERR_CONFIG, "panel_spool_directory: %s cannot be made: %s", path,
                       strerror(errno));
    if (user != NULL && chown(path, user->pw_uid, user->pw_gid) != 0)
        return err_set(err, ERR_CONFIG, "panel_spool_directory: %s cannot be given to %s: %s", path,
                       conf->panel_user, strerror(errno));
    return true;
}

/* A key may be for root's eyes. Without one the rest of the panel works. */
static bool load_key(const char *path, uint8_t key[SECRET_KEY], const char *without)
{
    struct err err;
    bool fine = secret_key_load(path, false, key, &err);

    if (!fine)
        log_write(LOG_PANEL_TROUBLE, "%s; %s", err.text, without);
    return fine;
}

static void load_keys(struct panel *panel)
{
    panel->has_key = load_key(panel->conf->secret_key_file, panel->key,
                              "second factors and passwords of directories cannot be set");
    panel->has_link_key = load_key(panel->conf->link_key_file, panel->link_key,
                                   "the links of reports cannot be opened");
    if (panel->has_link_key)
        link_key(panel->link_key);
}

static bool become_user(const struct conf *conf, struct err *err)
{
    if (!daemon_drop_root("panel_user", conf->panel_user, err))
        return false;
    return access(conf->panel_spool_directory, R_OK | W_OK | X_OK) == 0 ||
           err_set(err, ERR_CONFIG, "panel_spool_directory: %s is not ours to write: %s",
                   conf->panel_spool_directory, strerror(errno));
}

static bool start(struct program *p, struct err *err)
{
    struct panel *panel = &p->panel;
    const struct conf *conf = panel->conf = &p->conf.value;

    secret_init();
    directory_init();
    signal(SIGPIPE, SIG_IGN);
    daemon_raise_files();
    panel->secure = strncmp(conf->panel_url, "http:", 5) != 0;
    load_keys(panel);
    if (!network_list_parse(span_text(conf->panel_proxies), &panel->proxies, err) ||
        !prepare_spool(conf, err) || !http_prepare(&p->http, panel, err) ||
        !become_user(conf, err) || !views_open(&panel->views, err))
        return false;
    daemon_sandbox(&p->options, conf,
                   &(struct daemon_keeps){.write = {conf->panel_spool_directory},
                                          .sockets = http_sockets(p->http),
                                          .socket_count = http_socket_count(p->http)});
    panel->pool =
        pool_open(&(struct pool_options){.conninfo = conf->database,
                                         .program = "rollcall-panel",
                                         .timeout_us = conf->database_timeout,
                                         .most = (size_t)conf->panel_database_connections});
    panel->jobs = jobs_new(panel);
    return http_serve(p->http, err);
}

static void stop(struct program *p)
{
    http_close(&p->http);
    jobs_free(&p->panel.jobs);
    pool_close(&p->panel.pool);
    views_free(&p->panel.views);
    secret_forget(p->panel.key, sizeof p->panel.key);
    secret_forget(p->panel.link_key, sizeof p->panel.link_key);
    conf_free(&p->conf);
}

/* Signals are taken by this thread alone, so it blocks them before there are others. */
static void serve(sigset_t *signals)
{
    int number;

    log_write(LOG_READY, "the panel answers");
    daemon_notify("READY=1");
    while ((number = daemon_wait_signal(signals)) == SIGHUP) {
    }
    daemon_notify("STOPPING=1");
    log_write(LOG_STOP, "%s", number == SIGTERM ? "SIGTERM" : "SIGINT");
}

static int complain(const struct err *err)
{
    if (err->class == ERR_NONE)
        return 0;
    fprintf(stderr, "rollcall-panel: %s\n", err->text);
    return (int)err->class;
}

int main(int argc, char **argv)
{
    static struct program program;
    struct program *p = &program;
    sigset_t signals;
    struct err err;

    if (!parse_arguments(p, argc, argv, &err) ||
        !conf_load(&p->conf, p->options.file, p->options.overrides, p->options.override_count,
                   &err))
        return complain(&err);
    if (p->check) {
        puts("rollcall-panel: the settings are fine");
        conf_free(&p->conf);
        return 0;
    }
    mallopt(M_ARENA_MAX, ARENAS_MOST);
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, KEPT_FREE);
    daemon_open_log("rollcall-panel", &p->conf.value);
    log_write(LOG_START, "rollcall-panel " ROLLCALL_VERSION);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    bool started = start(p, &err);
    if (started)
        serve(&signals);
    else
        log_write(LOG_STOP, "%s", err.text);
    stop(p);
    return started ? 0 : (int)err.class;
}
