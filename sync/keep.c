/* keep - see keep.h */
#include "sync/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/disk.h"
#include "lib/kv.h"

enum {
    CACHE_BYTES = 8 << 20,
    ROOM_LEAST = 32 << 20, /* its log alone takes half of it */
    KEY_LEN = 8,
    FORMAT = 1, /* of the header and of evidence's rows */
};

struct keep {
    char *directory;
    int lock;
    struct kv *kv;
};

/* The row with key 0. */
struct header {
    int64_t format, sequence;
};

/* ---- the directory ---- */

static bool lock_directory(struct keep *keep, struct err *err)
{
    STR_AUTO path = mem_printf("%s/lock", keep->directory);

    if (mkdir(keep->directory, 0750) != 0 && errno != EEXIST)
        return err_set(err, ERR_CONFIG, "observe_directory: %s cannot be made: %s", keep->directory,
                       strerror(errno));
    keep->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (keep->lock < 0)
        return err_set(err, ERR_CONFIG, "observe_directory: %s: %s", path, strerror(errno));
    return flock(keep->lock, LOCK_EX | LOCK_NB) == 0 ||
           err_set(err, ERR_TEMPORARY, "%s: another rollcall-observe is collecting",
                   keep->directory);
}

/*
 * On a full disk Berkeley DB takes what it cannot write for damage, and what was kept would be
 * moved aside: it is not opened there. What cannot be told counts as room.
 */
static bool has_room(const struct keep *keep, struct err *err)
{
    struct disk disk;
    struct err ignored;

    return !disk_look(keep->directory, &disk, &ignored) || disk.free_bytes >= ROOM_LEAST ||
           err_set(err, ERR_TEMPORARY,
                   "observe_directory: %s: no space left on device: make room, %d MiB at least; "
                   "nothing was read, and is later",
                   keep->directory, ROOM_LEAST >> 20);
}

/* A damaged store is moved aside: what it knew is lost, nothing else. */
static bool open_store(struct keep *keep, struct err *err)
{
    STR_AUTO path = mem_printf("%s/store", keep->directory);
    enum kv_outcome outcome;

    if (mkdir(path, 0750) != 0 && errno != EEXIST)
        return err_set(err, ERR_CONFIG, "observe_directory: %s cannot be made: %s", path,
                       strerror(errno));
    outcome = kv_open(&keep->kv, path, CACHE_BYTES, err);
    if (outcome == KV_DAMAGED && kv_move_aside(path, err) &&
        (mkdir(path, 0750) == 0 || errno == EEXIST))
        outcome = kv_open(&keep->kv, path, CACHE_BYTES, err);
    return outcome == KV_DONE || err_prefix(err, "observe_directory");
}

bool keep_open(struct keep **out, const char *directory, struct err *err)
{
    struct keep *keep = *out = mem_zero(1, sizeof *keep);

    keep->directory = mem_text(directory);
    keep->lock = -1;
    if (lock_directory(keep, err) && has_room(keep, err) && open_store(keep, err))
        return true;
    keep_close(out);
    return false;
}

void keep_close(struct keep **keep)
{
    if (*keep == NULL)
        return;
    kv_close(&(*keep)->kv);
    if ((*keep)->lock >= 0)
        close((*keep)->lock);
    free((*keep)->directory);
    free(*keep);
    *keep = NULL;
}

/* ---- states ---- */

static const char *table_name(int64_t sequence)
{
    return sequence % 2 == 0 ? "flight-even" : "flight-odd";
}

struct loading {
    struct evidence *evidence;
    int64_t sequence;
    bool header, wrong;
};

static bool load_row(void *context, struct span key, struct span value, struct err *err)
{
    struct loading *loading = context;
    struct header header;

    (void)key;
    if (loading->header) {
        loading->wrong = !evidence_restore(loading->evidence, value);
    } else {
        if (value.len == sizeof header)
            memcpy(&header, value.at, sizeof header);
        loading->wrong = value.len != sizeof header || header.format != FORMAT ||
                         header.sequence != loading->sequence;
        loading->header = true;
    }
    return !loading->wrong || err_set(err, ERR_DATA, "another state");
}

bool keep_load(struct keep *keep, int64_t sequence, struct evidence *evidence, bool *found,
               struct err *err)
{
    struct loading loading = {.evidence = evidence, .sequence = sequence};
    const char *name = table_name(sequence);
    struct kv_table *table = NULL;
    enum kv_outcome outcome;

    *found = false;
    if (!kv_table_exists(keep->kv, name))
        return true;
    outcome = kv_table_open(&table, keep->kv, name, false, err);
    if (outcome == KV_DONE) {
        outcome = kv_scan(table, load_row, &loading, err);
        kv_table_close(&table);
    }
    *found = outcome == KV_DONE && loading.header;
    return true; /* what cannot be read is lost, as if it had never been kept */
}

struct saving {
    struct kv_load *load;
    uint64_t row;
    enum kv_outcome outcome;
};

static bool save_row(void *context, struct span row, struct err *err)
{
    struct saving *saving = context;
    unsigned char key[KEY_LEN];
    uint64_t number = saving->row++;

    for (int i = KEY_LEN; i-- > 0; number >>= 8)
        key[i] = (unsigned char)number;
    saving->outcome = kv_load_put(saving->load, span_of((char *)key, sizeof key), row, err);
    return saving->outcome == KV_DONE;
}

bool keep_save(struct keep *keep, int64_t sequence, const struct evidence *evidence,
               struct err *err)
{
    struct header header = {FORMAT, sequence};
    struct saving saving = {.row = 0};

    if (kv_load_begin(&saving.load, keep->kv, table_name(sequence), err) != KV_DONE)
        return err_prefix(err, "observe_directory");
    if (save_row(&saving, span_of((const char *)&header, sizeof header), err) &&
        evidence_save(evidence, save_row, &saving, err) &&
        kv_load_end(&saving.load, err) == KV_DONE)
        return true;
    kv_load_abort(&saving.load);
    return err_prefix(err, "observe_directory");
}
