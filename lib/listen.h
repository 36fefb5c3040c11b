/*
 * listen - the sockets a daemon listens on: its own, or those that systemd hands over
 */
#ifndef ROLLCALL_LISTEN_H
#define ROLLCALL_LISTEN_H

#include <stddef.h>

#include "conf.h"
#include "err.h"

enum { LISTENERS_MOST = 64 };

struct listeners {
    int fds[LISTENERS_MOST];     /* non-blocking */
    char *paths[LISTENERS_MOST]; /* of unix sockets we made; NULL for others */
    size_t count;
};

/* What a setting names, comma-separated; mode and owner (user:group, "": what we are) are for unix
 * sockets. */
struct listen_options {
    const char *setting, *addresses; /* the setting's name and value */
    unsigned mode;
    const char *owner_setting, *owner;
};

/* Opens all of them, or takes those that systemd hands over instead. What was opened before an
 * error is in *listeners: close it. */
bool listeners_open(struct listeners *listeners, const struct listen_options *options,
                    struct err *err) MUST_CHECK;
void listeners_close(struct listeners *listeners);

/* One of them. A unix socket that nobody listens on is replaced; mode and owner are set before
 * anybody can connect. */
bool listen_open(const struct conf_address *address, unsigned mode, const char *owner, int *fd,
                 struct err *err) MUST_CHECK;

#endif
