/*
 * position - how far a gateway's logs have been read: one row of log_position
 *
 * A file is known by what it begins with, not by its name or inode: so it stays the same when it is
 * renamed, copied and truncated, or compressed. It moves forward in one transaction with the
 * counts.
 */
#ifndef ROLLCALL_POSITION_H
#define ROLLCALL_POSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"
#include "lib/str.h"

enum {
    POSITION_HEAD = 1024, /* bytes from a file's beginning that tell it from others */
    POSITION_TAIL = 64,   /* bytes in front of the offset that must still be there */
    POSITION_FILES_MOST = 100,
    POSITION_SOURCES_MOST = 32,
    POSITION_CURSOR_MOST = 512,
};

struct position_file {
    uint32_t head_len; /* at most POSITION_HEAD; grows with the file */
    uint64_t head;     /* hash of that many bytes */
    int64_t offset;    /* of the next line, in uncompressed bytes */
    uint32_t tail_len;
    uint64_t tail;   /* hash of that many bytes in front of the offset */
    int64_t last_us; /* stamp of the last line that meant something; 0: none */
    int64_t seen_us; /* when the file was last there */
    bool ended;      /* compressed and read to its end */
};

struct position_source {
    char *name; /* path, "journal", "-" */
    struct position_file files[POSITION_FILES_MOST];
    size_t file_count;
    char cursor[POSITION_CURSOR_MOST]; /* the journal's; "": never read */
    int64_t run_us;                    /* when it was last read; 0: never */
    int64_t progress_us;               /* everything older was read */
};

struct position {
    int64_t sequence; /* 0: this gateway has never read */
    int64_t read_from_us, read_to_us;
    struct position_source *sources;
    size_t source_count;
};

/* What PostgreSQL has of that gateway. Release with position_free. */
bool position_load(struct position *position, struct db *db, const char *gateway,
                   struct err *err) MUST_CHECK;
void position_free(struct position *position);

/* The source of that name, made when new; pointers to sources do not stay. NULL: too many. */
struct position_source *position_source(struct position *position, const char *name);
/* A file's place; when there are too many, the one not seen for longest goes. */
struct position_file *position_new_file(struct position_source *source);
uint64_t position_hash(struct span bytes);

/*
 * Inside the caller's transaction: from position->sequence to the next one, which it then has.
 * ERR_TEMPORARY when somebody else has moved it meanwhile.
 */
bool position_move(struct position *position, struct db *db, const char *gateway,
                   struct err *err) MUST_CHECK;

#endif
