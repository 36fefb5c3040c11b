/* db_query - see db.h; here: statements, their results, and the pipeline */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "db_private.h"

/* ---- one statement ---- */

static bool is_refusal(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ||
           status == PGRES_PIPELINE_ABORTED;
}

static bool is_copy(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

bool db_finish(struct db *db, PGresult **last, struct err *err)
{
    PGresult *result, *good = NULL;
    bool refused = false, done = db_flush(db, err);

    while (done && (done = db_receive(db, &result, err)) && result != NULL) {
        if (is_copy(result)) {
            PQclear(result);
            done = db_misused(db, "COPY needs db_copy_in or db_copy_out", err);
        } else if (!is_refusal(result)) {
            PQclear(good);
            good = result;
        } else {
            /* the first refusal is the cause of all that follow */
            if (!refused)
                db_refused(db, result, err);
            refused = true;
            PQclear(result);
            done = db->conn != NULL;
        }
    }
    done = done && !refused;
    if (last != NULL && done) {
        *last = good;
        return true;
    }
    PQclear(good);
    return done;
}

void db_skip(struct db *db)
{
    struct err ignored;

    if (db->conn != NULL && !db_finish(db, NULL, &ignored) && db->conn != NULL &&
        PQtransactionStatus(db->conn) == PQTRANS_ACTIVE)
        db_drop(db);
}

static bool put(struct db *db, const char *sql, const char *const *values, size_t count,
                struct err *err)
{
    if (!db_start(db, false, err))
        return false;
    return PQsendQueryParams(db->conn, sql, (int)count, NULL, values, NULL, NULL, 0) ||
           db_lost(db, err);
}

static bool run(struct db *db, const char *sql, const char *const *values, size_t count,
                PGresult **result, struct err *err)
{
    return put(db, sql, values, count, err) && db_finish(db, result, err);
}

bool db_query(struct db *db, struct db_result **result, const char *sql, const char *const *values,
              size_t count, struct err *err)
{
    PGresult *pg = NULL;

    *result = NULL;
    if (!run(db, sql, values, count, &pg, err))
        return false;
    *result = mem_zero(1, sizeof **result);
    **result = (struct db_result){pg, 0, (size_t)PQntuples(pg)};
    return true;
}

bool db_exec(struct db *db, const char *sql, const char *const *values, size_t count,
             int64_t *touched, struct err *err)
{
    PGresult *pg = NULL;

    if (!run(db, sql, values, count, &pg, err))
        return false;
    if (touched != NULL && !str_int64(span_text(PQcmdTuples(pg)), touched))
        *touched = -1;
    PQclear(pg);
    return true;
}

bool db_send(struct db *db, const char *sql, const char *const *values, size_t count,
             struct err *err)
{
    return put(db, sql, values, count, err) && db_flush(db, err);
}

bool db_done(struct db *db, struct err *err)
{
    return db->conn != NULL ? db_finish(db, NULL, err) : db_lost(db, err);
}

bool db_script(struct db *db, const char *sql, struct err *err)
{
    if (!db_start(db, false, err))
        return false;
    if (!PQsendQuery(db->conn, sql))
        return db_lost(db, err);
    return db_finish(db, NULL, err);
}

bool db_rollback(struct db *db)
{
    struct err ignored;

    if (db->conn != NULL && !db_script(db, "rollback", &ignored) && db->conn != NULL)
        db_drop(db);
    return false;
}

/* ---- results ---- */

void db_result_free(struct db_result **result)
{
    if (*result == NULL)
        return;
    PQclear((*result)->pg);
    free(*result);
    *result = NULL;
}

size_t db_rows(const struct db_result *result)
{
    return result->rows;
}

static int row_of(const struct db_result *result, size_t row)
{
    return (int)(result->first + row);
}

bool db_null(const struct db_result *result, size_t row, int column)
{
    return PQgetisnull(result->pg, row_of(result, row), column) != 0;
}

const char *db_text(const struct db_result *result, size_t row, int column)
{
    const char *text = PQgetvalue(result->pg, row_of(result, row), column);
    return text != NULL ? text : ""; /* NULL: no such row or column */
}

struct span db_span(const struct db_result *result, size_t row, int column)
{
    return span_of(db_text(result, row, column),
                   (size_t)PQgetlength(result->pg, row_of(result, row), column));
}

int64_t db_int(const struct db_result *result, size_t row, int column)
{
    int64_t value = 0;
    return str_int64(db_span(result, row, column), &value) ? value : 0;
}

bool db_bool(const struct db_result *result, size_t row, int column)
{
    return span_equals(db_span(result, row, column), "t");
}

size_t db_columns(const struct db_result *result)
{
    return (size_t)PQnfields(result->pg);
}

const char *db_column_name(const struct db_result *result, int column)
{
    const char *name = PQfname(result->pg, column);
    return name != NULL ? name : "";
}

/* ---- pipeline ---- */

/* Gives the rows of one result away. */
static bool give_rows(const PGresult *pg, size_t statement, db_row_fn *row, void *context,
                      struct err *err)
{
    size_t rows = (size_t)PQntuples(pg);

    for (size_t i = 0; i < rows; i++) {
        struct db_result view = {(PGresult *)(uintptr_t)pg, i, 1};
        if (!row(context, statement, &view, err))
            return false;
    }
    return true;
}

bool db_prepare(struct db *db, const char *name, const char *sql, struct err *err)
{
    if (!db_start(db, false, err))
        return false;
    if (!PQsendPrepare(db->conn, name, sql, 0, NULL))
        return db_lost(db, err);
    return db_finish(db, NULL, err);
}

static int statement_send(struct db *db, const struct db_statement *s, bool raw)
{
    if (s->prepared != NULL)
        return PQsendQueryPrepared(db->conn, s->prepared, (int)s->count, s->values, NULL, NULL,
                                   raw);
    return PQsendQueryParams(db->conn, s->sql, (int)s->count, NULL, s->values, NULL, NULL, raw);
}

static bool pipeline_sent(struct db *db, bool fine, struct err *err)
{
    if (!fine || !PQpipelineSync(db->conn))
        return db_lost(db, err);
    return db_flush(db, err);
}

static bool pipeline_send(struct db *db, const struct db_statement *statements, size_t count,
                          bool raw, struct err *err)
{
    bool fine = PQenterPipelineMode(db->conn);

    for (size_t i = 0; fine && i < count; i++)
        fine = statement_send(db, &statements[i], raw);
    return pipeline_sent(db, fine, err);
}

static bool send_text(struct db *db, const char *sql)
{
    return PQsendQueryParams(db->conn, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static bool texts_put(struct db *db, const struct db_texts *t, struct err *err)
{
    const char *values[DB_TEXTS_MOST];
    int lengths[DB_TEXTS_MOST], binary[DB_TEXTS_MOST], count = (int)t->count;

    if (t->count > DB_TEXTS_MOST)
        return db_misused(db, "too many arrays", err);
    for (size_t i = 0; i < t->count; i++) {
        if (t->arrays[i].len > INT_MAX)
            return db_misused(db, "an array is too long", err);
        values[i] = t->arrays[i].at;
        lengths[i] = (int)t->arrays[i].len;
        binary[i] = 1;
    }
    return (PQenterPipelineMode(db->conn) && send_text(db, "begin") &&
            (t->prepared != NULL
                 ? PQsendQueryPrepared(db->conn, t->prepared, count, values, lengths, binary, 0)
                 : PQsendQueryParams(db->conn, t->sql, count, NULL, values, lengths, binary, 0))) ||
           db_lost(db, err);
}

/* What was put goes out, and while the server works at it `meanwhile` decides how it ends. */
static bool texts_send(struct db *db, const struct db_texts *t, void *context, struct err *err)
{
    bool commits = true;

    if (!texts_put(db, t, err))
        return false;
    if (t->meanwhile != NULL) {
        if (!db_flush(db, err))
            return false;
        commits = t->meanwhile(context);
        db_renew(db);
    }
    return pipeline_sent(db, send_text(db, commits ? "commit" : "rollback"), err);
}

enum step { STEP_ON, STEP_REFUSED, STEP_BROKEN };

/* All results of one statement. STEP_REFUSED: the server refused it; what follows it is skipped. */
static enum step pipeline_step(struct db *db, size_t statement, db_row_fn *row, void *context,
                               struct err *err)
{
    PGresult *result;
    enum step step = STEP_ON;

    PQsetSingleRowMode(db->conn);
    for (;;) {
        if (!db_receive(db, &result, err))
            return STEP_BROKEN;
        if (result == NULL)
            return step;
        if (is_copy(result)) {
            PQclear(result);
            db_misused(db, "COPY cannot be in a pipeline", err);
            return STEP_BROKEN;
        }
        bool taken = true;
        if (is_refusal(result)) {
            db_refused(db, result, err);
            step = db->conn != NULL ? STEP_REFUSED : STEP_BROKEN;
        } else if (step == STEP_ON && PQntuples(result) > 0)
            taken = give_rows(result, statement, row, context, err);
        PQclear(result);
        if (!taken) /* the rest may be long: no use in reading it */
            db_drop(db);
        if (db->conn == NULL)
            return STEP_BROKEN;
    }
}

/* Reads on until the server is ready for something new, whatever it skips. */
static bool pipeline_end(struct db *db, struct err *err)
{
    int empty = 0;

    for (bool synced = false; !synced;) {
        PGresult *result;
        if (!db_receive(db, &result, err))
            return false;
        synced = result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        /* one NULL ends a statement; a second one: libpq expects nothing more, all is lost */
        empty = result == NULL ? empty + 1 : 0;
        PQclear(result);
        if (empty > 1)
            return db_lost(db, err);
    }
    return PQexitPipelineMode(db->conn) || db_lost(db, err);
}

/* Takes what comes of `count` statements that were sent. */
static bool pipeline_take(struct db *db, size_t count, db_row_fn *row, void *context,
                          struct err *err)
{
    enum step step = STEP_ON;
    struct err ignored;

    for (size_t i = 0; i < count && step == STEP_ON; i++)
        step = pipeline_step(db, i, row, context, err);
    if (step == STEP_BROKEN)
        return false;
    if (step == STEP_ON)
        return pipeline_end(db, err);
    /* refused: leave a connection that takes the next statement, or none */
    if (pipeline_end(db, &ignored) && PQtransactionStatus(db->conn) != PQTRANS_IDLE &&
        (!PQsendQuery(db->conn, "rollback") || !db_finish(db, NULL, &ignored)))
        db_drop(db);
    return false;
}

bool db_pipeline(struct db *db, const struct db_statement *statements, size_t count, db_row_fn *row,
                 void *context, struct err *err)
{
    return db_start(db, true, err) && pipeline_send(db, statements, count, false, err) &&
           pipeline_take(db, count, row, context, err);
}

bool db_pipeline_raw(struct db *db, const struct db_statement *statements, size_t count,
                     db_row_fn *row, void *context, struct err *err)
{
    return db_start(db, true, err) && pipeline_send(db, statements, count, true, err) &&
           pipeline_take(db, count, row, context, err);
}

bool db_run_texts(struct db *db, const struct db_texts *texts, db_row_fn *row, void *context,
                  struct err *err)
{
    return db_start(db, true, err) && texts_send(db, texts, context, err) &&
           pipeline_take(db, 3, row, context, err);
}
