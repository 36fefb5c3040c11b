/* spool - see spool.h */
#include "sync/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECORD_DIGEST = 32,
    TELL_EVERY = 500, /* entries: then whoever follows is told */
    READ_AT_ONCE = 1 << 17,
    WINDOW = 1 << 16,
};

struct spot {
    uint8_t identity[ENTRY_IDENTITY];
    uint64_t offset;
    uint32_t len, came;
    enum entry_kind kind;
    uint8_t digest[RECORD_DIGEST];
};

struct spool {
    FILE *file;
    uint64_t size;
    struct spot *spots;
    size_t count, room;
    uint32_t came;
    struct buf record; /* of the moment */
    struct buf window; /* a piece of the file, from this offset on */
    uint64_t window_at;
    uint64_t next; /* where the record behind the one read last begins */
    struct addr addresses[ROLL_ADDRESSES_MAX];

    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t more;
    uint64_t readable; /* bytes */
    bool ended;
};

/* What a record's length, before it in the file, is written as. */
typedef uint32_t record_len;
/* A record: this head, the name, the DN, then each address as two lengths and its parts. */
struct head {
    uint8_t identity[ENTRY_IDENTITY];
    uint32_t dn; /* lengths */
    uint16_t name, addresses;
    uint8_t kind, disabled;
    uint8_t zero[2]; /* no padding: it is digested */
};

static bool fail(struct err *err)
{
    return err_set(err, ERR_TEMPORARY, "cannot put the directory's answer aside in %s: %s",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", strerror(errno));
}

static int unnamed_file(void)
{
    const char *directory = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    STR_AUTO path = mem_printf("%s/rollcall-ldap.XXXXXX", directory);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

bool spool_open(struct spool **out, struct err *err)
{
    int fd = unnamed_file();

    *out = NULL;
    if (fd < 0)
        return fail(err);
    struct spool *spool = mem_zero(1, sizeof *spool);
    pthread_mutex_init(&spool->lock, NULL);
    pthread_cond_init(&spool->more, NULL);
    spool->file = fdopen(fd, "w+");
    *out = spool;
    return spool->file != NULL || fail(err);
}

void spool_close(struct spool **spool)
{
    if (*spool == NULL)
        return;
    if ((*spool)->file != NULL)
        fclose((*spool)->file);
    pthread_cond_destroy(&(*spool)->more);
    pthread_mutex_destroy(&(*spool)->lock);
    buf_free(&(*spool)->record);
    buf_free(&(*spool)->window);
    free((*spool)->spots);
    free(*spool);
    *spool = NULL;
}

static void put_spot(struct spool *spool, const struct spool_entry *entry)
{
    const struct buf *record = &spool->record;

    if (spool->count == spool->room) {
        spool->room = spool->room > 0 ? spool->room * 2 : 1024;
        spool->spots = mem_grow(spool->spots, spool->room * sizeof *spool->spots);
    }
    struct spot *spot = &spool->spots[spool->count++];
    memcpy(spot->identity, entry->identity, ENTRY_IDENTITY);
    spot->kind = entry->kind;
    spot->offset = spool->size + sizeof(record_len);
    spot->came = spool->came++;
    spot->len = (uint32_t)record->len;
    secret_digest(record->at, record->len, spot->digest, RECORD_DIGEST);
}

/* All that was added is there for whoever follows. */
static bool tell(struct spool *spool, bool ended, struct err *err)
{
    bool fine = fflush(spool->file) == 0 || fail(err);

    pthread_mutex_lock(&spool->lock);
    spool->readable = fine ? spool->size : spool->readable;
    spool->ended = spool->ended || ended;
    pthread_cond_broadcast(&spool->more);
    pthread_mutex_unlock(&spool->lock);
    return fine;
}

bool spool_end(struct spool *spool, struct err *err)
{
    return tell(spool, true, err);
}

bool spool_add(struct spool *spool, const struct spool_entry *entry, struct err *err)
{
    struct buf *record = &spool->record;
    struct head head = {.kind = (uint8_t)entry->kind,
                        .disabled = entry->disabled,
                        .name = (uint16_t)entry->name.len,
                        .addresses = (uint16_t)entry->address_count,
                        .dn = (uint32_t)entry->dn.len};

    memcpy(head.identity, entry->identity, ENTRY_IDENTITY);
    buf_clear(record);
    buf_append(record, &head, sizeof head);
    buf_append(record, entry->name.at, entry->name.len);
    buf_append(record, entry->dn.at, entry->dn.len);
    for (size_t i = 0; i < entry->address_count; i++) {
        const struct addr *addr = &entry->addresses[i];
        const uint8_t lens[] = {(uint8_t)addr->local_len, (uint8_t)addr->domain_len};
        buf_append(record, lens, sizeof lens);
        buf_append(record, addr->local, addr->local_len);
        buf_append(record, addr->domain, addr->domain_len);
    }
    put_spot(spool, entry);
    record_len len = (record_len)record->len;
    spool->size += sizeof len + record->len;
    if (fwrite(&len, sizeof len, 1, spool->file) != 1 ||
        fwrite(record->at, record->len, 1, spool->file) != 1)
        return fail(err);
    return spool->came % TELL_EVERY != 0 || tell(spool, false, err);
}

static int by_identity(const void *a, const void *b)
{
    const struct spot *x = a, *y = b;
    int order = memcmp(x->identity, y->identity, ENTRY_IDENTITY);

    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

static void each_once(struct spool *spool)
{
    size_t kept = 0;

    for (size_t i = 0; i < spool->count; i++)
        if (kept == 0 ||
            memcmp(spool->spots[kept - 1].identity, spool->spots[i].identity, ENTRY_IDENTITY) != 0)
            spool->spots[kept++] = spool->spots[i];
    spool->count = kept;
}

bool spool_seal(struct spool *spool, uint8_t digest[SECRET_DIGEST], struct err *err)
{
    struct secret_digesting *digesting;

    if (!spool_end(spool, err))
        return false;
    if (spool->count > 0)
        qsort(spool->spots, spool->count, sizeof *spool->spots, by_identity);
    each_once(spool);
    digesting = secret_digest_begin();
    for (size_t i = 0; i < spool->count; i++)
        secret_digest_add(digesting, spool->spots[i].digest, RECORD_DIGEST);
    secret_digest_end(&digesting, digest);
    return true;
}

size_t spool_count(const struct spool *spool)
{
    return spool->count;
}

static const char *get_address(const char *at, struct addr *addr)
{
    addr->local_len = (uint8_t)at[0];
    addr->domain_len = (uint8_t)at[1];
    at += 2;
    memcpy(addr->local, at, addr->local_len);
    addr->local[addr->local_len] = '\0';
    memcpy(addr->domain, at + addr->local_len, addr->domain_len);
    addr->domain[addr->domain_len] = '\0';
    return at + addr->local_len + addr->domain_len;
}

int64_t spool_count_of(const struct spool *spool, enum entry_kind kind)
{
    int64_t count = 0;

    for (size_t i = 0; i < spool->count; i++)
        count += spool->spots[i].kind == kind;
    return count;
}

static bool in_window(const struct spool *spool, const struct spot *spot)
{
    return spot->offset >= spool->window_at &&
           spot->offset + spot->len <= spool->window_at + spool->window.len;
}

/*
 * One record; entries are few kilobytes, so that mapping all of them would only fill memory. Where
 * identities stand in the order in which entries came (a server that counts them up), the records
 * behind it are read with it.
 */
static const char *read_record(struct spool *spool, const struct spot *spot, struct err *err)
{
    struct buf *window = &spool->window;
    size_t wanted = spot->offset == spool->next && spot->len < WINDOW ? WINDOW : spot->len;

    spool->next = spot->offset + spot->len + sizeof(record_len);
    if (!in_window(spool, spot)) {
        if (window->room < wanted) {
            window->room = wanted;
            window->at = mem_grow(window->at, wanted);
        }
        ssize_t got = pread(fileno(spool->file), window->at, wanted, (off_t)spot->offset);
        window->len = got > 0 ? (size_t)got : 0;
        spool->window_at = spot->offset;
        if (window->len < spot->len) {
            errno = got >= 0 ? EIO : errno;
            window->len = 0;
            (void)fail(err);
            return NULL;
        }
    }
    return window->at + (spot->offset - spool->window_at);
}

static void parse_record(const char *from, struct addr *addresses, struct spool_entry *entry)
{
    struct head head;

    memcpy(&head, from, sizeof head);
    from += sizeof head;
    memcpy(entry->identity, head.identity, ENTRY_IDENTITY);
    entry->kind = (enum entry_kind)head.kind;
    entry->disabled = head.disabled != 0;
    entry->name = span_of(from, head.name);
    entry->dn = span_of(from + head.name, head.dn);
    entry->addresses = addresses;
    entry->address_count = head.addresses;
    from += head.name + head.dn;
    for (size_t i = 0; i < head.addresses; i++)
        from = get_address(from, &addresses[i]);
}

bool spool_get(struct spool *spool, size_t at, struct spool_entry *entry, struct err *err)
{
    const char *record = read_record(spool, &spool->spots[at], err);

    if (record == NULL)
        return false;
    parse_record(record, spool->addresses, entry);
    return true;
}

size_t spool_came(const struct spool *spool, size_t at)
{
    return spool->spots[at].came;
}

/* ---- following ---- */

struct spool_cursor {
    struct spool *spool;
    uint64_t offset; /* of what was not read yet */
    size_t came, used;
    struct buf bytes; /* read, from `used` on not yet given */
    struct addr addresses[ROLL_ADDRESSES_MAX];
};

struct spool_cursor *spool_follow(struct spool *spool)
{
    struct spool_cursor *cursor = mem_zero(1, sizeof *cursor);

    cursor->spool = spool;
    return cursor;
}

void spool_cursor_free(struct spool_cursor **cursor)
{
    if (*cursor == NULL)
        return;
    buf_free(&(*cursor)->bytes);
    free(*cursor);
    *cursor = NULL;
}

/* How far the file can be read, once that is more than has been; the same as has been: the end. */
static uint64_t wait_for_more(struct spool_cursor *cursor)
{
    struct spool *spool = cursor->spool;

    pthread_mutex_lock(&spool->lock);
    while (spool->readable == cursor->offset && !spool->ended)
        pthread_cond_wait(&spool->more, &spool->lock);
    uint64_t readable = spool->readable;
    pthread_mutex_unlock(&spool->lock);
    return readable;
}

/* Reads on; false with errno set when that fails, or 0 when nothing more comes. */
static bool read_on(struct spool_cursor *cursor)
{
    struct buf *bytes = &cursor->bytes;
    uint64_t left = wait_for_more(cursor) - cursor->offset;
    size_t wanted = left > READ_AT_ONCE ? READ_AT_ONCE : (size_t)left;

    errno = 0;
    if (wanted == 0)
        return false;
    bytes->len -= cursor->used;
    if (bytes->len > 0)
        memmove(bytes->at, bytes->at + cursor->used, bytes->len);
    cursor->used = 0;
    if (bytes->room < bytes->len + wanted) {
        bytes->room = bytes->len + wanted;
        bytes->at = mem_grow(bytes->at, bytes->room);
    }
    ssize_t got =
        pread(fileno(cursor->spool->file), bytes->at + bytes->len, wanted, (off_t)cursor->offset);
    if (got == 0)
        errno = EIO;
    if (got <= 0)
        return false;
    bytes->len += (size_t)got;
    cursor->offset += (uint64_t)got;
    return true;
}

/* Whether the next record is there in full. */
static bool is_whole(const struct spool_cursor *cursor, record_len *len)
{
    size_t have = cursor->bytes.len - cursor->used;

    if (have < sizeof *len)
        return false;
    memcpy(len, cursor->bytes.at + cursor->used, sizeof *len);
    return have >= sizeof *len + *len;
}

enum spool_step spool_next(struct spool_cursor *cursor, struct spool_entry *entry, size_t *at,
                           struct err *err)
{
    record_len len;

    while (!is_whole(cursor, &len))
        if (!read_on(cursor))
            return errno == 0 ? SPOOL_END : (fail(err), SPOOL_FAILED);
    parse_record(cursor->bytes.at + cursor->used + sizeof len, cursor->addresses, entry);
    cursor->used += sizeof len + len;
    *at = cursor->came++;
    return SPOOL_ENTRY;
}
