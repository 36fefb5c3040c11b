/*
 * maillog - one line of a mail log to what it says (pure)
 *
 * Understood are the lines of Postfix that follow a message by its queue id from the client to each
 * delivery, and the lines in which rspamd, amavis and spamd give their verdict. Stamps may be those
 * of old syslog, RFC 3339, RFC 5424 (with or without <priority>), or the filters' own.
 *
 * Every field is taken from its place and ends where its own grammar says so: whatever a stranger
 * writes into a sender, a recipient, a header or a HELO stays inside that field. A line that can be
 * read in two ways is not understood.
 */
#ifndef ROLLCALL_MAILLOG_H
#define ROLLCALL_MAILLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"

enum maillog_kind {
    MAILLOG_OTHER,      /* nothing that matters here */
    MAILLOG_CLIENT,     /* smtpd took a message: client, address, login, original_id */
    MAILLOG_PICKUP,     /* handed in on this machine by sendmail(1) */
    MAILLOG_MESSAGE_ID, /* message_id */
    MAILLOG_FROM,       /* sender; the queue manager has it */
    MAILLOG_DELIVERY,   /* to, original_to, relay, dsn, status, reply */
    MAILLOG_REMOVED,    /* the message left the queue */
    MAILLOG_HEADER,     /* header_checks or milter_header_checks saw `header` */
    MAILLOG_HELD,       /* put on hold, discarded or redirected */
    MAILLOG_RSPAMD,     /* queue_id, verdict */
    MAILLOG_AMAVIS,     /* queue_id, verdict, queued_as */
    MAILLOG_SPAMD,      /* message_id, verdict */
    MAILLOG_KINDS,
};
extern const char *const maillog_kind_names[MAILLOG_KINDS];

enum maillog_status {
    MAILLOG_SENT,
    MAILLOG_BOUNCED,
    MAILLOG_DEFERRED,
    MAILLOG_DELIVERABLE,
    MAILLOG_UNDELIVERABLE,
    MAILLOG_STATUS_OTHER, /* expired, … */
};
extern const char *const maillog_status_names[];

/* At which point of the dialogue the other side answered (bounced, undeliverable). */
enum maillog_stage { MAILLOG_STAGE_OTHER, MAILLOG_STAGE_RCPT, MAILLOG_STAGE_DATA };

enum maillog_verdict { MAILLOG_CLEAN, MAILLOG_SPAM };

/* Spans point into the line; only those named at the kind are set. */
struct maillog_event {
    enum maillog_kind kind;
    struct span stamp;    /* of the line; empty in what came from the journal */
    struct span host;     /* empty in the filters' own logs */
    struct span program;  /* "postfix/relay/smtp" */
    struct span queue_id; /* empty in MAILLOG_SPAMD */

    struct span client, address, login; /* name, address without brackets, sasl_username */
    struct span original_id;            /* orig_queue_id: what the filter was given */
    struct span message_id;             /* with its brackets */
    struct span sender;                 /* inside the <>, as logged */

    struct span to, original_to; /* inside the <>, as logged (quoted local parts quoted) */
    struct span relay;           /* "mx.example.com[192.0.2.1]:25", "none", "local", … */
    struct span reply;           /* inside the ( ) */
    struct span queued_as;       /* what the other side says it made of it; empty: nothing */
    enum maillog_status status;
    enum maillog_stage stage;
    uint16_t dsn[3];

    struct span header; /* "X-Spam-Flag: YES from …", to the end of the line */
    enum maillog_verdict verdict;
};

/*
 * Which programs are Postfix: names for the part before the first '/', a '*' at the end matching
 * any rest. Others' lines are not read as Postfix's.
 */
struct maillog_rules {
    const char *const *instances;
    size_t instance_count;
};

/* A line without its newline. event->kind is MAILLOG_OTHER when it means nothing. */
void maillog_line(const struct maillog_rules *rules, struct span line, struct maillog_event *event);

/* The same for a message whose stamp and program came beside it (journald). */
void maillog_message(const struct maillog_rules *rules, struct span program, struct span message,
                     struct maillog_event *event);

/*
 * Goes on through a block of lines to the next one that means something; false when there is none.
 * *rest is then what follows the last newline.
 */
bool maillog_next(const struct maillog_rules *rules, struct span *rest,
                  struct maillog_event *event);

/* Appends the event as one printable line, without stamp: "4jYDMp3hv0z1bksJ from sender=a@b". */
void maillog_describe(const struct maillog_event *event, struct buf *out);

/* "mx.example.com[192.0.2.1]:25"; false for "none", "local" and other names without an address. */
struct maillog_relay {
    struct span host, address; /* the address without brackets, or a socket's path */
    struct span port;          /* empty for a unix socket */
};
bool maillog_relay(struct span relay, struct maillog_relay *parts);

#endif
