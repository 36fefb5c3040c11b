/* doctor_quarantine - the quarantine on this host: its store and sockets, Postfix's way to it, and
 * the way back */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "lib/clock.h"

enum { REPLY_MOST = 4096, TABLE_MOST = 1 << 20 };
static const int64_t REPLY_LIMIT = 5 * CLOCK_SECOND;

/* ---- a word with a server ---- */

/* Whether a reply of that code comes, with all its lines ("250-…" goes on); *out has its last line
 * or what came instead. */
static bool expect(int fd, const char *code, char out[REPLY_MOST])
{
    int64_t end = clock_elapsed_us() + REPLY_LIMIT;
    size_t len = 0;

    snprintf(out, REPLY_MOST, "nothing within 5 s");
    while (len + 1 < REPLY_MOST) {
        int64_t left = end - clock_elapsed_us();
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&poller, 1, (int)(left / 1000) + 1) <= 0)
            return false;
        ssize_t n = recv(fd, out + len, REPLY_MOST - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        out[len] = '\0';
        const char *line = out;
        for (const char *next; (next = strchr(line, '\n')) != NULL && next[1] != '\0';)
            line = next + 1;
        if (out[len - 1] == '\n' && strlen(line) > 4 && line[3] != '-')
            return strncmp(line, code, 3) == 0;
    }
    return false;
}

static bool say(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Greeting, hello, goodbye; false with what went wrong. */
static bool greet(int fd, const char *hello, char why[REPLY_MOST])
{
    bool fine = expect(fd, "220", why) && say(fd, hello) && expect(fd, "250", why);

    why[strcspn(why, "\r\n")] = '\0';
    if (fine)
        say(fd, "QUIT\r\n");
    return fine;
}

static void check_server(struct doctor *d, const struct conf_address *address, const char *hello,
                         const char *remedy)
{
    char name[400], why[REPLY_MOST];
    int fd = doctor_connect(address);

    doctor_address_text(address, name, sizeof name);
    if (fd < 0) {
        doctor_bad(d,
                   errno == EACCES || errno == EPERM
                       ? "run doctor as root, or see quarantine_socket_mode and its owner"
                       : remedy,
                   "%s: %s", name, strerror(errno));
        return;
    }
    if (greet(fd, hello, why))
        doctor_ok(d, "%s answers", name);
    else
        doctor_bad(d, remedy, "%s answers '%.200s'", name, why);
    close(fd);
}

/* The addresses of a setting, one after the other. */
static bool next_address(struct span *rest, struct conf_address *address)
{
    struct span piece;
    struct err err;

    while (span_next(rest, ',', &piece))
        if (span_trim(piece).len > 0 && conf_parse_address(span_trim(piece), address, &err))
            return true;
    return false;
}

/* ---- the daemon ---- */

static struct span header_checks(const struct doctor *d)
{
    return d->postfix ? doctor_main_cf(d, "milter_header_checks") : span_text("");
}

/* What rollcall-quarantine has found when it compared files with their rows. */
static void check_files(struct doctor *d)
{
    char name[256];
    struct err err;
    DB_RESULT_AUTO rows = NULL;

    if (!d->database)
        return;
    doctor_gateway_name(d, name, sizeof name);
    if (!db_query(d->cli->db, &rows,
                  "select count(*) filter (where lost_at is not null), count(*)"
                  " from quarantine_message where gateway = $1 and dropped_at is null",
                  DB_VALUES(name), &err))
        doctor_bad(d, "see PostgreSQL's log", "%s", err.text);
    else if (db_int(rows, 0, 0) > 0)
        doctor_warn(
            d,
            "see who writes in quarantine_directory, and whether its disk is sound; the log "
            "of rollcall-quarantine names them (quarantine-mended)",
            "the files of %lld of %lld quarantined messages are gone or altered",
            (long long)db_int(rows, 0, 0), (long long)db_int(rows, 0, 1));
    else
        doctor_ok(d, "no file of %lld quarantined messages is known to be gone or altered",
                  (long long)db_int(rows, 0, 1));
}

/* A gateway may do without: then neither a directory nor a word in main.cf is there. */
void check_quarantine(struct doctor *d)
{
    const struct conf *conf = &d->cli->conf.value;
    struct span rest = span_text(conf->quarantine_listen);
    struct conf_address address;
    struct stat status;

    d->quarantine = stat(conf->quarantine_directory, &status) == 0 || header_checks(d).len > 0;
    if (!d->quarantine) {
        doctor_skip(d, "there is none here: %s is not there, and Postfix files nothing",
                    conf->quarantine_directory);
        return;
    }
    doctor_check_directory(
        d, &(struct doctor_directory){
               .path = conf->quarantine_directory,
               .user = conf->quarantine_user,
               .path_setting = "quarantine_directory",
               .user_setting = "quarantine_user",
               .room_least = UINT64_C(1) << 30,
               .room = "make room, or keep less: rollcall quarantine keep, rollcall quarantine "
                       "purge"});
    check_files(d);
    while (next_address(&rest, &address))
        check_server(d, &address, "LHLO doctor.invalid\r\n", "start rollcall-quarantine");
}

/* ---- Postfix files into it ---- */

/* What stands behind the action FILTER of a table's line, which comes last; NULL: it has another.
 */
static const char *filter_target(const char *line)
{
    static const char action[] = "FILTER";
    const char *target = NULL;

    for (const char *at = line; (at = strcasestr(at, action)) != NULL; at++) {
        const char *behind = at + strlen(action);
        bool word = at > line && (at[-1] == ' ' || at[-1] == '\t') &&
                    (behind[0] == ' ' || behind[0] == '\t');
        if (word)
            target = behind + strspn(behind, " \t");
    }
    return target;
}

/* Where a line of a table files to by LMTP: "… FILTER lmtp:inet:127.0.0.1:2424". Postfix takes a
 * port without "inet:" before it, and a host in brackets. */
static bool filter_of(struct span line, struct conf_address *to)
{
    STR_AUTO text = mem_span(line);
    const char *target = text[0] != '#' ? filter_target(text) : NULL;
    struct err err;

    if (target == NULL || strncasecmp(target, "lmtp:", 5) != 0)
        return false;
    target += 5;
    size_t len = strcspn(target, " \t\r"), host = 0;
    bool named = strncmp(target, "inet:", 5) == 0 || strncmp(target, "unix:", 5) == 0;
    STR_AUTO address = mem_printf("%s%.*s", named ? "" : "inet:", (int)len, target);
    char *bracket = address + 5;
    if (bracket[0] == '[')
        host = strcspn(bracket + 1, ":]");
    if (host > 0 && bracket[1 + host] == ']') { /* no IPv6 address */
        memmove(bracket + 1 + host, bracket + 2 + host, strlen(bracket + 1 + host));
        memmove(bracket, bracket + 1, strlen(bracket));
    }
    return conf_parse_address(span_text(address), to, &err);
}

static bool is_ours(const struct doctor *d, const struct conf_address *to)
{
    struct span rest = span_text(d->cli->conf.value.quarantine_listen);
    struct conf_address ours;

    while (next_address(&rest, &ours))
        if (doctor_same_address(&ours, to))
            return true;
    return false;
}

struct filing {
    bool ours, other; /* files to us; to somebody else */
    char unread[256]; /* a table that could not be read */
};

static void read_lines(const struct doctor *d, struct span rest, struct filing *filing)
{
    struct span line;
    struct conf_address to;

    while (span_next(&rest, '\n', &line)) {
        if (!filter_of(line, &to))
            continue;
        filing->ours = filing->ours || is_ours(d, &to);
        filing->other = filing->other || !is_ours(d, &to);
    }
}

/* "regexp:/etc/postfix/quarantine.regexp" */
static void read_table(const struct doctor *d, struct span table, struct filing *filing)
{
    const char *colon = memchr(table.at, ':', table.len);
    struct span path =
        colon != NULL ? span_of(colon + 1, table.len - (size_t)(colon + 1 - table.at)) : table;
    STR_AUTO name = mem_span(path);
    FILE *file = fopen(name, "re");
    char *text = mem_alloc(TABLE_MOST);
    size_t len = file != NULL ? fread(text, 1, TABLE_MOST, file) : 0;

    if (file == NULL)
        snprintf(filing->unread, sizeof filing->unread, "%s: %s", name, strerror(errno));
    else
        fclose(file);
    read_lines(d, span_of(text, len), filing);
    free(text);
}

static void tell_filing(struct doctor *d, const struct filing *filing)
{
    static const char remedy[] = "a line like /^X-Spam(-Flag|-Status)?: *yes/ FILTER "
                                 "lmtp:inet:127.0.0.1:2424 with an address of quarantine_listen";

    if (filing->ours)
        doctor_ok(d, "milter_header_checks files to rollcall-quarantine");
    else if (filing->unread[0] != '\0')
        doctor_warn(d, "make the table readable, or run doctor as root", "milter_header_checks: %s",
                    filing->unread);
    else if (filing->other)
        doctor_bad(d, remedy, "milter_header_checks files elsewhere, not to quarantine_listen");
    else
        doctor_bad(d, remedy, "milter_header_checks has no FILTER lmtp:… in its tables");
}

void check_filing(struct doctor *d)
{
    struct span rest = header_checks(d), table;
    struct filing filing = {0};

    if (!d->quarantine || !d->postfix) {
        doctor_skip(d, d->quarantine ? "Postfix's configuration could not be read"
                                     : "there is no quarantine here");
        return;
    }
    if (rest.len == 0)
        doctor_bad(d, "main.cf: milter_header_checks = regexp:/etc/postfix/quarantine.regexp",
                   "milter_header_checks is empty: what the filter catches is not filed");
    else {
        while (postfix_next(&rest, &table))
            read_table(d, table, &filing);
        tell_filing(d, &filing);
    }
    if (doctor_main_cf(d, "smtpd_milters").len == 0)
        doctor_warn(d, "main.cf: smtpd_milters = inet:127.0.0.1:11332 (or where the filter is)",
                    "smtpd_milters is empty: no filter is asked, unless a service has its own");
    if (!span_equals(doctor_main_cf(d, "lmtp_send_xforward_command"), "yes"))
        doctor_warn(d, "main.cf: lmtp_send_xforward_command = yes",
                    "without XFORWARD the quarantine learns neither queue ids nor clients, and a "
                    "message that is given twice is kept twice");
}

/* ---- and back ---- */

/* The smtpd of master.cf that listens there; *found false: none of this Postfix. */
static struct postfix_service service_at(const struct doctor *d, const struct conf_address *to,
                                         bool *found)
{
    struct span rest = span_of(d->master_cf.out.at, d->master_cf.out.len);
    struct postfix_service s = {0};

    for (*found = false; !*found && postfix_next_service(&rest, &s);) {
        struct err err;
        struct conf_address listens = {0};
        STR_AUTO name = mem_span(s.name);
        STR_AUTO text =
            strchr(name, ':') != NULL ? mem_printf("inet:%s", name) : mem_printf("inet::%s", name);
        *found = span_equals(s.type, "inet") && span_equals(s.command, "smtpd") &&
                 conf_parse_address(span_text(text), &listens, &err) &&
                 doctor_same_address(&listens, to);
    }
    return s;
}

static bool is_given_empty(const struct postfix_service *s, const char *name)
{
    struct span value = postfix_override(s, name);

    return value.at != NULL && value.len == 0;
}

/* What is released must not meet the filter again: it would come back for ever. */
static void check_listener(struct doctor *d, const struct conf_address *to)
{
    bool found = false;
    struct postfix_service s = d->postfix ? service_at(d, to, &found) : (struct postfix_service){0};

    if (!found)
        return; /* another host's, or another program */
    if (!is_given_empty(&s, "smtpd_milters") && doctor_main_cf(d, "smtpd_milters").len > 0)
        doctor_bad(d, "master.cf, that service: -o smtpd_milters=",
                   "%.*s asks the filter again: what is released comes back", SPAN_ARGS(s.name));
    else if (!is_given_empty(&s, "content_filter") && doctor_main_cf(d, "content_filter").len > 0)
        doctor_bad(d, "master.cf, that service: -o content_filter=",
                   "%.*s has a content_filter: what is released meets it again", SPAN_ARGS(s.name));
    else
        doctor_ok(d, "%.*s lets what is released pass the filter", SPAN_ARGS(s.name));
}

void check_release(struct doctor *d)
{
    struct span rest = span_text(d->cli->conf.value.release_to);
    struct conf_address to;

    if (!d->quarantine) {
        doctor_skip(d, "there is no quarantine here");
        return;
    }
    if (!next_address(&rest, &to))
        return; /* the settings were refused before */
    check_server(d, &to, "EHLO doctor.invalid\r\n",
                 "master.cf: 127.0.0.1:10025 inet n - y - - smtpd -o smtpd_milters= -o "
                 "content_filter= …, see etc/postfix/master.cf.example; or set release_to");
    check_listener(d, &to);
}
