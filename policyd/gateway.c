/* gateway - see gateway.h */
#include "policyd/gateway.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/db.h"
#include "lib/log.h"
#include "policyd/feed.h"
#include "policyd/settings.h"

static const int64_t RETRY_MOST = 5 * CLOCK_SECOND;

struct gateway {
    struct gateway_options options;
    pthread_t thread;
    int wake_fd, stop_fd;
    struct db *db;
    bool told; /* the present trouble is logged */
    struct settings settings;
    char started_at[32];
};

/* Not part of the roll: the row may be lost in a crash, it is written again in seconds. */
static const char SESSION[] = "set synchronous_commit = off";

static const char UPSERT[] =
    "insert into gateway (name, version, uuid, domains, recipients, age_ms, answers, refused,"
    " deferred, program, started_at, seen_at, trouble)"
    " values ($1, $2::bigint, $3::uuid, $4::bigint, $5::bigint, $6::bigint, $7::bigint,"
    " $8::bigint, $9::bigint, $10, $11::timestamptz, clock_timestamp(), $12)"
    " on conflict (name) do update set version = excluded.version, uuid = excluded.uuid,"
    " domains = excluded.domains, recipients = excluded.recipients, age_ms = excluded.age_ms,"
    " answers = excluded.answers, refused = excluded.refused, deferred = excluded.deferred,"
    " program = excluded.program, started_at = excluded.started_at, seen_at = excluded.seen_at,"
    " trouble = excluded.trouble";

enum { NUMBER = 24 };

static const char *number(char out[NUMBER], uint64_t value)
{
    snprintf(out, NUMBER, "%llu", (unsigned long long)value);
    return out;
}

static bool write_row(struct gateway *g, struct err *err)
{
    const struct policy *p = g->options.policy;
    struct replica_figures f;
    char uuid[FEED_UUID_TEXT], version[NUMBER], domains[NUMBER], recipients[NUMBER], age[NUMBER],
        answers[NUMBER], refused[NUMBER], deferred[NUMBER];
    uint64_t sums[ANSWER_ACTIONS], all = 0;

    replica_figures(g->options.replica, &f);
    int64_t age_us = replica_age_us(g->options.replica, clock_elapsed_us());
    feed_uuid_text(uuid, f.position.uuid);
    for (size_t i = 0; i < ANSWER_ACTIONS; i++)
        all += sums[i] = policy_action_total(p, i);
    return db_exec(g->db, UPSERT,
                   DB_VALUES(g->options.name, number(version, (uint64_t)f.position.version),
                             f.position.version > 0 ? uuid : NULL, number(domains, f.domains),
                             number(recipients, f.recipients),
                             age_us == INT64_MAX ? NULL : number(age, (uint64_t)age_us / 1000),
                             number(answers, all),
                             number(refused, sums[ACTION_REJECT] + sums[ACTION_REJECT_POLICY] +
                                                 sums[ACTION_REJECT_SENDER]),
                             number(deferred, sums[ACTION_DEFER]),
                             "rollcall-policyd " ROLLCALL_VERSION, g->started_at,
                             f.disk_behind ? "the replica on disk cannot be written" : ""),
                   NULL, err);
}

static bool connect_primary(struct gateway *g, struct err *err)
{
    struct db_options options = {.conninfo = g->options.conninfo,
                                 .target = DB_PRIMARY,
                                 .timeout_us = g->options.timeout_us,
                                 .program = "rollcall-policyd gateway",
                                 .interrupt = g->stop_fd};

    return db_open(&g->db, &options, err) && db_script(g->db, SESSION, err);
}

/* True unless it failed. */
static bool write_once(struct gateway *g)
{
    struct err err;

    if ((g->db != NULL || connect_primary(g, &err)) && write_row(g, &err)) {
        g->told = false;
        return true;
    }
    if (!g->told)
        log_write(LOG_GATEWAY_ROW, "%s", err.text);
    g->told = true;
    db_close(&g->db);
    return false;
}

/* False: the end. */
static bool wait_for_work(struct gateway *g, bool well)
{
    struct pollfd fds[2] = {{.fd = g->stop_fd, .events = POLLIN},
                            {.fd = g->wake_fd, .events = POLLIN}};
    int64_t wait = g->settings.gateway_interval_us;
    eventfd_t ignored;

    if (!well && wait > RETRY_MOST)
        wait = RETRY_MOST;
    /* in trouble a change is no reason to try at once again */
    poll(fds, well ? 2 : 1, (int)(wait / 1000));
    eventfd_read(g->wake_fd, &ignored);
    return fds[0].revents == 0;
}

static void *run(void *context)
{
    struct gateway *g = context;

    pthread_setname_np(pthread_self(), "gateway");
    do
        settings_refresh(&g->settings);
    while (wait_for_work(g, write_once(g)));
    db_close(&g->db);
    return NULL;
}

struct gateway *gateway_start(const struct gateway_options *options)
{
    struct gateway *g = mem_zero(1, sizeof *g);

    g->options = *options;
    clock_rfc3339(g->started_at, sizeof g->started_at, clock_wall_us());
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    settings_refresh(&g->settings);
    if (g->wake_fd < 0 || g->stop_fd < 0 || pthread_create(&g->thread, NULL, run, g) != 0)
        abort();
    return g;
}

void gateway_wake(struct gateway *gateway)
{
    eventfd_write(gateway->wake_fd, 1);
}

void gateway_stop(struct gateway **gateway)
{
    struct gateway *g = *gateway;

    if (g == NULL)
        return;
    eventfd_write(g->stop_fd, 1);
    pthread_join(g->thread, NULL);
    close(g->stop_fd);
    close(g->wake_fd);
    free(g);
    *gateway = NULL;
}
