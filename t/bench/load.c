/*
 * load - asks a policy server as Postfix does, as fast as it answers, and measures
 *
 * N persistent connections with one request in flight on each (smtpd's policy client). Closed loop:
 * a latency runs from just before the write of a request until its whole reply was read, and the
 * next request of that connection follows at once. With N connections on one thread a reply may
 * wait here while others are taken; that is the same for every server measured so.
 *
 * The generated recipients: users u0000000 to u(N-1), user i in domain d(i mod D).test; unknown
 * ones are x0000000 and so on in the same domains. `bench-load --help` tells the options.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "bench.h"
#include "histogram.h"
#include "lib/daemon.h"
#include "lib/str.h"

enum {
    REPLY_MAX = 1024,
    REQUEST_ROOM = 2048,
    ACTIONS_MAX = 16,
    ACTION_NAME = 40,
    STALL_SECONDS = 20, /* nobody answers for so long: give up */
    CONNECTIONS_MAX = 100000,
};

enum phase { PHASE_WARM, PHASE_MEASURE, PHASE_END };

struct asked {
    char *line;                    /* owns what the spans point to */
    struct span address, expected; /* expected: beginning of the action; empty: anything will do */
};

struct options {
    struct conf_address target;
    int64_t connections, threads, domains, users, seed, pid;
    double seconds, warm_up, unknown;
    const char *expect_known, *expect_unknown, *file, *state;
    bool json;
    struct asked *list; /* --file */
    size_t list_count;
};

struct action {
    char name[ACTION_NAME]; /* the first word after action= */
    uint64_t count;
};

struct connection {
    int fd;
    uint64_t asked_at; /* ns */
    struct span expected;
    size_t prefix_len, reply_len;
    char *request; /* the attributes up to recipient=, then REQUEST_ROOM */
    char reply[REPLY_MAX];
};

struct worker {
    const struct options *options;
    pthread_t thread;
    int epoll;
    uint64_t random;
    struct connection *connections;
    size_t connection_count, waiting; /* waiting: asked, not yet answered */
    uint64_t errors;
    struct histogram latency;
    struct action actions[ACTIONS_MAX];
    char first_error[256];
};

static _Atomic int phase;

/* What real Postfix 3.7 sends, in its order (t/data/policy/requests.txt). */
static const char before_recipient[] = "request=smtpd_access_policy\n"
                                       "protocol_state=%s\n"
                                       "protocol_name=ESMTP\n"
                                       "client_address=192.0.2.%d\n"
                                       "client_name=client.remote.test\n"
                                       "client_port=%d\n"
                                       "reverse_client_name=client.remote.test\n"
                                       "server_address=198.51.100.25\n"
                                       "server_port=25\n"
                                       "helo_name=client.remote.test\n"
                                       "sender=somebody@remote.test\n"
                                       "recipient=";
static const char after_recipient[] = "\n"
                                      "recipient_count=0\n"
                                      "queue_id=\n"
                                      "instance=2c69.6b048006.7d4b0.0\n"
                                      "size=12345\n"
                                      "etrn_domain=\n"
                                      "stress=\n"
                                      "sasl_method=\n"
                                      "sasl_username=\n"
                                      "sasl_sender=\n"
                                      "ccert_subject=\n"
                                      "ccert_issuer=\n"
                                      "ccert_fingerprint=\n"
                                      "ccert_pubkey_fingerprint=\n"
                                      "encryption_protocol=TLSv1.3\n"
                                      "encryption_cipher=TLS_AES_256_GCM_SHA384\n"
                                      "encryption_keysize=256\n"
                                      "policy_context=\n"
                                      "\n";

/* The first error of a worker is told, all are counted. */
__attribute__((format(printf, 2, 3))) static void count_error(struct worker *w, const char *format,
                                                              ...)
{
    va_list args;

    if (w->errors++ > 0)
        return;
    va_start(args, format);
    vsnprintf(w->first_error, sizeof w->first_error, format, args);
    va_end(args);
}

/* ---- whom to ask for */

static uint64_t below(uint64_t random32, uint64_t limit)
{
    return (random32 & UINT32_MAX) * limit >> 32;
}

/* Writes the next recipient; returns its end. */
static char *put_recipient(struct worker *w, char *out, struct span *expected)
{
    const struct options *o = w->options;
    uint64_t random = bench_random(&w->random);

    if (o->list != NULL) {
        const struct asked *a = &o->list[random % o->list_count];
        *expected = a->expected;
        memcpy(out, a->address.at, a->address.len);
        return out + a->address.len;
    }
    bool unknown = (double)(random >> 32) < o->unknown * 4294967296.0;
    uint64_t user = below(random, (uint64_t)o->users);
    *expected = span_text(unknown ? o->expect_unknown : o->expect_known);
    return bench_put_recipient(out, unknown ? 'x' : 'u', user, (uint64_t)o->domains);
}

/* ---- asking and being answered */

static bool ask(struct worker *w, struct connection *c)
{
    char *end = put_recipient(w, c->request + c->prefix_len, &c->expected);

    memcpy(end, after_recipient, sizeof after_recipient - 1);
    size_t len = (size_t)(end - c->request) + sizeof after_recipient - 1;
    c->reply_len = 0;
    c->asked_at = bench_now_ns();
    ssize_t n = send(c->fd, c->request, len, MSG_NOSIGNAL);
    if (n == (ssize_t)len) {
        w->waiting++;
        return true;
    }
    count_error(w, "a request could not be sent: %s", n < 0 ? strerror(errno) : "cut short");
    return false;
}

static struct action *action_of(struct worker *w, struct span word)
{
    struct action *a = w->actions;

    for (; a < w->actions + ACTIONS_MAX - 1; a++) {
        if (a->name[0] == '\0')
            memcpy(a->name, word.at, word.len < ACTION_NAME ? word.len : ACTION_NAME - 1);
        if (strncmp(a->name, word.at, word.len) == 0 && a->name[word.len] == '\0')
            return a;
    }
    memcpy(a->name, "(further ones)", 15);
    return a;
}

static bool begins_with(struct span text, struct span with)
{
    return with.len == 0 || (text.len >= with.len && memcmp(text.at, with.at, with.len) == 0);
}

/* A reply is "action=…", a newline, an empty line, and not one byte more. */
static void take_reply(struct worker *w, struct connection *c)
{
    static const struct span start = {"action=", 7};
    struct span text = {c->reply, c->reply_len - 2};

    w->waiting--;
    if (!begins_with(text, start) || memchr(text.at, '\n', text.len) != NULL) {
        count_error(w, "no policy reply: '%.*s'", (int)text.len, text.at);
        return;
    }
    text = span_of(text.at + start.len, text.len - start.len);
    if (!begins_with(text, c->expected))
        count_error(w, "answer '%.*s' where '%.*s' was expected; asked for: %.*s", (int)text.len,
                    text.at, (int)c->expected.len, c->expected.at,
                    (int)strcspn(c->request + c->prefix_len, "\n"), c->request + c->prefix_len);
    if (atomic_load_explicit(&phase, memory_order_relaxed) != PHASE_MEASURE)
        return;
    histogram_add(&w->latency, bench_now_ns() - c->asked_at);
    const char *space = memchr(text.at, ' ', text.len);
    size_t word = space != NULL ? (size_t)(space - text.at) : text.len;
    action_of(w, span_of(text.at, word < ACTION_NAME ? word : ACTION_NAME - 1))->count++;
}

static void drop(struct worker *w, struct connection *c)
{
    epoll_ctl(w->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    c->fd = -1;
}

static void on_readable(struct worker *w, struct connection *c)
{
    ssize_t n = recv(c->fd, c->reply + c->reply_len, sizeof c->reply - c->reply_len, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        count_error(w, "the server disconnected: %s", n < 0 ? strerror(errno) : "end of file");
        w->waiting--;
        drop(w, c);
        return;
    }
    c->reply_len += (size_t)n;
    const char *end = memmem(c->reply, c->reply_len, "\n\n", 2);
    if (end == NULL && c->reply_len < sizeof c->reply)
        return;
    if (end == NULL || end + 2 != c->reply + c->reply_len)
        count_error(w, "a reply is too long or has bytes behind its end");
    take_reply(w, c);
    if (atomic_load_explicit(&phase, memory_order_relaxed) != PHASE_END && !ask(w, c))
        drop(w, c);
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct epoll_event events[256];

    for (size_t i = 0; i < w->connection_count; i++)
        if (!ask(w, &w->connections[i]))
            drop(w, &w->connections[i]);
    while (w->waiting > 0) {
        int n = epoll_wait(w->epoll, events, 256, STALL_SECONDS * 1000);
        if (n == 0) {
            count_error(w, "%zu requests got no answer within %d s", w->waiting, STALL_SECONDS);
            break;
        }
        for (int i = 0; i < n; i++)
            on_readable(w, events[i].data.ptr);
    }
    return NULL;
}

/* ---- connecting */

static void open_connection(struct worker *w, struct connection *c, int number)
{
    const struct options *o = w->options;
    struct timeval limit = {.tv_sec = STALL_SECONDS};

    c->fd = bench_connect(&o->target);
    if (c->fd < 0)
        bench_give_up(1, "nobody listens there: %s", strerror(errno));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    c->request = mem_alloc(REQUEST_ROOM);
    c->prefix_len = (size_t)snprintf(c->request, REQUEST_ROOM, before_recipient, o->state,
                                     number % 250 + 1, 20000 + number % 40000);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
    if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        bench_give_up(1, "epoll: %s", strerror(errno));
}

static void worker_init(struct worker *w, const struct options *o, int number)
{
    int64_t share = o->connections / o->threads + (number < o->connections % o->threads);

    w->options = o;
    w->random = (uint64_t)o->seed * UINT64_C(0x2545f4914f6cdd1d) + (uint64_t)number;
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->connection_count = (size_t)share;
    w->connections = mem_zero(w->connection_count, sizeof *w->connections);
    for (int i = 0; i < share; i++)
        open_connection(w, &w->connections[i], i * (int)o->threads + number);
}

static void worker_free(struct worker *w)
{
    for (size_t i = 0; i < w->connection_count; i++) {
        if (w->connections[i].fd >= 0)
            close(w->connections[i].fd);
        free(w->connections[i].request);
    }
    free(w->connections);
    close(w->epoll);
}

/* ---- the measurement */

struct result {
    double seconds;
    uint64_t errors;
    double server_cpu_us, own_cpu_us; /* per answer; server: -1 without --pid */
    struct histogram latency;
    struct action actions[ACTIONS_MAX];
};

static double clock_seconds(clockid_t id)
{
    struct timespec now = {0};

    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The CPU clock of the server's process, all its threads. */
static clockid_t server_clock(int64_t pid)
{
    clockid_t id = CLOCK_PROCESS_CPUTIME_ID;

    if (pid > 0 && clock_getcpuclockid((pid_t)pid, &id) != 0)
        bench_give_up(64, "--pid %lld: no such process", (long long)pid);
    return id;
}

static void merge(struct result *result, struct worker *w)
{
    struct worker sum = {0};

    histogram_merge(&result->latency, &w->latency);
    if (w->errors > 0)
        fprintf(stderr, "bench-load: %s\n", w->first_error);
    result->errors += w->errors;
    memcpy(sum.actions, result->actions, sizeof sum.actions);
    for (struct action *a = w->actions; a < w->actions + ACTIONS_MAX && a->count > 0; a++)
        action_of(&sum, span_text(a->name))->count += a->count;
    memcpy(result->actions, sum.actions, sizeof sum.actions);
}

static void measure(const struct options *o, struct worker *workers, struct result *result)
{
    clockid_t server = server_clock(o->pid);

    for (int i = 0; i < o->threads; i++)
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            bench_give_up(1, "a thread cannot be started");
    bench_sleep_us((int64_t)(o->warm_up * 1e6));
    double begun = clock_seconds(CLOCK_MONOTONIC), cpu = clock_seconds(server);
    double own = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    atomic_store(&phase, PHASE_MEASURE);
    bench_sleep_us((int64_t)(o->seconds * 1e6));
    atomic_store(&phase, PHASE_END);
    result->seconds = clock_seconds(CLOCK_MONOTONIC) - begun;
    cpu = clock_seconds(server) - cpu;
    own = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - own;
    for (int i = 0; i < o->threads; i++) {
        pthread_join(workers[i].thread, NULL);
        merge(result, &workers[i]);
    }
    double answers = result->latency.count > 0 ? (double)result->latency.count : 1;
    result->server_cpu_us = o->pid > 0 ? cpu * 1e6 / answers : -1;
    result->own_cpu_us = own * 1e6 / answers;
}

static double percentile_us(const struct result *r, double share)
{
    return (double)histogram_percentile(&r->latency, share) / 1e3;
}

static double busy_percent(const struct result *r, double cpu_us)
{
    return cpu_us * (double)r->latency.count / r->seconds / 1e4;
}

static void print_text(const struct options *o, const struct result *r)
{
    printf("connections %lld, seconds %.2f, answers %llu, errors %llu\n", (long long)o->connections,
           r->seconds, (unsigned long long)r->latency.count, (unsigned long long)r->errors);
    printf("answers/s   %.0f\n", (double)r->latency.count / r->seconds);
    printf("latency     p50 %.1f us, p90 %.1f us, p98 %.1f us, p99 %.1f us, p99.9 %.1f us, most "
           "%.1f us\n",
           percentile_us(r, 0.5), percentile_us(r, 0.9), percentile_us(r, 0.98),
           percentile_us(r, 0.99), percentile_us(r, 0.999), (double)r->latency.most / 1e3);
    if (r->server_cpu_us >= 0)
        printf("server CPU  %.2f us per answer, %.0f %% of one processor\n", r->server_cpu_us,
               busy_percent(r, r->server_cpu_us));
    printf("own CPU     %.2f us per answer, %.0f %% of one processor\n", r->own_cpu_us,
           busy_percent(r, r->own_cpu_us));
    for (const struct action *a = r->actions; a < r->actions + ACTIONS_MAX && a->count > 0; a++)
        printf("action      %-30s %llu\n", a->name, (unsigned long long)a->count);
}

static void print_json(const struct options *o, const struct result *r)
{
    printf("{\"connections\":%lld,\"seconds\":%.4f,\"answers\":%llu,\"errors\":%llu,"
           "\"answers_per_second\":%.1f,\"p50_us\":%.2f,\"p90_us\":%.2f,\"p98_us\":%.2f,\"p99_us\":"
           "%.2f,\"p999_us\":%.2f,"
           "\"most_us\":%.2f,\"own_cpu_us\":%.3f,\"own_busy\":%.3f,",
           (long long)o->connections, r->seconds, (unsigned long long)r->latency.count,
           (unsigned long long)r->errors, (double)r->latency.count / r->seconds,
           percentile_us(r, 0.5), percentile_us(r, 0.9), percentile_us(r, 0.98),
           percentile_us(r, 0.99), percentile_us(r, 0.999), (double)r->latency.most / 1e3,
           r->own_cpu_us, busy_percent(r, r->own_cpu_us) / 100);
    if (r->server_cpu_us >= 0)
        printf("\"server_cpu_us\":%.3f,\"server_busy\":%.3f,", r->server_cpu_us,
               busy_percent(r, r->server_cpu_us) / 100);
    printf("\"actions\":{");
    for (const struct action *a = r->actions; a < r->actions + ACTIONS_MAX && a->count > 0; a++) {
        BUF_AUTO name = {0};
        buf_json(&name, span_text(a->name));
        printf("%s\"%s\":%llu", a > r->actions ? "," : "", name.at, (unsigned long long)a->count);
    }
    printf("}}\n");
}

/* ---- options */

static void print_help(void)
{
    printf("usage: bench-load [OPTION]... unix:/path|inet:host:port\n"
           "Asks a policy server as Postfix does and measures its answers.\n"
           "  -c, --connections N      connections, one request in flight on each (50)\n"
           "  -s, --seconds S          measured time (5)\n"
           "  -w, --warm-up S          time before that (1)\n"
           "  -t, --threads N          threads of the load itself (1)\n"
           "  -p, --pid PID            the server's process, for its CPU time\n"
           "  -d, --domains D          generated recipients: domains (1)\n"
           "  -n, --users N            and users over all domains (10000)\n"
           "  -u, --unknown SHARE      of the asked that are not on the roll (0.5)\n"
           "  -f, --file FILE          ask for the addresses of FILE instead, a line each, with a\n"
           "                           tab and the expected beginning of the action if wanted\n"
           "  -k, --expect-known TEXT  actions for known recipients begin so\n"
           "  -x, --expect-unknown T   actions for unknown recipients begin so\n"
           "      --state STATE        protocol_state (RCPT)\n"
           "      --seed N             of the order of recipients (1)\n"
           "      --json               one JSON object instead of text\n"
           "Exits 1 after any error: a wrong answer, a disconnect, no answer.\n");
}

static double decimal(const char *name, const char *text, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0 && value <= most))
        bench_give_up(64, "--%s %s: not a number from 0 to %g", name, text, most);
    return value;
}

static void read_list(struct options *o)
{
    FILE *file = fopen(o->file, "re");
    char *line = NULL;
    size_t line_room = 0, room = 0;

    if (file == NULL)
        bench_give_up(66, "%s: %s", o->file, strerror(errno));
    for (ssize_t len; (len = getline(&line, &line_room, file)) > 0;) {
        STR_AUTO text = mem_span(span_trim(span_of(line, (size_t)len)));
        struct span rest = span_text(text), address;
        if (!span_next(&rest, '\t', &address) || address.len == 0 || address.len > 1024)
            continue;
        if (o->list_count == room) {
            room = room * 2 + 1024;
            o->list = mem_grow(o->list, room * sizeof *o->list);
        }
        o->list[o->list_count++] = (struct asked){text, address, rest};
        text = NULL;
    }
    free(line);
    fclose(file);
    if (o->list_count == 0)
        bench_give_up(65, "%s: holds no address", o->file);
}

static void free_list(struct options *o)
{
    for (size_t i = 0; i < o->list_count; i++)
        free(o->list[i].line);
    free(o->list);
}

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"seconds", required_argument, NULL, 's'},
    {"warm-up", required_argument, NULL, 'w'},
    {"threads", required_argument, NULL, 't'},
    {"pid", required_argument, NULL, 'p'},
    {"domains", required_argument, NULL, 'd'},
    {"users", required_argument, NULL, 'n'},
    {"unknown", required_argument, NULL, 'u'},
    {"file", required_argument, NULL, 'f'},
    {"expect-known", required_argument, NULL, 'k'},
    {"state", required_argument, NULL, 'S'},
    {"expect-unknown", required_argument, NULL, 'x'},
    {"seed", required_argument, NULL, 'e'},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void set_option(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'c':
        o->connections = bench_whole("--connections", value, 1, CONNECTIONS_MAX);
        break;
    case 's':
        o->seconds = decimal("seconds", value, 86400);
        break;
    case 'w':
        o->warm_up = decimal("warm-up", value, 86400);
        break;
    case 't':
        o->threads = bench_whole("--threads", value, 1, 64);
        break;
    case 'p':
        o->pid = bench_whole("--pid", value, 1, INT32_MAX);
        break;
    case 'd':
        o->domains = bench_whole("--domains", value, 1, 1000000);
        break;
    case 'n':
        o->users = bench_whole("--users", value, 1, INT64_C(4000000000));
        break;
    case 'u':
        o->unknown = decimal("unknown", value, 1);
        break;
    case 'f':
        o->file = value;
        break;
    case 'k':
        o->expect_known = value;
        break;
    case 'x':
        o->expect_unknown = value;
        break;
    case 'S':
        o->state = value;
        break;
    case 'e':
        o->seed = bench_whole("--seed", value, 0, INT64_MAX);
        break;
    case 'j':
        o->json = true;
        break;
    case 'h':
        print_help();
        exit(0);
    default:
        bench_give_up(64, "see bench-load --help");
    }
}

static void read_options(struct options *o, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, "c:s:w:t:p:d:n:u:f:k:x:jh", long_options, NULL)) != -1)
        set_option(o, option, optarg);
    if (optind + 1 != argc)
        bench_give_up(64, "one target is needed; see bench-load --help");
    if (strlen(o->state) > 32)
        bench_give_up(64, "--state %s: too long", o->state);
    o->target = bench_address(argv[optind]);
    if (o->threads > o->connections)
        o->threads = o->connections;
    if (o->file != NULL)
        read_list(o);
}

int main(int argc, char **argv)
{
    struct options o = {.connections = 50,
                        .threads = 1,
                        .domains = 1,
                        .users = 10000,
                        .seed = 1,
                        .seconds = 5,
                        .warm_up = 1,
                        .unknown = 0.5,
                        .expect_known = "",
                        .expect_unknown = "",
                        .state = "RCPT"};
    static struct result result;

    read_options(&o, argc, argv);
    daemon_raise_files();
    struct worker *workers = mem_zero((size_t)o.threads, sizeof *workers);
    for (int i = 0; i < o.threads; i++)
        worker_init(&workers[i], &o, i);
    measure(&o, workers, &result);
    for (int i = 0; i < o.threads; i++)
        worker_free(&workers[i]);
    free(workers);
    free_list(&o);
    if (o.json)
        print_json(&o, &result);
    else
        print_text(&o, &result);
    return result.errors == 0 && result.latency.count > 0 ? 0 : 1;
}
