/*
 * metrics_file: a file of metrics is the new one whole or the old one. Catches half a file, one
 * that was begun and left, and a disk that was full in the midst of it and is told as "Success".
 */
#include "lib/metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tap.h"

static char directory[] = "/tmp/rc-metrics-XXXXXX";

static size_t entries(void)
{
    STR_AUTO all = mem_printf("%s/*", directory);
    glob_t found;
    size_t count = glob(all, 0, NULL, &found) == 0 ? found.gl_pathc : 0;

    globfree(&found);
    return count;
}

static const char *content(const char *path)
{
    static char text[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

int main(void)
{
    ok(mkdtemp(directory) != NULL, "a directory");
    STR_AUTO path = mem_printf("%s/x.prom", directory);
    BUF_AUTO text = {0};
    struct err err;
    struct rlimit most;

    buf_text(&text, "old 1\n");
    ok(metrics_file_write("x_metrics_file", path, &text, &err), "is written");
    is_text(content(path), "old 1\n", "and there");

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &most);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){10, most.rlim_max});
    buf_clear(&text);
    buf_text(&text, "a line that is longer than what there is room for\n");
    errno = 0;
    ok(!metrics_file_write("x_metrics_file", path, &text, &err), "no room for the whole");
    setrlimit(RLIMIT_FSIZE, &most);
    ok(err.class == ERR_CONFIG && strstr(err.text, strerror(ENOSPC)) != NULL &&
           strncmp(err.text, "x_metrics_file: ", 16) == 0,
       "is said: %s", err.text);
    is_text(content(path), "old 1\n", "the old one stays whole");
    is_int((int64_t)entries(), 1, "and nothing is left beside it");

    unlink(path);
    rmdir(directory);
    ok(!metrics_file_write("x_metrics_file", path, &text, &err) && strstr(err.text, path) != NULL,
       "a directory that is not there is named: %s", err.text);
    return tap_done();
}
