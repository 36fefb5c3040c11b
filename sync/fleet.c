/* fleet - see fleet.h */
#include "sync/fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/str.h"

struct ship {
    pid_t pid; /* 0: in harbour */
    size_t task;
    int64_t deadline_us;
    bool late;
};

struct voyage {
    const struct fleet *fleet;
    struct fleet_task *tasks;
    size_t count, begun, running;
    struct ship *ships; /* fleet->parallel of them */
    bool stopped;       /* SIGTERM or SIGINT came */
    sigset_t before;    /* the signal mask that children get back */
};

/* The child never returns. It dies with its parent, however that ends. */
static void sail(const struct voyage *v, size_t task, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(ERR_TEMPORARY);
    sigprocmask(SIG_SETMASK, &v->before, NULL);
    int code = v->fleet->work(v->fleet->context, task);
    fflush(NULL);
    exit(code);
}

static bool launch(struct voyage *v, struct err *err)
{
    struct ship *ship = v->ships;
    pid_t parent = getpid();

    while (ship->pid != 0)
        ship++;
    fflush(NULL);
    *ship = (struct ship){.pid = fork(), .task = v->begun};
    if (ship->pid == 0)
        sail(v, v->begun, parent);
    if (ship->pid < 0) {
        ship->pid = 0;
        return err_set(err, ERR_TEMPORARY, "no process can be started: %s", strerror(errno));
    }
    ship->deadline_us = clock_elapsed_us() + v->tasks[v->begun].limit_us;
    v->begun++;
    v->running++;
    return true;
}

static void land(struct voyage *v, struct ship *ship, int status)
{
    struct fleet_task *task = &v->tasks[ship->task];

    task->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (task->code < 0)
        task->lost = ship->late   ? "took too long and was ended"
                     : v->stopped ? "was ended from outside"
                                  : "ended without a word (killed, or a fault of the program)";
    ship->pid = 0;
    v->running--;
    v->fleet->done(v->fleet->context, ship->task, task);
}

static void look_around(struct voyage *v)
{
    int64_t now = clock_elapsed_us();

    for (size_t i = 0; i < v->fleet->parallel; i++) {
        struct ship *ship = &v->ships[i];
        int status;
        if (ship->pid == 0)
            continue;
        if (waitpid(ship->pid, &status, WNOHANG) == ship->pid)
            land(v, ship, status);
        else if (v->stopped || now >= ship->deadline_us) {
            ship->late = !v->stopped;
            kill(ship->pid, SIGKILL);
        }
    }
}

/* Until a child ends, the next deadline has come, or a signal. */
static void wait_for_news(struct voyage *v, const sigset_t *news)
{
    int64_t next = clock_elapsed_us() + 60 * CLOCK_SECOND;

    for (size_t i = 0; i < v->fleet->parallel; i++)
        if (v->ships[i].pid != 0 && !v->ships[i].late && v->ships[i].deadline_us < next)
            next = v->ships[i].deadline_us;
    int64_t left = next - clock_elapsed_us();
    left = left < 0 ? 0 : left;
    struct timespec wait = {.tv_sec = left / CLOCK_SECOND,
                            .tv_nsec = left % CLOCK_SECOND * 1000 + 999};
    int got = sigtimedwait(news, NULL, &wait);
    v->stopped = v->stopped || got == SIGTERM || got == SIGINT;
}

bool fleet_run(const struct fleet *fleet, struct fleet_task *tasks, size_t count, struct err *err)
{
    struct voyage v = {.fleet = fleet, .tasks = tasks, .count = count};
    sigset_t news;
    bool fine = true;

    v.ships = mem_zero(fleet->parallel + 1, sizeof *v.ships);
    sigemptyset(&news);
    sigaddset(&news, SIGCHLD);
    sigaddset(&news, SIGTERM);
    sigaddset(&news, SIGINT);
    sigprocmask(SIG_BLOCK, &news, &v.before);
    while (v.running > 0 || (fine && !v.stopped && v.begun < v.count)) {
        while (fine && !v.stopped && v.running < fleet->parallel && v.begun < v.count)
            fine = launch(&v, err);
        wait_for_news(&v, &news);
        look_around(&v);
    }
    sigprocmask(SIG_SETMASK, &v.before, NULL);
    free(v.ships);
    return fine && (!v.stopped || err_set(err, ERR_TEMPORARY, "was ended by a signal"));
}
