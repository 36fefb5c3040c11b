/*
 * store - what the tests of kv share: a directory of their own, rows that tell their contents,
 * checks of outcomes
 */
#ifndef ROLLCALL_TEST_STORE_H
#define ROLLCALL_TEST_STORE_H

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/kv.h"
#include "tap.h"

enum { STORE_CACHE = 4 << 20 };

/* What Berkeley DB keeps for the life of a process after a panic is no leak of ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libdb-5.3";
}

static const char *const store_outcomes[] = {"done", "absent", "failed", "damaged"};

static struct err store_err; /* of the last call */

#define store_is(call, want, ...)                                                                  \
    do {                                                                                           \
        enum kv_outcome store_got = (call);                                                        \
        if (!is_text(store_outcomes[store_got], store_outcomes[want], __VA_ARGS__))                \
            printf("#  %s\n", store_err.text);                                                     \
    } while (0)

/* Removes a directory, one level of directories in it, and all files. */
static inline void store_remove(const char *path)
{
    DIR *dir = opendir(path);

    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        STR_AUTO inside = mem_printf("%s/%s", path, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (e->d_type == DT_DIR)
            store_remove(inside);
        else
            unlink(inside);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

static inline char *store_directory(void)
{
    char *path = mem_text("/tmp/rollcall-kv-XXXXXX");

    if (mkdtemp(path) == NULL) {
        printf("Bail out! no directory in /tmp\n");
        exit(1);
    }
    return path;
}

/* Row `number`: a key that sorts by number and a value that tells it. */
struct store_row {
    char key[16], value[40];
};

static inline struct store_row store_row(uint64_t number)
{
    struct store_row row;

    snprintf(row.key, sizeof row.key, "k%012llu", (unsigned long long)number % 1000000000000);
    snprintf(row.value, sizeof row.value, "value of %llu", (unsigned long long)number);
    return row;
}

static inline enum kv_outcome store_put(struct kv_txn *txn, struct kv_table *table, uint64_t number,
                                        struct err *err)
{
    struct store_row row = store_row(number);

    return kv_put(txn, table, span_text(row.key), span_text(row.value), err);
}

/* Whether the row is there with its own value: KV_DAMAGED too when it has another. */
static inline enum kv_outcome store_get(struct kv_table *table, uint64_t number, struct err *err)
{
    struct store_row row = store_row(number);
    char value[40];
    size_t len = 0;
    enum kv_outcome outcome = kv_get(table, span_text(row.key), value, sizeof value, &len, err);

    if (outcome == KV_DONE && !span_equals(span_of(value, len), row.value)) {
        err_set(err, ERR_OTHER, "row %llu has another value", (unsigned long long)number);
        return KV_DAMAGED;
    }
    return outcome;
}

#endif
