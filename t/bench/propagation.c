/*
 * propagation - how long after COMMIT a change is known: to a client that listens (raw), and to the
 * gateway's answers (live)
 *
 *     bench-propagation CONNINFO ROUNDS FIRST raw
 *     bench-propagation CONNINFO ROUNDS FIRST ADDRESS
 *
 * Each round puts one recipient, p<FIRST + round>@d000.test, on the roll. The transaction is
 * prepared; the clock starts when COMMIT is sent. Raw: until NOTIFY has arrived at another
 * connection. Live: until the policy server at ADDRESS accepts the recipient; it is asked every
 * 50 us. Prints one JSON object.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "bench.h"
#include "histogram.h"
#include "lib/clock.h"
#include "lib/db.h"

enum { DEADLINE_SECONDS = 20, PAUSE_US = 5000, ASK_EVERY_US = 50 };

struct round {
    struct db *listener; /* raw; else NULL */
    int policy;          /* live: the connection that asks */
    char recipient[64];
    _Atomic bool ready; /* whoever waits is waiting */
    uint64_t known_at;  /* ns; 0: never */
};

static struct db *connect_db(const char *conninfo)
{
    struct db *db;
    struct err err;

    if (!db_open(&db,
                 &(struct db_options){.conninfo = conninfo,
                                      .timeout_us = DEADLINE_SECONDS * CLOCK_SECOND,
                                      .program = "bench-propagation"},
                 &err))
        bench_give_up(75, "%s", err.text);
    return db;
}

static void run_sql(struct db *db, const char *sql)
{
    struct err err;

    if (!db_script(db, sql, &err))
        bench_give_up(1, "%s", err.text);
}

static void wait_notify(struct round *r)
{
    struct err err;
    bool notified = false;

    atomic_store(&r->ready, true);
    if (!db_wait_notify(r->listener, DEADLINE_SECONDS * CLOCK_SECOND, &notified, &err))
        bench_give_up(75, "%s", err.text);
    r->known_at = notified ? bench_now_ns() : 0;
}

static void wait_accepted(struct round *r)
{
    char action[256] = "";
    uint64_t end = bench_now_ns() + (uint64_t)DEADLINE_SECONDS * 1000000000;

    while (bench_now_ns() < end) {
        if (!bench_ask(r->policy, r->recipient, action, sizeof action))
            bench_give_up(1, "the policy server disconnected");
        if (strcmp(action, "DUNNO") == 0) {
            r->known_at = bench_now_ns();
            return;
        }
        atomic_store(&r->ready, true);
        bench_sleep_us(ASK_EVERY_US);
    }
}

static void *wait_for_it(void *argument)
{
    struct round *r = argument;

    r->known_at = 0;
    if (r->listener != NULL)
        wait_notify(r);
    else
        wait_accepted(r);
    return NULL;
}

/* Microseconds from COMMIT until it was known. */
static uint64_t measure_round(struct db *db, struct round *r, int64_t number)
{
    pthread_t thread;
    STR_AUTO sql = mem_printf("begin; do $$ begin perform roll_begin('bench'); end $$;"
                              "insert into recipient (domain_id, local_part, kind)"
                              " select id, 'p%lld', 'group' from domain where name = 'd000.test'",
                              (long long)number);

    snprintf(r->recipient, sizeof r->recipient, "p%lld@d000.test", (long long)number);
    atomic_store(&r->ready, false);
    run_sql(db, sql);
    if (pthread_create(&thread, NULL, wait_for_it, r) != 0)
        bench_give_up(1, "a thread cannot be started");
    while (!atomic_load(&r->ready))
        bench_sleep_us(20);
    bench_sleep_us(PAUSE_US);
    uint64_t begun = bench_now_ns();
    run_sql(db, "commit");
    pthread_join(thread, NULL);
    if (r->known_at == 0)
        bench_give_up(1, "%s was not known within %d s", r->recipient, DEADLINE_SECONDS);
    return r->known_at - begun;
}

static void print(const struct histogram *h)
{
    printf("{\"changes\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"most_us\":%.1f}\n",
           (unsigned long long)h->count, (double)histogram_percentile(h, 0.5) / 1e3,
           (double)histogram_percentile(h, 0.99) / 1e3, (double)h->most / 1e3);
}

int main(int argc, char **argv)
{
    static struct histogram latency;
    struct round r = {.policy = -1};

    if (argc != 5)
        bench_give_up(64, "usage: bench-propagation CONNINFO ROUNDS FIRST raw|ADDRESS");
    int64_t rounds = bench_whole("ROUNDS", argv[2], 1, 1000000);
    int64_t first = bench_whole("FIRST", argv[3], 0, INT32_MAX);
    struct db *db = connect_db(argv[1]);
    if (strcmp(argv[4], "raw") == 0) {
        r.listener = connect_db(argv[1]);
        run_sql(r.listener, "listen rollcall");
    } else {
        struct conf_address address = bench_address(argv[4]);
        r.policy = bench_connect(&address);
        if (r.policy < 0)
            bench_give_up(1, "%s: %s", argv[4], strerror(errno));
    }
    for (int64_t i = 0; i < rounds; i++)
        histogram_add(&latency, measure_round(db, &r, first + i));
    print(&latency);
    db_close(&r.listener);
    db_close(&db);
    if (r.policy >= 0)
        close(r.policy);
    return 0;
}
