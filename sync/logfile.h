/*
 * logfile - a log and its rotated files: which there are, whether they were read, reading on
 *
 * The family of /var/log/mail.log is that file and what logrotate, `postfix logrotate` and syslogd
 * make of it: mail.log.1, mail.log.2.gz, mail.log-20261123, mail.log.20261123-180000.gz. They are
 * read oldest first. A gzip file is read whether or not its compression is complete.
 */
#ifndef ROLLCALL_LOGFILE_H
#define ROLLCALL_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/str.h"
#include "sync/position.h"

struct logfile {
    char *path;
    bool current;        /* the log itself, not one of the rotated */
    int64_t modified_us; /* time of its last change */
    int64_t size;        /* on disk */
    long number;         /* of "mail.log.3": the larger the older; -1: none */
    char head[POSITION_HEAD];
    size_t head_len; /* uncompressed bytes that there are of it */
};
struct logfile_family {
    struct logfile *files; /* oldest first */
    size_t count;
};
/* ERR_CONFIG when there is no such file at all, or one cannot be read. */
bool logfile_family(struct logfile_family *family, const char *path, struct err *err) MUST_CHECK;
void logfile_family_free(struct logfile_family *family);

/* Whether the position is about this file, as far as its beginning tells. */
bool logfile_known(const struct logfile *file, const struct position_file *position);

/*
 * Which file goes on with which position. `fresh` files are read from their beginning: all newer
 * ones than the position knows, and in the first run the current one (with `history`: all).
 */
struct logfile_plan {
    size_t file;  /* of the family */
    size_t known; /* number of its position; SIZE_MAX: fresh */
};
/* Into `plan` (room for family->count); returns how many, in the order in which they are read. */
size_t logfile_plan(const struct logfile_family *family, const struct position_source *source,
                    bool history, struct logfile_plan *plan);

struct logfile_reader;
/* Opens at position->offset; false with err when it cannot, or when what stood in front of the
 * offset is not there any more (ERR_DATA): then it is another file. */
bool logfile_open(struct logfile_reader **reader, const struct logfile *file,
                  const struct position_file *position, struct err *err) MUST_CHECK;
/*
 * The same for a stream, whose descriptor it takes over. *head tells what the stream begins with,
 * so that it is known when it comes again; then logfile_skip passes over what was read before.
 */
bool logfile_stream(struct logfile_reader **reader, int fd, struct logfile *head,
                    struct err *err) MUST_CHECK;
bool logfile_skip(struct logfile_reader *reader, const struct position_file *position,
                  struct err *err) MUST_CHECK;
void logfile_close(struct logfile_reader **reader);

/*
 * The next whole lines, each with its newline, as one block that is valid until the next call;
 * empty at the end. A line that is longer than LOGFILE_LINE_MOST is passed over.
 */
enum { LOGFILE_LINE_MOST = 1 << 16, LOGFILE_BLOCK = 1 << 18 };
bool logfile_read(struct logfile_reader *reader, struct span *block, struct err *err) MUST_CHECK;
/* Notes in the position that all blocks so far are read. */
void logfile_note(const struct logfile_reader *reader, struct position_file *position);
/* Whether the end of a gzip file was reached: nothing can come any more. */
bool logfile_ended(const struct logfile_reader *reader);

/* Fills head and head_len of a file whose path is known; for logfile.c. */
bool logfile_read_head(struct logfile *file, struct err *err) MUST_CHECK;

#endif
