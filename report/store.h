/*
 * store - the message files of a gateway's quarantine
 *
 * quarantine_directory/ab/abcdef… holds envelope (envelope.h) and message as they came. A file is
 * written in tmp/, then made durable, then renamed, then its directory made durable: what has a
 * name is whole. One process owns the directory (a lock); it may be used by many threads.
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
};

struct store;

/* The directory is there and ours. What was half written before is removed. */
bool store_open(struct store **store, const char *directory, struct err *err) MUST_CHECK;
void store_close(struct store **store);

struct store_writing {
    struct store *store;
    int fd;
    char name[STORE_NAME + 1];
    uint64_t size; /* of the message */
    uint8_t digest[SECRET_DIGEST];
    struct secret_digesting *digesting;
};

/* Begins a file with what stands in front of the message. On any failure: ERR_TEMPORARY, and
 * nothing is left. */
bool store_begin(struct store *store, struct span front, struct store_writing *writing,
                 struct err *err) MUST_CHECK;
bool store_write(struct store_writing *writing, struct span bytes, struct err *err) MUST_CHECK;
/* Durable under its name, size and digest known. */
bool store_commit(struct store_writing *writing, struct err *err) MUST_CHECK;
/* Takes back what was begun and not committed; nothing when there is nothing. */
void store_abandon(struct store_writing *writing);

/* For reading; -1 and *err: ERR_DATA when it is not there. */
int store_read(struct store *store, const char *name, struct err *err);
/* It being gone already is fine. */
bool store_remove(struct store *store, const char *name, struct err *err) MUST_CHECK;

/* Calls `file` for every file of a shelf (0…255) with the time of its last change. */
typedef void store_file_fn(void *context, const char *name, int64_t changed_us);
bool store_list(struct store *store, unsigned shelf, store_file_fn *file, void *context,
                struct err *err) MUST_CHECK;

#endif
