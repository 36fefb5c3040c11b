/*
 * private_pg - a PostgreSQL server of the test's own
 *
 *     static struct private_pg pg;
 *     private_pg_start(&pg);                    // ends the program with "Bail out!" when it cannot
 *     struct db *db = private_pg_open(&pg);     // superuser, database postgres
 *
 * It lives in a new directory under /tmp, listens on a unix socket there only, and is stopped and
 * deleted when the program ends, however it ends: a guardian process waits for the end of a pipe.
 * Started as root it runs as postgres.
 */
#ifndef ROLLCALL_PRIVATE_PG_H
#define ROLLCALL_PRIVATE_PG_H

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/db.h"

#define PRIVATE_PG_BIN "/usr/lib/postgresql/15/bin/"

struct private_pg {
    char dir[64];
    char conninfo[128];
    pid_t guardian;
    int lifeline; /* closed, by us or by our death: the guardian acts */
};

/* Runs a shell command and waits for it. */
__attribute__((format(printf, 1, 2))) static inline bool private_pg_shell(const char *format, ...)
{
    char command[1024];
    va_list args;
    int status = -1;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static inline const char *private_pg_as(void)
{
    return geteuid() == 0 ? "runuser -u postgres --" : "";
}

static inline bool private_pg_ctl(const struct private_pg *pg, const char *what)
{
    return private_pg_shell("cd %s && %s " PRIVATE_PG_BIN "pg_ctl -D %s/data -l %s/log -w -t 60 %s "
                            ">/dev/null",
                            pg->dir, private_pg_as(), pg->dir, pg->dir, what);
}

/* Stops the server; private_pg_up starts it again with what it had. */
static inline bool private_pg_down(const struct private_pg *pg)
{
    return private_pg_ctl(pg, "-m immediate stop");
}

static inline bool private_pg_up(const struct private_pg *pg)
{
    return private_pg_ctl(pg, "start");
}

static inline void private_pg_guard(struct private_pg *pg)
{
    int ends[2];
    char byte;

    if (pipe2(ends, O_CLOEXEC) != 0 || (pg->guardian = fork()) < 0) {
        printf("Bail out! no guardian for PostgreSQL\n");
        exit(1);
    }
    pg->lifeline = ends[1];
    if (pg->guardian > 0) {
        close(ends[0]);
        return;
    }
    setsid(); /* outlives what kills the test's process group */
    close(ends[1]);
    while (read(ends[0], &byte, 1) > 0) {
    }
    private_pg_shell("test ! -e %s/data/postmaster.pid || %s " PRIVATE_PG_BIN
                     "pg_ctl -D %s/data -m immediate stop >/dev/null 2>&1; rm -rf %s",
                     pg->dir, private_pg_as(), pg->dir, pg->dir);
    _exit(0);
}

static inline void private_pg_start(struct private_pg *pg)
{
    snprintf(pg->dir, sizeof pg->dir, "/tmp/rollcall-pg.XXXXXX");
    if (mkdtemp(pg->dir) == NULL) {
        printf("Bail out! no directory under /tmp\n");
        exit(1);
    }
    private_pg_guard(pg);
    snprintf(pg->conninfo, sizeof pg->conninfo, "host=%s dbname=postgres user=postgres", pg->dir);
    bool made = geteuid() != 0 || private_pg_shell("chown postgres %s", pg->dir);
    made = made && private_pg_shell("cd %s && %s " PRIVATE_PG_BIN
                                    "initdb -D data -A trust -U postgres --no-sync --no-locale "
                                    "-E UTF8 >initdb.log 2>&1",
                                    pg->dir, private_pg_as());
    made = made && private_pg_shell(
                       "printf '%%s\\n' \"listen_addresses=''\" \"unix_socket_directories='%s'\" "
                       "fsync=off shared_buffers=32MB >>%s/data/postgresql.conf",
                       pg->dir, pg->dir);
    if (!made || !private_pg_up(pg)) {
        private_pg_shell("cat %s/initdb.log %s/log", pg->dir, pg->dir);
        printf("Bail out! PostgreSQL does not start\n");
        exit(1);
    }
}

/* At the end of the test; its sudden death does the same. */
static inline void private_pg_stop(struct private_pg *pg)
{
    close(pg->lifeline);
    waitpid(pg->guardian, NULL, 0);
}

static inline struct db *private_pg_open(const struct private_pg *pg)
{
    struct db_options options = {
        .conninfo = pg->conninfo, .timeout_us = 30 * CLOCK_SECOND, .program = "test"};
    struct db *db;
    struct err err;

    if (!db_open(&db, &options, &err)) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return db;
}

#endif
