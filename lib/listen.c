/* listen - see listen.h */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"

enum {
    BACKLOG = 4096,      /* the kernel cuts it to somaxconn */
    FIRST_ACTIVATED = 3, /* sd_listen_fds(3) */
};

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
        return false;
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

bool listen_open(const struct conf_address *address, unsigned mode, const char *owner, int *fd,
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

static bool take_activated(struct listeners *l, int count, struct err *err)
{
    if (count > LISTENERS_MOST)
        return err_set(err, ERR_CONFIG, "more than %d activated sockets", LISTENERS_MOST);
    for (int i = 0; i < count; i++) {
        int fd = FIRST_ACTIVATED + i;
        if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
            return err_set(err, ERR_CONFIG, "activated socket %d: %s", fd, strerror(errno));
        l->fds[l->count++] = fd;
    }
    return true;
}

static bool open_one(struct listeners *l, const struct listen_options *o, struct span element,
                     struct err *err)
{
    struct conf_address address;
    uid_t user;
    gid_t group;

    if (l->count == LISTENERS_MOST)
        return err_set(err, ERR_CONFIG, "%s: more than %d sockets", o->setting, LISTENERS_MOST);
    if (!daemon_owner_ids(o->owner, &user, &group, err))
        return err_prefix(err, "%s", o->owner_setting);
    if (!conf_parse_address(span_trim(element), &address, err) ||
        !listen_open(&address, o->mode, o->owner, &l->fds[l->count], err))
        return err_prefix(err, "%s", o->setting);
    l->paths[l->count++] = address.is_unix ? mem_text(address.path) : NULL;
    return true;
}

bool listeners_open(struct listeners *listeners, const struct listen_options *options,
                    struct err *err)
{
    struct span rest = span_text(options->addresses), element;
    int activated = daemon_activated_sockets();

    *listeners = (struct listeners){0};
    if (activated > 0)
        return take_activated(listeners, activated, err);
    while (span_next(&rest, ',', &element))
        if (!open_one(listeners, options, element, err))
            return false;
    return listeners->count > 0 ||
           err_set(err, ERR_CONFIG, "%s is empty: nobody could ask", options->setting);
}

void listeners_close(struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++) {
        close(listeners->fds[i]);
        if (listeners->paths[i] != NULL)
            unlink(listeners->paths[i]); /* not ours to remove after dropping root: replaced at
                                            start */
        free(listeners->paths[i]);
    }
    listeners->count = 0;
}
