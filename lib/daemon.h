/*
 * daemon - what a long-running program owes to its surroundings; the only user of libsystemd
 *
 * Readiness and socket activation (sd_notify(3), sd_listen_fds(3); also without systemd, where they
 * do nothing), dropping root, and the options -c and -o that every program takes.
 */
#ifndef ROLLCALL_DAEMON_H
#define ROLLCALL_DAEMON_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "err.h"
#include "log.h"

/* READY=1, RELOADING=1, STOPPING=1, STATUS=… */
void daemon_notify(const char *state);
/* How often the watchdog of systemd (WatchdogSec=) wants to hear of us at least, in milliseconds:
 * half of what it allows; -1: there is none. */
int daemon_watchdog_ms(void);
/* As sigwait(3), of blocked signals, and tells the watchdog meanwhile that this thread goes round.
 */
int daemon_wait_signal(const sigset_t *signals);
/* Sockets handed over by systemd: how many; the first is descriptor 3. */
int daemon_activated_sockets(void);

/* Becomes `user` (named by that setting) with its groups when run as root; else does nothing. */
bool daemon_drop_root(const char *setting, const char *user, struct err *err) MUST_CHECK;
/* user or user:group to ids; -1 where not given. */
bool daemon_owner_ids(const char *owner, uid_t *user, gid_t *group, struct err *err) MUST_CHECK;
/* Raises the soft limit of open files to the hard one; returns it. */
long daemon_raise_files(void);

/* What a daemon keeps when it gives up the rest (lib/sandbox.h); besides the settings' own. */
enum { DAEMON_PATHS = 100 };
struct daemon_keeps {
    const char *read[DAEMON_PATHS + 1], *write[DAEMON_PATHS + 1]; /* NULL: none, and at the end */
    const char *replace[DAEMON_PATHS + 1]; /* files written anew beside and renamed; "": none */
    char *const *sockets; /* paths that it removes at its end; NULL among them: none */
    size_t socket_count;
    bool forks, executes;
};
struct daemon_options;
/* By the setting `sandbox`. Call it before there are threads, after what root is needed for. */
void daemon_sandbox(const struct daemon_options *options, const struct conf *conf,
                    const struct daemon_keeps *keeps);

/* log_open from the settings. */
void daemon_open_log(const char *program, const struct conf *conf);

/* The common options; what is left over is the program's. */
struct daemon_options {
    const char *file;          /* -c */
    const char *overrides[64]; /* -o */
    size_t override_count;
};
bool daemon_override(struct daemon_options *options, const char *text, struct err *err) MUST_CHECK;

/* The setting gateway_name, or the host's name. */
const char *daemon_gateway_name(const struct conf *conf);

#endif
