/* sweep - removes what nobody has any more, and mends what is left on one side only; see
 * errand_parts.h
 *
 * A file without a row is recorded again from itself: it is what a crash between file and row
 * leaves, or a database that was restored. Postfix, which was not answered, gives the message
 * again; the rows then are found and nothing is doubled. A row whose file is gone, shorter, longer
 * or another message is marked as lost: every hour by length and seal, and in a slow round of all
 * files, a little at a time, by reading them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "report/errand_parts.h"
#include "report/kept.h"
#include "report/tally.h"

/* A file younger than this may be on its way into the database. */
static const int64_t SETTLED = 600 * CLOCK_SECOND;

/* The slow round: so many bytes at a time, so long between two times, and a round a day at most. A
 * day of it reads 17 GB, an idle disk hardly notices. */
enum { ROUND_SHARE = 1024 * 1024 };
static const int64_t ROUND_STEP = 5 * CLOCK_SECOND, ROUND_REST = 86400 * CLOCK_SECOND;

bool sweep_dropped(struct errand *e, size_t *count, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(e->db, &rows,
                  "select id, file from quarantine_message where gateway = $1"
                  " and dropped_at is not null order by id limit 100",
                  DB_VALUES(e->options.gateway), err))
        return false;
    *count = db_rows(rows);
    for (size_t i = 0; i < *count; i++) {
        struct err trouble;
        if (!store_remove(e->options.store, db_text(rows, i, 1), &trouble)) {
            log_write(LOG_QUARANTINE_TROUBLE, "%s", trouble.text);
            *count = 0; /* not again at once */
            return true;
        }
        /* with that file: a message that came again meanwhile has another */
        if (!db_exec(e->db,
                     "delete from quarantine_message where id = $1::bigint and file = $2"
                     " and dropped_at is not null",
                     DB_VALUES(db_text(rows, i, 0), db_text(rows, i, 1)), NULL, err))
            return false;
    }
    return true;
}

struct shelf {
    struct buf names; /* '\n' behind each */
    int64_t before_us;
};

static void note_file(void *context, const char *name, int64_t changed_us)
{
    struct shelf *shelf = context;

    if (changed_us < shelf->before_us) {
        buf_text(&shelf->names, name);
        buf_text(&shelf->names, "\n");
    }
}

static void mend_file(struct errand *e, const char *name)
{
    struct err err = {0};

    switch (recorder_add(e->options.recorder, name, &err)) {
    case RECORD_STORED:
        log_write(LOG_QUARANTINE_MENDED, "%s: had no row; recorded again", name);
        tally_add(TALLY_MENDED, 1);
        return;
    case RECORD_AGAIN:
    case RECORD_NOBODY:
        if (!store_remove(e->options.store, name, &err))
            log_write(LOG_QUARANTINE_TROUBLE, "%s", err.text);
        return;
    case RECORD_HALF: /* perhaps a person can make something of it */
        if (store_remove_unsealed(e->options.store, name))
            return; /* but that we ended while it was written: nobody was answered */
        __attribute__((fallthrough));
    case RECORD_FAILED:
    case RECORD_UNSURE:
        log_write(LOG_QUARANTINE_TROUBLE, "%s: has no row: %s", name, err.text);
    }
}

/* Those of the shelf's files that no row names. */
static bool mend_files(struct errand *e, unsigned number, struct err *err)
{
    struct shelf shelf = {.before_us = clock_wall_us() - SETTLED};
    DB_RESULT_AUTO rows = NULL;

    /* before this program started nothing was on its way */
    if (e->swept_us == 0)
        shelf.before_us = e->started_us;
    buf_text(&shelf.names, "");
    bool fine = store_list(e->options.store, number, note_file, &shelf, err) &&
                (shelf.names.len == 0 ||
                 db_query(e->db, &rows,
                          "select f from unnest(string_to_array(rtrim($2, e'\\n'), e'\\n')) f"
                          " where not exists (select from quarantine_message m"
                          " where m.gateway = $1 and m.file = f)",
                          DB_VALUES(e->options.gateway, shelf.names.at), err));
    buf_free(&shelf.names);
    for (size_t i = 0; fine && rows != NULL && i < db_rows(rows); i++)
        mend_file(e, db_text(rows, i, 0));
    return fine;
}

/* A row whose file is not, or is not its message. What cannot be read now is looked at again. */
static bool judge_file(struct errand *e, const struct db_result *rows, size_t row, bool whole,
                       struct err *err)
{
    const char *id = db_text(rows, row, 0), *file = db_text(rows, row, 1);
    struct err wrong = {0};

    switch (kept_look(e->options.store, file, db_text(rows, row, 2), whole, &wrong)) {
    case RECORD_HALF:
        log_write(LOG_QUARANTINE_MENDED, "%s; its message is marked as lost", wrong.text);
        tally_add(TALLY_LOST, 1);
        return kept_mark_lost(e->db, id, file, err);
    case RECORD_FAILED:
        log_write(LOG_QUARANTINE_TROUBLE, "%s", wrong.text);
        return true;
    default:
        return true;
    }
}

/* The shelf's, by length and seal. */
static bool mark_lost(struct errand *e, unsigned number, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char like[8];

    snprintf(like, sizeof like, "%02x/%%", number);
    if (!db_query(e->db, &rows,
                  "select id, file, digest from quarantine_message where gateway = $1"
                  " and file like $2"
                  " and lost_at is null and dropped_at is null",
                  DB_VALUES(e->options.gateway, like), err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++)
        if (!judge_file(e, rows, i, false, err))
            return false;
    return true;
}

/* ---- the slow round ---- */

/* At random: a daemon that is started often reads different files each time. */
static void begin_round(struct sweep_round *round, int64_t now_us)
{
    unsigned char shelf;

    secret_random(&shelf, sizeof shelf);
    snprintf(round->first, sizeof round->first, "%02x/", shelf);
    snprintf(round->behind, sizeof round->behind, "%s", round->first);
    round->begun_us = now_us;
    round->turned = round->over = false;
}

/* The next files in the order of their names, as long as there is room in the share. */
static bool read_some(struct errand *e, struct sweep_round *round, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    int64_t read = 0;

    if (!db_query(e->db, &rows,
                  "select id, file, digest, size from quarantine_message where gateway = $1"
                  " and file > $2 and ($3 = '' or file <= $3)"
                  " and lost_at is null and dropped_at is null order by file limit 200",
                  DB_VALUES(e->options.gateway, round->behind, round->turned ? round->first : ""),
                  err))
        return false;
    for (size_t i = 0; i < db_rows(rows) && read < ROUND_SHARE; i++) {
        if (!judge_file(e, rows, i, true, err))
            return false;
        read += db_int(rows, i, 3);
        snprintf(round->behind, sizeof round->behind, "%s", db_text(rows, i, 1));
    }
    tally_add(TALLY_CHECKED, (uint64_t)read);
    if (db_rows(rows) == 0) {
        round->over = round->turned;
        round->turned = true;
        round->behind[0] = '\0';
    }
    return true;
}

bool sweep_some(struct errand *e, struct err *err)
{
    struct sweep_round *round = &e->round;
    int64_t now = clock_elapsed_us();

    if (round->looked_us != 0 && now - round->looked_us < ROUND_STEP)
        return true;
    round->looked_us = now;
    if (round->begun_us == 0 || (round->over && now - round->begun_us > ROUND_REST))
        begin_round(round, now);
    return round->over || read_some(e, round, err);
}

bool sweep_all(struct errand *e, struct err *err)
{
    for (unsigned i = 0; i < STORE_SHELVES; i++)
        if (!mend_files(e, i, err) || !mark_lost(e, i, err))
            return false;
    return db_exec(
               e->db,
               "delete from quarantine_raw w using quarantine_request q where q.id = w.request_id"
               " and q.gateway = $1 and q.done_at < now() - interval '1 hour'",
               DB_VALUES(e->options.gateway), NULL, err) &&
           db_exec(e->db,
                   "delete from quarantine_request where gateway = $1 and state <> 'waiting'"
                   " and done_at < now() - interval '30 days'",
                   DB_VALUES(e->options.gateway), NULL, err);
}
