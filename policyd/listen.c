/* listen - listening sockets; see server.h */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "policyd/server.h"

enum { BACKLOG = 4096 /* the kernel cuts it to somaxconn */ };

static bool is_answered(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answered = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;

    if (fd >= 0)
        close(fd);
    return answered;
}

/* Only a socket that nobody listens on is replaced. */
static bool make_way(const struct sockaddr_un *address, struct err *err)
{
    struct stat st;

    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ||
               err_set(err, ERR_CONFIG, "%s: %s", address->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_CONFIG, "%s: is there and is no socket", address->sun_path);
    if (is_answered(address))
        return err_set(err, ERR_CONFIG, "%s: another process listens there", address->sun_path);
    return unlink(address->sun_path) == 0 ||
           err_set(err, ERR_CONFIG, "%s: %s", address->sun_path, strerror(errno));
}

static bool give_away(const char *path, unsigned mode, const char *owner, struct err *err)
{
    uid_t user;
    gid_t group;

    if (!daemon_owner_ids(owner, &user, &group, err))
        return err_prefix(err, "policy_socket_owner");
    if (chmod(path, mode) != 0 || chown(path, user, group) != 0)
        return err_set(err, ERR_CONFIG, "%s: cannot set its mode and owner: %s", path,
                       strerror(errno));
    return true;
}

static bool listen_unix(const struct conf_address *a, unsigned mode, const char *owner, int fd,
                        struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", a->path);
    if (!make_way(&address, err))
        return false;
    /* nobody may connect before mode and owner are what they shall be */
    mode_t old = umask(0777);
    bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int code = errno;
    umask(old);
    if (!bound)
        return err_set(err, ERR_CONFIG, "%s: cannot be made: %s", a->path, strerror(code));
    if (listen(fd, BACKLOG) != 0)
        return err_set(err, ERR_CONFIG, "%s: %s", a->path, strerror(errno));
    return give_away(a->path, mode, owner, err);
}

static bool listen_inet(const struct conf_address *a, int *fd, struct err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    const int on = 1;
    int code = getaddrinfo(a->host[0] != '\0' ? a->host : NULL, a->port, &hints, &found);

    if (code != 0)
        return err_set(err, ERR_CONFIG, "%s:%s: %s", a->host, a->port, gai_strerror(code));
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool fine = *fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                bind(*fd, found->ai_addr, found->ai_addrlen) == 0 && listen(*fd, BACKLOG) == 0;
    code = errno;
    freeaddrinfo(found);
    return fine || err_set(err, ERR_CONFIG, "%s:%s: %s", a->host, a->port, strerror(code));
}

bool server_listen(const struct conf_address *address, unsigned mode, const char *owner, int *fd,
                   struct err *err)
{
    bool fine;

    *fd = -1;
    if (!address->is_unix) {
        fine = listen_inet(address, fd, err);
    } else {
        *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        fine = *fd >= 0 ? listen_unix(address, mode, owner, *fd, err)
                        : err_set(err, ERR_OTHER, "socket: %s", strerror(errno));
    }
    if (!fine && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return fine;
}
