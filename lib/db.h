/*
 * db - PostgreSQL, with bound parameters and deadlines; the only user of libpq (db*.c)
 *
 * A connection is used by one thread. Every call returns within its deadline: a server that does
 * not answer is an error of class ERR_TEMPORARY, and the connection is closed (db_alive turns
 * false). Errors name the host. What the server refuses (a constraint, a missing right) keeps the
 * connection and has its own class.
 */
#ifndef ROLLCALL_DB_H
#define ROLLCALL_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

struct db;
struct db_result;

enum db_target { DB_ANY, DB_PRIMARY }; /* DB_PRIMARY: target_session_attrs=read-write */

struct db_options {
    const char *conninfo; /* setting `database`; several hosts allowed */
    enum db_target target;
    int64_t
        timeout_us; /* for connecting, and for each statement unless db_set_timeout changes it */
    const char *program; /* application_name */
    int interrupt;       /* as db_set_interrupt, for connecting too; 0 or -1: none */
};

/* The files that a connection string (and the environment) makes libpq read, NULL at the end; free
 * with db_files_free. */
char **db_files(const char *conninfo);
void db_files_free(char ***files);

/* ERR_CONFIG when every host refuses us for good (role, password, database, pg_hba.conf), else
 * ERR_TEMPORARY. */
bool db_open(struct db **db, const struct db_options *options, struct err *err) MUST_CHECK;
void db_close(struct db **db); /* nulls; NULL allowed */
bool db_alive(const struct db *db);
/* "host:port" or the socket directory, for messages; never the password. */
const char *db_host(const struct db *db);
/* The path of the unix socket that it is connected by; false: it is another way, or not connected.
 */
bool db_socket(const struct db *db, char *path, size_t room);
/* For each following statement; 0: none (long imports; TCP keepalives still notice a dead peer). */
void db_set_timeout(struct db *db, int64_t timeout_us);
int64_t db_timeout(const struct db *db);
/* A file descriptor that, once readable, makes the running and every later wait fail with
 * "interrupted"; -1: none. */
void db_set_interrupt(struct db *db, int fd);

/*
 * One statement with bound parameters $1… as text (NULL is SQL NULL). SQL text is always a literal
 * of the program. db_query gives rows (release with db_result_free), db_exec the number of rows
 * touched or -1 in *count (may be NULL).
 */
bool db_query(struct db *db, struct db_result **result, const char *sql, const char *const *values,
              size_t count, struct err *err) MUST_CHECK;
bool db_exec(struct db *db, const char *sql, const char *const *values, size_t count,
             int64_t *touched, struct err *err) MUST_CHECK;
/* The same for a statement that is asked often: the connection plans it once. A dozen of texts at
 * most; more of them are run as above. */
bool db_query_kept(struct db *db, struct db_result **result, const char *sql,
                   const char *const *values, size_t count, struct err *err) MUST_CHECK;
/* db_exec in two halves: db_send returns while the server works, db_done waits for the end. Between
 * them the connection takes nothing else. */
bool db_send(struct db *db, const char *sql, const char *const *values, size_t count,
             struct err *err) MUST_CHECK;
bool db_done(struct db *db, struct err *err) MUST_CHECK;
/* Several statements in one text, without parameters or rows: migrations, begin, commit. */
bool db_script(struct db *db, const char *sql, struct err *err) MUST_CHECK;
/* After a failure, whose err stays: rolls back, or closes the connection when that fails too.
 * Returns false. */
bool db_rollback(struct db *db);

/* Parameters written in place: db_query(db, &r, "… $1 … $2", DB_VALUES(name, id_text), err). */
#define DB_VALUES(...)                                                                             \
    (const char *const[]){__VA_ARGS__},                                                            \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)
#define DB_NO_VALUES NULL, 0

void db_result_free(struct db_result **result);
#define DB_RESULT_AUTO __attribute__((cleanup(db_result_free))) struct db_result *
size_t db_rows(const struct db_result *result);
bool db_null(const struct db_result *result, size_t row, int column);
/* "" for NULL. Valid until the result is freed. */
const char *db_text(const struct db_result *result, size_t row, int column);
struct span db_span(const struct db_result *result, size_t row, int column);
int64_t db_int(const struct db_result *result, size_t row, int column); /* 0 for NULL */
bool db_bool(const struct db_result *result, size_t row, int column);
size_t db_columns(const struct db_result *result);
const char *db_column_name(const struct db_result *result, int column);

/* SQLSTATE of the last error of this connection, "" if it had none from the server. */
const char *db_sqlstate(const struct db *db);

/*
 * COPY … FROM STDIN: begin, put bytes in PostgreSQL's text format, end. Any other statement before
 * the end abandons the COPY (and so fails a transaction around it, as any error does). Here and
 * in the two below the time-out counts for each wait: a stream that flows is not late.
 */
bool db_copy_in(struct db *db, const char *sql, struct err *err) MUST_CHECK;
bool db_copy_put(struct db *db, const void *bytes, size_t len, struct err *err) MUST_CHECK;
bool db_copy_end(struct db *db, int64_t *rows, struct err *err) MUST_CHECK;
/* Appends a value in COPY text format: backslash, tab, newline and carriage return escaped. NULL:
 * \N. */
void db_copy_escape(struct buf *out, struct span value);

/* An array in PostgreSQL's text format, as one parameter: db_array_add for each element (NULL: the
 * SQL NULL) to an empty buffer, then db_array_end. */
void db_array_add(struct buf *array, const char *element);
void db_array_end(struct buf *array);

/* An array of texts in PostgreSQL's binary format, for long ones: nothing is escaped or searched.
 * db_texts_begin, then as many db_texts_add (NULL: the SQL NULL); for db_run_texts. */
enum { DB_TEXTS_MOST = 64 /* parameters */ };
void db_texts_begin(struct buf *array, size_t count);
void db_texts_add(struct buf *array, const char *element);

/*
 * COPY … TO STDOUT: `row` is called with each line's bytes (no newline), without copying; it
 * returns false (with err filled) to stop, which closes the connection.
 */
bool db_copy_out(struct db *db, const char *sql,
                 bool (*row)(void *context, struct span line, struct err *err), void *context,
                 struct err *err) MUST_CHECK;

/*
 * Sends several statements in one round trip (pipeline), all in the one transaction that `begin`
 * opens, and calls `row` for each row as it arrives (single-row mode: memory stays constant). Used
 * by the follower. When the server refuses one, the rest is skipped, an open transaction is rolled
 * back and the connection stays usable; when `row` returns false, it is closed.
 */
struct db_statement {
    const char *sql;
    const char *const *values;
    size_t count;
    const char *prepared; /* the name of a statement that db_prepare made of sql; NULL: none */
};
/* `result` holds exactly one row, at index 0. */
typedef bool db_row_fn(void *context, size_t statement, const struct db_result *result,
                       struct err *err);
/* Parses and plans once what db_pipeline runs often. Lives as long as the connection; a pooler in
 * between may lose it (SQLSTATE 26000). */
bool db_prepare(struct db *db, const char *name, const char *sql, struct err *err) MUST_CHECK;
bool db_pipeline(struct db *db, const struct db_statement *statements, size_t count, db_row_fn *row,
                 void *context, struct err *err) MUST_CHECK;
/* The same, but bytea comes as its bytes, not in hexadecimal digits; all columns are to be text or
 * bytea. */
bool db_pipeline_raw(struct db *db, const struct db_statement *statements, size_t count,
                     db_row_fn *row, void *context, struct err *err) MUST_CHECK;
/* Runs a statement whose parameters are all arrays of texts, in a transaction of its own and one
 * round trip; `row` hears of it as statement 1. Else as db_pipeline. */
struct db_texts {
    const char *sql, *prepared; /* as in db_statement */
    const struct buf *arrays;
    size_t count;
    /* What has to be done before the commit and needs no answer: called while the server works at
     * the statement, with `row`'s context; false: it is rolled back. NULL: nothing. */
    bool (*meanwhile)(void *context);
};
bool db_run_texts(struct db *db, const struct db_texts *texts, db_row_fn *row, void *context,
                  struct err *err) MUST_CHECK;

/*
 * Waits until a NOTIFY arrives on a channel that this connection LISTENs to, or the time has
 * passed, or the interrupt descriptor is readable. *notified tells which. Notifications that came
 * with earlier results count.
 */
bool db_wait_notify(struct db *db, int64_t timeout_us, bool *notified, struct err *err) MUST_CHECK;

#endif
