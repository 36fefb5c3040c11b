/*
 * bench-observe - how fast a mail log becomes counts per recipient
 *
 *     bench-observe generate FILE MEGABYTES RECIPIENTS   writes a log, and FILE.truth
 *     bench-observe count FILE                           prints the counts; speed and memory on
 * stderr
 *
 * The log is what a busy gateway writes: of its lines one in ten follows an accepted message (its
 * client, its sender, its delivery), the rest are connections, rejects, probes, other programs and
 * the rest of a message's life. Among them are look-alikes: HELOs and senders that contain
 * deliveries, hops into a filter, bounces, mail from inside, quoted recipients. `count` is what
 * rollcall-observe collect does with each byte, without PostgreSQL; t/bench/observe compares.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/secret.h"
#include "sync/evidence.h"
#include "sync/logfile.h"
#include "sync/stamp.h"

enum { NOISE_PER_MESSAGE = 23 }; /* lines that belong to no accepted message */

static void die(const char *what)
{
    fprintf(stderr, "bench-observe: %s\n", what);
    exit(1);
}

/* ---- generating ---- */

static uint64_t random_state = 88172645463325252u;

static uint32_t next_random(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 20) % below;
}

struct generator {
    FILE *out;
    int64_t written, lines, messages;
    int64_t now_us;
    uint32_t serial;
    uint32_t recipients;
    uint32_t *accepted; /* the truth */
};

__attribute__((format(printf, 2, 3))) static void line(struct generator *g, const char *format, ...)
{
    char text[2048], stamp[40];
    time_t seconds = (time_t)(g->now_us / CLOCK_SECOND);
    struct tm tm;
    va_list args;
    int len;

    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &tm);
    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    len = fprintf(g->out, "%s mx1 %.*s\n", stamp, len, text);
    g->written += len;
    g->lines++;
}

static void queue_id(struct generator *g, char id[20])
{
    snprintf(id, 20, "4%05XBz1%07X", (unsigned)(g->now_us / CLOCK_SECOND) & 0xfffff, g->serial++);
    for (char *c = id; *c != '\0'; c++)
        *c = *c == 'A' || *c == 'E' ? 'x' : *c;
}

static void noise_line(struct generator *g, unsigned a, unsigned b)
{
    unsigned ip = next_random(250), port = 1024 + next_random(60000),
             pid = 1000 + next_random(30000);

    switch (next_random(9)) {
    case 0:
        line(g, "postfix/postscreen[811]: CONNECT from [198.51.%u.%u]:%u to [192.0.2.25]:25", a, ip,
             port);
        break;
    case 1:
        line(g,
             "postfix/dnsblog[%u]: addr 198.51.%u.%u listed by domain zen.spamhaus.example as "
             "127.0.0.4",
             pid, a, ip);
        break;
    case 2:
        line(g,
             "postfix/postscreen[811]: NOQUEUE: reject: RCPT from [198.51.%u.%u]:%u: 550 5.7.1 "
             "Service unavailable; client [198.51.%u.%u] blocked using zen.spamhaus.example; "
             "from=<info@spam%u.example>, to=<user%u@customer.test>, proto=ESMTP, helo=<WIN-%u>",
             a, ip, port, a, ip, b, next_random(g->recipients), port);
        break;
    case 3:
        line(g, "postfix/smtpd[%u]: connect from unknown[198.51.%u.%u]", pid, a, ip);
        break;
    case 4:
        line(g,
             "postfix/smtpd[%u]: disconnect from unknown[198.51.%u.%u] ehlo=1 mail=1 rcpt=0/1 "
             "rset=1 quit=1 commands=4/5",
             pid, a, ip);
        break;
    case 5:
        line(
            g,
            "postfix/smtpd[%u]: Anonymous TLS connection established from "
            "mail%u.example.net[198.51.%u.%u]: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 "
            "bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256",
            pid, b, a, ip);
        break;
    case 6:
        line(g,
             "postfix/smtpd[%u]: NOQUEUE: reject: RCPT from unknown[198.51.%u.%u]: 550 5.1.1 "
             "<nobody%u@customer.test>: Recipient address rejected: User unknown (unlisted); "
             "from=<a%u@example.org> to=<nobody%u@customer.test> proto=ESMTP helo=<x: "
             "to=<user1@customer.test>, relay=mx.customer.test[203.0.113.5]:25, delay=1, "
             "delays=0/0/0/1, dsn=2.0.0, status=sent (250>",
             pid, a, ip, b, port, b);
        break;
    case 7:
        line(g, "opendkim[702]: %08X: mail%u.example.net [198.51.%u.%u] not internal", b, b, a, ip);
        break;
    default:
        line(g,
             "dovecot: imap-login: Login: user=<someone%u>, method=PLAIN, rip=198.51.%u.%u, "
             "lip=192.0.2.25, mpid=%u, TLS, session=<abcdefgh%u>",
             b, a, ip, pid, port);
        break;
    }
}

/* What became of a message; only the first kind counts. */
enum fate { TAKEN, TAGGED_AWAY, BOUNCED, INSIDE, EMPTY_SENDER, FILTER_HOP, FOREIGN, QUOTED, FATES };

static enum fate choose_fate(void)
{
    uint32_t n = next_random(100);

    return n < 80 ? TAKEN : (enum fate)(TAKEN + 1 + n % (FATES - 1));
}

static const char *recipient_text(enum fate fate, uint32_t number, char *out, size_t room)
{
    if (fate == FOREIGN)
        snprintf(out, room, "user%u@elsewhere.example", number);
    else if (fate == QUOTED)
        snprintf(out, room,
                 "\"x>, relay=mx.customer.test[203.0.113.5]:25, dsn=2.0.0, status=sent (250 "
                 "ok)%u\"@customer.test",
                 number);
    else
        snprintf(out, room, "user%u@customer.test", number);
    return out;
}

static void message(struct generator *g)
{
    enum fate fate = choose_fate();
    uint32_t number = next_random(g->recipients);
    unsigned pid = 1000 + next_random(30000), a = next_random(250), b = next_random(100000);
    char id[20], to[200];

    queue_id(g, id);
    recipient_text(fate, number, to, sizeof to);
    line(g, "postfix/smtpd[%u]: %s: client=%s[%s%u]", pid, id,
         fate == INSIDE ? "localhost" : "mail.example.net",
         fate == INSIDE ? "127.0.0." : "198.51.100.", a);
    line(g, "postfix/cleanup[%u]: %s: message-id=<%08x.%u@mail.example.net>", pid, id, b,
         g->serial);
    if (fate == TAGGED_AWAY)
        line(g,
             "postfix/cleanup[%u]: %s: milter-header-warning: header X-Spam-Flag: YES from "
             "mail.example.net[198.51.100.%u]; from=<sender%u@example.net> to=<%s> proto=ESMTP "
             "helo=<mail.example.net>",
             pid, id, a, b, to);
    line(g, "postfix/qmgr[900]: %s: from=<%s%u@example.net>, size=%u, nrcpt=1 (queue active)", id,
         "sender", b, 1000 + b);
    if (fate == EMPTY_SENDER)
        line(g, "postfix/qmgr[900]: %s: from=<>, size=%u, nrcpt=1 (queue active)", id, b);
    for (unsigned i = 0; i < NOISE_PER_MESSAGE; i++)
        noise_line(g, a, b + i);
    if (fate == BOUNCED)
        line(g,
             "postfix/smtp[%u]: %s: to=<%s>, relay=mx.customer.test[203.0.113.5]:25, delay=1.2, "
             "delays=0.1/0.01/0.5/0.6, dsn=5.1.1, status=bounced (host "
             "mx.customer.test[203.0.113.5] said: 550 5.1.1 <%s>: Recipient address rejected: User "
             "unknown (in reply to RCPT TO command))",
             pid, id, to, to);
    else if (fate == FILTER_HOP)
        line(g,
             "postfix/lmtp[%u]: %s: to=<%s>, relay=127.0.0.1[127.0.0.1]:10024, delay=1.2, "
             "delays=0.1/0.01/0.5/0.6, dsn=2.7.0, status=sent (250 2.7.0 Ok, discarded, id=%u - "
             "spam)",
             pid, id, to, b);
    else
        line(g,
             "postfix/smtp[%u]: %s: to=<%s>, relay=%s[203.0.113.5]:25, delay=1.2, "
             "delays=0.1/0.01/0.5/0.6, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 4%08XZ)",
             pid, id, to, fate == FOREIGN ? "mx.elsewhere.example" : "mx.customer.test", b);
    line(g, "postfix/qmgr[900]: %s: removed", id);
    g->messages++;
    g->accepted[number] += fate == TAKEN;
}

static int generate(const char *path, int64_t bytes, uint32_t recipients)
{
    struct generator g = {.out = fopen(path, "we"),
                          .now_us = INT64_C(1795392000) * CLOCK_SECOND, /* 2026-11-23 */
                          .recipients = recipients,
                          .accepted = mem_zero(recipients, sizeof(uint32_t))};
    STR_AUTO truth_path = mem_printf("%s.truth", path);
    FILE *truth = fopen(truth_path, "we");
    int64_t step;

    if (g.out == NULL || truth == NULL)
        die("cannot write there");
    setvbuf(g.out, NULL, _IOFBF, 1 << 20);
    step = 86000 * CLOCK_SECOND / (bytes / 4500 + 1); /* within the day */
    while (g.written < bytes) {
        message(&g);
        g.now_us += step;
    }
    for (uint32_t i = 0; i < recipients; i++)
        if (g.accepted[i] > 0)
            fprintf(truth, "user%u %u\n", i, g.accepted[i]);
    printf("%" PRId64 " lines, %" PRId64 " messages, %.1f MB\n", g.lines, g.messages,
           (double)g.written / 1e6);
    free(g.accepted);
    return fclose(g.out) == 0 && fclose(truth) == 0 ? 0 : 1;
}

/* ---- counting ---- */

static bool print_count(void *context, const struct evidence_count *count, struct err *err)
{
    (void)context;
    (void)err;
    if (count->accepted > 0)
        printf("%.*s %" PRId64 "\n", (int)count->local.len, count->local.at, count->accepted);
    return true;
}

static struct evidence *make_evidence(struct served *served, const struct network_list *inside)
{
    struct evidence_rules rules = {.served = served, .inside = inside, .header_count = 1};

    rules.headers[0] = span_text("X-Spam-Flag: YES");
    secret_random(rules.key, sizeof rules.key);
    return evidence_new(&rules);
}

static int64_t read_all(const char *path, struct evidence *evidence)
{
    static const char *const instances[] = {"postfix*"};
    const struct maillog_rules rules = {instances, 1};
    struct stamp_clock clock = {.zone = stamp_gmt, .newest_us = clock_wall_us()};
    struct position_file start = {0};
    struct logfile file = {.path = (char *)(uintptr_t)path};
    struct logfile_reader *reader;
    struct maillog_event event;
    struct span block;
    struct err err;
    int64_t bytes = 0, us = 0;

    if (!logfile_open(&reader, &file, &start, &err))
        die(err.text);
    while (logfile_read(reader, &block, &err) && block.len > 0) {
        bytes += (int64_t)block.len;
        while (maillog_next(&rules, &block, &event))
            if (stamp_time(&clock, event.stamp, &us))
                evidence_event(evidence, &event, us);
    }
    logfile_close(&reader);
    evidence_settle(evidence, us + 3600 * CLOCK_SECOND);
    return bytes;
}

static int count(const char *path)
{
    struct network_list inside;
    struct rusage usage;
    struct err err;

    if (!network_list_parse(span_text("127.0.0.0/8"), &inside, &err))
        die(err.text);
    struct served *served = served_new(&inside);
    served_add(served, &(struct served_row){.id = 1,
                                            .name = "customer.test",
                                            .next_hop = "[mx.customer.test]:25",
                                            .delimiter = "+"});
    struct evidence *evidence = make_evidence(served, &inside);
    int64_t begun = clock_elapsed_us();
    int64_t bytes = read_all(path, evidence);
    double seconds = (double)(clock_elapsed_us() - begun) / CLOCK_SECOND;
    if (!evidence_counts(evidence, print_count, NULL, &err))
        die(err.text);
    getrusage(RUSAGE_SELF, &usage);
    fprintf(stderr, "%.3f s, %.2f GB/s, %ld MiB\n", seconds, (double)bytes / seconds / 1e9,
            usage.ru_maxrss / 1024);
    evidence_free(&evidence);
    served_free(&served);
    return 0;
}

int main(int argc, char **argv)
{
    secret_init();
    if (argc == 5 && strcmp(argv[1], "generate") == 0)
        return generate(argv[2], strtoll(argv[3], NULL, 10) * 1000000,
                        (uint32_t)strtoul(argv[4], NULL, 10));
    if (argc == 3 && strcmp(argv[1], "count") == 0)
        return count(argv[2]);
    die("usage: generate FILE MEGABYTES RECIPIENTS | count FILE");
    return 64;
}
