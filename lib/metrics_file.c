/* metrics_file - see metrics_file.h */
#include "metrics_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void metrics_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* In a label's value a backslash, a quote and the end of a line are escaped. */
static void put_label(struct buf *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            buf_text(out, "\\n");
        else
            buf_printf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    }
}

void metrics_value(struct buf *out, const char *name, const char *label, const char *of,
                   const char *value)
{
    buf_text(out, name);
    if (label != NULL) {
        buf_printf(out, "{%s=\"", label);
        put_label(out, of);
        buf_text(out, "\"}");
    }
    buf_printf(out, " %s\n", value);
}

void metrics_put(struct buf *out, const char *name, const char *type, const char *help,
                 double value)
{
    char text[40];

    snprintf(text, sizeof text, "%.15g", value);
    metrics_family(out, name, type, help);
    metrics_value(out, name, NULL, NULL, text);
}

/* A disk that has room for a part takes that part without an error. */
static bool write_whole(int fd, const struct buf *text)
{
    ssize_t n = write(fd, text->at, text->len);

    if (n >= 0 && (size_t)n < text->len)
        errno = ENOSPC;
    return n == (ssize_t)text->len;
}

bool metrics_file_write(const char *setting, const char *path, const struct buf *text,
                        struct err *err)
{
    STR_AUTO aside = mem_printf("%s.%d.tmp", path, (int)getpid());
    int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool fine = fd >= 0 && fchmod(fd, 0644) == 0 && write_whole(fd, text);

    if (fd >= 0)
        fine = close(fd) == 0 && fine;
    if (fine && rename(aside, path) == 0)
        return true;
    int why = errno;
    unlink(aside);
    return err_set(err, ERR_CONFIG, "%s: %s cannot be written: %s", setting, path, strerror(why));
}
