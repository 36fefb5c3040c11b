/*
 * evidence - follows messages through the log to what the customer's servers did with them (pure)
 *
 * Events go in, in the order of the log; counts per GMT day and recipient come out. A clean message
 * is counted when the domain's next hop took it, it came from outside, had a sender that is no
 * probe, and nothing says that it was spam. What cannot be known yet (a filter has not spoken, or
 * it is not seen yet where a message came from that a filter handed back) waits for later lines,
 * for a while of the log's own time.
 *
 * A message is told apart by its queue id; ids come again after `removed`. A message that a filter
 * handed back inherits where it came from and what was said of it: by orig_queue_id (XFORWARD), by
 * the "queued as" with which the filter took it, by amavis' line, or, for filters that know none of
 * these, by its Message-ID.
 */
#ifndef ROLLCALL_EVIDENCE_H
#define ROLLCALL_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/network.h"
#include "lib/str.h"
#include "sync/maillog.h"
#include "sync/served.h"

struct evidence;

/* Which filters must have called a message clean before it counts. */
enum evidence_filter { FILTER_RSPAMD = 1, FILTER_AMAVIS = 2, FILTER_SPAMD = 4 };
/* "rspamd, spamd"; empty: none. */
bool evidence_filters_parse(struct span text, unsigned *filters, struct err *err) MUST_CHECK;

enum { EVIDENCE_HEADERS_MOST = 16 };
struct evidence_rules {
    struct served *served;             /* stays the caller's */
    const struct network_list *inside; /* clients that are our own */
    unsigned filters;                  /* of enum evidence_filter */
    /* A header that begins so marks spam ("X-Spam-Flag: YES"); case does not matter. */
    struct span headers[EVIDENCE_HEADERS_MOST];
    size_t header_count;
    uint8_t key[16]; /* random: nobody can aim at the table of recipients */
};

struct evidence *evidence_new(const struct evidence_rules *rules);
void evidence_free(struct evidence **evidence);

/* An event, and the time of its line. */
void evidence_event(struct evidence *evidence, const struct maillog_event *event, int64_t at_us);

/*
 * Decides what can be decided, as of `now_us`: up to there all sources have been read. What has
 * waited for too long is dropped, as are messages whose end was never seen.
 */
void evidence_settle(struct evidence *evidence, int64_t now_us);
/* When the oldest delivery happened that is not decided yet; INT64_MAX: none waits. */
int64_t evidence_undecided_us(const struct evidence *evidence);

/* What was seen of one recipient on one GMT day. */
struct evidence_count {
    int32_t day; /* since 1970-01-01 */
    int32_t domain_id;
    struct span local;   /* normalised */
    int64_t accepted;    /* clean messages from outside that the customer's server took */
    int64_t deliverable; /* a probe's yes, and all messages that it took */
    int64_t refused;     /* 5.1.x about the recipient */
    int64_t unknown;     /* of these: there is no such mailbox (5.1.1, 5.1.10) */
    int64_t late;        /* of these: said only after the message had been sent */
    int64_t last_yes_us, last_no_us; /* 0: none */
};
typedef bool evidence_count_fn(void *context, const struct evidence_count *count, struct err *err);
/* All counts since the last evidence_forget; a recipient may come several times a day. */
bool evidence_counts(const struct evidence *evidence, evidence_count_fn *row, void *context,
                     struct err *err) MUST_CHECK;
void evidence_forget(struct evidence *evidence);
/* Whether there are so many of them that they should be taken away now. */
bool evidence_full(const struct evidence *evidence);

/* What is in flight, as rows of bytes to keep until the next run; each at most EVIDENCE_ROW_MAX. */
enum { EVIDENCE_ROW_MAX = 512 };
typedef bool evidence_row_fn(void *context, struct span row, struct err *err);
bool evidence_save(const struct evidence *evidence, evidence_row_fn *row, void *context,
                   struct err *err) MUST_CHECK;
/* False for bytes that are no such row. */
bool evidence_restore(struct evidence *evidence, struct span row) MUST_CHECK;

struct evidence_figures {
    uint64_t events, deliveries, counted;
    uint64_t spam, inside, unproven; /* deliveries not counted, and why */
    uint64_t messages, waiting;      /* in flight now */
    uint64_t crowded_out;            /* messages forgotten because there were too many */
};
void evidence_figures(const struct evidence *evidence, struct evidence_figures *figures);

#endif
