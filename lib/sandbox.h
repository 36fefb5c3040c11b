/*
 * sandbox - what a daemon gives up for good once it has started: system calls, and files (the only
 * user of libseccomp; Landlock by its system calls)
 *
 * Whoever takes a daemon over by a fault in it or in a library can do what is left: speak to
 * PostgreSQL and to sockets of the families unix, inet, inet6 and netlink's routes, read the
 * system's libraries and settings, write the daemon's own directory. Started programs, other
 * processes, the kernel's doors, devices and all other files are out of reach, root or not.
 */
#ifndef ROLLCALL_SANDBOX_H
#define ROLLCALL_SANDBOX_H

#include <stdbool.h>

struct sandbox {
    /* Paths, NULL at the end; the list may be NULL. What is not there is passed over. */
    const char *const *read;   /* besides what every program needs */
    const char *const *write;  /* directories with all below */
    const char *const *remove; /* directories whose entries may be removed (sockets) */
    bool forks;                /* has processes of its own */
    bool executes;             /* starts programs of the system or its own */
};

/* How far it went. */
enum sandbox_reach {
    SANDBOX_ALL,
    SANDBOX_NO_FILES, /* this kernel has no Landlock, or it is forbidden here */
    SANDBOX_NO_CALLS, /* likewise for seccomp filters */
    SANDBOX_NOTHING,
};

/*
 * For this thread and all that it starts: call it before there are others, when everything that
 * needs more is done (sockets opened, root dropped). Under sanitizers ptrace, which
 * LeakSanitizer lives by, stays, and so do processes.
 */
enum sandbox_reach sandbox_enter(const struct sandbox *box);

#endif
