/*
 * store - the message files of a gateway's quarantine
 *
 * quarantine_directory/ab/abcdef… holds a seal, the envelope (envelope.h) and the message as they
 * came. A long message is written in tmp/ as it comes, sealed with its size and digest and renamed
 * to its shelf; another one is written on its shelf once it is whole, and then sealed. Then the
 * file and the shelf are made durable: in that order file systems with a journal need to write it
 * once. Files that come at about the same time lie on the same shelf, so that it is made durable
 * once for several (whoever records several messages does it). After a crash a file may have no
 * seal, after a power cut be less than its seal says: then nobody was told that it is kept. One
 * process owns the directory (a lock); it may be used by many threads.
 */
#ifndef ROLLCALL_STORE_H
#define ROLLCALL_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/secret.h"
#include "lib/str.h"

enum {
    STORE_NAME = 2 + 1 + 32, /* "ab/ab…" */
    STORE_SHELVES = 256,
    STORE_HELD = 64 * 1024, /* a file as long as this is not written before it is whole */
    STORE_SEAL = 22 + 20 + 1 + 2 * SECRET_DIGEST + 1, /* bytes of the seal, the first line */
};

struct store;

/* The directory is there and ours. What was half written before is removed. */
bool store_open(struct store **store, const char *directory, struct err *err) MUST_CHECK;
void store_close(struct store **store);

struct store_writing {
    struct store *store;
    int fd; /* -1: not written yet, or durable */
    struct buf
        held; /* what is to be written; once it is committed: the file, if it was not longer */
    char name[STORE_NAME + 1];
    uint64_t size; /* of the message */
    uint8_t digest[SECRET_DIGEST];
    struct secret_digesting *digesting;
    uint64_t place, failures; /* of its shelf: for store_settle */
};

/* Begins a file with what stands between the seal and the message. On any failure: ERR_TEMPORARY,
 * and nothing is left. */
bool store_begin(struct store *store, struct span front, struct store_writing *writing,
                 struct err *err) MUST_CHECK;
bool store_write(struct store_writing *writing, struct span bytes, struct err *err) MUST_CHECK;
/* Whole and on its shelf, size and digest known. It is durable once both store_sync and
 * store_settle say so, in that order; when one does not, it is to be removed. */
bool store_commit(struct store_writing *writing, struct err *err) MUST_CHECK;
/* The bytes of what is committed are durable. */
bool store_sync(struct store_writing *writing, struct err *err) MUST_CHECK;
/* Its name is, too. Cheap for all but the first of a shelf's. */
bool store_settle(const struct store_writing *writing, struct err *err) MUST_CHECK;
/* Takes back what was begun and not committed, and forgets what is held; nothing when there is
 * nothing. */
void store_abandon(struct store_writing *writing);

/* For reading; -1 and *err: ERR_DATA when it is not there. */
int store_read(struct store *store, const char *name, struct err *err);
/* What was found there, open as `fd`, is durable with its name. */
bool store_harden(struct store *store, int fd, const char *name, struct err *err) MUST_CHECK;
/* What the seal says. False: the file was never sealed, or is none of ours. */
bool store_read_seal(int fd, uint64_t *size, uint8_t digest[SECRET_DIGEST]) MUST_CHECK;
/* It being gone already is fine. */
bool store_remove(struct store *store, const char *name, struct err *err) MUST_CHECK;
/* Only if it was begun and never sealed, as after a crash. True: it was so, and is gone. */
bool store_remove_unsealed(struct store *store, const char *name) MUST_CHECK;

/* Calls `file` for every file of a shelf (0…255) with the time of its last change. */
typedef void store_file_fn(void *context, const char *name, int64_t changed_us);
bool store_list(struct store *store, unsigned shelf, store_file_fn *file, void *context,
                struct err *err) MUST_CHECK;

#endif
