/* sweep - removes what nobody has any more, and mends what is left on one side only; see
 * errand_parts.h
 *
 * A file without a row is recorded again from itself: it is what a crash between file and row
 * leaves, or a database that was restored. Postfix, which was not answered, gives the message
 * again; the rows then are found and nothing is doubled. A row without a file is marked as lost. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "report/errand_parts.h"
#include "report/kept.h"
#include "report/tally.h"

/* A file younger than this may be on its way into the database. */
static const int64_t SETTLED = 600 * CLOCK_SECOND;

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

/* Those of the shelf's rows whose file is not there. */
static bool mark_lost(struct errand *e, unsigned number, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char like[8];

    snprintf(like, sizeof like, "%02x/%%", number);
    if (!db_query(e->db, &rows,
                  "select id, file from quarantine_message where gateway = $1 and file like $2"
                  " and lost_at is null and dropped_at is null",
                  DB_VALUES(e->options.gateway, like), err))
        return false;
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct err gone;
        int fd = store_read(e->options.store, db_text(rows, i, 1), &gone);
        if (fd >= 0)
            close(fd);
        if (fd >= 0 || gone.class != ERR_DATA)
            continue;
        log_write(LOG_QUARANTINE_MENDED, "%s: the file is gone; its message is marked as lost",
                  db_text(rows, i, 1));
        tally_add(TALLY_LOST, 1);
        if (!kept_mark_lost(e->db, db_text(rows, i, 0), db_text(rows, i, 1), err))
            return false;
    }
    return true;
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
