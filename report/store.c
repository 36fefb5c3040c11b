/* store - see store.h */
#include "report/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/disk.h"

static const char seal_mark[] = "rollcall-quarantine 1 "; /* then size and digest */

/* Names given one after the other lie on the same shelf, so many of them. */
enum { TOGETHER = 256 };

struct shelf {
    int fd;
    pthread_mutex_t lock;    /* who makes it durable */
    _Atomic uint64_t placed; /* files put on it since the start */
    uint64_t settled;        /* so many of them are durable */
    _Atomic uint64_t failures;
};

struct store {
    char *path;
    int fd, tmp_fd, lock_fd;
    struct shelf shelves[STORE_SHELVES];
    _Atomic uint64_t named; /* names given; begins anywhere */
};

static bool fail(struct err *err, const struct store *s, const char *what)
{
    return err_set(err, ERR_TEMPORARY, "%s/%s: %s", s->path, what, strerror(errno));
}

/* ---- opening ---- */

static int open_directory(int at, const char *name)
{
    if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool open_shelves(struct store *s, struct err *err)
{
    char name[3];

    for (unsigned i = 0; i < STORE_SHELVES; i++) {
        snprintf(name, sizeof name, "%02x", i);
        s->shelves[i].fd = open_directory(s->fd, name);
        if (s->shelves[i].fd < 0)
            return fail(err, s, name);
    }
    s->tmp_fd = open_directory(s->fd, "tmp");
    if (s->tmp_fd < 0)
        return fail(err, s, "tmp");
    return fsync(s->fd) == 0 || fail(err, s, ".");
}

static bool take_lock(struct store *s, struct err *err)
{
    s->lock_fd = openat(s->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return fail(err, s, "lock");
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    return err_set(err, ERR_CONFIG, "%s: another rollcall-quarantine has this directory", s->path);
}

/* Nobody was told that these are kept. */
static bool clear_tmp(struct store *s, struct err *err)
{
    DIR *dir = fdopendir(dup(s->tmp_fd));
    const struct dirent *entry;

    if (dir == NULL)
        return fail(err, s, "tmp");
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(s->tmp_fd, entry->d_name, 0);
    closedir(dir);
    return true;
}

bool store_open(struct store **store, const char *directory, struct err *err)
{
    struct store *s = mem_zero(1, sizeof *s);

    *store = s;
    s->path = mem_text(directory);
    s->tmp_fd = s->lock_fd = -1;
    for (unsigned i = 0; i < STORE_SHELVES; i++) {
        s->shelves[i].fd = -1;
        pthread_mutex_init(&s->shelves[i].lock, NULL);
    }
    uint64_t any;
    secret_random(&any, sizeof any);
    s->named = any;
    s->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool fine = s->fd >= 0 || fail(err, s, ".");
    if (fine && take_lock(s, err) && open_shelves(s, err) && clear_tmp(s, err))
        return true;
    if (err->class == ERR_TEMPORARY)
        err->class = ERR_CONFIG; /* at start it is for a person to see to */
    store_close(store);
    return false;
}

void store_close(struct store **store)
{
    struct store *s = *store;

    if (s == NULL)
        return;
    for (unsigned i = 0; i < STORE_SHELVES; i++) {
        if (s->shelves[i].fd >= 0)
            close(s->shelves[i].fd);
        pthread_mutex_destroy(&s->shelves[i].lock);
    }
    if (s->tmp_fd >= 0)
        close(s->tmp_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s);
    *store = NULL;
}

/* ---- writing ---- */

/* "ab/abcd…": the shelf, and the name on it. */
static bool shelf_of(const char *name, unsigned *shelf)
{
    return strlen(name) == STORE_NAME && sscanf(name, "%2x/", shelf) == 1 && *shelf < STORE_SHELVES;
}

static void choose_name(struct store *s, char name[STORE_NAME + 1])
{
    uint8_t random[16];

    secret_random(random, sizeof random);
    random[0] = (uint8_t)(s->named++ / TOGETHER);
    str_hex(name, random, 1);
    name[2] = '/';
    str_hex(name + 3, random, sizeof random);
}

/* Takes back and tells; errno is of what failed. */
static bool give_up(struct store_writing *w, struct err *err)
{
    fail(err, w->store, w->name);
    store_abandon(w);
    return false;
}

/* Writes what is held into a new file of that directory. */
static bool create(struct store_writing *w, int directory_fd)
{
    w->fd = openat(directory_fd, w->name + 3, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return w->fd >= 0 && disk_write(w->fd, span_of(w->held.at, w->held.len));
}

/* What comes goes to the file from now on. */
static bool spill(struct store_writing *w)
{
    bool fine = create(w, w->store->tmp_fd);

    buf_free(&w->held);
    return fine;
}

bool store_begin(struct store *store, struct span front, struct store_writing *writing,
                 struct err *err)
{
    static const char unsealed[STORE_SEAL];

    *writing = (struct store_writing){.store = store, .fd = -1};
    choose_name(store, writing->name);
    writing->digesting = secret_digest_begin();
    buf_reserve(&writing->held, STORE_HELD);
    buf_append(&writing->held, unsealed, sizeof unsealed);
    buf_append(&writing->held, front.at, front.len);
    return writing->held.len <= STORE_HELD || spill(writing) || give_up(writing, err);
}

bool store_write(struct store_writing *writing, struct span bytes, struct err *err)
{
    bool holds = writing->fd < 0 && bytes.len <= STORE_HELD - writing->held.len;

    if (holds)
        buf_append(&writing->held, bytes.at, bytes.len);
    else if ((writing->fd < 0 && !spill(writing)) || !disk_write(writing->fd, bytes))
        return give_up(writing, err);
    secret_digest_add(writing->digesting, bytes.at, bytes.len);
    writing->size += bytes.len;
    return true;
}

/* Sealed and on its shelf: what was held is written there at once, and sealed then, so that what a
 * crash leaves of it is known as such. */
static bool put_on_shelf(struct store_writing *w, const struct shelf *shelf)
{
    char seal[STORE_SEAL + 1];
    int len = snprintf(seal, sizeof seal, "%s%020" PRIu64 " ", seal_mark, w->size);

    secret_digest_end(&w->digesting, w->digest);
    str_hex(seal + len, w->digest, SECRET_DIGEST);
    seal[STORE_SEAL - 1] = '\n';
    if (w->fd < 0)
        return create(w, shelf->fd) && pwrite(w->fd, seal, STORE_SEAL, 0) == STORE_SEAL;
    return pwrite(w->fd, seal, STORE_SEAL, 0) == STORE_SEAL &&
           renameat(w->store->tmp_fd, w->name + 3, shelf->fd, w->name + 3) == 0;
}

bool store_commit(struct store_writing *writing, struct err *err)
{
    unsigned number = 0;

    if (!shelf_of(writing->name, &number))
        return give_up(writing, err);
    struct shelf *shelf = &writing->store->shelves[number];
    writing->failures = shelf->failures;
    if (!put_on_shelf(writing, shelf)) {
        give_up(writing, err);
        unlinkat(shelf->fd, writing->name + 3, 0);
        return false;
    }
    writing->place = ++shelf->placed;
    return true;
}

bool store_sync(struct store_writing *writing, struct err *err)
{
    bool durable = fsync(writing->fd) == 0 || fail(err, writing->store, writing->name);

    close(writing->fd);
    writing->fd = -1;
    return durable;
}

/* One fsync serves all that lie on the shelf. It tells of a failure once: whoever put something
 * there before must hear of it, also when the next one succeeds. */
bool store_settle(const struct store_writing *writing, struct err *err)
{
    unsigned number = 0;

    if (!shelf_of(writing->name, &number))
        return fail(err, writing->store, writing->name);
    struct shelf *shelf = &writing->store->shelves[number];
    pthread_mutex_lock(&shelf->lock);
    uint64_t placed = shelf->placed;
    errno = EIO; /* what somebody else's failed with */
    if (shelf->failures == writing->failures && shelf->settled < writing->place) {
        if (fsync(shelf->fd) == 0)
            shelf->settled = placed;
        else
            shelf->failures++;
    }
    bool fine = shelf->failures == writing->failures || fail(err, writing->store, writing->name);
    pthread_mutex_unlock(&shelf->lock);
    return fine;
}

bool store_harden(struct store *store, int fd, const char *name, struct err *err)
{
    unsigned number = 0;

    return (fsync(fd) == 0 && shelf_of(name, &number) && fsync(store->shelves[number].fd) == 0) ||
           fail(err, store, name);
}

void store_abandon(struct store_writing *writing)
{
    uint8_t ignored[SECRET_DIGEST];

    if (writing->fd >= 0) {
        close(writing->fd);
        unlinkat(writing->store->tmp_fd, writing->name + 3, 0);
    }
    writing->fd = -1;
    buf_free(&writing->held);
    if (writing->digesting != NULL)
        secret_digest_end(&writing->digesting, ignored);
}

/* ---- the files there are ---- */

int store_read(struct store *store, const char *name, struct err *err)
{
    unsigned shelf = 0;
    int fd = -1;

    errno = ENOENT;
    if (shelf_of(name, &shelf))
        fd = openat(store->shelves[shelf].fd, name + 3, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    fail(err, store, name);
    if (errno == ENOENT)
        err->class = ERR_DATA;
    return -1;
}

static bool take_hex(const char *hex, uint8_t *out, size_t len)
{
    unsigned byte;

    for (size_t i = 0; i < len; i++) {
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

bool store_read_seal(int fd, uint64_t *size, uint8_t digest[SECRET_DIGEST])
{
    char seal[STORE_SEAL + 1] = "";
    const char *at = seal + sizeof seal_mark - 1;
    int64_t number;

    if (pread(fd, seal, STORE_SEAL, 0) != STORE_SEAL ||
        memcmp(seal, seal_mark, sizeof seal_mark - 1) != 0 ||
        !str_int64(span_of(at, 20), &number) || number < 0)
        return false;
    *size = (uint64_t)number;
    return take_hex(at + 21, digest, SECRET_DIGEST);
}

bool store_remove(struct store *store, const char *name, struct err *err)
{
    unsigned shelf = 0;

    return !shelf_of(name, &shelf) || unlinkat(store->shelves[shelf].fd, name + 3, 0) == 0 ||
           errno == ENOENT || fail(err, store, name);
}

bool store_remove_unsealed(struct store *store, const char *name)
{
    static const char unsealed[STORE_SEAL];
    char seal[STORE_SEAL];
    struct err err;
    int fd = store_read(store, name, &err);
    ssize_t n = fd >= 0 ? pread(fd, seal, STORE_SEAL, 0) : -1;

    if (fd >= 0)
        close(fd);
    return n >= 0 && memcmp(seal, unsealed, (size_t)n) == 0 && store_remove(store, name, &err);
}

bool store_list(struct store *store, unsigned shelf, store_file_fn *file, void *context,
                struct err *err)
{
    char name[STORE_NAME + 1];
    const struct dirent *entry;
    struct stat st;
    int fd = openat(store->shelves[shelf].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return fail(err, store, "a shelf");
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strlen(entry->d_name) != STORE_NAME - 3 ||
            fstatat(store->shelves[shelf].fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        snprintf(name, sizeof name, "%02x/%.32s", shelf, entry->d_name);
        file(context, name, (int64_t)st.st_mtim.tv_sec * CLOCK_SECOND + st.st_mtim.tv_nsec / 1000);
    }
    closedir(dir);
    return true;
}
