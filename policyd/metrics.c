/* metrics - see metrics.h */
#include "policyd/metrics.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/disk.h"
#include "lib/log.h"
#include "policyd/settings.h"

enum { SIGNALS = 3, HTTP_TIMEOUT = 10 /* seconds */, HTTP_BODY_MOST = 4096 };

struct metrics {
    struct event_base *base;
    struct evhttp *http;
    struct event *signals[SIGNALS];
    struct event *watchdog; /* NULL: systemd has none for us */
    struct metrics_options options;
    struct settings settings;
    const char *ended_by;
};

/* All that is told is read at once, so that one page does not contradict itself. */
struct snapshot {
    struct replica_figures replica;
    struct server_figures server;
    int64_t age_us, now_us;
    bool connected;
    int64_t failing_since;
    uint64_t malformed, shadowed;
    struct disk disk;
    bool disk_known;
};

static void take_snapshot(const struct metrics *m, struct snapshot *s)
{
    const struct metrics_options *o = &m->options;
    struct err ignored;

    replica_figures(o->replica, &s->replica);
    server_figures(o->server, &s->server);
    s->now_us = clock_elapsed_us();
    s->age_us = replica_age_us(o->replica, s->now_us);
    s->connected = follower_connected(o->follower);
    s->failing_since = follower_failing_since(o->follower);
    s->malformed = atomic_load(&o->policy->malformed);
    s->shadowed = policy_shadowed(o->policy);
    s->disk_known = disk_look(o->replica_directory, &s->disk, &ignored);
}

/* ---- the families of one number each ---- */

static double age_seconds(const struct snapshot *s)
{
    return s->age_us == INT64_MAX ? -1 : (double)s->age_us / CLOCK_SECOND;
}
#define FAMILY_VALUE(name, expression)                                                             \
    static double name(const struct snapshot *s)                                                   \
    {                                                                                              \
        return (double)(expression);                                                               \
    }
FAMILY_VALUE(version, s->replica.position.version)
FAMILY_VALUE(domains, s->replica.domains)
FAMILY_VALUE(recipients, s->replica.recipients)
FAMILY_VALUE(refusals, s->replica.refusals)
FAMILY_VALUE(sender_rules, s->replica.sender_rules)
FAMILY_VALUE(index_size, s->replica.index_bytes)
FAMILY_VALUE(in_memory, s->replica.in_memory)
FAMILY_VALUE(disk_behind, s->replica.disk_behind)
FAMILY_VALUE(free_bytes, s->disk_known ? (double)s->disk.free_bytes : -1)
FAMILY_VALUE(free_percent, s->disk_known ? disk_percent(&s->disk) : -1)
FAMILY_VALUE(batches, s->replica.batches)
FAMILY_VALUE(rows, s->replica.rows)
FAMILY_VALUE(loads, s->replica.loads)
FAMILY_VALUE(damages, s->replica.damages)
FAMILY_VALUE(write_failures, s->replica.write_failures)
FAMILY_VALUE(connected, s->connected)
FAMILY_VALUE(failing, s->failing_since == 0 ? 0 : (s->now_us - s->failing_since) / CLOCK_SECOND)
FAMILY_VALUE(connections, s->server.connections)
FAMILY_VALUE(accepted, s->server.accepted)
FAMILY_VALUE(late, s->server.late)
FAMILY_VALUE(idle_closed, s->server.idle_closed)
FAMILY_VALUE(accept_pauses, s->server.accept_pauses)
FAMILY_VALUE(malformed, s->malformed)
FAMILY_VALUE(shadowed, s->shadowed)

static const struct family {
    const char *name, *type, *help;
    double (*value)(const struct snapshot *snapshot);
} families[] = {
    {"rollcall_replica_age_seconds", "gauge",
     "Since PostgreSQL last confirmed this replica; -1: never did.", age_seconds},
    {"rollcall_replica_version", "gauge", "Changeset version that the replica holds.", version},
    {"rollcall_replica_domains", "gauge", "Domains in the replica, tombstones included.", domains},
    {"rollcall_replica_recipients", "gauge", "Recipients in the replica.", recipients},
    {"rollcall_replica_refusals", "gauge",
     "Addresses not on the roll that the customers' servers refused lately.", refusals},
    {"rollcall_replica_sender_rules", "gauge",
     "Sender rules in memory, one for each address (reject_blocked_senders).", sender_rules},
    {"rollcall_replica_index_bytes", "gauge", "Memory of the index.", index_size},
    {"rollcall_replica_in_memory", "gauge", "1 when the index answers, 0 while the disk does.",
     in_memory},
    {"rollcall_replica_disk_behind", "gauge", "1 while the replica on disk cannot be written.",
     disk_behind},
    {"rollcall_replica_free_bytes", "gauge",
     "Room on the disk of replica_directory; -1: cannot be told.", free_bytes},
    {"rollcall_replica_free_percent", "gauge",
     "The same in percent of it, or of its inodes when fewer of these are left.", free_percent},
    {"rollcall_replica_batches_total", "counter", "Batches of changes applied.", batches},
    {"rollcall_replica_rows_total", "counter", "Changed rows applied.", rows},
    {"rollcall_replica_loads_total", "counter", "Full loads.", loads},
    {"rollcall_replica_damages_total", "counter", "Times the replica was found damaged.", damages},
    {"rollcall_replica_write_failures_total", "counter", "Writes to the replica that failed.",
     write_failures},
    {"rollcall_database_connected", "gauge", "1 while the follower is connected to PostgreSQL.",
     connected},
    {"rollcall_database_failing_seconds", "gauge", "Since following began to fail; 0: it works.",
     failing},
    {"rollcall_policy_connections", "gauge", "Clients connected.", connections},
    {"rollcall_policy_connections_total", "counter", "Clients accepted since the start.", accepted},
    {"rollcall_policy_late_total", "counter", "Clients disconnected for being late.", late},
    {"rollcall_policy_idle_total", "counter", "Clients disconnected for being idle.", idle_closed},
    {"rollcall_policy_accept_pauses_total", "counter",
     "Times accepting had to pause (descriptors, policy_max_connections).", accept_pauses},
    {"rollcall_policy_malformed_total", "counter", "Requests that were none.", malformed},
    {"rollcall_policy_shadow_differences_total", "counter",
     "Answers that a domain's shadow mode would have given otherwise.", shadowed},
};

static void write_family(struct evbuffer *out, const struct family *family, double value)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", family->name, family->help,
                        family->name, family->type, family->name, value);
}

static void write_answers(struct evbuffer *out, const struct policy *policy)
{
    evbuffer_add_printf(out, "# HELP rollcall_policy_answers_total Answers by action and rule.\n"
                             "# TYPE rollcall_policy_answers_total counter\n");
    for (size_t action = 0; action < ANSWER_ACTIONS; action++) {
        for (size_t rule = 0; rule < RULES; rule++) {
            uint64_t count = policy_answers(policy, action, rule);
            if (count > 0)
                evbuffer_add_printf(
                    out, "rollcall_policy_answers_total{action=\"%s\",rule=\"%s\"} %llu\n",
                    verdict_action_names[action], verdict_rules[rule].code,
                    (unsigned long long)count);
        }
    }
}

/* ---- pages ---- */

static void reply(struct evhttp_request *request, int code, const char *type, struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_send_reply(request, code, code == HTTP_OK ? "OK" : "Service Unavailable", body);
}

static void serve_metrics(struct evhttp_request *request, void *context)
{
    const struct metrics *m = context;
    struct evbuffer *body = evbuffer_new();
    struct snapshot snapshot;

    take_snapshot(m, &snapshot);
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        write_family(body, &families[i], families[i].value(&snapshot));
    write_answers(body, m->options.policy);
    reply(request, HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", body);
    evbuffer_free(body);
}

/* Why answers cannot be trusted to be definite; NULL: they can. */
static const char *ailment(const struct metrics *m, const struct snapshot *s)
{
    if (s->replica.position.version == 0)
        return "the roll was never loaded: every recipient gets 450; see 'rollcall doctor'";
    if (s->age_us > m->settings.stale_limit_us)
        return "the replica is older than stale_limit: unknown recipients get 450";
    return NULL;
}

static void serve_health(struct evhttp_request *request, void *context)
{
    struct metrics *m = context;
    struct evbuffer *body = evbuffer_new();
    struct snapshot snapshot;

    settings_refresh(&m->settings);
    take_snapshot(m, &snapshot);
    const char *why = ailment(m, &snapshot);
    evbuffer_add_printf(body, "%s\n", why != NULL ? why : "ok");
    reply(request, why != NULL ? HTTP_SERVUNAVAIL : HTTP_OK, "text/plain; charset=utf-8", body);
    evbuffer_free(body);
}

/* ---- the loop ---- */

static void take_signal(evutil_socket_t number, short events, void *context)
{
    struct metrics *m = context;

    (void)events;
    if (number == SIGHUP) {
        m->options.reload(m->options.context);
        return;
    }
    m->ended_by = number == SIGTERM ? "SIGTERM" : "SIGINT";
    event_base_loopbreak(m->base);
}

static void take_over_signals(struct metrics *m)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < SIGNALS; i++) {
        m->signals[i] = evsignal_new(m->base, numbers[i], take_signal, m);
        if (m->signals[i] == NULL || event_add(m->signals[i], NULL) != 0)
            abort();
    }
}

/* This loop goes round, or we were not here; those who answer must, too. The follower may wait for
 * its database as long as it takes: how old the roll is tells of it. */
static void feed_watchdog(evutil_socket_t none, short events, void *context)
{
    const struct metrics *m = context;

    (void)none;
    (void)events;
    if (server_goes_round(m->options.server))
        daemon_notify("WATCHDOG=1");
}

/* Looks twice as often as systemd wants to hear of us, so that a worker has three quarters of
 * WatchdogSec= for one round. */
static void start_watchdog(struct metrics *m)
{
    int wanted = daemon_watchdog_ms(), ms = wanted / 2 + 1;
    struct timeval every = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (wanted < 0)
        return;
    m->watchdog = event_new(m->base, -1, EV_PERSIST, feed_watchdog, m);
    if (m->watchdog == NULL || event_add(m->watchdog, &every) != 0)
        abort();
}

static bool bind_one(struct metrics *m, struct span element, struct err *err)
{
    struct conf_address address;

    if (!conf_parse_address(span_trim(element), &address, err))
        return false;
    if (address.is_unix)
        return err_set(err, ERR_CONFIG, "metrics_listen: only inet:host:port is possible");
    const char *host = address.host[0] != '\0' ? address.host : "0.0.0.0";
    if (evhttp_bind_socket(m->http, host, (ev_uint16_t)atoi(address.port)) != 0)
        return err_set(err, ERR_CONFIG, "metrics_listen: %s:%s cannot be bound; is it taken?", host,
                       address.port);
    return true;
}

bool metrics_open(struct metrics **out, const char *listen, struct err *err)
{
    struct metrics *m = mem_zero(1, sizeof *m);
    struct span rest = span_text(listen), element;
    bool fine = true;

    m->base = event_base_new();
    m->http = m->base != NULL ? evhttp_new(m->base) : NULL;
    if (m->http == NULL)
        abort();
    take_over_signals(m);
    start_watchdog(m);
    evhttp_set_timeout(m->http, HTTP_TIMEOUT);
    evhttp_set_max_body_size(m->http, HTTP_BODY_MOST);
    evhttp_set_max_headers_size(m->http, HTTP_BODY_MOST);
    evhttp_set_allowed_methods(m->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_cb(m->http, "/metrics", serve_metrics, m);
    evhttp_set_cb(m->http, "/healthz", serve_health, m);
    while (fine && listen[0] != '\0' && span_next(&rest, ',', &element))
        fine = bind_one(m, element, err);
    if (!fine)
        metrics_close(&m);
    *out = m;
    return fine;
}

const char *metrics_run(struct metrics *metrics, const struct metrics_options *options)
{
    metrics->options = *options;
    event_base_dispatch(metrics->base);
    return metrics->ended_by != NULL ? metrics->ended_by : "the event loop";
}

void metrics_close(struct metrics **metrics)
{
    struct metrics *m = *metrics;

    if (m == NULL)
        return;
    for (size_t i = 0; i < SIGNALS; i++)
        if (m->signals[i] != NULL)
            event_free(m->signals[i]);
    if (m->watchdog != NULL)
        event_free(m->watchdog);
    evhttp_free(m->http);
    event_base_free(m->base);
    free(m);
    *metrics = NULL;
}
