/*
 * bench - what the measuring programs share: time, connections, one question to a policy server,
 * the names of generated recipients
 *
 * User number i (from 0) is u0000000@d000.test and so on, in domain i mod D; t/bench/policy fills
 * PostgreSQL with the same.
 */
#ifndef ROLLCALL_BENCH_H
#define ROLLCALL_BENCH_H

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/conf.h"

static inline uint64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void bench_sleep_us(int64_t us)
{
    struct timespec left = {us / 1000000, us % 1000000 * 1000};

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

__attribute__((noreturn, format(printf, 2, 3))) static inline void
bench_give_up(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

static inline int bench_connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline int bench_connect_inet(const struct conf_address *target)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int on = 1;

    if (getaddrinfo(target->host, target->port, &hints, &found) != 0)
        return -1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool fine = fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (!fine && fd >= 0)
        close(fd);
    if (fine)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fine ? fd : -1;
}

/* -1 when nobody listens there. */
static inline int bench_connect(const struct conf_address *target)
{
    return target->is_unix ? bench_connect_unix(target->path) : bench_connect_inet(target);
}

static inline struct conf_address bench_address(const char *text)
{
    struct conf_address address;
    struct err err;

    if (!conf_parse_address(span_text(text), &address, &err))
        bench_give_up(64, "%s", err.text);
    return address;
}

/* Asks about one recipient over a connection; false when it is lost. `action` gets at least what
 * stands behind "action=". */
static inline bool bench_ask(int fd, const char *recipient, char *action, size_t room)
{
    char request[512], reply[1024];
    size_t len = 0;
    int n = snprintf(request, sizeof request,
                     "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"
                     "client_address=192.0.2.1\nsender=somebody@remote.test\nrecipient=%s\n\n",
                     recipient);

    if (send(fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        return false;
    while (len < 2 || memcmp(reply + len - 2, "\n\n", 2) != 0) {
        ssize_t got = recv(fd, reply + len, sizeof reply - 1 - len, 0);
        if (got <= 0)
            return false;
        len += (size_t)got;
    }
    reply[len - 2] = '\0';
    snprintf(action, room, "%s", strncmp(reply, "action=", 7) == 0 ? reply + 7 : "");
    return true;
}

static inline int64_t bench_whole(const char *name, const char *text, int64_t least, int64_t most)
{
    int64_t value;

    if (!str_int64(span_text(text), &value) || value < least || value > most)
        bench_give_up(64, "%s %s: not a number from %lld to %lld", name, text, (long long)least,
                      (long long)most);
    return value;
}

/* splitmix64 */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* At least `width` digits; returns their end. */
static inline char *bench_put_digits(char *out, uint64_t number, int width)
{
    char reversed[20];
    int digits = 0;

    do {
        reversed[digits++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || digits < width);
    while (digits > 0)
        *out++ = reversed[--digits];
    return out;
}

/* "u0000000@d000.test", with another first letter for who is not on the roll; returns its end. */
static inline char *bench_put_recipient(char *out, char letter, uint64_t user, uint64_t domains)
{
    *out++ = letter;
    out = bench_put_digits(out, user, 7);
    *out++ = '@';
    *out++ = 'd';
    out = bench_put_digits(out, user % domains, 3);
    memcpy(out, ".test", 5);
    return out + 5;
}

#endif
