/* doctor_daemon - rollcall-policyd on this host: its replica's directory, its sockets, an answer */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "lib/clock.h"
#include "lib/disk.h"

#define ANSWER_LIMIT (5 * CLOCK_SECOND)

static void check_room(struct doctor *d, const struct doctor_directory *directory)
{
    struct disk disk;
    struct err ignored;

    if (disk_look(directory->path, &disk, &ignored) && disk.free_bytes < directory->room_least)
        doctor_warn(d, directory->room, "%s: only %llu MiB are free", directory->path,
                    (unsigned long long)(disk.free_bytes >> 20));
}

void doctor_check_directory(struct doctor *d, const struct doctor_directory *directory)
{
    const char *path = directory->path, *user = directory->user;
    const struct passwd *entry = getpwnam(user);
    struct stat status;

    if (stat(path, &status) != 0) {
        STR_AUTO remedy = mem_printf("install -d -o %s -m 0700 %s", user, path);
        doctor_bad(d, remedy, "%s: %s", path, strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        STR_AUTO remedy = mem_printf("name a directory in %s", directory->path_setting);
        doctor_bad(d, remedy, "%s is no directory", path);
    } else if (entry == NULL) {
        STR_AUTO remedy =
            mem_printf("adduser --system --group rollcall, or set %s", directory->user_setting);
        doctor_bad(d, remedy, "there is no user %s (%s)", user, directory->user_setting);
    } else if (status.st_uid != entry->pw_uid && entry->pw_uid != 0) {
        STR_AUTO remedy = mem_printf("chown it to the user that %s names", directory->user_setting);
        doctor_bad(d, remedy, "%s does not belong to %s", path, user);
    } else if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        doctor_bad(d, "chmod go-w it: what is in it is believed", "%s: others may write there",
                   path);
    else
        doctor_ok(d, "%s belongs to %s", path, user);
    check_room(d, directory);
}

void check_replica(struct doctor *d)
{
    doctor_check_directory(
        d, &(struct doctor_directory){
               .path = d->cli->conf.value.replica_directory,
               .user = d->cli->conf.value.policy_user,
               .path_setting = "replica_directory",
               .user_setting = "policy_user",
               .room_least = UINT64_C(256) << 20,
               .room = "make room: about 150 bytes for each recipient, twice during a full load"});
}

/* ---- a question over the socket ---- */

/* The kernel's send timeout bounds connect(2), too. */
enum { CONNECT_SECONDS = 5 };

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = CONNECT_SECONDS};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* A host that is empty means every address: the loopback one is asked. */
static int connect_inet(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct timeval limit = {.tv_sec = CONNECT_SECONDS};
    int fd = -1;

    errno = EADDRNOTAVAIL;
    if (getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &list) != 0)
        return -1;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            int why = errno;
            close(fd);
            errno = why;
            fd = -1;
        }
    }
    int why = errno;
    freeaddrinfo(list);
    errno = why;
    return fd;
}

int doctor_connect(const struct conf_address *a)
{
    return a->is_unix ? connect_unix(a->path) : connect_inet(a->host, a->port);
}

void doctor_address_text(const struct conf_address *a, char *out, size_t room)
{
    if (a->is_unix)
        snprintf(out, room, "unix:%s", a->path);
    else
        snprintf(out, room, "inet:%s:%s", a->host, a->port);
}

/* Reads until the empty line, the deadline or the end. */
static bool read_answer(int fd, char *out, size_t room)
{
    int64_t end = clock_elapsed_us() + ANSWER_LIMIT;
    size_t len = 0;

    while (len + 1 < room) {
        int64_t left = end - clock_elapsed_us();
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&poller, 1, (int)(left / 1000) + 1) <= 0)
            return false;
        ssize_t n = recv(fd, out + len, room - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
        if (strstr(out, "\n\n") != NULL)
            return true;
    }
    return false;
}

/* The question is about a name that nobody can serve (RFC 2606), so that it counts for nobody. */
static bool ask(int fd, char *out, size_t room)
{
    static const char request[] = "request=smtpd_access_policy\n"
                                  "protocol_state=RCPT\n"
                                  "recipient=doctor@rollcall.invalid\n\n";

    return send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1 &&
           read_answer(fd, out, room);
}

static void check_answer(struct doctor *d, const char *name, int fd)
{
    char reply[1024] = "";
    int64_t begun = clock_elapsed_us();

    if (!ask(fd, reply, sizeof reply)) {
        doctor_bad(d, "is it rollcall-policyd that listens there? See its log",
                   "%s accepts, but gave no answer within 5 s", name);
        return;
    }
    double took = (double)(clock_elapsed_us() - begun) / 1000;
    reply[strcspn(reply, "\n")] = '\0';
    if (strcmp(reply, "action=DUNNO") == 0)
        doctor_ok(d, "%s answers within %.1f ms", name, took);
    else if (strstr(reply, "(no-list)") != NULL)
        doctor_bad(d, "see the log of rollcall-policyd: PostgreSQL was never reached",
                   "%s answers, but has no list: everybody is put off", name);
    else
        doctor_bad(d, "another program listens there: stop it, or change policy_listen",
                   "%s answers '%s'", name, reply);
}

static void check_socket(struct doctor *d, const struct conf_address *a)
{
    char name[400];

    doctor_address_text(a, name, sizeof name);
    int fd = doctor_connect(a);
    if (fd < 0) {
        const char *remedy = errno == EACCES || errno == EPERM
                                 ? "run doctor as root, or see policy_socket_mode and "
                                   "policy_socket_owner"
                                 : "start rollcall-policyd";
        doctor_bad(d, remedy, "%s: %s", name, strerror(errno));
        return;
    }
    check_answer(d, name, fd);
    close(fd);
}

void check_sockets(struct doctor *d)
{
    struct span rest = span_text(d->cli->conf.value.policy_listen), piece;
    struct err err;

    while (d->socket_count < SOCKETS_MAX && span_next(&rest, ',', &piece)) {
        piece = span_trim(piece);
        struct conf_address *a = &d->sockets[d->socket_count];
        if (piece.len == 0 || !conf_parse_address(piece, a, &err))
            continue;
        d->socket_count++;
        check_socket(d, a);
    }
    if (d->socket_count == 0)
        doctor_bad(d, "set policy_listen, like unix:/var/spool/postfix/private/rollcall",
                   "policy_listen is empty: Postfix cannot ask");
}
