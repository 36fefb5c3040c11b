/* journal - see journal.h */
#include "sync/journal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-journal.h>

struct journal {
    sd_journal *handle;
    char program[256];
    bool any;  /* an entry was read: there is a place to tell */
    bool here; /* stands at an entry that was not read yet */
};

static bool complain(const char *what, int code, struct err *err)
{
    return err_set(err, ERR_OTHER, "journal: %s: %s%s", what, strerror(-code),
                   code == -EACCES || code == -EPERM ? "; group systemd-journal may read it" : "");
}

/* Only what the mail system said: facility 2 (RFC 5424 section 6.2.1). */
static int find_place(struct journal *j, const char *cursor)
{
    int code = sd_journal_add_match(j->handle, "SYSLOG_FACILITY=2", 0);

    if (code < 0)
        return code;
    if (cursor[0] == '\0')
        return sd_journal_seek_head(j->handle);
    code = sd_journal_seek_cursor(j->handle, cursor);
    if (code < 0)
        return code;
    code = sd_journal_next(j->handle);
    if (code <= 0)
        return code;
    /* rotated away: then this one is the oldest that is left, and new */
    j->here = sd_journal_test_cursor(j->handle, cursor) <= 0;
    return 0;
}

bool journal_open(struct journal **out, const char *directory, const char *cursor, struct err *err)
{
    struct journal *j = *out = mem_zero(1, sizeof *j);
    int code = directory[0] != '\0' ? sd_journal_open_directory(&j->handle, directory, 0)
                                    : sd_journal_open(&j->handle, SD_JOURNAL_LOCAL_ONLY);

    if (code >= 0)
        code = find_place(j, cursor);
    if (code >= 0)
        return true;
    journal_close(out);
    return complain("cannot be opened", code, err);
}

void journal_close(struct journal **journal)
{
    if (*journal == NULL)
        return;
    sd_journal_close((*journal)->handle);
    free(*journal);
    *journal = NULL;
}

/* The value of a field of this entry; empty when it has none. */
static struct span field(struct journal *j, const char *name)
{
    const void *data;
    size_t len, skip = strlen(name) + 1;

    if (sd_journal_get_data(j->handle, name, &data, &len) < 0 || len < skip)
        return span_of(NULL, 0);
    return span_of((const char *)data + skip, len - skip);
}

/* When it was said; the journal's own time when that is not known. */
static int64_t time_of(struct journal *j)
{
    struct span text = field(j, "_SOURCE_REALTIME_TIMESTAMP");
    uint64_t us = 0;
    int64_t said;

    if (str_int64(text, &said) && said > 0)
        return said;
    return sd_journal_get_realtime_usec(j->handle, &us) < 0 ? 0 : (int64_t)us;
}

bool journal_next(struct journal *j, struct journal_entry *entry, bool *found, struct err *err)
{
    int code = j->here ? 1 : sd_journal_next(j->handle);
    struct span program;

    j->here = false;
    *found = code > 0;
    if (code <= 0)
        return code == 0 || complain("cannot be read on", code, err);
    j->any = true;
    entry->at_us = time_of(j);
    program = field(j, "SYSLOG_IDENTIFIER");
    /* the next field may take its place */
    int len = snprintf(j->program, sizeof j->program, "%.*s", (int)program.len, program.at);
    entry->program = span_of(j->program, len < (int)sizeof j->program ? (size_t)len : 0);
    entry->message = field(j, "MESSAGE");
    return true;
}

bool journal_cursor(struct journal *j, char *cursor, size_t room, struct err *err)
{
    char *text = NULL;
    int code;

    if (!j->any)
        return true;
    code = sd_journal_get_cursor(j->handle, &text);
    if (code < 0)
        return complain("does not tell its place", code, err);
    bool fits = strlen(text) < room;
    if (fits)
        snprintf(cursor, room, "%s", text);
    free(text);
    return fits || err_set(err, ERR_OTHER, "journal: its cursor is too long");
}
