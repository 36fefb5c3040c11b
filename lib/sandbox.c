/* sandbox - see sandbox.h */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

/* ---- files (landlock(7)) ---- */

/* Newer than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#endif
#define NET_BIND_TCP (1ULL << 0) /* ABI 4 */
#define SCOPE_SIGNAL (1ULL << 1) /* ABI 6 */

struct ruleset {
    uint64_t files, net, scoped;
};

#define READ   (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define REMOVE (LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
#define WRITE                                                                                      \
    (READ | REMOVE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |                 \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE)
#define OF_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     LANDLOCK_ACCESS_FS_TRUNCATE)

/* All that this kernel can forbid; false: it has no Landlock. */
static bool forbidden(struct ruleset *all, size_t *size)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

    if (abi < 1)
        return false;
    *size = offsetof(struct ruleset, net);
    *all = (struct ruleset){.files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    if (abi >= 2)
        all->files |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        all->files |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= 4) {
        all->net = NET_BIND_TCP;
        *size = offsetof(struct ruleset, scoped);
    }
    if (abi >= 6) {
        all->scoped = SCOPE_SIGNAL;
        *size = sizeof *all;
    }
    return true;
}

static void allow(int rules, const struct ruleset *all, const char *path, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & all->files};
    struct stat about;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return;
    if (fstat(rule.parent_fd, &about) == 0 && !S_ISDIR(about.st_mode))
        rule.allowed_access &= OF_FILES;
    if (rule.allowed_access != 0)
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
}

static void allow_all(int rules, const struct ruleset *all, const char *const *paths,
                      uint64_t rights)
{
    for (; paths != NULL && *paths != NULL; paths++)
        allow(rules, all, *paths, rights);
}

/* Libraries, name service, certificates, time zones, what the C library asks the kernel by files.
 */
static const char *const everybody_reads[] = {"/usr",
                                              "/lib",
                                              "/lib64",
                                              "/etc/alternatives",
                                              "/etc/ca-certificates",
                                              "/etc/ca-certificates.conf",
                                              "/etc/gai.conf",
                                              "/etc/gnutls",
                                              "/etc/group",
                                              "/etc/gss",
                                              "/etc/host.conf",
                                              "/etc/hosts",
                                              "/etc/krb5.conf",
                                              "/etc/krb5.conf.d",
                                              "/etc/ld.so.cache",
                                              "/etc/ld.so.conf",
                                              "/etc/ld.so.conf.d",
                                              "/etc/ldap",
                                              "/etc/localtime",
                                              "/etc/nsswitch.conf",
                                              "/etc/passwd",
                                              "/etc/pkcs11",
                                              "/etc/protocols",
                                              "/etc/resolv.conf",
                                              "/etc/services",
                                              "/etc/ssl",
                                              "/etc/timezone",
                                              "/run/systemd/resolve",
                                              "/var/lib/ca-certificates",
                                              "/proc",
                                              "/sys/devices/system/cpu",
                                              "/sys/kernel/mm/transparent_hugepage",
                                              "/dev/null",
                                              "/dev/zero",
                                              "/dev/random",
                                              "/dev/urandom",
                                              "/proc/self/exe",
                                              NULL};

static bool restrict_files(const struct sandbox *box)
{
    struct ruleset all;
    size_t size;
    uint64_t run = box->executes ? LANDLOCK_ACCESS_FS_EXECUTE : 0;

    if (!forbidden(&all, &size))
        return false;
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
    if (rules < 0)
        return false;
    allow_all(rules, &all, everybody_reads, READ | run);
    allow_all(rules, &all, box->read, READ | run);
    allow_all(rules, &all, box->write, WRITE);
    allow_all(rules, &all, box->remove, REMOVE);
    allow(rules, &all, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
    bool fine = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return fine;
}

/* ---- system calls (seccomp_rule_add(3)) ---- */

static const int never[] = {
    /* other processes */
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
    SCMP_SYS(process_madvise), SCMP_SYS(perf_event_open), SCMP_SYS(lookup_dcookie),
    /* the kernel's doors */
    SCMP_SYS(bpf), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(iopl),
    SCMP_SYS(ioperm), SCMP_SYS(syslog), SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(swapon),
    SCMP_SYS(swapoff), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register), SCMP_SYS(vhangup), SCMP_SYS(uselib), SCMP_SYS(modify_ldt),
    SCMP_SYS(personality), SCMP_SYS(_sysctl), SCMP_SYS(nfsservctl),
    /* mounts, roots, namespaces */
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(open_tree),
    SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr), SCMP_SYS(unshare), SCMP_SYS(setns),
    /* keys of the kernel */
    SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    /* clocks, names */
    SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime),
    SCMP_SYS(sethostname), SCMP_SYS(setdomainname),
    /* files by numbers, devices, what others do with files */
    SCMP_SYS(open_by_handle_at), SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(fanotify_init),
    SCMP_SYS(fanotify_mark),
    /* other users */
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid),
    SCMP_SYS(capset)};

static bool deny(scmp_filter_ctx filter, int call)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 0) == 0;
}

static bool deny_if(scmp_filter_ctx filter, int call, struct scmp_arg_cmp a)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), call, 1, a) == 0;
}

/* unix, inet, inet6 and netlink are left; raw packets are not. */
static bool deny_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    bool fine = deny_if(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_GT, AF_NETLINK)) &&
                deny_if(filter, SCMP_SYS(socketpair), SCMP_A0(SCMP_CMP_NE, AF_UNIX));

    for (scmp_datum_t family = AF_UNSPEC; fine && family < AF_NETLINK; family++)
        if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
            fine = deny_if(filter, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, family));
    for (size_t i = 0; fine && i < sizeof families / sizeof families[0]; i++)
        fine = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
                                SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]),
                                SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW)) == 0;
    /* of netlink: routes, which the resolver asks for */
    return fine && seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 2,
                                    SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                                    SCMP_A2(SCMP_CMP_NE, 0 /* NETLINK_ROUTE */)) == 0;
}

/* Threads are left. What a clone3 asks for cannot be looked at: the C library then takes clone. */
static bool deny_processes(scmp_filter_ctx filter, const struct sandbox *box)
{
    static const scmp_datum_t namespaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                              CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                              CLONE_NEWNET};
    bool fine = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;

    if (!box->executes)
        fine = fine && deny(filter, SCMP_SYS(execve)) && deny(filter, SCMP_SYS(execveat));
    if (!box->executes && !box->forks && !SANITIZED)
        return fine && deny(filter, SCMP_SYS(fork)) && deny(filter, SCMP_SYS(vfork)) &&
               deny_if(filter, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    for (size_t i = 0; fine && i < sizeof namespaces / sizeof namespaces[0]; i++)
        fine = deny_if(filter, SCMP_SYS(clone),
                       SCMP_A0(SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    return fine;
}

static bool build_filter(scmp_filter_ctx filter, const struct sandbox *box)
{
    bool fine = true;

    /* a tree instead of a list; no slower memory for it (SPEC_ALLOW) */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    for (size_t i = 0; fine && i < sizeof never / sizeof never[0]; i++)
        fine = never[i] < 0 || deny(filter, never[i]); /* negative: not on this architecture */
    if (!SANITIZED)
        fine = fine && deny(filter, SCMP_SYS(ptrace));
    /* typing into the terminal that started it */
    return fine && deny_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TIOCSTI)) &&
           deny_if(filter, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TIOCLINUX)) &&
           deny_sockets(filter) && deny_processes(filter, box);
}

static bool restrict_calls(const struct sandbox *box)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    bool fine = filter != NULL && build_filter(filter, box) && seccomp_load(filter) == 0;

    seccomp_release(filter);
    return fine;
}

enum sandbox_reach sandbox_enter(const struct sandbox *box)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return SANDBOX_NOTHING;
    bool files = restrict_files(box);
    bool calls = restrict_calls(box);
    return files && calls ? SANDBOX_ALL
           : calls        ? SANDBOX_NO_FILES
           : files        ? SANDBOX_NO_CALLS
                          : SANDBOX_NOTHING;
}
