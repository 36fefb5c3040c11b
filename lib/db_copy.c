/* db_copy - see db.h; here: COPY in both directions */
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>

#include "db_private.h"

/* How much may wait in libpq's buffer before the server must have taken it. */
enum { UNSENT_MOST = 256 * 1024, PIECE_MOST = 64 * 1024 };

/* Sends COPY and waits until the server wants or has data. */
static bool copy_start(struct db *db, const char *sql, ExecStatusType want, struct err *err)
{
    PGresult *result = NULL;

    if (!db_start(db, true, err))
        return false;
    if (!PQsendQuery(db->conn, sql))
        return db_lost(db, err);
    if (!db_flush(db, err) || !db_receive(db, &result, err))
        return false;
    ExecStatusType got = PQresultStatus(result);
    if (got == PGRES_FATAL_ERROR) {
        db_refused(db, result, err);
        db_skip(db);
    } else if (got != want)
        db_misused(db, "not the COPY that was asked for", err);
    PQclear(result);
    return got == want;
}

bool db_copy_in(struct db *db, const char *sql, struct err *err)
{
    if (!copy_start(db, sql, PGRES_COPY_IN, err))
        return false;
    db->copying = true;
    db->unsent = 0;
    return true;
}

/* libpq takes no more data: the server has refused what came before, or is gone. */
static bool copy_broken(struct db *db, struct err *err)
{
    db->copying = false;
    if (PQstatus(db->conn) == CONNECTION_BAD || db_finish(db, NULL, err))
        return db_lost(db, err);
    return false;
}

static bool copy_running(struct db *db, struct err *err)
{
    if (db->conn == NULL)
        return err_set(err, ERR_TEMPORARY, "database %s: the connection is closed", db->host);
    return db->copying || err_set(err, ERR_OTHER, "database %s: no COPY is running", db->host);
}

bool db_copy_put(struct db *db, const void *bytes, size_t len, struct err *err)
{
    const char *at = bytes;

    if (!copy_running(db, err))
        return false;
    while (len > 0) {
        size_t piece = len < PIECE_MOST ? len : PIECE_MOST;
        int taken = PQputCopyData(db->conn, at, (int)piece);
        if (taken < 0)
            return copy_broken(db, err);
        db->unsent += piece;
        if (taken == 0 || db->unsent > UNSENT_MOST) {
            if (!db_flush(db, err))
                return false;
            db->unsent = 0;
        }
        if (taken > 0) {
            at += piece;
            len -= piece;
        }
    }
    return true;
}

/* `complaint`: NULL for a good end. False when libpq is in no COPY any more. */
static bool put_end(struct db *db, const char *complaint, struct err *err)
{
    int taken;

    db->copying = false;
    while ((taken = PQputCopyEnd(db->conn, complaint)) == 0)
        if (!db_flush(db, err))
            return false;
    return taken > 0 || copy_broken(db, err);
}

bool db_copy_end(struct db *db, int64_t *rows, struct err *err)
{
    PGresult *result = NULL;

    if (!copy_running(db, err) || !put_end(db, NULL, err) || !db_finish(db, &result, err))
        return false;
    if (rows != NULL && !str_int64(span_text(PQcmdTuples(result)), rows))
        *rows = -1;
    PQclear(result);
    return true;
}

/* Refusing its own data is what the server answers here: only a lost connection is an error. */
bool db_copy_abandon(struct db *db, struct err *err)
{
    if (put_end(db, "abandoned by the client", err))
        db_skip(db);
    db->sqlstate[0] = '\0';
    return db->conn != NULL;
}

void db_array_add(struct buf *array, const char *element)
{
    buf_text(array, array->len == 0 ? "{" : ",");
    if (element == NULL) {
        buf_text(array, "NULL");
        return;
    }
    buf_text(array, "\"");
    for (size_t plain; *element != '\0'; element += plain) {
        plain = strcspn(element, "\"\\");
        buf_append(array, element, plain);
        if (element[plain] != '\0') {
            buf_text(array, "\\");
            buf_append(array, element + plain++, 1);
        }
    }
    buf_text(array, "\"");
}

void db_array_end(struct buf *array)
{
    buf_text(array, array->len == 0 ? "{}" : "}");
}

/* ---- arrays in the binary format (array_recv of PostgreSQL) ---- */

static void put_number(struct buf *out, uint32_t number)
{
    uint32_t bytes = htonl(number);

    buf_append(out, &bytes, sizeof bytes);
}

void db_texts_begin(struct buf *array, size_t count)
{
    enum { TEXT = 25 /* its number in pg_type, for good */ };

    put_number(array, count > 0); /* dimensions */
    put_number(array, 1);         /* there may be NULLs */
    put_number(array, TEXT);
    if (count == 0)
        return;
    put_number(array, (uint32_t)count);
    put_number(array, 1); /* of the first element */
}

void db_texts_add(struct buf *array, const char *element)
{
    size_t len = element != NULL ? strlen(element) : 0;

    put_number(array, element != NULL ? (uint32_t)len : UINT32_MAX);
    buf_append(array, element, len);
}

void db_copy_escape(struct buf *out, struct span value)
{
    size_t plain = 0;

    if (value.at == NULL) {
        buf_text(out, "\\N");
        return;
    }
    for (size_t i = 0; i < value.len; i++) {
        char c = value.at[i];
        char letter = c == '\\' ? '\\' : c == '\t' ? 't' : c == '\n' ? 'n' : c == '\r' ? 'r' : 0;
        if (letter == 0)
            continue;
        buf_append(out, value.at + plain, i - plain);
        buf_append(out, (char[]){'\\', letter}, 2);
        plain = i + 1;
    }
    buf_append(out, value.at + plain, value.len - plain);
}

bool db_copy_out(struct db *db, const char *sql,
                 bool (*row)(void *context, struct span line, struct err *err), void *context,
                 struct err *err)
{
    char *line = NULL;
    int len;

    if (!copy_start(db, sql, PGRES_COPY_OUT, err))
        return false;
    while ((len = PQgetCopyData(db->conn, &line, 1)) >= 0) {
        if (len > 0) {
            /* in text format each message is one line with its newline */
            size_t end = (size_t)len - (line[len - 1] == '\n');
            bool taken = row(context, span_of(line, end), err);
            PQfreemem(line);
            if (!taken) { /* the rest may be long: no use in reading it */
                db_drop(db);
                return false;
            }
        } else if (!db_wait(db, POLLIN, err))
            return false;
        else if (!PQconsumeInput(db->conn))
            return db_lost(db, err);
    }
    return db_finish(db, NULL, err);
}
