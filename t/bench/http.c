/*
 * http - how many answers a second an HTTP server gives over N connections that stay open
 *
 *     bench-http ADDRESS CONNECTIONS SECONDS WARM-UP COOKIE PATH...
 *
 * Each connection asks for the paths in turn and waits for the whole answer; all but 200 counts as
 * an error and makes the exit 1. Prints one JSON object.
 */
#include <signal.h>
#include <sys/epoll.h>

#include "bench.h"
#include "histogram.h"

enum { CONNECTIONS_MOST = 1000, STALL_MS = 20000, ANSWER_MOST = 1 << 20 };

struct client {
    int fd;
    size_t next; /* path */
    uint64_t asked_at;
    size_t len;
    char *answer;
};

struct load {
    struct conf_address target;
    const char *cookie;
    char **paths;
    size_t path_count;
    int epoll;
    bool measuring;
    uint64_t errors, bytes;
    struct histogram latency;
    char first_error[200];
};

static void ask(struct load *l, struct client *c)
{
    char request[2048];
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: panel.test\r\nAccept-Language: en\r\n"
                     "Cookie: %s\r\n\r\n",
                     l->paths[c->next++ % l->path_count], l->cookie);

    c->len = 0;
    c->asked_at = bench_now_ns();
    if (n >= (int)sizeof request || send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        bench_give_up(1, "the server closed the connection: %s", strerror(errno));
}

static void begin(struct load *l, struct client *c, size_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    c->fd = bench_connect(&l->target);
    c->next = number;
    c->answer = malloc(ANSWER_MOST + 1);
    if (c->fd < 0 || c->answer == NULL || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        bench_give_up(1, "%s:%s: %s", l->target.host, l->target.port, strerror(errno));
    ask(l, c);
}

/* Whether all of it is there; only answers of a known length are understood. */
static bool is_whole(const struct client *c)
{
    static const char name[] = "\r\ncontent-length:";
    const char *end = strstr(c->answer, "\r\n\r\n"), *length;

    if (end == NULL)
        return false;
    length = strcasestr(c->answer, name);
    if (length == NULL || length > end)
        bench_give_up(1, "an answer without its length");
    return c->len >= (size_t)(end + 4 - c->answer) + strtoul(length + sizeof name - 1, NULL, 10);
}

static void receive(struct load *l, struct client *c)
{
    ssize_t n = recv(c->fd, c->answer + c->len, ANSWER_MOST - c->len, 0);

    if (n <= 0)
        bench_give_up(1, "the server closed the connection after %zu bytes", c->len);
    c->len += (size_t)n;
    c->answer[c->len] = '\0';
    if (!is_whole(c))
        return;
    if (l->measuring) {
        histogram_add(&l->latency, bench_now_ns() - c->asked_at);
        l->bytes += c->len;
        if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0 && l->errors++ == 0)
            snprintf(l->first_error, sizeof l->first_error, "%.*s",
                     (int)strcspn(c->answer, "\r\"\\"), c->answer);
    }
    ask(l, c);
}

static double run(struct load *l, double seconds)
{
    uint64_t begun = bench_now_ns(), now = begun, until = begun + (uint64_t)(seconds * 1e9);
    struct epoll_event events[64];

    while (now < until) {
        int n = epoll_wait(l->epoll, events, 64, STALL_MS);
        if (n <= 0)
            bench_give_up(1, "no answer for %d s", STALL_MS / 1000);
        for (int i = 0; i < n; i++)
            receive(l, events[i].data.ptr);
        now = bench_now_ns();
    }
    return (double)(now - begun) / 1e9;
}

int main(int argc, char **argv)
{
    static struct client clients[CONNECTIONS_MOST];
    static struct load load;
    struct load *l = &load;

    if (argc < 7)
        bench_give_up(64, "ADDRESS CONNECTIONS SECONDS WARM-UP COOKIE PATH...");
    size_t count = (size_t)bench_whole("CONNECTIONS", argv[2], 1, CONNECTIONS_MOST);
    l->target = bench_address(argv[1]);
    l->cookie = argv[5];
    l->paths = argv + 6;
    l->path_count = (size_t)argc - 6;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < count; i++)
        begin(l, &clients[i], i);
    run(l, strtod(argv[4], NULL));
    l->measuring = true;
    double seconds = run(l, strtod(argv[3], NULL));
    uint64_t answers = l->latency.count;
    printf("{\"answers\": %llu, \"per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f,"
           " \"most_us\": %.1f, \"bytes\": %.0f, \"errors\": %llu, \"first_error\": \"%s\"}\n",
           (unsigned long long)answers, (double)answers / seconds,
           (double)histogram_percentile(&l->latency, 0.5) / 1e3,
           (double)histogram_percentile(&l->latency, 0.99) / 1e3, (double)l->latency.most / 1e3,
           answers > 0 ? (double)l->bytes / (double)answers : 0, (unsigned long long)l->errors,
           l->first_error);
    return l->errors > 0;
}
