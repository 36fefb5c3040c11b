/* logfile_read - see logfile.h; here: reading files, compressed ones too */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "sync/logfile.h"

struct logfile_reader {
    int fd;
    gzFile gzip; /* NULL: plain */
    char *name;
    char head[POSITION_HEAD];
    size_t head_len;
    char tail[POSITION_TAIL]; /* what stood in front of `offset` */
    size_t tail_len;
    int64_t offset; /* behind the last block */
    char *bytes;    /* LOGFILE_BLOCK + LOGFILE_LINE_MOST of them */
    size_t start, end;
    bool skipping; /* in a line that is too long */
    bool ended;
};

/* ---- opening ---- */

static bool is_gzip(int fd)
{
    unsigned char magic[2] = {0, 0};

    return pread(fd, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
}

static bool start(struct logfile_reader *r, const char *path, struct err *err)
{
    r->name = mem_text(path);
    r->bytes = mem_alloc(LOGFILE_BLOCK + LOGFILE_LINE_MOST);
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (r->fd < 0)
        return err_set(err, ERR_CONFIG, "%s: %s%s", path, strerror(errno),
                       errno == EACCES ? "; logs are mostly readable for group adm" : "");
    if (!is_gzip(r->fd))
        return true;
    r->gzip = gzdopen(r->fd, "rb");
    if (r->gzip == NULL)
        return err_set(err, ERR_OTHER, "%s: no memory to unpack it", path);
    gzbuffer(r->gzip, 1 << 17);
    return true;
}

void logfile_close(struct logfile_reader **reader)
{
    struct logfile_reader *r = *reader;

    if (r == NULL)
        return;
    if (r->gzip != NULL)
        gzclose(r->gzip);
    else if (r->fd >= 0)
        close(r->fd);
    free(r->name);
    free(r->bytes);
    free(r);
    *reader = NULL;
}

/* 0 also where compression has not got further yet; the end is only where gzip says so. */
static bool unpack(struct logfile_reader *r, char *into, size_t room, size_t *got, struct err *err)
{
    int n = gzread(r->gzip, into, (unsigned)room), code = Z_OK;

    gzerror(r->gzip, &code);
    *got = n > 0 ? (size_t)n : 0;
    r->ended = n == 0 && code == Z_OK && gzeof(r->gzip) != 0;
    return code != Z_DATA_ERROR ||
           err_set(err, ERR_OTHER, "%s: it is damaged, the rest of it cannot be unpacked", r->name);
}

/* Bytes as they come; 0 at the end. */
static bool raw(struct logfile_reader *r, char *into, size_t room, size_t *got, struct err *err)
{
    ssize_t n;

    if (r->gzip != NULL)
        return unpack(r, into, room, got, err);
    do
        n = read(r->fd, into, room);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_set(err, ERR_OTHER, "%s: %s", r->name, strerror(errno));
    *got = (size_t)n;
    return true;
}

static void remember_tail(struct logfile_reader *r, struct span bytes)
{
    size_t keep;

    if (bytes.len >= sizeof r->tail) {
        memcpy(r->tail, bytes.at + bytes.len - sizeof r->tail, sizeof r->tail);
        r->tail_len = sizeof r->tail;
        return;
    }
    keep = r->tail_len + bytes.len > sizeof r->tail ? sizeof r->tail - bytes.len : r->tail_len;
    memmove(r->tail, r->tail + r->tail_len - keep, keep);
    memcpy(r->tail + keep, bytes.at, bytes.len);
    r->tail_len = keep + bytes.len;
}

bool logfile_read_head(struct logfile *file, struct err *err)
{
    struct logfile_reader *r = mem_zero(1, sizeof *r);
    struct err damage;
    size_t got = 1;
    bool fine;

    r->fd = -1;
    fine = start(r, file->path, err);
    file->head_len = 0;
    while (fine && got > 0 && file->head_len < sizeof file->head &&
           raw(r, file->head + file->head_len, sizeof file->head - file->head_len, &got, &damage))
        file->head_len += got;
    logfile_close(&r);
    return fine;
}

/* ---- to the place ---- */

static bool changed(const struct logfile_reader *r, struct err *err)
{
    return err_set(err, ERR_DATA,
                   "%s: begins like a log read before, but goes on in another way: read anew",
                   r->name);
}

static bool same_tail(const struct logfile_reader *r, const struct position_file *p)
{
    return p->tail_len <= r->tail_len &&
           position_hash(span_of(r->tail + r->tail_len - p->tail_len, p->tail_len)) == p->tail;
}

/* By reading: what is compressed, and streams. Bytes that are there already come first. */
static bool pass_over(struct logfile_reader *r, const struct position_file *p, struct err *err)
{
    while (r->offset < p->offset) {
        size_t have = r->end - r->start, got;
        if (have == 0) {
            if (!raw(r, r->bytes, LOGFILE_BLOCK, &got, err))
                return false;
            if (got == 0)
                return changed(r, err);
            r->start = 0;
            r->end = have = got;
        }
        if ((int64_t)have > p->offset - r->offset)
            have = (size_t)(p->offset - r->offset);
        remember_tail(r, span_of(r->bytes + r->start, have));
        r->start += have;
        r->offset += (int64_t)have;
    }
    return same_tail(r, p) || changed(r, err);
}

static bool seek_plain(struct logfile_reader *r, const struct position_file *p, struct err *err)
{
    off_t from = (off_t)(p->offset - p->tail_len);

    if (p->tail_len > sizeof r->tail || from < 0 ||
        pread(r->fd, r->tail, p->tail_len, from) != (ssize_t)p->tail_len)
        return changed(r, err);
    r->tail_len = p->tail_len;
    r->offset = p->offset;
    if (lseek(r->fd, (off_t)p->offset, SEEK_SET) < 0)
        return err_set(err, ERR_OTHER, "%s: %s", r->name, strerror(errno));
    return same_tail(r, p) || changed(r, err);
}

bool logfile_skip(struct logfile_reader *r, const struct position_file *position, struct err *err)
{
    return position->offset == 0 || pass_over(r, position, err);
}

bool logfile_open(struct logfile_reader **reader, const struct logfile *file,
                  const struct position_file *position, struct err *err)
{
    struct logfile_reader *r = *reader = mem_zero(1, sizeof *r);

    r->fd = -1;
    memcpy(r->head, file->head, file->head_len);
    r->head_len = file->head_len;
    if (start(r, file->path, err) &&
        (position->offset == 0 ||
         (r->gzip != NULL ? pass_over(r, position, err) : seek_plain(r, position, err))))
        return true;
    logfile_close(reader);
    return false;
}

bool logfile_stream(struct logfile_reader **reader, int fd, struct logfile *head, struct err *err)
{
    struct logfile_reader *r = *reader = mem_zero(1, sizeof *r);
    size_t got = 1;

    r->fd = fd;
    r->name = mem_text("standard input");
    r->bytes = mem_alloc(LOGFILE_BLOCK + LOGFILE_LINE_MOST);
    while (got > 0 && r->end < sizeof r->head) {
        if (!raw(r, r->bytes + r->end, LOGFILE_BLOCK - r->end, &got, err)) {
            logfile_close(reader);
            return false;
        }
        r->end += got;
    }
    r->head_len = r->end < sizeof r->head ? r->end : sizeof r->head;
    memcpy(r->head, r->bytes, r->head_len);
    memcpy(head->head, r->head, r->head_len);
    head->head_len = r->head_len;
    return true;
}

/* ---- lines ---- */

/* What was read of a line that has no end within reason. */
static void drop_long(struct logfile_reader *r)
{
    struct span bytes = span_of(r->bytes + r->start, r->end - r->start);
    const char *newline = memchr(bytes.at, '\n', bytes.len);

    if (newline != NULL)
        bytes.len = (size_t)(newline + 1 - bytes.at);
    r->skipping = newline == NULL;
    remember_tail(r, bytes);
    r->offset += (int64_t)bytes.len;
    r->start += bytes.len;
}

/* The whole lines in the buffer; empty when there is none. */
static struct span whole_lines(struct logfile_reader *r)
{
    struct span bytes = span_of(r->bytes + r->start, r->end - r->start);
    const char *newline = bytes.len > 0 ? memrchr(bytes.at, '\n', bytes.len) : NULL;

    bytes.len = newline != NULL ? (size_t)(newline + 1 - bytes.at) : 0;
    remember_tail(r, bytes);
    r->offset += (int64_t)bytes.len;
    r->start += bytes.len;
    return bytes;
}

bool logfile_read(struct logfile_reader *r, struct span *block, struct err *err)
{
    size_t got = 1;

    *block = span_of(NULL, 0);
    while (got > 0) {
        if (r->skipping)
            drop_long(r);
        if (!r->skipping)
            *block = whole_lines(r);
        if (block->len > 0)
            return true;
        if (r->end - r->start >= LOGFILE_LINE_MOST)
            drop_long(r);
        memmove(r->bytes, r->bytes + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
        if (!raw(r, r->bytes + r->end, LOGFILE_BLOCK, &got, err))
            return false;
        r->end += got;
    }
    return true;
}

bool logfile_ended(const struct logfile_reader *r)
{
    return r->ended && r->start == r->end;
}

void logfile_note(const struct logfile_reader *r, struct position_file *p)
{
    p->offset = r->offset;
    p->tail_len = (uint32_t)r->tail_len;
    p->tail = position_hash(span_of(r->tail, r->tail_len));
    if (r->head_len > p->head_len) {
        p->head_len = (uint32_t)r->head_len;
        p->head = position_hash(span_of(r->head, r->head_len));
    }
    p->ended = logfile_ended(r);
}
