/*
 * kv - a durable sorted store: Berkeley DB, as one private environment; the only user of libdb
 *
 * One process at a time (flock on the directory), many threads, one of which writes. Commits reach
 * the operating system before they return, so that they survive a killed process; they are not
 * flushed to the disk each time, since PostgreSQL has the truth: after a power cut the store is
 * merely some commits older, and whole. Pages carry checksums; damage shows as KV_DAMAGED, after
 * which only kv_close helps.
 */
#ifndef ROLLCALL_KV_H
#define ROLLCALL_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

struct kv;       /* the environment */
struct kv_table; /* one btree in it, one file */
struct kv_txn;
struct kv_load;

enum kv_outcome { KV_DONE, KV_ABSENT, KV_FAILED /* disk full and the like */, KV_DAMAGED };

enum { KV_KEY_MAX = 512, KV_VALUE_MAX = 1024 };

/* Creates the directory's environment when there is none; recovers it when the last process was
 * killed. */
enum kv_outcome kv_open(struct kv **kv, const char *directory, int64_t cache_bytes,
                        struct err *err) MUST_CHECK;
void kv_close(
    struct kv **kv); /* checkpoint and close; NULL allowed. Tables must be closed before. */

enum kv_outcome kv_table_open(struct kv_table **table, struct kv *kv, const char *name, bool create,
                              struct err *err) MUST_CHECK;
void kv_table_close(struct kv_table **table);
/* Whether that table's file is there. */
bool kv_table_exists(struct kv *kv, const char *name);
/* Removes a closed table. */
enum kv_outcome kv_table_remove(struct kv *kv, const char *name, struct err *err) MUST_CHECK;

/* From any thread. Copies at most `room` bytes of the value. */
enum kv_outcome kv_get(struct kv_table *table, struct span key, void *value, size_t room,
                       size_t *len, struct err *err) MUST_CHECK;

/* Reads the whole table in key order, outside transactions; `row` returns false to stop (err
 * filled). */
typedef bool kv_row_fn(void *context, struct span key, struct span value, struct err *err);
enum kv_outcome kv_scan(struct kv_table *table, kv_row_fn *row, void *context,
                        struct err *err) MUST_CHECK;

/* A transaction; from one thread at a time. After a failure only kv_abort. */
enum kv_outcome kv_begin(struct kv *kv, struct kv_txn **txn, struct err *err) MUST_CHECK;
enum kv_outcome kv_put(struct kv_txn *txn, struct kv_table *table, struct span key,
                       struct span value, struct err *err) MUST_CHECK;
/* KV_ABSENT when there was none. */
enum kv_outcome kv_delete(struct kv_txn *txn, struct kv_table *table, struct span key,
                          struct err *err) MUST_CHECK;
/* Whether the key is there, as this transaction sees it. */
enum kv_outcome kv_has(struct kv_txn *txn, struct kv_table *table, struct span key,
                       struct err *err) MUST_CHECK;
enum kv_outcome kv_commit(struct kv_txn **txn,
                          struct err *err) MUST_CHECK; /* nulls in every case */
void kv_abort(struct kv_txn **txn);                    /* NULL allowed */

/* Bounds what recovery must read; old logs go. Cheap when little was written. */
enum kv_outcome kv_checkpoint(struct kv *kv, struct err *err) MUST_CHECK;

/*
 * Writes a whole new table from keys in ascending order, outside the environment's log, on the side
 * of what is in use. The file is complete on disk once kv_load_end says KV_DONE; an unfinished one
 * is removed.
 */
enum kv_outcome kv_load_begin(struct kv_load **load, struct kv *kv, const char *name,
                              struct err *err) MUST_CHECK;
enum kv_outcome kv_load_put(struct kv_load *load, struct span key, struct span value,
                            struct err *err) MUST_CHECK;
enum kv_outcome kv_load_end(struct kv_load **load, struct err *err) MUST_CHECK;
void kv_load_abort(struct kv_load **load);

/* Whether the disk takes a megabyte more: on a full one, recovery fails as if there were damage. */
bool kv_has_room(const char *directory);

/* Moves what a directory holds, its environment closed, to DIRECTORY/damaged (what lay there is
 * removed). */
bool kv_move_aside(const char *directory, struct err *err) MUST_CHECK;

#endif
