/* records - see records.h */
#include "sync/records.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

enum { FIELD_MOST = 32768, FIELD_SHORT = 1000, KINDS_MOST = 16 };

static struct {
    size_t most; /* of each kind; 0: any number */
    struct {
        char kind[16];
        size_t count;
    } kinds[KINDS_MOST];
} limit;

void record_limit(size_t most)
{
    limit.most = most;
}

static bool is_too_many(const char *kind)
{
    for (size_t i = 0; limit.most > 0 && i < KINDS_MOST; i++) {
        if (limit.kinds[i].kind[0] == '\0')
            snprintf(limit.kinds[i].kind, sizeof limit.kinds[i].kind, "%s", kind);
        if (strcmp(limit.kinds[i].kind, kind) == 0)
            return ++limit.kinds[i].count > limit.most;
    }
    return false;
}

static void put(struct buf *line, const char *text, char before)
{
    size_t room = limit.most > 0 ? FIELD_SHORT : FIELD_MOST;
    char *printable = mem_alloc(room);

    str_printable(printable, room, text, strlen(text));
    if (before != '\0')
        buf_append(line, &before, 1);
    buf_text(line, printable);
    str_free(&printable);
}

void record_write(const char *kind, const char *source, const char *const *fields)
{
    BUF_AUTO line = {0};

    if (is_too_many(kind))
        return;
    put(&line, kind, '\0');
    put(&line, source, '\t');
    for (; *fields != NULL; fields++)
        put(&line, *fields, '\t');
    buf_text(&line, "\n");
    for (size_t sent = 0; sent < line.len;) {
        ssize_t n = write(STDOUT_FILENO, line.at + sent, line.len - sent);
        if (n < 0 && errno != EINTR)
            return; /* nobody reads along any more */
        sent += n > 0 ? (size_t)n : 0;
    }
}
