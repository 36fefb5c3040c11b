/*
 * first - how long after its start a policy server gives the first right answer
 *
 *     bench-first ADDRESS RECIPIENT ACTION SECONDS COMMAND [ARGUMENT]...
 *
 * Starts the command, asks for RECIPIENT every half millisecond until the answer begins with
 * ACTION, ends the command with SIGTERM, and prints one JSON object: when anybody answered, when
 * the answer was right, and when the process had ended after the SIGTERM.
 */
#include <signal.h>
#include <sys/wait.h>

#include "bench.h"

static double ms_since(uint64_t begun)
{
    return (double)(bench_now_ns() - begun) / 1e6;
}

static pid_t start(char **command)
{
    pid_t child = fork();

    if (child == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    if (child < 0)
        bench_give_up(1, "no process: %s", strerror(errno));
    return child;
}

static void must_run(pid_t child)
{
    int status;

    if (waitpid(child, &status, WNOHANG) == child)
        bench_give_up(1, "the command ended with status %d", status);
}

int main(int argc, char **argv)
{
    char action[256] = "";
    double answered = -1, right = -1;

    if (argc < 6)
        bench_give_up(64, "usage: bench-first ADDRESS RECIPIENT ACTION SECONDS COMMAND...");
    struct conf_address address = bench_address(argv[1]);
    double limit = (double)bench_whole("SECONDS", argv[4], 1, 3600) * 1e3;
    uint64_t begun = bench_now_ns();
    pid_t child = start(argv + 5);
    int fd = -1, status;
    while (right < 0 && ms_since(begun) < limit) {
        must_run(child);
        if (fd < 0)
            fd = bench_connect(&address);
        if (fd >= 0 && bench_ask(fd, argv[2], action, sizeof action)) {
            answered = answered < 0 ? ms_since(begun) : answered;
            if (strncmp(action, argv[3], strlen(argv[3])) == 0)
                right = ms_since(begun);
        }
        bench_sleep_us(500);
    }
    uint64_t ended = bench_now_ns();
    kill(child, SIGTERM);
    waitpid(child, &status, 0);
    printf("{\"answered_ms\":%.2f,\"right_ms\":%.2f,\"ended_ms\":%.2f}\n", answered, right,
           ms_since(ended));
    if (fd >= 0)
        close(fd);
    if (right < 0)
        bench_give_up(1, "no right answer within %s s; the last: %s", argv[4], action);
    return 0;
}
