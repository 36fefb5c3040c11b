/*
 * reload - the limit for loading an empty replica: sorted COPY out of PostgreSQL and a sorted bulk
 * load into Berkeley DB, and nothing else
 *
 *     bench-reload CONNINFO DIRECTORY
 *
 * DIRECTORY must not be in use. Prints one JSON object.
 */
#include "bench.h"
#include "lib/clock.h"
#include "lib/db.h"
#include "lib/kv.h"

static bool put_line(void *context, struct span line, struct err *err)
{
    struct span domain;
    int64_t id;
    char key[KV_KEY_MAX];

    if (line.len > 0 && line.at[line.len - 1] == '\n')
        line.len--;
    if (!span_next(&line, '\t', &domain) || !str_int64(domain, &id) || line.len > sizeof key - 4)
        return err_set(err, ERR_DATA, "not a line of two columns");
    for (int i = 0; i < 4; i++)
        key[i] = (char)(id >> (24 - 8 * i));
    memcpy(key + 4, line.at, line.len);
    return kv_load_put(context, span_of(key, 4 + line.len), span_of("\0", 1), err) == KV_DONE;
}

int main(int argc, char **argv)
{
    struct db *db;
    struct kv *kv;
    struct kv_load *load;
    struct err err;

    if (argc != 3)
        bench_give_up(64, "usage: bench-reload CONNINFO DIRECTORY");
    uint64_t begun = bench_now_ns();
    if (!db_open(&db,
                 &(struct db_options){.conninfo = argv[1],
                                      .timeout_us = 3600 * CLOCK_SECOND,
                                      .program = "bench-reload"},
                 &err) ||
        kv_open(&kv, argv[2], 64 << 20, &err) != KV_DONE ||
        kv_load_begin(&load, kv, "recipients", &err) != KV_DONE)
        bench_give_up(75, "%s", err.text);
    if (!db_copy_out(db,
                     "copy (select domain_id, local_part from recipient"
                     " where state in ('active', 'disabled') order by domain_id, local_part)"
                     " to stdout",
                     put_line, load, &err) ||
        kv_load_end(&load, &err) != KV_DONE)
        bench_give_up(1, "%s", err.text);
    printf("{\"seconds\":%.3f}\n", (double)(bench_now_ns() - begun) / 1e9);
    kv_close(&kv);
    db_close(&db);
    return 0;
}
