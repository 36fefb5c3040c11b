/*
 * bench-lmtp_null - the sink beside which the quarantine's intake is measured: speaks the same
 * LMTP, writes each message to a file, fsyncs it, with "durable" its directory too, answers 250; no
 * rows, nothing looked at
 *
 *     bench-lmtp_null inet:host:port DIRECTORY [durable]
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/listen.h"
#include "report/lmtp.h"

static const char *directory;
static int directory_fd = -1; /* to be made durable; -1: not */

struct session {
    int fd, file;
    char path[4096];
    struct lmtp lmtp;
    char in[65536];
};

static void must(bool fine, const char *what)
{
    if (fine)
        return;
    perror(what);
    exit(1);
}

static void begin_file(struct session *s)
{
    static _Atomic unsigned long long number;

    snprintf(s->path, sizeof s->path, "%s/%llu", directory, number++);
    s->file = open(s->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(s->file >= 0, s->path);
    lmtp_answer(&s->lmtp, "354 go on");
}

static void end_file(struct session *s)
{
    must(fsync(s->file) == 0, "fsync");
    must(directory_fd < 0 || fsync(directory_fd) == 0, "fsync of the directory");
    close(s->file);
    for (size_t i = 0, count = s->lmtp.recipient_count; i < count; i++)
        lmtp_answer(&s->lmtp, "250 2.0.0 Ok");
}

static bool work(struct session *s, struct span in)
{
    struct span what;

    for (;;) {
        switch (lmtp_next(&s->lmtp, &in, &what)) {
        case LMTP_MORE:
        case LMTP_STOP:
            must(send(s->fd, s->lmtp.out.at, s->lmtp.out.len, MSG_NOSIGNAL) >= 0, "send");
            buf_clear(&s->lmtp.out);
            return !s->lmtp.stopped;
        case LMTP_RCPT:
            lmtp_answer(&s->lmtp, "250 2.1.5 Ok");
            break;
        case LMTP_DATA:
            begin_file(s);
            break;
        case LMTP_BODY:
            must(write(s->file, what.at, what.len) == (ssize_t)what.len, "write");
            break;
        case LMTP_END:
            end_file(s);
            break;
        }
    }
}

static void *converse(void *context)
{
    struct session *s = context;
    ssize_t n;

    lmtp_begin(&s->lmtp, "null", 100 << 20);
    must(send(s->fd, s->lmtp.out.at, s->lmtp.out.len, MSG_NOSIGNAL) > 0, "send");
    buf_clear(&s->lmtp.out);
    while ((n = recv(s->fd, s->in, sizeof s->in, 0)) > 0 && work(s, span_of(s->in, (size_t)n))) {
    }
    lmtp_free(&s->lmtp);
    close(s->fd);
    free(s);
    return NULL;
}

int main(int argc, char **argv)
{
    struct conf_address address;
    struct err err;
    int fd;

    if (argc < 3 || argc > 4 || !conf_parse_address(span_text(argv[1]), &address, &err) ||
        !listen_open(&address, 0666, "", &fd, &err)) {
        fprintf(stderr, "usage: bench-lmtp_null ADDRESS DIRECTORY [durable]\n");
        return 64;
    }
    directory = argv[2];
    if (argc == 4)
        must((directory_fd = open(directory, O_RDONLY | O_DIRECTORY)) >= 0, directory);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    for (int client; (client = accept(fd, NULL, NULL)) >= 0;) {
        struct session *s = mem_zero(1, sizeof *s);
        pthread_t thread;
        s->fd = client;
        must(pthread_create(&thread, NULL, converse, s) == 0, "pthread_create");
        pthread_detach(thread);
    }
    return 1;
}
