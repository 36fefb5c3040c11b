/* kv - see kv.h. How Berkeley DB behaves, and why it is used this way: README, "Design notes" */
#include "kv_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LOCKS_MOST = 100000, /* pages that one transaction may touch, with room */
    LOG_FILE = 16 << 20, /* bytes of a log file */
    LOG_BUFFER = 2 << 20,
    CHECKPOINT_KBYTES = 8192, /* log written since the last one that makes a checkpoint worth it */
    BULK_ROOM = 1 << 20,
    PAGE_LEAST = 512, /* bytes, of Berkeley DB */
    PAGE_MOST = 65536,
    PAGE_NUMBER_AT = 8, /* behind the position in the log */
};

struct kv_table {
    DB *db;
    char *name;
};

struct kv_txn {
    DB_TXN *txn;
};

/* What Berkeley DB said last in this thread; its return codes alone say little. */
static _Thread_local char last_words[256];

void kv_remember_words(const DB_ENV *env, const char *prefix, const char *text)
{
    (void)env;
    (void)prefix;
    snprintf(last_words, sizeof last_words, "%s", text);
}

/*
 * Every page but the first bears its own number. Berkeley DB does not insist on it: a page of
 * zeros, which is what a power cut leaves of a file that had grown, counts as empty, and noise that
 * looks like a first page has no checksum to be compared. Then keys are missing without a word, or
 * a search never ends. So such a page is spoilt on its way in, and its checksum tells; but for
 * recovery, which makes pages anew. Reads of the log have other sizes.
 */
static _Thread_local bool recovering;

static ssize_t read_page(int fd, void *page, size_t len, off_t at)
{
    ssize_t got = pread(fd, page, len, at);
    uint32_t number;

    if (recovering || at == 0 || got != (ssize_t)len || len < PAGE_LEAST || len > PAGE_MOST ||
        (len & (len - 1)) != 0 || (size_t)at % len != 0)
        return got;
    memcpy(&number, (const char *)page + PAGE_NUMBER_AT, sizeof number);
    if (number != (size_t)at / len)
        memset(page, 0xff, len);
    return got;
}

/* The codes after which the environment or a file cannot be trusted any more. */
static bool means_damage(int code)
{
    switch (code) {
    case DB_RUNRECOVERY:
    case DB_PAGE_NOTFOUND:
    case DB_VERIFY_BAD:
    case DB_CHKSUM_FAIL:
    case DB_VERSION_MISMATCH:
    case DB_OLD_VERSION:
    case DB_LOG_VERIFY_BAD:
    case EINVAL: /* "unexpected file type or format", LSN beyond the end of the log */
    case ENOENT: /* a file that must be there is gone */
        return true;
    default:
        return false;
    }
}

enum kv_outcome kv_failed(int code, const char *what, const char *object, struct err *err)
{
    bool damage = means_damage(code);

    err_set(err, ERR_OTHER, "replica %s: %s: %s%s%s", object, what, db_strerror(code),
            last_words[0] != '\0' ? ": " : "", last_words);
    last_words[0] = '\0';
    return damage ? KV_DAMAGED : KV_FAILED;
}

char *kv_path(const struct kv *kv, const char *name)
{
    return mem_printf("%s/%s", kv->directory, name);
}

static bool lock_directory(struct kv *kv, struct err *err)
{
    STR_AUTO path = kv_path(kv, "lock");

    if (mkdir(kv->directory, 0750) != 0 && errno != EEXIST)
        return err_set(err, ERR_OTHER, "replica %s: cannot be made: %s", kv->directory,
                       strerror(errno));
    kv->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (kv->lock < 0)
        return err_set(err, ERR_OTHER, "%s: %s", path, strerror(errno));
    if (flock(kv->lock, LOCK_EX | LOCK_NB) != 0)
        return err_set(
            err, ERR_CONFIG,
            "replica %s: another rollcall-policyd uses it; each needs its own replica_directory",
            kv->directory);
    return true;
}

static int set_up_environment(DB_ENV *env, int64_t cache_bytes)
{
    env->set_errcall(env, kv_remember_words);
    int code = env->set_cachesize(env, (u_int32_t)(cache_bytes >> 30),
                                  (u_int32_t)(cache_bytes & ((1 << 30) - 1)), 1);
    code = code != 0 ? code : env->set_lk_max_locks(env, LOCKS_MOST);
    code = code != 0 ? code : env->set_lk_max_lockers(env, 20000);
    code = code != 0 ? code : env->set_lk_max_objects(env, LOCKS_MOST);
    code = code != 0 ? code : env->set_lg_max(env, LOG_FILE);
    code = code != 0 ? code : env->set_lg_bsize(env, LOG_BUFFER);
    code = code != 0 ? code : env->set_lk_detect(env, DB_LOCK_DEFAULT);
    code = code != 0 ? code : env->set_flags(env, DB_TXN_WRITE_NOSYNC, 1);
    return code != 0 ? code : env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1);
}

/* After a failure the environment must be closed all the same. */
static int open_once(struct kv *kv, u_int32_t more_flags)
{
    const u_int32_t flags = DB_CREATE | DB_PRIVATE | DB_THREAD | DB_INIT_MPOOL | DB_INIT_LOCK |
                            DB_INIT_LOG | DB_INIT_TXN;
    int code = db_env_create(&kv->env, 0);

    code = code != 0 ? code : set_up_environment(kv->env, kv->cache_bytes);
    return code != 0 ? code : kv->env->open(kv->env, kv->directory, flags | more_flags, 0640);
}

/*
 * Twice: what recovery has read is in its cache without having been compared with its checksum, and
 * would be believed.
 */
static enum kv_outcome open_environment(struct kv *kv, struct err *err)
{
    int code = db_env_set_func_pread(read_page); /* of the whole process, always the same */

    recovering = true;
    code = code != 0 ? code : open_once(kv, DB_RECOVER);
    recovering = false;
    if (code != 0)
        return kv_failed(code, "cannot open or recover", kv->directory, err);
    code = kv->env->close(kv->env, 0);
    kv->env = NULL;
    code = code != 0 ? code : open_once(kv, 0);
    return code == 0 ? KV_DONE : kv_failed(code, "cannot open again", kv->directory, err);
}

enum kv_outcome kv_open(struct kv **out, const char *directory, int64_t cache_bytes,
                        struct err *err)
{
    struct kv *kv = mem_zero(1, sizeof *kv);

    *kv = (struct kv){.directory = mem_text(directory), .lock = -1, .cache_bytes = cache_bytes};
    enum kv_outcome outcome = lock_directory(kv, err) ? open_environment(kv, err) : KV_FAILED;
    if (outcome != KV_DONE)
        kv_close(&kv);
    *out = kv;
    return outcome;
}

void kv_close(struct kv **kv)
{
    if (*kv == NULL)
        return;
    if ((*kv)->env != NULL) {
        (*kv)->env->txn_checkpoint((*kv)->env, 0, 0, 0);
        (*kv)->env->close((*kv)->env, 0);
    }
    if ((*kv)->lock >= 0)
        close((*kv)->lock);
    free((*kv)->directory);
    free(*kv);
    *kv = NULL;
}

enum kv_outcome kv_table_open(struct kv_table **out, struct kv *kv, const char *name, bool create,
                              struct err *err)
{
    struct kv_table *table = mem_zero(1, sizeof *table);

    table->name = mem_text(name);
    int code = db_create(&table->db, kv->env, 0);
    if (code == 0 && create)
        code = table->db->set_flags(table->db, DB_CHKSUM);
    if (code == 0)
        code = table->db->open(table->db, NULL, name, NULL, DB_BTREE,
                               DB_AUTO_COMMIT | DB_THREAD | (create ? DB_CREATE : 0), 0640);
    *out = table;
    if (code == 0)
        return KV_DONE;
    enum kv_outcome outcome = kv_failed(code, "cannot open the table", name, err);
    kv_table_close(out);
    return outcome;
}

void kv_table_close(struct kv_table **table)
{
    if (*table == NULL)
        return;
    if ((*table)->db != NULL)
        (*table)->db->close((*table)->db, 0);
    free((*table)->name);
    free(*table);
    *table = NULL;
}

bool kv_table_exists(struct kv *kv, const char *name)
{
    STR_AUTO path = kv_path(kv, name);

    return access(path, F_OK) == 0;
}

enum kv_outcome kv_table_remove(struct kv *kv, const char *name, struct err *err)
{
    int code = kv->env->dbremove(kv->env, NULL, name, NULL, DB_AUTO_COMMIT);

    return code == 0 ? KV_DONE : kv_failed(code, "cannot remove the table", name, err);
}

/* Berkeley DB only reads what a key points to. */
static DBT dbt_of(struct span s)
{
    return (DBT){.data = (void *)(uintptr_t)s.at, .size = (u_int32_t)s.len};
}

enum kv_outcome kv_get(struct kv_table *table, struct span key, void *value, size_t room,
                       size_t *len, struct err *err)
{
    DBT k = dbt_of(key);
    DBT v = {.data = value, .ulen = (u_int32_t)room, .flags = DB_DBT_USERMEM};
    int code = table->db->get(table->db, NULL, &k, &v, 0);

    *len = v.size;
    if (code == 0)
        return KV_DONE;
    return code == DB_NOTFOUND ? KV_ABSENT : kv_failed(code, "cannot read", table->name, err);
}

/* Hands out the pairs of one bulk buffer. */
static bool scan_bulk(DBT *bulk, kv_row_fn *row, void *context, struct err *err)
{
    void *at, *key, *value;
    u_int32_t key_len, value_len;

    DB_MULTIPLE_INIT(at, bulk);
    for (;;) {
        DB_MULTIPLE_KEY_NEXT(at, bulk, key, key_len, value, value_len);
        if (at == NULL)
            return true;
        if (!row(context, span_of(key, key_len), span_of(value, value_len), err))
            return false;
    }
}

enum kv_outcome kv_scan(struct kv_table *table, kv_row_fn *row, void *context, struct err *err)
{
    DBC *cursor;
    DBT key = {0};
    DBT bulk = {.ulen = BULK_ROOM, .flags = DB_DBT_USERMEM};
    int code = table->db->cursor(table->db, NULL, &cursor, 0);

    if (code != 0)
        return kv_failed(code, "cannot read", table->name, err);
    bulk.data = mem_alloc(BULK_ROOM);
    bool go_on = true;
    while (go_on && (code = cursor->get(cursor, &key, &bulk, DB_NEXT | DB_MULTIPLE_KEY)) == 0)
        go_on = scan_bulk(&bulk, row, context, err);
    cursor->close(cursor);
    free(bulk.data);
    if (!go_on)
        return KV_FAILED;
    return code == DB_NOTFOUND ? KV_DONE : kv_failed(code, "cannot read", table->name, err);
}

enum kv_outcome kv_begin(struct kv *kv, struct kv_txn **txn, struct err *err)
{
    struct kv_txn *fresh = mem_zero(1, sizeof *fresh);
    int code = kv->env->txn_begin(kv->env, NULL, &fresh->txn, 0);

    *txn = NULL;
    if (code != 0) {
        free(fresh);
        return kv_failed(code, "cannot begin a transaction", kv->directory, err);
    }
    *txn = fresh;
    return KV_DONE;
}

enum kv_outcome kv_put(struct kv_txn *txn, struct kv_table *table, struct span key,
                       struct span value, struct err *err)
{
    DBT k = dbt_of(key), v = dbt_of(value);
    int code = table->db->put(table->db, txn->txn, &k, &v, 0);

    return code == 0 ? KV_DONE : kv_failed(code, "cannot write", table->name, err);
}

enum kv_outcome kv_delete(struct kv_txn *txn, struct kv_table *table, struct span key,
                          struct err *err)
{
    DBT k = dbt_of(key);
    int code = table->db->del(table->db, txn->txn, &k, 0);

    if (code == 0)
        return KV_DONE;
    return code == DB_NOTFOUND ? KV_ABSENT : kv_failed(code, "cannot delete", table->name, err);
}

enum kv_outcome kv_has(struct kv_txn *txn, struct kv_table *table, struct span key, struct err *err)
{
    DBT k = dbt_of(key);
    int code = table->db->exists(table->db, txn->txn, &k, 0);

    if (code == 0)
        return KV_DONE;
    return code == DB_NOTFOUND ? KV_ABSENT : kv_failed(code, "cannot read", table->name, err);
}

enum kv_outcome kv_commit(struct kv_txn **txn, struct err *err)
{
    int code = (*txn)->txn->commit((*txn)->txn, 0);

    free(*txn);
    *txn = NULL;
    return code == 0 ? KV_DONE : kv_failed(code, "cannot commit", "transaction", err);
}

void kv_abort(struct kv_txn **txn)
{
    if (*txn == NULL)
        return;
    (*txn)->txn->abort((*txn)->txn);
    free(*txn);
    *txn = NULL;
}

enum kv_outcome kv_checkpoint(struct kv *kv, struct err *err)
{
    int code = kv->env->txn_checkpoint(kv->env, CHECKPOINT_KBYTES, 0, 0);

    return code == 0 ? KV_DONE : kv_failed(code, "cannot make a checkpoint", kv->directory, err);
}
