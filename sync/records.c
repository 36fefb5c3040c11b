/* records - see records.h */
#include "sync/records.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/str.h"

enum { FIELD_MOST = 32768 };

static void put(struct buf *line, const char *text, char before)
{
    char *printable = mem_alloc(FIELD_MOST);

    str_printable(printable, FIELD_MOST, text, strlen(text));
    if (before != '\0')
        buf_append(line, &before, 1);
    buf_text(line, printable);
    str_free(&printable);
}

void record_write(const char *kind, const char *source, const char *const *fields)
{
    BUF_AUTO line = {0};

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
