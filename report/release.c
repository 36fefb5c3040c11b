/* release - carries out requests: a release goes to its one recipient, a raw view into the
 * database; see errand_parts.h */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "report/errand_parts.h"
#include "report/kept.h"
#include "report/tally.h"

enum { RAW_PIECE = 256 * 1024 /* bytes of a row */ };

struct request {
    const char *id, *action, *actor, *file, *sender, *address, *message, *digest;
    int64_t asked_ago_us, attempts;
    bool smtputf8; /* it came so (RFC 6531): perhaps only its header has what needs it */
};

static const char DUE[] =
    "select q.id, q.action, q.actor, m.file, m.sender, r.address,"
    " (extract(epoch from clock_timestamp() - q.asked_at) * 1000000)::bigint, q.attempts,"
    " m.id, m.digest, m.smtputf8"
    " from quarantine_request q join quarantine_recipient r on r.id = q.recipient_id"
    " join quarantine_message m on m.id = r.message_id"
    " where q.gateway = $1 and q.state = 'waiting' and q.due_at <= clock_timestamp()"
    " order by q.id limit 20";

static bool answer(struct errand *e, const struct request *q, bool fine, const char *told,
                   struct err *err)
{
    return db_exec(e->db, "select quarantine_answer($1::bigint, $2::boolean, $3)",
                   DB_VALUES(q->id, fine ? "true" : "false", told), NULL, err);
}

static bool try_later(struct errand *e, const struct request *q, const char *told, struct err *err)
{
    return db_exec(e->db,
                   "update quarantine_request set attempts = attempts + 1, answer = $2,"
                   " due_at = now() + least(interval '1 hour', interval '2 seconds' *"
                   " power(2, least(attempts, 12))) where id = $1::bigint and state = 'waiting'",
                   DB_VALUES(q->id, told), NULL, err);
}

/* ---- the file ---- */

/* It is read once more before: what was shortened or altered on the disk is not what anybody asks
 * for. Open at the message; -1: it is not. */
static int open_message(struct errand *e, const struct request *q, struct err *err)
{
    return kept_open(e->options.store, q->file, q->digest, err);
}

static bool read_message(void *context, char *out, size_t room, size_t *got)
{
    ssize_t n;

    do
        n = read(*(int *)context, out, room);
    while (n < 0 && errno == EINTR);
    *got = n > 0 ? (size_t)n : 0;
    return n >= 0;
}

/* ---- a release ---- */

/* RFC 5322 section 3.3, whatever the locale. */
static void put_date(struct buf *out, int64_t wall_us)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"},
                             *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_us / CLOCK_SECOND);
    struct tm t;

    gmtime_r(&seconds, &t);
    buf_printf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday,
               months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

/* The trace (RFC 5321 section 4.4). */
static void put_trace(const struct errand *e, const struct request *q, struct buf *out)
{
    buf_printf(out, "Received: by %s (Rollcall quarantine) id %s\r\n\tfor <%s>; ", e->options.host,
               q->file + 3, q->address);
    put_date(out, clock_wall_us());
    buf_text(out, "\r\n");
}

static enum submit_outcome submit_file(struct errand *e, const struct request *q, int fd,
                                       struct submit_result *result)
{
    BUF_AUTO trace = {0};

    put_trace(e, q, &trace);
    return submit_send(e->submit,
                       &(struct submit_message){.sender = q->sender,
                                                .recipients = &q->address,
                                                .recipient_count = 1,
                                                .smtputf8 = q->smtputf8,
                                                .head = span_of(trace.at, trace.len),
                                                .read = read_message,
                                                .context = &fd},
                       result);
}

static bool tell_released(struct errand *e, const struct request *q,
                          const struct submit_result *result, struct err *err)
{
    char told[600];
    bool late = q->asked_ago_us > e->options.conf->release_for;

    if (result->outcome == SUBMIT_SENT) {
        log_write(LOG_RELEASED, "%s to <%s> for %s: %s", q->file, q->address, q->actor,
                  result->text);
        tally_add(TALLY_RELEASED, 1);
        return answer(e, q, true, result->text, err);
    }
    snprintf(told, sizeof told, "%s said: %s", e->options.conf->release_to, result->text);
    bool over = result->outcome == SUBMIT_PERMANENT || late;
    log_write(LOG_RELEASE_FAILED, "%s to <%s>: %s%s", q->file, q->address, told,
              over ? "; given up" : "");
    tally_add(over ? TALLY_RELEASE_FAILED : TALLY_RELEASE_LATER, 1);
    return over ? answer(e, q, false, told, err) : try_later(e, q, told, err);
}

/* The file is not the message that its row says. */
static bool answer_lost(struct errand *e, const struct request *q, struct err *err)
{
    tally_add(TALLY_LOST, 1);
    return kept_mark_lost(e->db, q->message, q->file, err) &&
           answer(e, q, false, "the message's file is not there any more, or was altered", err);
}

static bool tell_unread(struct errand *e, const struct request *q, const struct err *trouble,
                        struct err *err)
{
    bool lost = trouble->class == ERR_DATA;

    log_write(LOG_RELEASE_FAILED, "%s to <%s>: %s", q->file, q->address, trouble->text);
    tally_add(lost ? TALLY_RELEASE_FAILED : TALLY_RELEASE_LATER, 1);
    return lost ? answer_lost(e, q, err) : try_later(e, q, trouble->text, err);
}

static bool release(struct errand *e, const struct request *q, struct err *err)
{
    struct submit_result result;
    struct err trouble;
    int fd = open_message(e, q, &trouble);

    if (fd < 0)
        return tell_unread(e, q, &trouble, err);
    if (submit_file(e, q, fd, &result) == SUBMIT_UNKNOWN)
        result.outcome = SUBMIT_TEMPORARY; /* rather twice than never */
    close(fd);
    return tell_released(e, q, &result, err);
}

/* ---- a raw view ---- */

static bool put_piece(struct errand *e, const struct request *q, int piece, const char *bytes,
                      size_t len, struct err *err)
{
    static const char digits[] = "0123456789abcdef";
    char number[16], *hex = mem_alloc(2 + 2 * len + 1), *p = hex + 2;

    memcpy(hex, "\\x", 2);
    for (size_t i = 0; i < len; i++) {
        *p++ = digits[(unsigned char)bytes[i] >> 4];
        *p++ = digits[(unsigned char)bytes[i] & 15];
    }
    *p = '\0';
    snprintf(number, sizeof number, "%d", piece);
    bool fine = db_exec(e->db,
                        "insert into quarantine_raw (request_id, piece, bytes)"
                        " values ($1::bigint, $2::integer, $3::bytea)",
                        DB_VALUES(q->id, number, hex), NULL, err);
    free(hex);
    return fine;
}

static bool put_raw(struct errand *e, const struct request *q, int fd, struct err *err)
{
    char *bytes = mem_alloc(RAW_PIECE);
    size_t got = 1;
    bool fine = true;

    for (int piece = 0; fine && got > 0; piece++)
        fine = (read_message(&fd, bytes, RAW_PIECE, &got) ||
                err_set(err, ERR_TEMPORARY, "%s: cannot be read", q->file)) &&
               (got == 0 || put_piece(e, q, piece, bytes, got, err));
    free(bytes);
    return fine && answer(e, q, true, "", err);
}

static bool raw(struct errand *e, const struct request *q, struct err *err)
{
    struct err trouble;
    int fd = open_message(e, q, &trouble);

    if (fd < 0 && trouble.class == ERR_DATA)
        return answer_lost(e, q, err);
    if (fd < 0)
        return answer(e, q, false, "the message's file cannot be read", err);
    bool fine =
        db_script(e->db, "begin", err) && put_raw(e, q, fd, err) && db_script(e->db, "commit", err);
    close(fd);
    return fine || db_rollback(e->db);
}

bool release_due(struct errand *e, size_t *count, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(e->db, &rows, DUE, DB_VALUES(e->options.gateway), err))
        return false;
    *count = db_rows(rows);
    for (size_t i = 0; i < *count; i++) {
        const struct request q = {.id = db_text(rows, i, 0),
                                  .action = db_text(rows, i, 1),
                                  .actor = db_text(rows, i, 2),
                                  .file = db_text(rows, i, 3),
                                  .sender = db_text(rows, i, 4),
                                  .address = db_text(rows, i, 5),
                                  .asked_ago_us = db_int(rows, i, 6),
                                  .attempts = db_int(rows, i, 7),
                                  .message = db_text(rows, i, 8),
                                  .digest = db_text(rows, i, 9),
                                  .smtputf8 = db_bool(rows, i, 10)};
        if (!(strcmp(q.action, "raw") == 0 ? raw(e, &q, err) : release(e, &q, err)))
            return false;
    }
    return true;
}
