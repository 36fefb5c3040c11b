/*
 * kv_trouble: a process killed at any moment, files damaged, a full disk. Catches a committed row
 * that is lost, half a transaction that stays, damage taken for data, and a store that does not
 * come back when the disk has room again. ROLLCALL_FULL=1 takes longer, ROLLCALL_SEED repeats.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "store.h"

static uint64_t random_state;
static bool full_length;

static uint64_t next_random(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 16) % limit;
}

/*
 * A store whose contents can be checked: batch b puts the rows b*BATCH to b*BATCH+BATCH-1 and takes
 * those of batch b-KEPT away, and writes b as the position, all in one transaction.
 */
enum { BATCH = 50, KEPT = 40 };

struct store {
    struct kv *kv;
    struct kv_table *rows, *meta;
};

static void store_close(struct store *s)
{
    kv_table_close(&s->rows);
    kv_table_close(&s->meta);
    kv_close(&s->kv);
}

/* With `fresh` tables are made; else they must be there. */
static enum kv_outcome store_open(struct store *s, const char *directory, bool fresh,
                                  struct err *err)
{
    *s = (struct store){0};
    enum kv_outcome outcome = kv_open(&s->kv, directory, STORE_CACHE, err);
    if (outcome == KV_DONE)
        outcome = kv_table_open(&s->rows, s->kv, "rows", fresh, err);
    if (outcome == KV_DONE)
        outcome = kv_table_open(&s->meta, s->kv, "meta", fresh, err);
    if (outcome != KV_DONE)
        store_close(s);
    return outcome;
}

static enum kv_outcome put_batch(struct store *s, struct kv_txn *txn, uint64_t batch,
                                 struct err *err)
{
    enum kv_outcome outcome = KV_DONE;

    for (uint64_t i = 0; outcome == KV_DONE && i < BATCH; i++)
        outcome = store_put(txn, s->rows, batch * BATCH + i, err);
    for (uint64_t i = 0; outcome == KV_DONE && batch > KEPT && i < BATCH; i++)
        outcome =
            kv_delete(txn, s->rows, span_text(store_row((batch - KEPT) * BATCH + i).key), err);
    if (outcome == KV_DONE)
        outcome = kv_put(txn, s->meta, span_text("position"),
                         span_of((const char *)&batch, sizeof batch), err);
    return outcome;
}

static enum kv_outcome write_batch(struct store *s, uint64_t batch, struct err *err)
{
    struct kv_txn *txn;
    enum kv_outcome outcome = kv_begin(s->kv, &txn, err);

    if (outcome == KV_DONE)
        outcome = put_batch(s, txn, batch, err);
    if (outcome == KV_DONE)
        outcome = kv_commit(&txn, err);
    kv_abort(&txn);
    return outcome;
}

static enum kv_outcome read_position(struct store *s, uint64_t *position, struct err *err)
{
    size_t len;

    *position = 0;
    enum kv_outcome outcome =
        kv_get(s->meta, span_text("position"), position, sizeof *position, &len, err);
    return outcome == KV_ABSENT ? KV_DONE : outcome;
}

static bool count_row(void *context, struct span key, struct span value, struct err *err)
{
    uint64_t *count = context;

    (void)key, (void)value, (void)err;
    ++*count;
    return true;
}

/* Whether the store holds exactly what its position says. KV_DAMAGED when it says so itself;
 * KV_FAILED when what it holds is wrong. */
static enum kv_outcome store_check(struct store *s, uint64_t *position, struct err *err)
{
    uint64_t count = 0;
    enum kv_outcome outcome = read_position(s, position, err);

    if (outcome == KV_DONE)
        outcome = kv_scan(s->rows, count_row, &count, err);
    if (outcome != KV_DONE)
        return outcome;
    uint64_t first = *position > KEPT ? *position - KEPT + 1 : 1;
    uint64_t expected = (*position + 1 - first) * BATCH;
    if (*position > 0 && count != expected) {
        err_set(err, ERR_OTHER, "position %llu, but %llu rows, not %llu",
                (unsigned long long)*position, (unsigned long long)count,
                (unsigned long long)expected);
        return KV_FAILED;
    }
    for (uint64_t i = first * BATCH; i < (*position + 1) * BATCH; i++) {
        outcome = store_get(s->rows, i, err);
        if (outcome != KV_DONE)
            return outcome == KV_DAMAGED ? outcome : KV_FAILED;
    }
    return KV_DONE;
}

/* ---- kill -9 */

/* The child: batches without end; each number goes to the parent once it is committed. */
__attribute__((noreturn)) static void write_for_ever(const char *directory, int report)
{
    struct store s;
    struct err err;
    uint64_t batch;

    if (store_open(&s, directory, true, &err) != KV_DONE ||
        read_position(&s, &batch, &err) != KV_DONE)
        _exit(3);
    for (;;) {
        if (write_batch(&s, ++batch, &err) != KV_DONE)
            _exit(4);
        if (write(report, &batch, sizeof batch) != sizeof batch)
            _exit(5);
        if (batch % 64 == 0 && kv_checkpoint(s.kv, &err) != KV_DONE)
            _exit(6);
    }
}

/* Runs a writer and kills it in the midst of whatever it does; the last batch it reported. */
static uint64_t kill_writer(const char *directory)
{
    int report[2], status;
    uint64_t last = 0, some;
    uint64_t after = 1 + next_random(60);

    if (pipe2(report, O_CLOEXEC) != 0)
        return 0;
    fflush(NULL); /* or the child would print again what is buffered */
    pid_t child = fork();
    if (child == 0)
        write_for_ever(directory, report[1]);
    close(report[1]);
    for (uint64_t i = 0; i < after; i++)
        if (read(report[0], &some, sizeof some) == sizeof some)
            last = some;
    for (volatile uint64_t spin = next_random(400000); spin > 0; spin--)
        ; /* into the next transaction */
    kill(child, SIGKILL);
    while (read(report[0], &some, sizeof some) == sizeof some)
        last = some;
    close(report[0]);
    waitpid(child, &status, 0);
    ok(WIFSIGNALED(status), "the writer worked until it was killed (status %d)", status);
    return last;
}

static void check_kills(void)
{
    const int kills = full_length ? 200 : 25;
    char *directory = store_directory();
    int64_t slowest = 0;
    int lost = 0;

    for (int i = 0; i < kills; i++) {
        uint64_t reported = kill_writer(directory), position = 0;
        struct store s;
        struct err err = {0};
        int64_t begun = clock_elapsed_us();
        enum kv_outcome outcome = store_open(&s, directory, false, &err);
        int64_t took = clock_elapsed_us() - begun;

        slowest = took > slowest ? took : slowest;
        if (outcome == KV_DONE)
            outcome = store_check(&s, &position, &err);
        bool fine = outcome == KV_DONE && (position == reported || position == reported + 1);
        if (!fine)
            printf("#  kill %d: %s, position %llu, reported %llu %s\n", i, store_outcomes[outcome],
                   (unsigned long long)position, (unsigned long long)reported, err.text);
        lost += !fine;
        if (outcome == KV_DONE)
            store_close(&s);
    }
    is_int(lost, 0, "killed %d times, nothing committed was lost (slowest recovery %.1f ms)", kills,
           (double)slowest / 1000);
    store_remove(directory);
    free(directory);
}

/* ---- damage */

enum { DAMAGE_BATCHES = 60 };

static void make_store(const char *directory)
{
    struct store s;
    struct err err = {0};
    enum kv_outcome outcome = store_open(&s, directory, true, &err);

    for (uint64_t b = 1; outcome == KV_DONE && b <= DAMAGE_BATCHES; b++)
        outcome = write_batch(&s, b, &err);
    store_close(&s);
    if (outcome != KV_DONE && !ok(false, "make a store: %s", err.text))
        exit(1);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[1 << 16];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    size_t n;

    while (in != NULL && out != NULL && (n = fread(bytes, 1, sizeof bytes, in)) > 0)
        fwrite(bytes, 1, n, out);
    if (in != NULL)
        fclose(in);
    if (out != NULL)
        fclose(out);
}

static void copy_store(const char *from, const char *to)
{
    DIR *dir = opendir(from);

    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        STR_AUTO source = mem_printf("%s/%s", from, e->d_name);
        STR_AUTO target = mem_printf("%s/%s", to, e->d_name);
        if (e->d_type == DT_REG)
            copy_file(source, target);
    }
    if (dir != NULL)
        closedir(dir);
}

/* The tests of the damage itself tell only when it could not be done. */
static void need(bool done, const char *path)
{
    if (!done)
        ok(false, "%s cannot be damaged: %s", path, strerror(errno));
}

static off_t size_of(const char *path)
{
    struct stat st = {0};

    need(stat(path, &st) == 0 && st.st_size > 0, path);
    return st.st_size;
}

static void cut_anywhere(const char *path)
{
    need(truncate(path, (off_t)next_random((uint64_t)size_of(path))) == 0, path);
}

static void cut_half(const char *path)
{
    need(truncate(path, size_of(path) / 2) == 0, path);
}

static void cut_all(const char *path)
{
    need(truncate(path, 0) == 0, path);
}

/* Noise over some bytes between `least` and `most`. */
static void put_noise(const char *path, off_t least, off_t most, uint64_t bytes)
{
    uint8_t noise[1 << 14];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    secret_random(noise, sizeof noise);
    off_t at = least + (off_t)next_random((uint64_t)(most - least) - bytes);
    need(fd >= 0 && pwrite(fd, noise, bytes, at) == (ssize_t)bytes, path);
    close(fd);
}

static void noise_in_pages(const char *path)
{
    put_noise(path, 4096, size_of(path), 1 + next_random(3000));
}

static void noise_all_over(const char *path)
{
    for (off_t at = 0, size = size_of(path); at + 4096 <= size; at += 4096)
        put_noise(path, at, at + 4096, 64);
}

static void two_bytes(const char *path)
{
    put_noise(path, 4096, size_of(path), 2);
}

static void remove_file(const char *path)
{
    need(unlink(path) == 0, path);
}

/* The newest log file of a store. */
static char *newest_log(const char *directory)
{
    char newest[256] = "";
    DIR *dir = opendir(directory);

    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (strncmp(e->d_name, "log.", 4) == 0 && strcmp(e->d_name, newest) > 0)
            memcpy(newest, e->d_name, strlen(e->d_name) + 1);
    if (dir != NULL)
        closedir(dir);
    return mem_printf("%s/%s", directory, newest);
}

/* Damaged, or whole: then as it was, or as it was some commits before. */
static void check_outcome(const char *directory, bool must_show, const char *what)
{
    struct store s;
    struct err err = {0};
    uint64_t position = 0;
    enum kv_outcome outcome = store_open(&s, directory, false, &err);

    if (outcome == KV_DONE)
        outcome = store_check(&s, &position, &err);
    if (outcome == KV_DONE) /* what is damaged but not read shows when it is written */
        outcome = write_batch(&s, position + 1, &err);
    store_close(&s);
    ok(outcome == KV_DAMAGED || (!must_show && outcome == KV_DONE), "%s: %s, position %llu %s",
       what, store_outcomes[outcome], (unsigned long long)position, err.text);
    if (!ok(kv_move_aside(directory, &err), "%s: moved aside %s", what, err.text))
        return;
    make_store(directory);
}

struct damage {
    const char *what, *file; /* file NULL: the newest log */
    void (*damage)(const char *path);
    bool must_show; /* else it may lie where nothing is stored, or merely end the log earlier */
};

static const struct damage damages[] = {
    {"a table cut to half", "rows", cut_half, true},
    {"a table cut anywhere", "rows", cut_anywhere, true},
    {"a table of no bytes", "rows", cut_all, true},
    {"a table that is gone", "rows", remove_file, true},
    {"noise in a table", "rows", noise_in_pages, false},
    {"noise all over a table", "rows", noise_all_over, true},
    {"two bytes in a table", "rows", two_bytes, false},
    {"the other table cut to half", "meta", cut_half, true},
    {"noise in the other table", "meta", noise_all_over, true},
    {"a log cut to half", NULL, cut_half, false},
    {"a log cut anywhere", NULL, cut_anywhere, false},
    {"a log of no bytes", NULL, cut_all, false},
    {"a log that is gone", NULL, remove_file, false},
    {"noise in the log", NULL, noise_in_pages, false},
    {"noise all over the log", NULL, noise_all_over, false},
};

static void check_damage(void)
{
    const int rounds = full_length ? 20 : 3;
    char *sound = store_directory();

    make_store(sound);
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
            const struct damage *d = &damages[i];
            char *directory = store_directory();
            copy_store(sound, directory);
            STR_AUTO path =
                d->file != NULL ? mem_printf("%s/%s", directory, d->file) : newest_log(directory);
            d->damage(path);
            check_outcome(directory, d->must_show, d->what);
            store_remove(directory);
            free(directory);
        }
    store_remove(sound);
    free(sound);
}

/* ---- a full disk */

static bool fill_disk(const char *directory)
{
    STR_AUTO path = mem_printf("%s/ballast", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    static const char bytes[4096];
    int64_t n = 0;

    while (write(fd, bytes, sizeof bytes) > 0)
        n++;
    bool full = errno == ENOSPC;
    close(fd);
    return full;
}

static void free_disk(const char *directory)
{
    STR_AUTO path = mem_printf("%s/ballast", directory);

    unlink(path);
}

/* Writes until the disk has no more room; the outcome of the last batch. */
static enum kv_outcome write_until_full(struct store *s, uint64_t *batch, struct err *err)
{
    enum kv_outcome outcome = KV_DONE;

    for (int i = 0; outcome == KV_DONE && i < 100000; i++)
        outcome = write_batch(s, *batch + 1, err), *batch += outcome == KV_DONE;
    return outcome;
}

static void check_contents(struct store *s, uint64_t batch, const char *what)
{
    uint64_t position = 0;

    store_is(store_check(s, &position, &store_err), KV_DONE, "%s", what);
    is_int(position, batch, "up to the last commit");
}

/* Opened on a disk without room it is whole, or fails for that reason alone; with room it is whole.
 */
static void check_open_on_full(const char *directory, uint64_t batch)
{
    struct store s;
    struct err err = {0};

    ok(fill_disk(directory), "fill the disk once more");
    enum kv_outcome outcome = store_open(&s, directory, false, &err);
    ok(outcome == KV_DONE || !kv_has_room(directory), "open on a full disk: %s %s",
       store_outcomes[outcome], err.text);
    store_close(&s);
    free_disk(directory);
    ok(kv_has_room(directory), "room again");
    outcome = store_open(&s, directory, false, &store_err);
    if (ok(outcome == KV_DONE, "open with room again %s", store_err.text))
        check_contents(&s, batch, "all is there");
    store_close(&s);
}

/* In a mount namespace of its own, which ends with the process. */
static void on_full_disk(const char *directory)
{
    struct store s;
    struct err err = {0};
    uint64_t batch = 0;

    store_is(store_open(&s, directory, true, &store_err), KV_DONE, "open");
    if (s.kv == NULL)
        return;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            store_is(write_batch(&s, ++batch, &store_err), KV_DONE, "write");
        ok(fill_disk(directory), "fill the disk");
        enum kv_outcome outcome = write_until_full(&s, &batch, &err);
        ok(outcome == KV_FAILED, "a write on a full disk: %s, %s", store_outcomes[outcome],
           err.text);
        check_contents(&s, batch, "reads go on");
        free_disk(directory);
        store_is(write_batch(&s, ++batch, &store_err), KV_DONE, "it writes again");
        store_is(kv_checkpoint(s.kv, &store_err), KV_DONE, "and makes checkpoints");
    }
    store_close(&s);
    check_open_on_full(directory, batch);
}

static bool mount_tmpfs(const char *directory)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", directory, "tmpfs", 0, "size=64m") == 0;
}

static void check_full_disk(void)
{
    char *directory = store_directory();

    if (mount_tmpfs(directory)) {
        on_full_disk(directory);
        umount(directory);
    } else
        ok(true, "skipped: no small file system can be mounted here (%s)", strerror(errno));
    store_remove(directory);
    free(directory);
}

int main(void)
{
    const char *seed = getenv("ROLLCALL_SEED"), *full = getenv("ROLLCALL_FULL");

    setvbuf(stdout, NULL, _IOLBF, 0);
    secret_init();
    secret_random(&random_state, sizeof random_state);
    if (seed != NULL)
        random_state = strtoull(seed, NULL, 10);
    random_state |= 1;
    full_length = full != NULL && strcmp(full, "0") != 0 && full[0] != '\0';
    printf("# seed %" PRIu64 " (repeat: ROLLCALL_SEED=%" PRIu64 ")\n", random_state, random_state);
    check_kills();
    check_damage();
    check_full_disk();
    return tap_done();
}
