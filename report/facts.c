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

/* Whether the message is as long as the seal says and, with `check`, has its digest. */
static enum record_outcome look_whole(int fd, off_t from, bool check, const struct facts *f)
{
    uint8_t digest[SECRET_DIGEST];
    struct stat st;

    if (fstat(fd, &st) != 0)
        return RECORD_FAILED;
    if (st.st_size < from || (uint64_t)(st.st_size - from) != f->size)
        return RECORD_HALF;
    if (!check)
        return RECORD_STORED;
    if (!read_digest(fd, from, digest))
        return RECORD_FAILED;
    return memcmp(digest, f->digest, SECRET_DIGEST) == 0 ? RECORD_STORED : RECORD_HALF;
}

/* With the words for what was found. */
static enum record_outcome explain(enum record_outcome outcome, const char *name, struct err *err)
{
    if (outcome == RECORD_FAILED)
        err_set(err, ERR_TEMPORARY, "%s: cannot be read: %s", name, strerror(errno));
    if (outcome == RECORD_HALF)
        err_set(err, ERR_DATA, "%s: is no whole message file of the quarantine", name);
    return outcome;
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

    if (!read_beginning(fd, &f->file))
        return explain(RECORD_FAILED, name, err);
    if (!store_read_seal(fd, &f->size, f->digest) || !facts_take(f, f->file.at, f->file.len, &used))
        return explain(RECORD_HALF, name, err);
    f->at = STORE_SEAL + used;
    return explain(look_whole(fd, (off_t)f->at, check, f), name, err);
}

enum record_outcome facts_glance(int fd, const char *name, struct facts *f, struct err *err)
{
    char page[4096 + 1];
    struct envelope envelope;
    size_t used;
    ssize_t n = pread(fd, page, sizeof page - 1, STORE_SEAL);

    if (n < 0)
        return explain(RECORD_FAILED, name, err);
    page[n] = '\0';
    if (!envelope_read(page, (size_t)n, &envelope, &used))
        return facts_read(fd, false, name, f, err); /* very many recipients, or none of ours */
    envelope_free(&envelope);
    if (!store_read_seal(fd, &f->size, f->digest))
        return explain(RECORD_HALF, name, err);
    return explain(look_whole(fd, (off_t)(STORE_SEAL + used), false, f), name, err);
}
