/*
 * log - one line per event, to stderr or syslog, as text or JSON
 *
 * Every event has a stable name, a level and a sentence of documentation in the table `log_events`
 * (man rollcall-log prints from it; a test compares). Text is made printable, whatever it came
 * from. An event that repeats more than LOG_BURST times within a second is cut, and the cut
 * counted. Thread-safe. Secrets never come here: callers pass names, not values.
 */
#ifndef ROLLCALL_LOG_H
#define ROLLCALL_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR };

enum log_event {
    LOG_START,
    LOG_READY,
    LOG_STOP,
    LOG_RELOAD,
    LOG_RELOAD_FAILED,
    LOG_PRIVILEGES,
    LOG_SANDBOX,
    LOG_SANDBOX_PARTLY,
    LOG_ANSWER,
    LOG_SHADOW,
    LOG_REQUEST_MALFORMED,
    LOG_CLIENT_LATE,
    LOG_ACCEPT_PAUSED,
    LOG_CLIENTS_FULL,
    LOG_DATABASE_LOST,
    LOG_DATABASE_BACK,
    LOG_FOLLOW_FAILED,
    LOG_STANDBY_BEHIND,
    LOG_FULL_LOAD,
    LOG_FULL_LOAD_DONE,
    LOG_APPLIED,
    LOG_REPLICA_DAMAGED,
    LOG_REPLICA_FAILED,
    LOG_REPLICA_READY,
    LOG_REPLICA_STALE,
    LOG_CLOCK_JUMPED,
    LOG_GATEWAY_ROW,
    LOG_METRICS,
    LOG_ROLL,
    LOG_OBSERVED,
    LOG_OBSERVE_TROUBLE,
    LOG_OBSERVE_STATE,
    LOG_CREATED,
    LOG_CREATE_HELD,
    LOG_CREATE_LATE,
    LOG_RETIRED,
    LOG_PROBE,
    LOG_LDAP_DONE,
    LOG_LDAP_HELD,
    LOG_LDAP_FAILED,
    LOG_LDAP_VALUE,
    LOG_QUARANTINED,
    LOG_QUARANTINE_TROUBLE,
    LOG_QUARANTINE_MENDED,
    LOG_RELEASED,
    LOG_RELEASE_FAILED,
    LOG_REPORTS,
    LOG_MAIL_SENT,
    LOG_MAIL_TROUBLE,
    LOG_MAIL_DEAD,
    LOG_SIGN_IN,
    LOG_SIGN_IN_FAILED,
    LOG_REQUEST_REFUSED,
    LOG_PANEL_TROUBLE,
    LOG_EVENTS, /* how many */
};

struct log_event_row {
    const char *name; /* "replica-damaged" */
    enum log_level level;
    const char *doc; /* what happened and what to do */
};
extern const struct log_event_row log_events[LOG_EVENTS];

enum { LOG_BURST = 50 };

struct log_options {
    const char *program;  /* must outlive the log */
    bool to_syslog;       /* else stderr */
    bool json;            /* else text */
    enum log_level least; /* what is below is not written */
};

/* May be called again (reload). Before the first call everything goes to stderr as text. */
void log_open(const struct log_options *options);
void log_write(enum log_event event, const char *format, ...) PRINTF_LIKE(2, 3);
/* Whether an event would be written; for callers whose text is costly to make. */
bool log_wants(enum log_event event);

#endif
