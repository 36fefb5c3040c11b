/* kept - see kept.h */
#include "report/kept.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "report/facts.h"

/* `whole` reads all of it, and leaves the file standing at its message. */
static enum record_outcome look_at(int fd, const char *file, const char *digest, bool whole,
                                   struct err *err)
{
    struct facts facts = {0};
    char found[2 * SECRET_DIGEST + 1];
    enum record_outcome outcome =
        whole ? facts_read(fd, true, file, &facts, err) : facts_glance(fd, file, &facts, err);

    str_hex(found, facts.digest, SECRET_DIGEST);
    if (outcome == RECORD_STORED && strcmp(found, digest + strlen("\\x")) != 0) {
        err_set(err, ERR_DATA, "%s: is another message than its row says", file);
        outcome = RECORD_HALF;
    }
    if (outcome == RECORD_STORED && whole && lseek(fd, (off_t)facts.at, SEEK_SET) < 0) {
        err_set(err, ERR_TEMPORARY, "%s: %s", file, strerror(errno));
        outcome = RECORD_FAILED;
    }
    facts_free(&facts);
    return outcome;
}

enum record_outcome kept_look(struct store *store, const char *file, const char *digest, bool whole,
                              struct err *err)
{
    int fd = store_read(store, file, err);

    if (fd < 0)
        return err->class == ERR_DATA ? RECORD_HALF : RECORD_FAILED;
    enum record_outcome outcome = look_at(fd, file, digest, whole, err);
    close(fd);
    return outcome;
}

int kept_open(struct store *store, const char *file, const char *digest, struct err *err)
{
    int fd = store_read(store, file, err);

    if (fd >= 0 && look_at(fd, file, digest, true, err) != RECORD_STORED) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool kept_mark_lost(struct db *db, const char *id, const char *file, struct err *err)
{
    /* with that file: a message that came again meanwhile has another */
    return db_exec(db,
                   "update quarantine_message set lost_at = now() where id = $1::bigint"
                   " and file = $2",
                   DB_VALUES(id, file), NULL, err);
}

static bool check(const struct kept *kept, struct db *db, bool *lost, char file[STORE_NAME + 1],
                  struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    struct err wrong = {0};

    if (!db_query(db, &row,
                  "select id, file from quarantine_message where gateway = $1 and queue_id = $2"
                  " and queue_id <> '' and digest = $3::bytea",
                  DB_VALUES(kept->gateway, kept->queue_id, kept->digest), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_TEMPORARY, "queue id %s: the row went away", kept->queue_id);
    snprintf(file, STORE_NAME + 1, "%s", db_text(row, 0, 1));
    switch (kept_look(kept->store, file, kept->digest, true, &wrong)) {
    case RECORD_STORED:
        return true;
    case RECORD_HALF:
        log_write(LOG_QUARANTINE_MENDED, "%s; the message was given again and takes its place",
                  wrong.text);
        *lost = true;
        return kept_mark_lost(db, db_text(row, 0, 0), file, err);
    default:
        *err = wrong;
        return false;
    }
}

bool kept_check(const struct kept *kept, bool *lost, char file[STORE_NAME + 1], struct err *err)
{
    struct db *db = NULL;

    *lost = false;
    if (!pool_take(kept->pool, &db, err))
        return false;
    bool fine = check(kept, db, lost, file, err);
    pool_give(kept->pool, &db);
    return fine;
}
