/*
 * sandbox - what is out of reach afterwards, and what is not. Catches a rule that forbids nothing,
 * one that forbids what a daemon needs, and a kernel's refusal that is taken for success.
 *
 * Each probe runs in a process of its own, before and after: what would be refused anyway (without
 * root, by the kernel's settings) proves nothing, and is not asked for.
 */
#include "lib/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static char inside[] = "/tmp/rc-sandbox-XXXXXX", outside[] = "/tmp/rc-outside-XXXXXX";
static char path[256];

/* 0, or the error of the call. */
static int outcome(long result)
{
    return result >= 0 ? 0 : errno;
}

static int open_there(const char *directory, const char *name, int flags)
{
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int why = outcome(fd);
    if (fd >= 0)
        close(fd);
    return why;
}

static int socket_of(int family, int type, int protocol)
{
    int fd = socket(family, type, protocol);
    int why = outcome(fd);
    if (fd >= 0)
        close(fd);
    return why;
}

static int probe_exec(void)
{
    int child = fork();
    if (child < 0)
        return errno;
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(errno);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
static int probe_exec_here(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return errno;
}
static int probe_shadow(void)
{
    return outcome(open("/etc/shadow", O_RDONLY | O_CLOEXEC));
}
static int probe_outside_read(void)
{
    return open_there(outside, "file", O_RDONLY);
}
static int probe_outside_write(void)
{
    return open_there(outside, "new", O_WRONLY | O_CREAT);
}
static int probe_etc_write(void)
{
    int why = open_there("/etc", "rollcall-sandbox-probe", O_WRONLY | O_CREAT | O_EXCL);
    if (why == 0)
        unlink(path);
    return why;
}
static int probe_truncate(void)
{
    snprintf(path, sizeof path, "%s/file", outside);
    return outcome(truncate(path, 0));
}
static int probe_ptrace(void)
{
    return outcome(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
}
static int probe_packet(void)
{
    return socket_of(AF_PACKET, SOCK_RAW, 0);
}
static int probe_vsock(void)
{
    return socket_of(AF_VSOCK, SOCK_STREAM, 0);
}
static int probe_bluetooth(void)
{
    return socket_of(AF_KEY, SOCK_RAW, 2);
}
static int probe_raw(void)
{
    return socket_of(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}
static int probe_audit(void)
{
    return socket_of(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
}
static int probe_namespace(void)
{
    return outcome(unshare(CLONE_NEWUTS));
}
static int probe_mount(void)
{
    return outcome(mount("none", inside, "tmpfs", MS_NODEV, "size=4k"));
}
static int probe_bpf(void)
{
    int why = outcome(syscall(SYS_bpf, 0, NULL, 0));
    return why == EINVAL || why == EFAULT ? 0 : why; /* it was let in */
}
static int probe_keyctl(void)
{
    return outcome(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -3, 1));
}
static int probe_personality(void)
{
    return outcome(personality(ADDR_NO_RANDOMIZE));
}
static int probe_uid(void)
{
    return outcome(setuid(65534));
}
static int probe_bind(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return outcome(bind(fd, (struct sockaddr *)&any, sizeof any));
}
static int probe_signal(void)
{
    return outcome(kill(getppid(), 0));
}

/* ---- what is left ---- */

static int probe_inside(void)
{
    int why = open_there(inside, "new", O_RDWR | O_CREAT | O_TRUNC);
    char other[256];
    snprintf(other, sizeof other, "%s/below", inside);
    if (why == 0)
        why = outcome(mkdir(other, 0700));
    strcat(other, "/moved");
    if (why == 0)
        why = outcome(rename(path, other));
    if (why == 0)
        why = outcome(unlink(other));
    snprintf(other, sizeof other, "%s/below", inside);
    return why != 0 ? why : outcome(rmdir(other));
}
static int probe_names(void)
{
    struct addrinfo *found = NULL;
    int code =
        getaddrinfo("localhost", "25", &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &found);
    if (code == 0)
        freeaddrinfo(found);
    return code == 0 ? 0 : 1;
}
static int probe_route(void)
{
    return socket_of(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}
static int probe_inet(void)
{
    return socket_of(AF_INET6, SOCK_STREAM, 0);
}
static int probe_unix(void)
{
    return socket_of(AF_UNIX, SOCK_STREAM, 0);
}
static int probe_libraries(void)
{
    return open_there("/usr/share", ".", O_RDONLY | O_DIRECTORY);
}
static void *nothing(void *context)
{
    return context;
}
static int probe_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) != 0 ? 1 : pthread_join(thread, NULL);
}
static int probe_fork(void)
{
    int child = fork();
    if (child == 0)
        _exit(0);
    return child < 0 ? errno : waitpid(child, NULL, 0) < 0;
}
static int probe_unlink(void)
{
    snprintf(path, sizeof path, "%s/socket", outside);
    return outcome(unlink(path));
}

static const char *const writes[] = {inside, NULL};
static const char *const removes[] = {outside, NULL};
static const struct sandbox usual = {.write = writes};
static const struct sandbox removing = {.write = writes, .remove = removes};
static const struct sandbox forking = {.write = writes, .forks = true};
static const struct sandbox executing = {.write = writes, .executes = true};

enum { NO_BOX = 200 };

/* In a process of its own, with a sandbox or without. */
static int ask(int (*probe)(void), const struct sandbox *box)
{
    int status;
    fflush(stdout);
    pid_t child = fork();

    if (child == 0) {
        if (box != NULL && sandbox_enter(box) != SANDBOX_ALL)
            _exit(NO_BOX);
        _exit(probe());
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void refused(const char *what, int (*probe)(void))
{
    int before = ask(probe, NULL), after = ask(probe, &usual);

    ok(after == EPERM || after == EACCES, "%s is refused: %s", what, strerror(after));
    ok(before != EPERM && before != EACCES, "%s would have been let in: %s", what,
       strerror(before));
}

static void left(const char *what, int (*probe)(void), const struct sandbox *box)
{
    int after = ask(probe, box);

    ok(after == 0, "%s is left: %d", what, after);
}

static void make_files(void)
{
    ok(mkdtemp(inside) != NULL && mkdtemp(outside) != NULL, "two directories");
    ok(open_there(outside, "file", O_WRONLY | O_CREAT) == 0, "a file outside");
    ok(open_there(outside, "socket", O_WRONLY | O_CREAT) == 0, "and one that may go");
}

static void drop_files(void)
{
    static const char *const names[] = {"file", "new", "socket"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", outside, names[i]);
        unlink(path);
    }
    umount(inside);
    rmdir(inside);
    rmdir(outside);
}

int main(void)
{
    make_files();
    ok(ask(probe_unix, &usual) != NO_BOX, "this kernel has Landlock and seccomp filters");
    refused("a program", probe_exec_here);
    refused("a file that root may read", probe_shadow);
    refused("reading outside", probe_outside_read);
    refused("writing outside", probe_outside_write);
    refused("writing settings", probe_etc_write);
    refused("cutting a file off outside", probe_truncate);
    refused("another process's memory", probe_ptrace);
    refused("a packet socket", probe_packet);
    refused("a vsock socket", probe_vsock);
    refused("a socket of another family", probe_bluetooth);
    refused("a raw socket", probe_raw);
    refused("the kernel's audit", probe_audit);
    refused("a new namespace", probe_namespace);
    refused("a mount", probe_mount);
    refused("bpf", probe_bpf);
    refused("the kernel's keys", probe_keyctl);
    refused("a personality", probe_personality);
    refused("another user", probe_uid);
    refused("another port", probe_bind);
    refused("a signal to others", probe_signal);
    left("its directory", probe_inside, &usual);
    left("looking names up", probe_names, &usual);
    left("asking for routes", probe_route, &usual);
    left("the network", probe_inet, &usual);
    left("unix sockets", probe_unix, &usual);
    left("the system's files", probe_libraries, &usual);
    left("a thread", probe_thread, &usual);
    left("a process where it was asked for", probe_fork, &forking);
    left("a program where it was asked for", probe_exec, &executing);
    ok(ask(probe_exec, &forking) != 0, "processes run no programs");
    ok(ask(probe_unlink, &usual) == EACCES, "removing outside is refused");
    left("removing a socket", probe_unlink, &removing);
    drop_files();
    return tap_done();
}
