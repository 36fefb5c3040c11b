/* prober - see prober.h */
#include "sync/prober.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/spawn.h"
#include "lib/str.h"

static const char prefix[] = "rollcall-probe-"; /* observe_probes_due makes them */

enum { REQUEST_MOST = (PROBER_AT_ONCE + 1) * (ADDR_TEXT_MAX + 1) };

struct prober {
    pid_t pid;
    int fd; /* packets: a request of lines, then an answer of one struct err */
};

/* ---- the other process ---- */

/* Whoever asks may have been taken over: nothing but an address of ours reaches sendmail. */
static bool is_probe(struct span line, char text[ADDR_TEXT_MAX + 1])
{
    struct addr addr;
    struct err ignored;

    if (line.len < sizeof prefix || memcmp(line.at, prefix, sizeof prefix - 1) != 0 ||
        !addr_parse(line, false, &addr, &ignored))
        return false;
    addr_format(&addr, text);
    return true;
}

/* The sender is the one to which Postfix sends no report. */
static bool verify(const char *directory, struct span request, struct err *err)
{
    static char addresses[PROBER_AT_ONCE][ADDR_TEXT_MAX + 1];
    const char *argv[8 + PROBER_AT_ONCE] = {"sendmail",      "-C",  directory, "-f",
                                            "double-bounce", "-bv", "--"};
    struct spawn_output output = {0};
    struct span line;
    size_t count = 0;

    for (; request.len > 0 && span_next(&request, '\n', &line); count++) {
        if (count == PROBER_AT_ONCE || !is_probe(line, addresses[count]))
            return err_set(err, ERR_OTHER, "%.*s: no address to ask for", (int)line.len, line.at);
        argv[7 + count] = addresses[count];
    }
    bool fine = spawn_run(argv, span_text(""), &output, err);
    if (fine && output.code != 0)
        fine = err_set(err, ERR_OTHER, "sendmail -bv: exit %d: %.*s", output.code,
                       output.errors.len > 300 ? 300 : (int)output.errors.len,
                       output.errors.len > 0 ? output.errors.at : "");
    spawn_output_free(&output);
    return fine;
}

/* Until whoever asks is gone. */
static void serve(int fd, const char *directory)
{
    static char request[REQUEST_MOST];
    ssize_t got;

    while ((got = recv(fd, request, sizeof request, 0)) > 0) {
        struct err answer = {.class = ERR_NONE};
        if (verify(directory, span_of(request, (size_t)got), &answer))
            answer = (struct err){.class = ERR_NONE};
        if (send(fd, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
            break;
    }
}

/* ---- our side ---- */

bool prober_start(struct prober **out, const char *postfix_directory, struct err *err)
{
    int ends[2] = {-1, -1};
    pid_t pid = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 ? fork() : -1;

    if (pid == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(ends[1], postfix_directory);
        _exit(0);
    }
    int why = errno;
    if (ends[1] >= 0)
        close(ends[1]);
    if (pid < 0) {
        if (ends[0] >= 0)
            close(ends[0]);
        return err_set(err, ERR_OTHER, "no process to ask servers with: %s", strerror(why));
    }
    *out = mem_zero(1, sizeof **out);
    **out = (struct prober){.pid = pid, .fd = ends[0]};
    return true;
}

void prober_stop(struct prober **prober)
{
    if (*prober == NULL)
        return;
    close((*prober)->fd);
    while (waitpid((*prober)->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    free(*prober);
    *prober = NULL;
}

bool prober_ask(struct prober *prober, char *const *addresses, size_t count, struct err *err)
{
    BUF_AUTO request = {0};
    struct err answer;

    for (size_t i = 0; i < count; i++)
        buf_printf(&request, "%s%s", i > 0 ? "\n" : "", addresses[i]);
    if (send(prober->fd, request.at, request.len, MSG_NOSIGNAL) != (ssize_t)request.len ||
        recv(prober->fd, &answer, sizeof answer, 0) != sizeof answer)
        return err_set(err, ERR_OTHER, "the process that asks servers is gone");
    answer.text[sizeof answer.text - 1] = '\0';
    return answer.class == ERR_NONE || err_set(err, ERR_OTHER, "%s", answer.text);
}
