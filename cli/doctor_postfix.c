/* doctor_postfix - whether Postfix asks us: its restrictions, its services, its way to the socket
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "lib/clock.h"

struct span doctor_main_cf(const struct doctor *d, const char *name)
{
    struct span value = postfix_value(span_of(d->main_cf.out.at, d->main_cf.out.len), name);

    return value.at != NULL ? value : span_text("");
}

static void look_up_mail_user(struct doctor *d)
{
    STR_AUTO name = mem_span(doctor_main_cf(d, "mail_owner"));
    const struct passwd *entry = getpwnam(name);

    d->mail_group_count = sizeof d->mail_groups / sizeof d->mail_groups[0];
    if (entry == NULL ||
        getgrouplist(name, entry->pw_gid, d->mail_groups, &d->mail_group_count) < 0)
        d->mail_group_count = 0;
    else
        d->mail_user = entry->pw_uid;
}

void check_postfix(struct doctor *d)
{
    const char *directory = d->cli->conf.value.postfix_config_directory;
    const char *const main_cf[] = {"postconf", "-x", "-c", directory, NULL};
    const char *const master_cf[] = {"postconf", "-M", "-c", directory, NULL};
    struct err err;

    if (!spawn_run(main_cf, span_text(""), &d->main_cf, &err) ||
        !spawn_run(master_cf, span_text(""), &d->master_cf, &err)) {
        doctor_skip(d, "%s", err.text);
        return;
    }
    if (d->main_cf.code != 0 || d->master_cf.code != 0) {
        const struct buf *why = d->main_cf.code != 0 ? &d->main_cf.errors : &d->master_cf.errors;
        doctor_bad(d, "set postfix_config_directory to the directory of main.cf", "%.*s",
                   (int)strcspn(why->at, "\n"), why->at);
        return;
    }
    d->postfix = true;
    look_up_mail_user(d);
    doctor_ok(d, "Postfix %.*s in %s", SPAN_ARGS(doctor_main_cf(d, "mail_version")), directory);
    if (d->main_cf.errors.len > 0)
        doctor_warn(d, "postconf -n", "%.*s", (int)strcspn(d->main_cf.errors.at, "\n"),
                    d->main_cf.errors.at);
}

/* ---- the restriction lists ---- */

enum { RESTRICTIONS_MAX = 256, CLASS_DEPTH = 4 };

struct restrictions {
    struct span element[RESTRICTIONS_MAX];
    size_t count;
};

/* Appends a list, with the restriction classes in it replaced by what they stand for. */
static void flatten(const struct doctor *d, struct span list, int depth, struct restrictions *out)
{
    struct span classes = doctor_main_cf(d, "smtpd_restriction_classes"), element;

    while (out->count < RESTRICTIONS_MAX && postfix_next(&list, &element)) {
        STR_AUTO name = mem_span(element);
        if (depth < CLASS_DEPTH && postfix_has(classes, name))
            flatten(d, doctor_main_cf(d, name), depth + 1, out);
        else
            out->element[out->count++] = element;
    }
}

static struct restrictions restrictions_of(const struct doctor *d, const char *name)
{
    struct restrictions list = {0};

    flatten(d, doctor_main_cf(d, name), 0, &list);
    return list;
}

/* The place of an element, or `count`. */
static size_t place_of(const struct restrictions *list, const char *element)
{
    size_t i = 0;

    while (i < list->count && !span_equals(list->element[i], element))
        i++;
    return i;
}

static bool ends_foreign_mail(const struct restrictions *list, size_t before)
{
    static const char *const names[] = {"reject_unauth_destination", "defer_unauth_destination",
                                        "reject"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (place_of(list, names[i]) < before)
            return true;
    return false;
}

/* The file that an endpoint names: relative ones lie below the queue directory, and so do all of a
 * chrooted service. */
static void endpoint_path(const struct doctor *d, struct span endpoint, bool chroot, char *out,
                          size_t room)
{
    struct span queue = doctor_main_cf(d, "queue_directory");
    struct span path = span_of(endpoint.at + 5, endpoint.len - 5); /* behind "unix:" */
    bool absolute = path.len > 0 && path.at[0] == '/';

    if (absolute && !chroot)
        snprintf(out, room, "%.*s", SPAN_ARGS(path));
    else
        snprintf(out, room, "%.*s%s%.*s", SPAN_ARGS(queue), absolute ? "" : "/", SPAN_ARGS(path));
}

static bool same_file(const char *a, const char *b)
{
    struct stat one, two;

    return strcmp(a, b) == 0 || (stat(a, &one) == 0 && stat(b, &two) == 0 &&
                                 one.st_dev == two.st_dev && one.st_ino == two.st_ino);
}

static bool same_host(const char *a, const char *b)
{
    return strcmp(a, b) == 0 || a[0] == '\0' || strcmp(a, "0.0.0.0") == 0 || strcmp(a, "::") == 0 ||
           ((strcmp(a, "localhost") == 0 || strcmp(a, "127.0.0.1") == 0) &&
            (strcmp(b, "localhost") == 0 || strcmp(b, "127.0.0.1") == 0));
}

bool doctor_same_address(const struct conf_address *ours, const struct conf_address *theirs)
{
    if (ours->is_unix != theirs->is_unix)
        return false;
    return ours->is_unix
               ? same_file(ours->path, theirs->path)
               : same_host(ours->host, theirs->host) && strcmp(ours->port, theirs->port) == 0;
}

/* Which of our sockets an endpoint is; NULL: none. */
static const struct conf_address *our_socket(const struct doctor *d, struct span endpoint,
                                             bool chroot)
{
    struct conf_address theirs;
    struct err err;
    bool is_unix = endpoint.len > 5 && memcmp(endpoint.at, "unix:", 5) == 0;

    if (is_unix) {
        theirs = (struct conf_address){.is_unix = true};
        endpoint_path(d, endpoint, chroot, theirs.path, sizeof theirs.path);
    } else if (!conf_parse_address(endpoint, &theirs, &err)) {
        return NULL;
    }
    for (size_t i = 0; i < d->socket_count; i++)
        if (doctor_same_address(&d->sockets[i], &theirs))
            return &d->sockets[i];
    return NULL;
}

/* How main.cf should name our first socket. */
static void our_endpoint(const struct doctor *d, char *out, size_t room)
{
    struct span queue = doctor_main_cf(d, "queue_directory");
    const struct conf_address *a = &d->sockets[0];

    if (d->socket_count == 0)
        snprintf(out, room, "unix:private/rollcall");
    else if (!a->is_unix)
        snprintf(out, room, "inet:%s:%s", a->host[0] != '\0' ? a->host : "127.0.0.1", a->port);
    else if (strncmp(a->path, queue.at, queue.len) == 0 && a->path[queue.len] == '/')
        snprintf(out, room, "unix:%s", a->path + queue.len + 1);
    else
        snprintf(out, room, "unix:%s", a->path);
}

static void tell_missing(struct doctor *d, bool other)
{
    char endpoint[400], remedy[700];

    our_endpoint(d, endpoint, sizeof endpoint);
    snprintf(remedy, sizeof remedy,
             "main.cf: smtpd_recipient_restrictions = reject_unauth_destination, "
             "check_policy_service { %s, timeout=10s, default_action=DEFER }",
             endpoint);
    doctor_bad(d, remedy, "smtpd_recipient_restrictions %s",
               other ? "asks another policy service, none of policy_listen"
                     : "has no check_policy_service: nobody asks Rollcall");
}

/* Where our policy service stands in a list, or `count`; *other: another one is there. */
static size_t find_service(struct doctor *d, const struct restrictions *list,
                           struct postfix_policy *policy, bool *other)
{
    for (size_t i = 0; i + 1 < list->count; i++) {
        if (!span_equals(list->element[i], "check_policy_service"))
            continue;
        *policy = postfix_policy(list->element[i + 1]);
        if (policy->endpoint.at == NULL)
            continue;
        const struct conf_address *ours = our_socket(d, policy->endpoint, false);
        if (ours == NULL)
            ours = our_socket(d, policy->endpoint, true);
        if (ours != NULL) {
            d->asked = ours;
            d->endpoint = policy->endpoint;
            return i;
        }
        *other = true;
    }
    return list->count;
}

static void check_order(struct doctor *d, const struct restrictions *list, size_t place)
{
    static const char *const passes[] = {"permit", "permit_auth_destination"};
    struct restrictions relay = restrictions_of(d, "smtpd_relay_restrictions");

    for (size_t i = 0; i < 2; i++)
        if (place_of(list, passes[i]) < place) {
            doctor_bad(d, "main.cf: put check_policy_service in front of it",
                       "%s stands before check_policy_service: nobody is checked", passes[i]);
            return;
        }
    if (!ends_foreign_mail(list, place) && !ends_foreign_mail(&relay, relay.count))
        doctor_bad(d, "main.cf: put reject_unauth_destination in front of check_policy_service",
                   "nothing refuses mail for foreign domains: an open relay");
    else if (!ends_foreign_mail(list, place))
        doctor_ok(d, "asked as %.*s, after smtpd_relay_restrictions", SPAN_ARGS(d->endpoint));
    else
        doctor_ok(d, "asked as %.*s, after reject_unauth_destination", SPAN_ARGS(d->endpoint));
}

static void check_timeout(struct doctor *d, const struct postfix_policy *policy)
{
    int64_t limit = 0;
    struct span text = policy->timeout.at != NULL
                           ? policy->timeout
                           : doctor_main_cf(d, "smtpd_policy_service_timeout");

    if (!conf_parse_time(text, &limit) || limit > 30 * CLOCK_SECOND)
        doctor_warn(d, "main.cf: check_policy_service { …, timeout=10s, … }",
                    "timeout %.*s: when the daemon hangs, every client waits so long",
                    SPAN_ARGS(text));
    else
        doctor_ok(d, "timeout %.*s", SPAN_ARGS(text));
}

/* What happens when nobody answers: later, neither everybody nor nobody. */
static void check_default_action(struct doctor *d, const struct postfix_policy *policy)
{
    struct span text = policy->default_action.at != NULL
                           ? policy->default_action
                           : doctor_main_cf(d, "smtpd_policy_service_default_action");
    bool later = text.len > 0 &&
                 (text.at[0] == '4' || (text.len >= 5 && strncasecmp(text.at, "defer", 5) == 0));

    if (!later)
        doctor_bad(d, "main.cf: check_policy_service { …, default_action=DEFER }",
                   "default_action %.*s: said of everybody when the daemon is down",
                   SPAN_ARGS(text));
    else if (policy->default_action.at == NULL)
        doctor_warn(d, "main.cf: check_policy_service { …, default_action=DEFER }",
                    "no default_action: when the daemon is down clients read '%.*s'",
                    SPAN_ARGS(text));
    else
        doctor_ok(d, "default_action %.*s", SPAN_ARGS(text));
}

void check_policy_service(struct doctor *d)
{
    static const char *const names[] = {"smtpd_recipient_restrictions", "smtpd_relay_restrictions"};
    struct postfix_policy policy;
    bool other = false;

    if (!d->postfix) {
        doctor_skip(d, "Postfix's configuration could not be read");
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        struct restrictions list = restrictions_of(d, names[i]);
        size_t place = find_service(d, &list, &policy, &other);
        if (place == list.count)
            continue;
        check_order(d, &list, place);
        check_timeout(d, &policy);
        check_default_action(d, &policy);
        return;
    }
    tell_missing(d, other);
}

/* ---- the way to the socket ---- */

static bool in_group(const struct doctor *d, gid_t group)
{
    for (int i = 0; i < d->mail_group_count; i++)
        if (d->mail_groups[i] == group)
            return true;
    return false;
}

/* Whether mail_owner has that right (1 enter, 2 write) by the mode bits. */
static bool may(const struct doctor *d, const struct stat *status, mode_t right)
{
    if (status->st_uid == d->mail_user)
        return (status->st_mode >> 6 & right) != 0;
    if (in_group(d, status->st_gid))
        return (status->st_mode >> 3 & right) != 0;
    return (status->st_mode & right) != 0;
}

/* Every directory on the way must be enterable. False once something was told. */
static bool check_way(struct doctor *d, const char *path)
{
    char part[sizeof d->sockets[0].path];
    struct stat status;

    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        if (stat(part, &status) != 0) {
            doctor_bad(d, "run doctor as root; make the directory", "%s: %s", part,
                       strerror(errno));
            return false;
        }
        if (!may(d, &status, 1)) {
            doctor_bad(d, "chmod g+x or o+x it, or put the socket below the queue directory",
                       "%.*s may not enter %s", SPAN_ARGS(doctor_main_cf(d, "mail_owner")), part);
            return false;
        }
    }
    return true;
}

void check_permissions(struct doctor *d)
{
    struct stat status;

    if (!d->postfix || d->asked == NULL || !d->asked->is_unix) {
        doctor_skip(d, d->asked == NULL ? "Postfix does not ask us" : "no unix socket is asked");
        return;
    }
    if (d->mail_group_count == 0) {
        doctor_skip(d, "mail_owner is no user here");
        return;
    }
    const char *path = d->asked->path;
    if (!check_way(d, path))
        return;
    if (stat(path, &status) != 0)
        doctor_bad(d, "start rollcall-policyd", "%s: %s", path, strerror(errno));
    else if (!may(d, &status, 2))
        doctor_bad(d, "rollcall.conf: policy_socket_owner = postfix, or policy_socket_mode = 0666",
                   "%.*s may not write to %s", SPAN_ARGS(doctor_main_cf(d, "mail_owner")), path);
    else
        doctor_ok(d, "%.*s reaches %s", SPAN_ARGS(doctor_main_cf(d, "mail_owner")), path);
}

/* ---- master.cf ---- */

static bool is_loopback(struct span name)
{
    static const char *const starts[] = {"127.", "localhost:", "[::1]:", "::1:"};

    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (name.len > strlen(starts[i]) && memcmp(name.at, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Whether the world delivers there. */
static bool is_port_25(struct span name)
{
    const char *colon = memrchr(name.at, ':', name.len);
    struct span port =
        colon != NULL ? span_of(colon + 1, name.len - (size_t)(colon + 1 - name.at)) : name;

    return span_equals(port, "smtp") || span_equals(port, "25");
}

static bool list_asks(struct doctor *d, struct span text)
{
    struct restrictions list = {0};
    struct postfix_policy policy;
    bool other = false;

    flatten(d, text, 0, &list);
    return find_service(d, &list, &policy, &other) < list.count;
}

/* A list of its own may leave us out: right for submission and for what a filter hands back. */
static void check_own_list(struct doctor *d, const struct postfix_service *s, struct span list)
{
    if (list_asks(d, list))
        doctor_ok(d, "%.*s asks, by its own smtpd_recipient_restrictions", SPAN_ARGS(s->name));
    else if (is_port_25(s->name) && !is_loopback(s->name))
        doctor_bad(d, "master.cf: take that -o away, or add check_policy_service to it",
                   "%.*s has its own smtpd_recipient_restrictions: there nobody is checked",
                   SPAN_ARGS(s->name));
    else
        doctor_ok(d, "%.*s does not ask: it has its own smtpd_recipient_restrictions",
                  SPAN_ARGS(s->name));
}

/* A chrooted smtpd sees only what lies below the queue directory. */
static void check_chroot(struct doctor *d, const struct postfix_service *s)
{
    if (our_socket(d, d->endpoint, s->chroot) != NULL)
        doctor_ok(d, "%.*s (%schrooted) reaches %.*s", SPAN_ARGS(s->name), s->chroot ? "" : "not ",
                  SPAN_ARGS(d->endpoint));
    else
        doctor_bad(d,
                   "rollcall.conf: policy_listen = unix:QUEUE_DIRECTORY/private/rollcall; main.cf: "
                   "check_policy_service { unix:private/rollcall, … }",
                   "%.*s (%schrooted) cannot see the socket as %.*s", SPAN_ARGS(s->name),
                   s->chroot ? "" : "not ", SPAN_ARGS(d->endpoint));
}

void check_services(struct doctor *d)
{
    struct span rest =
        d->postfix ? span_of(d->master_cf.out.at, d->master_cf.out.len) : span_text("");
    struct postfix_service s;
    size_t found = 0;

    while (postfix_next_service(&rest, &s)) {
        if (!span_equals(s.command, "smtpd"))
            continue;
        found++;
        struct span list = postfix_override(&s, "smtpd_recipient_restrictions");
        if (list.at != NULL)
            check_own_list(d, &s, list);
        else if (d->asked != NULL)
            check_chroot(d, &s);
    }
    if (!d->postfix)
        doctor_skip(d, "Postfix's configuration could not be read");
    else if (found == 0)
        doctor_bad(d, "master.cf: smtp inet n - y - - smtpd", "no smtpd service: no mail comes in");
    else if (d->asked == NULL)
        doctor_skip(d, "Postfix does not ask us");
}
