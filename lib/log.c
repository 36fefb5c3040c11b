/* log - see log.h */
#include "log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "clock.h"
#include "str.h"

const struct log_event_row log_events[LOG_EVENTS] = {
    [LOG_START] = {"start", LEVEL_INFO, "The program starts, with its version."},
    [LOG_READY] = {"ready", LEVEL_INFO, "The daemon listens and answers."},
    [LOG_STOP] = {"stop", LEVEL_INFO, "The program ends, and why."},
    [LOG_RELOAD] = {"reload", LEVEL_INFO, "The configuration was read again after SIGHUP."},
    [LOG_RELOAD_FAILED] = {"reload-failed", LEVEL_ERROR,
                           "The configuration could not be read again; the former one stays in "
                           "force. Correct it and send SIGHUP once more."},
    [LOG_PRIVILEGES] = {"privileges", LEVEL_INFO,
                        "The daemon was started as root and now runs as its own user."},
    [LOG_SANDBOX] = {"sandbox", LEVEL_DEBUG,
                     "The daemon has given up the system calls and files it does not need."},
    [LOG_SANDBOX_PARTLY] = {"sandbox-partly", LEVEL_WARNING,
                            "The kernel lacks or forbids a part of the sandbox (Landlock for "
                            "files, seccomp filters for system calls); the daemon goes on "
                            "without that part."},
    [LOG_ANSWER] = {"answer", LEVEL_INFO, "One policy answer (setting log_answers)."},
    [LOG_SHADOW] =
        {"shadow", LEVEL_INFO,
         "A domain's shadow mode would have answered otherwise than its real relay check."},
    [LOG_REQUEST_MALFORMED] = {"request-malformed", LEVEL_WARNING,
                               "A client sent something that is no policy request, or one beyond "
                               "the limits; it was disconnected."},
    [LOG_CLIENT_LATE] =
        {"client-late", LEVEL_WARNING,
         "A client did not complete its request within policy_request_limit; it was disconnected."},
    [LOG_ACCEPT_PAUSED] = {"accept-paused", LEVEL_ERROR,
                           "A connection could not be accepted (out of file descriptors or "
                           "memory); tried again shortly. Raise LimitNOFILE."},
    [LOG_CLIENTS_FULL] =
        {"clients-full", LEVEL_WARNING,
         "policy_max_connections is reached; new connections wait until one ends. Or "
         "quarantine_max_connections: Postfix is told to come again."},
    [LOG_DATABASE_LOST] =
        {"database-lost", LEVEL_WARNING,
         "PostgreSQL cannot be reached; rollcall-policyd answers from the replica, which ages, "
         "the quarantine and the panel ask their clients to come again."},
    [LOG_DATABASE_BACK] = {"database-back", LEVEL_INFO, "PostgreSQL can be reached again."},
    [LOG_FOLLOW_FAILED] =
        {"follow-failed", LEVEL_ERROR,
         "A read of the changes failed; it is tried again. The replica ages meanwhile."},
    [LOG_STANDBY_BEHIND] = {"standby-behind", LEVEL_WARNING,
                            "The server is a hot standby that has less than this replica; nothing "
                            "is applied until it catches up."},
    [LOG_FULL_LOAD] = {"full-load", LEVEL_WARNING,
                       "The whole roll is read anew beside the old one (first start, restored or "
                       "failed-over database, damaged replica)."},
    [LOG_FULL_LOAD_DONE] = {"full-load-done", LEVEL_INFO,
                            "The new generation of the replica is in use."},
    [LOG_APPLIED] = {"applied", LEVEL_DEBUG, "Changesets were applied to the replica."},
    [LOG_REPLICA_DAMAGED] = {"replica-damaged", LEVEL_ERROR,
                             "The replica's files are damaged; they were moved aside and are "
                             "loaded anew from PostgreSQL. Check the disk."},
    [LOG_REPLICA_FAILED] = {"replica-failed", LEVEL_ERROR,
                            "The replica cannot be written (disk full?); answers go on from "
                            "memory, the write is tried again."},
    [LOG_REPLICA_READY] = {"replica-ready", LEVEL_INFO,
                           "The replica was opened, or its index in memory is complete."},
    [LOG_REPLICA_STALE] = {"replica-stale", LEVEL_WARNING,
                           "The replica has become older than stale_limit: unknown recipients get "
                           "450 instead of 550. See 'rollcall doctor'."},
    [LOG_CLOCK_JUMPED] = {"clock-jumped", LEVEL_WARNING,
                          "The clock went forward while PostgreSQL was away: this machine may have "
                          "stood still, as after a snapshot, and the replica is as much older."},
    [LOG_GATEWAY_ROW] = {"gateway-row", LEVEL_WARNING,
                         "This gateway's row could not be written on the primary; following goes "
                         "on, but 'rollcall status' shows an old position."},
    [LOG_METRICS] = {"metrics", LEVEL_WARNING, "The metrics listener has a problem."},
    [LOG_ROLL] = {"roll", LEVEL_INFO, "A change of the roll was applied, held or refused."},
    [LOG_OBSERVED] = {"observed", LEVEL_INFO, "rollcall-observe has read this gateway's logs."},
    [LOG_OBSERVE_TROUBLE] = {"observe-trouble", LEVEL_WARNING,
                             "A log could not be read, or goes on otherwise than it was read; the "
                             "others were read."},
    [LOG_OBSERVE_STATE] = {"observe-state", LEVEL_WARNING,
                           "observe_directory does not know what was in flight when the logs were "
                           "read last; messages half read then do not count."},
    [LOG_CREATED] = {"created", LEVEL_INFO, "Observation added users to a domain."},
    [LOG_CREATE_HELD] = {"create-held", LEVEL_WARNING,
                         "Observation would add users to a domain, but something speaks against "
                         "it; see 'rollcall-observe status'."},
    [LOG_CREATE_LATE] = {"create-late", LEVEL_ERROR,
                         "The day is over for longer than create_alert, and a gateway's log has "
                         "not been read to its end: nobody is added. See to rollcall-observe "
                         "there, or leave the gateway out."},
    [LOG_RETIRED] = {"retired", LEVEL_INFO,
                     "Observed recipients left the roll: their server says that it has no such "
                     "mailbox."},
    [LOG_PROBE] = {"probe", LEVEL_DEBUG,
                   "A customer's server was asked for an address that nobody has."},
    [LOG_LDAP_DONE] = {"ldap-done", LEVEL_INFO,
                       "A directory was read completely and the roll agrees with it."},
    [LOG_LDAP_HELD] = {"ldap-held", LEVEL_WARNING,
                       "A directory was read completely, but following it would take away too many "
                       "addresses; the roll is unchanged. 'rollcall change show' and approve, or "
                       "look at the directory."},
    [LOG_LDAP_FAILED] = {"ldap-failed", LEVEL_ERROR,
                         "A directory could not be read completely; the roll is unchanged. "
                         "'rollcall ldap test' tells more."},
    [LOG_LDAP_VALUE] = {"ldap-value", LEVEL_WARNING,
                        "A directory has a value or an address that could not be taken; the rest "
                        "was."},
    [LOG_QUARANTINED] = {"quarantined", LEVEL_INFO,
                         "A message was taken into the quarantine: its file, Postfix's queue id, "
                         "size, recipients, category."},
    [LOG_QUARANTINE_TROUBLE] = {"quarantine-trouble", LEVEL_ERROR,
                                "A message could not be kept (disk or database); Postfix was told "
                                "to try again, nothing is lost. See to the disk or PostgreSQL."},
    [LOG_QUARANTINE_MENDED] =
        {"quarantine-mended", LEVEL_WARNING,
         "A message file without its row was recorded again from itself, or "
         "a row whose file is gone, shorter, longer or another message was marked "
         "as lost."},
    [LOG_RELEASED] = {"released", LEVEL_INFO,
                      "A message was released to a recipient, and what the listener answered."},
    [LOG_RELEASE_FAILED] = {"release-failed", LEVEL_WARNING,
                            "A release was not taken; it is tried again, or was given up. See "
                            "release_to."},
    [LOG_REPORTS] = {"reports", LEVEL_INFO, "Spam reports were made; they are in the outbox."},
    [LOG_MAIL_SENT] = {"mail-sent", LEVEL_DEBUG, "A report or password mail was handed over."},
    [LOG_MAIL_TROUBLE] = {"mail-trouble", LEVEL_WARNING,
                          "A report or password mail could not be made or handed over; it is tried "
                          "again."},
    [LOG_MAIL_DEAD] = {"mail-dead", LEVEL_ERROR,
                       "A mail was refused for good or given up (mail_give_up); the messages of "
                       "such a report come with the next one."},
    [LOG_SIGN_IN] = {"sign-in", LEVEL_INFO, "Somebody signed in to the panel."},
    [LOG_SIGN_IN_FAILED] = {"sign-in-failed", LEVEL_WARNING,
                            "Somebody could not sign in to the panel; several in a row are slowed "
                            "down. The client's address is there for fail2ban."},
    [LOG_REQUEST_REFUSED] = {"request-refused", LEVEL_WARNING,
                             "The panel was asked for something malformed, forged or not "
                             "permitted, and answered with 4xx."},
    [LOG_PANEL_TROUBLE] = {"panel-trouble", LEVEL_ERROR,
                           "A page of the panel could not be made; the text tells why."},
};

static struct {
    pthread_mutex_t lock;
    _Atomic int least; /* options.least, for who only asks */
    struct log_options options;
    int64_t second[LOG_EVENTS];
    unsigned written[LOG_EVENTS], cut[LOG_EVENTS];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .least = LEVEL_INFO,
           .options = {.program = "rollcall", .least = LEVEL_INFO}};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void log_open(const struct log_options *options)
{
    pthread_mutex_lock(&state.lock);
    if (state.options.to_syslog)
        closelog();
    state.options = *options;
    atomic_store(&state.least, (int)options->least);
    if (options->to_syslog)
        openlog(options->program, LOG_PID | LOG_NDELAY, LOG_MAIL);
    pthread_mutex_unlock(&state.lock);
}

bool log_wants(enum log_event event)
{
    return (int)log_events[event].level >= atomic_load_explicit(&state.least, memory_order_relaxed);
}

/* One line without its newline. Syslog adds time and program by itself. */
static void put_line(struct buf *line, const struct log_event_row *row, const char *text)
{
    const struct log_options *o = &state.options;
    char now[32];

    if (!o->json) {
        if (!o->to_syslog)
            buf_printf(line, "%s[%d]: ", o->program, (int)getpid());
        buf_printf(line, "%s%s%s: %s", row->level >= LEVEL_WARNING ? level_names[row->level] : "",
                   row->level >= LEVEL_WARNING ? ": " : "", row->name, text);
        return;
    }
    clock_rfc3339(now, sizeof now, clock_wall_us());
    buf_printf(line,
               "{\"time\":\"%s\",\"program\":\"%s\",\"pid\":%d,\"level\":\"%s\",\"event\":\"%s\","
               "\"text\":\"",
               now, o->program, (int)getpid(), level_names[row->level], row->name);
    buf_json(line, span_text(text));
    buf_text(line, "\"}");
}

static void write_line(enum log_event event, const char *text)
{
    static const int priorities[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
    BUF_AUTO line = {0};

    put_line(&line, &log_events[event], text);
    if (state.options.to_syslog) {
        syslog(priorities[log_events[event].level], "%s", line.at);
        return;
    }
    buf_text(&line, "\n");
    size_t done = 0;
    while (done < line.len) {
        ssize_t n = write(STDERR_FILENO, line.at + done, line.len - done);
        if (n <= 0)
            break; /* nobody reads stderr: nothing better can be done */
        done += (size_t)n;
    }
}

/* Whether the burst limit lets this one through; tells of what it cut when a new second begins. */
static bool within_burst(enum log_event event)
{
    int64_t second = clock_elapsed_us() / CLOCK_SECOND;

    if (state.second[event] != second) {
        state.second[event] = second;
        state.written[event] = 0;
        if (state.cut[event] > 0) {
            char text[64];
            snprintf(text, sizeof text, "%u more such lines were left out", state.cut[event]);
            state.cut[event] = 0;
            write_line(event, text);
        }
    }
    if (state.written[event] >= LOG_BURST) {
        state.cut[event]++;
        return false;
    }
    state.written[event]++;
    return true;
}

void log_write(enum log_event event, const char *format, ...)
{
    char raw[2048], text[2048];
    va_list args;

    if (!log_wants(event))
        return;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    str_printable(text, sizeof text, raw, strlen(raw));
    pthread_mutex_lock(&state.lock);
    if (within_burst(event))
        write_line(event, text);
    pthread_mutex_unlock(&state.lock);
}
