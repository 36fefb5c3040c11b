/*
 * kv_load - see kv.h; here: a table that is written at once, sorted, outside the environment
 *
 * Nobody reads it before it is complete: no log, no locks, and what was interrupted is removed.
 */
#include "kv_private.h"

#include <stdlib.h>
#include <string.h>

enum { BULK_ROOM = 1 << 20, LOAD_CACHE = 32 << 20 };

struct kv_load {
    DB *db;
    char *path, *name;
    void *bulk; /* DB_MULTIPLE_KEY buffer being filled */
    DBT bulk_dbt;
    void *cursor; /* place in it; NULL: not begun */
};

static void bulk_reset(struct kv_load *load)
{
    load->bulk_dbt =
        (DBT){.data = load->bulk, .ulen = BULK_ROOM, .flags = DB_DBT_USERMEM | DB_DBT_BULK};
    load->cursor = NULL;
}

enum kv_outcome kv_load_begin(struct kv_load **out, struct kv *kv, const char *name,
                              struct err *err)
{
    struct kv_load *load = mem_zero(1, sizeof *load);

    load->path = kv_path(kv, name);
    load->name = mem_text(name);
    load->bulk = mem_alloc(BULK_ROOM);
    bulk_reset(load);
    kv_unlink(load->path);
    int code = db_create(&load->db, NULL, 0);
    if (code == 0) {
        load->db->set_errcall(load->db, kv_remember_words);
        code = load->db->set_cachesize(load->db, 0, LOAD_CACHE, 1);
    }
    code = code != 0 ? code : load->db->set_flags(load->db, DB_CHKSUM);
    code = code != 0 ? code : load->db->set_pagesize(load->db, KV_PAGE_SIZE);
    code = code != 0 ? code
                     : load->db->open(load->db, NULL, load->path, NULL, DB_BTREE,
                                      DB_CREATE | DB_EXCL, 0640);
    *out = load;
    if (code == 0)
        return KV_DONE;
    enum kv_outcome outcome = kv_failed(code, "cannot make the table", name, err);
    kv_load_abort(out);
    return outcome;
}

static enum kv_outcome bulk_flush(struct kv_load *load, struct err *err)
{
    if (load->cursor == NULL)
        return KV_DONE;
    int code = load->db->put(load->db, NULL, &load->bulk_dbt, NULL, DB_MULTIPLE_KEY);
    bulk_reset(load);
    return code == 0 ? KV_DONE : kv_failed(code, "cannot write", load->name, err);
}

/* One try; false when the buffer is full. */
static bool bulk_add(struct kv_load *load, struct span key, struct span value)
{
    void *key_at, *value_at;

    if (load->cursor == NULL)
        DB_MULTIPLE_WRITE_INIT(load->cursor, &load->bulk_dbt);
    DB_MULTIPLE_KEY_RESERVE_NEXT(load->cursor, &load->bulk_dbt, key_at, key.len, value_at,
                                 value.len);
    if (key_at == NULL || value_at == NULL)
        return false;
    memcpy(key_at, key.at, key.len);
    memcpy(value_at, value.at, value.len);
    return true;
}

enum kv_outcome kv_load_put(struct kv_load *load, struct span key, struct span value,
                            struct err *err)
{
    if (key.len > KV_KEY_MAX || value.len > KV_VALUE_MAX) {
        err_set(err, ERR_OTHER, "replica %s: a row of %zu + %zu bytes is too large", load->name,
                key.len, value.len);
        return KV_FAILED;
    }
    if (bulk_add(load, key, value))
        return KV_DONE;
    enum kv_outcome outcome = bulk_flush(load, err);
    if (outcome == KV_DONE)
        bulk_add(load, key, value); /* an empty buffer has room for any row */
    return outcome;
}

enum kv_outcome kv_load_end(struct kv_load **load, struct err *err)
{
    enum kv_outcome outcome = bulk_flush(*load, err);

    if (outcome == KV_DONE) {
        int code = (*load)->db->close((*load)->db, 0); /* writes and flushes to the disk */
        (*load)->db = NULL;
        outcome = code == 0 ? KV_DONE : kv_failed(code, "cannot be completed", (*load)->name, err);
    }
    if (outcome == KV_DONE)
        (*load)->path[0] = '\0'; /* keep the file */
    kv_load_abort(load);
    return outcome;
}

void kv_load_abort(struct kv_load **load)
{
    struct kv_load *l = *load;

    if (l == NULL)
        return;
    if (l->db != NULL)
        l->db->close(l->db, DB_NOSYNC);
    if (l->path[0] != '\0')
        kv_unlink(l->path);
    free(l->bulk);
    free(l->path);
    free(l->name);
    free(l);
    *load = NULL;
}
