/* facts - see facts.h */
#include "report/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mime.h"

void facts_free(struct facts *f)
{
    envelope_free(&f->envelope);
    buf_free(&f->file);
}

static bool read_digest(int fd, off_t from, uint8_t digest[SECRET_DIGEST])
{
    struct secret_digesting *digesting = secret_digest_begin();
    char *piece = mem_alloc(256 * 1024);
    ssize_t n;

    while ((n = pread(fd, piece, 256 * 1024, from)) > 0) {
        secret_digest_add(digesting, piece, (size_t)n);
        from += n;
    }
    secret_digest_end(&digesting, digest);
    free(piece);
    return n == 0;
}

static bool read_beginning(int fd, struct buf *out)
{
    char piece[64 * 1024];
    ssize_t n = 0;

    buf_text(out, "");
    while (out->len < ENVELOPE_MOST + MIME_LOOKED_AT &&
           (n = pread(fd, piece, sizeof piece, (off_t)(STORE_SEAL + out->len))) > 0)
        buf_append(out, piece, (size_t)n);
    return n >= 0;
}

/* The message is as long as the seal says and, with `check`, has its digest. */
static bool is_whole(int fd, off_t from, bool check, const struct facts *f)
{
    uint8_t digest[SECRET_DIGEST];
    struct stat st;

    return fstat(fd, &st) == 0 && (uint64_t)(st.st_size - from) == f->size &&
           (!check ||
            (read_digest(fd, from, digest) && memcmp(digest, f->digest, SECRET_DIGEST) == 0));
}

bool facts_take(struct facts *f, char *text, size_t len, size_t *used)
{
    if (!envelope_read(text, len, &f->envelope, used))
        return false;
    f->message = span_of(text + *used, len - *used);
    return true;
}

enum record_outcome facts_read(int fd, bool check, const char *name, struct facts *f,
                               struct err *err)
{
    size_t used = 0;

    if (!read_beginning(fd, &f->file)) {
        err_set(err, ERR_TEMPORARY, "%s: cannot be read: %s", name, strerror(errno));
        return RECORD_FAILED;
    }
    if (!store_read_seal(fd, &f->size, f->digest) ||
        !facts_take(f, f->file.at, f->file.len, &used) ||
        !is_whole(fd, (off_t)(STORE_SEAL + used), check, f)) {
        err_set(err, ERR_DATA, "%s: is no whole message file of the quarantine", name);
        return RECORD_HALF;
    }
    return RECORD_STORED;
}
