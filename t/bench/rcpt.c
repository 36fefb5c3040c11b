/*
 * rcpt - how many recipients a second an smtpd accepts, over N connections that wait for each reply
 *
 *     bench-rcpt PORT CONNECTIONS SECONDS WARM-UP USERS DOMAINS [SEED]
 *
 * A session on 127.0.0.1: EHLO, MAIL, then RCPT for random users of bench.h's roll, a new session
 * after RCPT_MOST of them; no message is sent, so that it is the recipients that cost. Prints one
 * JSON object; anything but 250 for a recipient is counted as an error, and makes the exit 1.
 */
#include <signal.h>
#include <sys/epoll.h>

#include "bench.h"
#include "histogram.h"

enum { RCPT_MOST = 900, CONNECTIONS_MOST = 1000, STALL_MS = 20000 };

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT };

struct session {
    int fd;
    enum step step; /* what the reply that is awaited answers */
    int recipients;
    uint64_t asked_at;
    size_t reply_len;
    char reply[4096];
};

struct load {
    struct conf_address target;
    int epoll;
    uint64_t users, domains, random, errors;
    bool measuring;
    struct histogram latency;
    char first_error[300];
};

static void say(struct session *s, const char *text, size_t len)
{
    s->reply_len = 0;
    s->asked_at = bench_now_ns();
    if (send(s->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        bench_give_up(1, "smtpd closed the connection: %s", strerror(errno));
}

static void begin(struct load *l, struct session *s)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};

    s->fd = bench_connect(&l->target);
    s->step = STEP_GREETING;
    s->recipients = 0;
    s->reply_len = 0;
    if (s->fd < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, s->fd, &event) != 0)
        bench_give_up(1, "127.0.0.1:%s: %s", l->target.port, strerror(errno));
}

static void say_recipient(struct load *l, struct session *s)
{
    char text[64] = "RCPT TO:<";
    char *end = bench_put_recipient(text + 9, 'u', bench_random(&l->random) % l->users, l->domains);

    memcpy(end, ">\r\n", 3);
    s->step = STEP_RCPT;
    say(s, text, (size_t)(end + 3 - text));
}

/* The last line of a reply has a blank behind its code (RFC 5321 section 4.2.1). */
static bool is_whole(const struct session *s)
{
    if (s->reply_len < 5 || s->reply[s->reply_len - 1] != '\n')
        return false;
    const char *line = memrchr(s->reply, '\n', s->reply_len - 1);
    line = line != NULL ? line + 1 : s->reply;
    return line + 4 < s->reply + s->reply_len && line[3] == ' ';
}

static void take_recipient(struct load *l, struct session *s)
{
    if (strncmp(s->reply, "250", 3) != 0 && l->errors++ == 0)
        snprintf(l->first_error, sizeof l->first_error, "%.*s", (int)s->reply_len - 2, s->reply);
    if (l->measuring)
        histogram_add(&l->latency, bench_now_ns() - s->asked_at);
    if (++s->recipients < RCPT_MOST) {
        say_recipient(l, s);
        return;
    }
    close(s->fd);
    begin(l, s);
}

static void go_on(struct load *l, struct session *s)
{
    static const char ehlo[] = "EHLO client.remote.test\r\n";
    static const char mail[] = "MAIL FROM:<somebody@remote.test>\r\n";

    if (s->step != STEP_RCPT && s->reply[0] != '2')
        bench_give_up(1, "smtpd said: %.*s", (int)s->reply_len, s->reply);
    switch (s->step) {
    case STEP_GREETING:
        s->step = STEP_EHLO;
        say(s, ehlo, sizeof ehlo - 1);
        break;
    case STEP_EHLO:
        s->step = STEP_MAIL;
        say(s, mail, sizeof mail - 1);
        break;
    case STEP_MAIL:
        say_recipient(l, s);
        break;
    case STEP_RCPT:
        take_recipient(l, s);
        break;
    }
}

static void on_readable(struct load *l, struct session *s)
{
    ssize_t n = recv(s->fd, s->reply + s->reply_len, sizeof s->reply - s->reply_len, 0);

    if (n <= 0)
        bench_give_up(1, "smtpd closed the connection after %d recipients", s->recipients);
    s->reply_len += (size_t)n;
    if (is_whole(s))
        go_on(l, s);
}

static void run_until(struct load *l, uint64_t end)
{
    struct epoll_event events[64];

    while (bench_now_ns() < end) {
        int n = epoll_wait(l->epoll, events, 64, STALL_MS);
        if (n == 0)
            bench_give_up(1, "no reply within %d s", STALL_MS / 1000);
        for (int i = 0; i < n; i++)
            on_readable(l, events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    static struct load l;
    static struct session sessions[CONNECTIONS_MOST];

    if (argc < 7)
        bench_give_up(64,
                      "usage: bench-rcpt PORT CONNECTIONS SECONDS WARM-UP USERS DOMAINS [SEED]");
    STR_AUTO target = mem_printf("inet:127.0.0.1:%s", argv[1]);
    l.target = bench_address(target);
    int64_t connections = bench_whole("CONNECTIONS", argv[2], 1, CONNECTIONS_MOST);
    double seconds = strtod(argv[3], NULL), warm_up = strtod(argv[4], NULL);
    l.users = (uint64_t)bench_whole("USERS", argv[5], 1, INT64_C(10000000000));
    l.domains = (uint64_t)bench_whole("DOMAINS", argv[6], 1, 1000000);
    l.random = argc > 7 ? (uint64_t)bench_whole("SEED", argv[7], 0, INT64_MAX) : 1;
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int64_t i = 0; i < connections; i++)
        begin(&l, &sessions[i]);
    run_until(&l, bench_now_ns() + (uint64_t)(warm_up * 1e9));
    l.measuring = true;
    uint64_t begun = bench_now_ns();
    run_until(&l, begun + (uint64_t)(seconds * 1e9));
    double took = (double)(bench_now_ns() - begun) / 1e9;
    printf("{\"recipients\":%llu,\"per_second\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"errors\":%llu}\n",
           (unsigned long long)l.latency.count, (double)l.latency.count / took,
           (double)histogram_percentile(&l.latency, 0.5) / 1e3,
           (double)histogram_percentile(&l.latency, 0.99) / 1e3, (unsigned long long)l.errors);
    for (int64_t i = 0; i < connections; i++)
        close(sessions[i].fd);
    if (l.errors > 0)
        fprintf(stderr, "bench-rcpt: the first refusal: %s\n", l.first_error);
    return l.errors > 0 || l.latency.count == 0;
}
