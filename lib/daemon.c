/* daemon - see daemon.h */
#include "daemon.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "db.h"
#include "sandbox.h"
#include "str.h"

void daemon_notify(const char *state)
{
    sd_notify(0, state);
}

int daemon_watchdog_ms(void)
{
    uint64_t us = 0;

    if (sd_watchdog_enabled(0, &us) <= 0)
        return -1;
    return us / 2000 > INT_MAX ? INT_MAX : us < 2000 ? 1 : (int)(us / 2000);
}

int daemon_wait_signal(const sigset_t *signals)
{
    int ms = daemon_watchdog_ms(), number;
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    for (;;) {
        if (ms < 0 ? sigwait(signals, &number) == 0
                   : (number = sigtimedwait(signals, NULL, &rest)) > 0)
            return number;
        if (ms >= 0)
            daemon_notify("WATCHDOG=1");
    }
}

int daemon_activated_sockets(void)
{
    int count = sd_listen_fds(1);

    return count > 0 ? count : 0;
}

bool daemon_drop_root(const char *setting, const char *user, struct err *err)
{
    if (geteuid() != 0)
        return true;
    struct passwd *entry = getpwnam(user);
    if (entry == NULL)
        return err_set(err, ERR_CONFIG,
                       "%s: there is no user '%s'; make one ('adduser --system --group "
                       "%s') or name another",
                       setting, user, user);
    if (entry->pw_uid == 0)
        return true; /* asked for explicitly: containers with one user */
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 ||
        setuid(entry->pw_uid) != 0)
        return err_set(err, ERR_OTHER, "cannot become user '%s': %s", user, strerror(errno));
    if (setuid(0) == 0)
        return err_set(err, ERR_OTHER, "user '%s' could become root again", user);
    return true;
}

bool daemon_owner_ids(const char *owner, uid_t *user, gid_t *group, struct err *err)
{
    struct span rest = span_text(owner), name;

    *user = (uid_t)-1;
    *group = (gid_t)-1;
    if (!span_next(&rest, ':', &name))
        return true;
    STR_AUTO user_name = mem_span(name);
    STR_AUTO group_name = rest.at != NULL ? mem_span(rest) : NULL;
    const struct passwd *u = user_name[0] != '\0' ? getpwnam(user_name) : NULL;
    if (user_name[0] != '\0' && u == NULL)
        return err_set(err, ERR_CONFIG, "there is no user '%s'", user_name);
    if (u != NULL)
        *user = u->pw_uid;
    const struct group *g = group_name != NULL ? getgrnam(group_name) : NULL;
    if (group_name != NULL && g == NULL)
        return err_set(err, ERR_CONFIG, "there is no group '%s'", group_name);
    if (g != NULL)
        *group = g->gr_gid;
    return true;
}

long daemon_raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return (long)limit.rlim_cur;
}

/* ---- the sandbox ---- */

enum { PATHS_MOST = 256 };
struct paths {
    const char *at[PATHS_MOST + 1];
    size_t count;
};

static void add_path(struct paths *paths, const char *path)
{
    if (path != NULL && path[0] == '/' && paths->count < PATHS_MOST)
        paths->at[paths->count++] = path;
}

static void add_paths(struct paths *paths, const char *const *list)
{
    for (; *list != NULL; list++)
        add_path(paths, *list);
}

/* The directory of an absolute path, to be freed; NULL: none that means anything. */
static char *directory_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    size_t len = slash != NULL ? (size_t)(slash - file) : 0;
    bool fine = len > 0 && file[0] == '/' && strncmp(file, "/dev/", 5) != 0;

    return fine ? mem_span(span_of(file, len)) : NULL;
}

static void tell(enum sandbox_reach reach)
{
    static const char *const lacks[] = {
        [SANDBOX_NO_FILES] = "files are not restricted: there is no Landlock",
        [SANDBOX_NO_CALLS] = "system calls are not restricted: there are no seccomp filters",
        [SANDBOX_NOTHING] = "neither system calls nor files are restricted",
    };

    if (reach == SANDBOX_ALL)
        log_write(LOG_SANDBOX, "system calls and files that are not needed are given up");
    else
        log_write(LOG_SANDBOX_PARTLY, "%s", lacks[reach]);
}

void daemon_sandbox(const struct daemon_options *options, const struct conf *conf,
                    const struct daemon_keeps *keeps)
{
    struct paths read = {0}, write = {0}, directories = {0};
    char *owned[PATHS_MOST] = {0};
    size_t owned_count = 0;
    struct span rest = span_text(conf->sandbox_read), piece;

    if (!conf->sandbox)
        return;
    char **files = db_files(conf->database);
    add_paths(&read, keeps->read);
    add_paths(&read, (const char *const *)files);
    owned[owned_count++] = directory_of(options->file != NULL ? options->file : CONF_DEFAULT_FILE);
    add_path(&read, owned[0]);
    while (owned_count < PATHS_MOST / 2 && span_next(&rest, ',', &piece)) {
        owned[owned_count++] = mem_span(span_trim(piece));
        add_path(&read, owned[owned_count - 1]);
    }
    add_paths(&write, keeps->write);
    for (size_t i = 0; keeps->replace[i] != NULL; i++) {
        owned[owned_count++] = directory_of(keeps->replace[i]);
        add_path(&write, owned[owned_count - 1]);
    }
    for (size_t i = 0; i < keeps->socket_count && owned_count < PATHS_MOST; i++)
        if (keeps->sockets[i] != NULL) {
            owned[owned_count++] = directory_of(keeps->sockets[i]);
            add_path(&directories, owned[owned_count - 1]);
        }
    tell(sandbox_enter(&(struct sandbox){.read = read.at,
                                         .write = write.at,
                                         .remove = directories.at,
                                         .forks = keeps->forks,
                                         .executes = keeps->executes}));
    for (size_t i = 0; i < owned_count; i++)
        free(owned[i]);
    db_files_free(&files);
}

void daemon_open_log(const char *program, const struct conf *conf)
{
    log_open(&(struct log_options){
        .program = program,
        .to_syslog = conf->log_to == LOG_TO_SYSLOG,
        .json = conf->log_format == LOG_FORMAT_JSON,
        .least = (enum log_level)conf->log_level,
    });
}

bool daemon_override(struct daemon_options *options, const char *text, struct err *err)
{
    const size_t room = sizeof options->overrides / sizeof options->overrides[0];

    if (options->override_count == room)
        return err_set(err, ERR_USAGE, "more than %zu times -o", room);
    options->overrides[options->override_count++] = text;
    return true;
}

const char *daemon_gateway_name(const struct conf *conf)
{
    static char host[256];

    if (conf->gateway_name[0] != '\0')
        return conf->gateway_name;
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "gateway");
    return host;
}
