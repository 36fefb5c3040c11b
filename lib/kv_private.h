/*
 * kv_private - what the files of kv share: the only include of <db.h>, and an environment's inside.
 * Nobody outside lib/kv*.c includes this.
 */
#ifndef ROLLCALL_KV_PRIVATE_H
#define ROLLCALL_KV_PRIVATE_H

#include <db.h>

#include "kv.h"

enum { KV_PAGE_SIZE = 8192 };

struct kv {
    DB_ENV *env;
    char *directory;
    int lock; /* descriptor of the flocked file */
    int64_t cache_bytes;
};

/* For set_errcall: what Berkeley DB says goes into the next kv_failed of this thread. */
void kv_remember_words(const DB_ENV *env, const char *prefix, const char *text);
/* The outcome that a return code comes to, and why in *err. */
enum kv_outcome kv_failed(int code, const char *what, const char *object,
                          struct err *err) MUST_CHECK;
/* Of a file in the environment's directory; the caller frees it. */
char *kv_path(const struct kv *kv, const char *name);
/* A failure is told on standard error alone. */
void kv_unlink(const char *path);

#endif
