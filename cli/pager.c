/* pager - see pager.h */
#include "cli/pager.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t pager;
static int terminal = -1; /* standard output as it was */

static const char *command(void)
{
    const char *given = getenv("PAGER");

    if (given == NULL)
        return "if command -v less >/dev/null; then exec less -FRX; else exec cat; fi";
    return given[0] == '\0' || strcmp(given, "cat") == 0 ? NULL : given;
}

static void run(const char *what, const int ends[2])
{
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl("/bin/sh", "sh", "-c", what, (char *)NULL);
    _exit(127);
}

void pager_begin(void)
{
    const char *what = command();
    int ends[2];

    if (what == NULL || isatty(STDOUT_FILENO) != 1 || pipe(ends) != 0)
        return;
    fflush(stdout);
    pager = fork();
    if (pager == 0)
        run(what, ends);
    if (pager > 0) {
        signal(SIGPIPE, SIG_IGN); /* whoever leaves it early has seen enough */
        terminal = dup(STDOUT_FILENO);
        dup2(ends[1], STDOUT_FILENO);
    }
    close(ends[0]);
    close(ends[1]);
}

void pager_end(void)
{
    if (pager <= 0)
        return;
    fflush(stdout);
    clearerr(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    while (waitpid(pager, NULL, 0) < 0 && errno == EINTR)
        ;
    pager = 0;
}
