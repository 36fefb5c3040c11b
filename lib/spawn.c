/* spawn - see spawn.h */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

extern char **environ;

struct child {
    pid_t pid;
    int in, out, errors; /* our ends; -1 once closed */
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Three pipes; ends[n][0] is for reading. */
static bool open_pipes(int ends[3][2])
{
    for (int i = 0; i < 3; i++)
        ends[i][0] = ends[i][1] = -1;
    for (int i = 0; i < 3; i++)
        if (pipe2(ends[i], O_CLOEXEC) != 0)
            return false;
    return true;
}

static int start(struct child *child, const char *path, const char *const *argv, int ends[3][2])
{
    posix_spawn_file_actions_t actions;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0][0], 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1][1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[2][1], 2);
    int failed =
        posix_spawnp(&child->pid, path, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static bool start_child(struct child *child, const char *const *argv, struct err *err)
{
    int ends[3][2];
    char path[256];

    snprintf(path, sizeof path, "/usr/sbin/%s", argv[0]);
    if (access(path, X_OK) != 0)
        snprintf(path, sizeof path, "%s", argv[0]);
    int failed = open_pipes(ends) ? start(child, path, argv, ends) : errno;
    close_end(&ends[0][0]);
    close_end(&ends[1][1]);
    close_end(&ends[2][1]);
    child->in = ends[0][1];
    child->out = ends[1][0];
    child->errors = ends[2][0];
    if (failed == 0)
        return true;
    close_end(&child->in);
    close_end(&child->out);
    close_end(&child->errors);
    return err_set(err, ERR_OTHER, "%s cannot be run: %s", argv[0], strerror(failed));
}

static void feed(struct child *child, struct span *input)
{
    ssize_t n = input->len > 0 ? write(child->in, input->at, input->len) : 0;

    if (n > 0)
        *input = span_of(input->at + n, input->len - (size_t)n);
    if (input->len == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        close_end(&child->in);
}

static void take(int *fd, struct buf *out)
{
    char piece[16384];
    ssize_t n = read(*fd, piece, sizeof piece);

    if (n > 0)
        buf_append(out, piece, (size_t)n);
    else if (n == 0 || errno != EINTR)
        close_end(fd);
}

static bool converse(struct child *child, const char *name, struct span input, int64_t seconds,
                     struct spawn_output *output, struct err *err)
{
    int64_t end = clock_elapsed_us() + seconds * CLOCK_SECOND;

    while (child->out >= 0 || child->errors >= 0) {
        struct pollfd fds[] = {
            {child->out, POLLIN, 0}, {child->errors, POLLIN, 0}, {child->in, POLLOUT, 0}};
        int64_t left = end - clock_elapsed_us();
        if (left <= 0 || poll(fds, 3, (int)(left / 1000) + 1) == 0)
            return err_set(err, ERR_TEMPORARY, "%s did not end within %lld s", name,
                           (long long)seconds);
        if (fds[0].revents != 0)
            take(&child->out, &output->out);
        if (fds[1].revents != 0)
            take(&child->errors, &output->errors);
        if (fds[2].revents != 0)
            feed(child, &input);
        if (output->out.len + output->errors.len > SPAWN_OUTPUT_MAX)
            return err_set(err, ERR_OTHER, "%s prints more than %d bytes", name, SPAWN_OUTPUT_MAX);
    }
    return true;
}

bool spawn_run_within(const char *const *argv, struct span input, int64_t seconds,
                      struct spawn_output *output, struct err *err)
{
    struct child child;
    int status = 0;

    *output = (struct spawn_output){0};
    buf_text(&output->out, "");
    buf_text(&output->errors, "");
    if (!start_child(&child, argv, err))
        return false;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* it may end without reading all */
    fcntl(child.in, F_SETFL, O_NONBLOCK);
    bool fine = converse(&child, argv[0], input, seconds, output, err);
    if (!fine)
        kill(child.pid, SIGKILL);
    close_end(&child.in);
    close_end(&child.out);
    close_end(&child.errors);
    while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR)
        ;
    signal(SIGPIPE, before);
    output->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return fine;
}

bool spawn_run(const char *const *argv, struct span input, struct spawn_output *output,
               struct err *err)
{
    return spawn_run_within(argv, input, SPAWN_SECONDS, output, err);
}

void spawn_output_free(struct spawn_output *output)
{
    buf_free(&output->out);
    buf_free(&output->errors);
}

const char *spawn_beside(const char *name, char path[SPAWN_PATH])
{
    ssize_t len = readlink("/proc/self/exe", path, SPAWN_PATH - 1);

    if (len <= 0)
        return name;
    path[len] = '\0';
    size_t directory = (size_t)(strrchr(path, '/') + 1 - path);
    snprintf(path + directory, SPAWN_PATH - directory, "%s", name);
    return access(path, X_OK) == 0 ? path : name;
}
