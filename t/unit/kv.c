/*
 * kv: transactions, scans, bulk loads, one process at a time, moving aside. Catches a change that
 * is there before its commit or gone after it, a scan out of order, a load that leaves half a
 * table, and two daemons in one directory. What trouble does to it: kv_trouble.c.
 */
#include "lib/kv.h"

#include <pthread.h>

#include "store.h"

static void check_transactions(const char *directory)
{
    struct kv *kv;
    struct kv_table *table, *other;
    struct kv_txn *txn;
    char value[8];
    size_t len;

    store_is(kv_open(&kv, directory, STORE_CACHE, &store_err), KV_DONE, "open an empty directory");
    ok(!kv_table_exists(kv, "t"), "no table yet");
    store_is(kv_table_open(&table, kv, "t", true, &store_err), KV_DONE, "make a table");
    ok(kv_table_exists(kv, "t"), "there it is");
    store_is(store_get(table, 1, &store_err), KV_ABSENT, "nothing in it");

    store_is(kv_begin(kv, &txn, &store_err), KV_DONE, "begin");
    store_is(store_put(txn, table, 1, &store_err), KV_DONE, "put");
    store_is(kv_has(txn, table, span_text(store_row(1).key), &store_err), KV_DONE, "seen inside");
    store_is(kv_has(txn, table, span_text("x"), &store_err), KV_ABSENT, "another is not");
    store_is(kv_commit(&txn, &store_err), KV_DONE, "commit");
    ok(txn == NULL, "the transaction is over");
    store_is(store_get(table, 1, &store_err), KV_DONE, "there after the commit");

    store_is(kv_begin(kv, &txn, &store_err), KV_DONE, "begin");
    store_is(store_put(txn, table, 2, &store_err), KV_DONE, "put");
    store_is(kv_delete(txn, table, span_text(store_row(1).key), &store_err), KV_DONE, "delete");
    store_is(kv_delete(txn, table, span_text(store_row(1).key), &store_err), KV_ABSENT, "once");
    kv_abort(&txn);
    ok(txn == NULL, "aborted is over");
    kv_abort(&txn);
    store_is(store_get(table, 1, &store_err), KV_DONE, "what was deleted is there again");
    store_is(store_get(table, 2, &store_err), KV_ABSENT, "what was put is not");

    store_is(kv_begin(kv, &txn, &store_err), KV_DONE, "begin");
    store_is(kv_put(txn, table, span_text("v"), span_text("first"), &store_err), KV_DONE, "put");
    store_is(kv_put(txn, table, span_text("v"), span_of("", 0), &store_err), KV_DONE,
             "an empty value");
    store_is(kv_put(txn, table, span_of("\0\xff", 2), span_text("bytes"), &store_err), KV_DONE,
             "bytes");
    store_is(kv_commit(&txn, &store_err), KV_DONE, "commit");
    store_is(kv_get(table, span_text("v"), value, sizeof value, &len, &store_err), KV_DONE, "get");
    is_int(len, 0, "the later value");
    store_is(kv_get(table, span_of("\0\xff", 2), value, sizeof value, &len, &store_err), KV_DONE,
             "get");
    ok(len == 5 && memcmp(value, "bytes", 5) == 0, "keys are bytes");

    store_is(kv_table_open(&other, kv, "absent", false, &store_err), KV_DAMAGED,
             "a table that should be there and is not");
    ok(other == NULL, "no table");
    store_is(kv_open((struct kv *[]){NULL}, directory, STORE_CACHE, &store_err), KV_FAILED,
             "the directory is taken");
    store_is(kv_checkpoint(kv, &store_err), KV_DONE, "checkpoint");
    kv_table_close(&table);
    kv_close(&kv);
    ok(table == NULL && kv == NULL, "closed");
    kv_close(&kv);
}

static void check_taken(const char *directory)
{
    struct kv *first, *second;

    store_is(kv_open(&first, directory, STORE_CACHE, &store_err), KV_DONE, "open");
    is_int(kv_open(&second, directory, STORE_CACHE, &store_err), KV_FAILED, "open it once more");
    ok(store_err.class == ERR_CONFIG && second == NULL &&
           strstr(store_err.text, "replica_directory") != NULL,
       "says what to do: %s", store_err.text);
    kv_close(&first);
    is_int(kv_open(&second, "/nonexistent/x", STORE_CACHE, &store_err), KV_FAILED,
           "no such directory");
    ok(strstr(store_err.text, "/nonexistent/x") != NULL, "names it: %s", store_err.text);
}

/* ---- scans and persistence */

struct scan {
    uint64_t rows, wrong, stop_at;
    char last[16];
};

static bool take_row(void *context, struct span key, struct span value, struct err *err)
{
    struct scan *scan = context;
    char text[sizeof scan->last] = "";
    unsigned long long number = 0;

    memcpy(text, key.at, key.len < sizeof text - 1 ? key.len : sizeof text - 1);
    sscanf(text, "k%llu", &number);
    scan->wrong += !span_equals(value, store_row(number).value) || strcmp(scan->last, text) >= 0;
    memcpy(scan->last, text, sizeof text);
    return ++scan->rows != scan->stop_at || err_set(err, ERR_OTHER, "far enough");
}

static void put_rows(struct kv *kv, struct kv_table *table, uint64_t from, uint64_t to)
{
    struct kv_txn *txn;
    enum kv_outcome outcome = kv_begin(kv, &txn, &store_err);

    /* in an order that is not the keys' */
    for (uint64_t i = from; outcome == KV_DONE && i < to; i++)
        outcome = store_put(txn, table, from + (i - from) * 7919 % (to - from), &store_err);
    if (outcome == KV_DONE)
        outcome = kv_commit(&txn, &store_err);
    kv_abort(&txn);
    is_int(outcome, KV_DONE, "%d rows in a transaction %s", (int)(to - from), store_err.text);
}

static void check_scan(const char *directory)
{
    enum { ROWS = 30000 };
    struct kv *kv;
    struct kv_table *table;
    struct scan all = {0}, some = {.stop_at = 10}, none = {0};

    store_is(kv_open(&kv, directory, STORE_CACHE, &store_err), KV_DONE, "open");
    store_is(kv_table_open(&table, kv, "rows", true, &store_err), KV_DONE, "make a table");
    store_is(kv_scan(table, take_row, &none, &store_err), KV_DONE, "scan an empty table");
    put_rows(kv, table, 0, ROWS);
    kv_table_close(&table);
    kv_close(&kv);

    store_is(kv_open(&kv, directory, STORE_CACHE, &store_err), KV_DONE, "open again");
    store_is(kv_table_open(&table, kv, "rows", false, &store_err), KV_DONE, "and the table");
    store_is(kv_scan(table, take_row, &all, &store_err), KV_DONE, "scan");
    ok(all.rows == ROWS && all.wrong == 0 && none.rows == 0, "every row, in order of the keys");
    store_is(kv_scan(table, take_row, &some, &store_err), KV_FAILED,
             "a scan that its caller stops");
    ok(some.rows == 10 && strcmp(store_err.text, "far enough") == 0, "stops there, for its reason");
    kv_table_close(&table);
    store_is(kv_table_remove(kv, "rows", &store_err), KV_DONE, "remove the table");
    ok(!kv_table_exists(kv, "rows"), "it is gone");
    kv_close(&kv);
}

/* ---- bulk loads */

static enum kv_outcome load_rows(struct kv_load *load, uint64_t rows, struct err *err)
{
    enum kv_outcome outcome = KV_DONE;

    for (uint64_t i = 0; outcome == KV_DONE && i < rows; i++) {
        struct store_row row = store_row(i);
        outcome = kv_load_put(load, span_text(row.key), span_text(row.value), err);
    }
    return outcome;
}

static void check_load(const char *directory)
{
    enum { ROWS = 300000 };
    struct kv *kv;
    struct kv_load *load;
    struct kv_table *table;
    struct scan all = {0}, few = {0};
    char large[KV_VALUE_MAX + 1] = "";

    store_is(kv_open(&kv, directory, STORE_CACHE, &store_err), KV_DONE, "open");
    store_is(kv_load_begin(&load, kv, "big", &store_err), KV_DONE, "begin a load");
    store_is(load_rows(load, ROWS, &store_err), KV_DONE, "put 300000 rows");
    store_is(kv_load_end(&load, &store_err), KV_DONE, "end it");
    ok(load == NULL, "the load is over");
    store_is(kv_table_open(&table, kv, "big", false, &store_err), KV_DONE, "open what was loaded");
    store_is(kv_scan(table, take_row, &all, &store_err), KV_DONE, "scan it");
    ok(all.rows == ROWS && all.wrong == 0, "every row, in order");
    store_is(store_get(table, ROWS / 2, &store_err), KV_DONE, "get one");
    put_rows(kv, table, ROWS, ROWS + 1000);
    store_is(store_get(table, ROWS + 1, &store_err), KV_DONE,
             "it changes in transactions as any other");
    kv_table_close(&table);

    store_is(kv_load_begin(&load, kv, "half", &store_err), KV_DONE, "begin another");
    store_is(load_rows(load, ROWS / 10, &store_err), KV_DONE, "put some");
    kv_load_abort(&load);
    ok(load == NULL && !kv_table_exists(kv, "half"), "abort leaves nothing");
    kv_load_abort(&load);

    store_is(kv_load_begin(&load, kv, "big", &store_err), KV_DONE, "over one that is there");
    store_is(load_rows(load, 10, &store_err), KV_DONE, "put ten");
    store_is(kv_load_put(load, span_text("k9"), span_of(large, sizeof large), &store_err),
             KV_FAILED, "a row too large is refused");
    store_is(kv_load_put(load, span_text("k99999"), span_of(large, KV_VALUE_MAX), &store_err),
             KV_DONE, "the largest is taken");
    kv_load_abort(&load);
    ok(!kv_table_exists(kv, "big"), "what was there is gone too");
    store_is(kv_load_begin(&load, kv, "big", &store_err), KV_DONE, "once more");
    store_is(load_rows(load, 10, &store_err), KV_DONE, "put ten");
    store_is(kv_load_end(&load, &store_err), KV_DONE, "end it");
    store_is(kv_table_open(&table, kv, "big", false, &store_err), KV_DONE, "open it");
    store_is(kv_scan(table, take_row, &few, &store_err), KV_DONE, "scan it");
    is_int(few.rows, 10, "only the new rows");
    kv_table_close(&table);
    store_is(kv_load_begin(&load, kv, "empty", &store_err), KV_DONE, "an empty one");
    store_is(kv_load_end(&load, &store_err), KV_DONE, "ends");
    store_is(kv_table_open(&table, kv, "empty", false, &store_err), KV_DONE, "and opens");
    kv_table_close(&table);
    kv_close(&kv);
}

/* ---- threads: one writes, others read */

enum { PAIRS = 500, READERS = 2 };

static struct {
    struct kv_table *table;
    _Atomic bool stop;
    _Atomic long wrong, reads;
} play;

static void *read_many(void *argument)
{
    struct err err;

    for (uint64_t i = 0; !play.stop; i++) {
        play.wrong += store_get(play.table, i % 100, &err) != KV_DONE;
        play.reads++;
    }
    return argument;
}

static void check_threads(const char *directory)
{
    pthread_t readers[READERS];
    struct kv *kv;

    store_is(kv_open(&kv, directory, STORE_CACHE, &store_err), KV_DONE, "open");
    store_is(kv_table_open(&play.table, kv, "shared", true, &store_err), KV_DONE, "make a table");
    put_rows(kv, play.table, 0, 100);
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_many, NULL);
    for (uint64_t i = 1; i < 60 || play.reads < 1000; i++)
        put_rows(kv, play.table, 0, 100 * (1 + i % 20));
    play.stop = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    is_int(play.wrong, 0, "readers beside a writer always found their rows");
    kv_table_close(&play.table);
    kv_close(&kv);
}

static void make_file(const char *directory, const char *name)
{
    STR_AUTO path = mem_printf("%s/%s", directory, name);
    FILE *file = fopen(path, "we");

    ok(file != NULL, "make %s", name);
    if (file != NULL)
        fclose(file);
}

static bool is_file(const char *directory, const char *name)
{
    STR_AUTO path = mem_printf("%s/%s", directory, name);

    return access(path, F_OK) == 0;
}

static void check_move_aside(const char *directory)
{
    struct kv *kv;
    struct kv_table *table;

    make_file(directory, "first");
    ok(kv_move_aside(directory, &store_err), "move aside %s", store_err.text);
    ok(is_file(directory, "damaged/first") && !is_file(directory, "first"), "it was moved");
    ok(is_file(directory, "lock"), "but not what keeps others out");
    make_file(directory, "second");
    ok(kv_move_aside(directory, &store_err), "move aside again %s", store_err.text);
    ok(is_file(directory, "damaged/second") && !is_file(directory, "damaged/first"),
       "what lay aside before is gone");
    store_is(kv_open(&kv, directory, STORE_CACHE, &store_err), KV_DONE, "the directory is as new");
    store_is(kv_table_open(&table, kv, "t", false, &store_err), KV_DAMAGED,
             "without the old tables");
    kv_close(&kv);
    ok(!kv_move_aside("/nonexistent", &store_err) && strstr(store_err.text, "/nonexistent") != NULL,
       "a directory that is not there: %s", store_err.text);
}

int main(void)
{
    char *directory = store_directory();

    check_transactions(directory);
    check_taken(directory);
    check_scan(directory);
    check_load(directory);
    check_threads(directory);
    check_move_aside(directory);
    store_remove(directory);
    free(directory);
    return tap_done();
}
