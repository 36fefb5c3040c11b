/* db - see db.h; here: waiting, what went wrong, the life of a connection, notifications */
#include "db_private.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

/* ---- waiting ---- */

static int poll_ms(int64_t deadline)
{
    if (deadline == INT64_MAX)
        return -1;
    int64_t left = deadline - clock_elapsed_us();
    int64_t ms = left <= 0 ? 0 : (left + 999) / 1000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

enum db_wait_end db_wait_fd(int fd, short events, int interrupt, int64_t deadline)
{
    struct pollfd fds[2] = {{fd, events, 0}, {interrupt, POLLIN, 0}};

    if (fd < 0)
        return WAIT_FAILED;
    for (;;) {
        int ms = poll_ms(deadline);
        int ready = poll(fds, 2, ms);
        if (ready < 0 && errno != EINTR)
            return WAIT_FAILED;
        if (ready > 0)
            return fds[1].revents != 0 ? WAIT_INTERRUPTED : WAIT_READY;
        if (ready == 0 && ms == 0)
            return WAIT_LATE;
    }
}

static int64_t deadline_after(int64_t timeout_us)
{
    return timeout_us > 0 ? clock_elapsed_us() + timeout_us : INT64_MAX;
}

void db_drop(struct db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
    db->copying = false;
}

bool db_wait(struct db *db, short events, struct err *err)
{
    char limit[32];

    if (db->streaming)
        db->deadline = deadline_after(db->timeout_us);
    switch (db_wait_fd(PQsocket(db->conn), events, db->interrupt, db->deadline)) {
    case WAIT_READY:
        return true;
    case WAIT_LATE:
        clock_age_text(limit, sizeof limit, db->timeout_us);
        db_drop(db);
        return err_set(err, ERR_TEMPORARY, "database %s: no answer within %s", db->host, limit);
    case WAIT_INTERRUPTED:
        db_drop(db);
        return err_set(err, ERR_TEMPORARY, "database %s: interrupted", db->host);
    case WAIT_FAILED:
        break;
    }
    return db_lost(db, err);
}

bool db_flush(struct db *db, struct err *err)
{
    int left;

    while ((left = PQflush(db->conn)) > 0) {
        /* reading too: a server that waits to be read would never take the rest */
        if (!db_wait(db, POLLIN | POLLOUT, err))
            return false;
        if (!PQconsumeInput(db->conn))
            return db_lost(db, err);
    }
    return left == 0 || db_lost(db, err);
}

bool db_receive(struct db *db, PGresult **result, struct err *err)
{
    while (PQisBusy(db->conn)) {
        if (!db_wait(db, POLLIN, err))
            return false;
        if (!PQconsumeInput(db->conn))
            return db_lost(db, err);
    }
    *result = PQgetResult(db->conn);
    return true;
}

/* ---- errors ---- */

void db_flatten(char *out, size_t room, const char *text)
{
    size_t used = 0;

    for (; *text != '\0' && used + 1 < room; text++) {
        if (text[0] == '\n' && text[1] == '\t')
            text += 1 + strcspn(text + 1, "\n");
        if (*text == '\0')
            break;
        bool blank = strchr(" \t\r\n", *text) != NULL;
        if (!blank)
            out[used++] = *text;
        else if (used > 0 && out[used - 1] != ' ')
            out[used++] = ' ';
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
}

bool db_lost(struct db *db, struct err *err)
{
    char why[600];

    db_flatten(why, sizeof why, db->conn != NULL ? PQerrorMessage(db->conn) : "");
    db_drop(db);
    return err_set(err, ERR_TEMPORARY, "database %s: %s", db->host,
                   why[0] != '\0' ? why : "the connection is lost");
}

bool db_misused(struct db *db, const char *what, struct err *err)
{
    db_drop(db);
    return err_set(err, ERR_OTHER, "database %s: %s", db->host, what);
}

/* Prefixes of SQLSTATE (PostgreSQL manual, appendix A); no two rows overlap. */
static enum err_class class_of(const char *sqlstate)
{
    static const struct {
        const char *prefix;
        enum err_class class;
    } rows[] = {
        {"08", ERR_TEMPORARY},    /* connection */
        {"40", ERR_TEMPORARY},    /* serialization, deadlock */
        {"53", ERR_TEMPORARY},    /* too many connections, disk or memory full */
        {"57", ERR_TEMPORARY},    /* cancelled, shutdown, cannot connect now */
        {"55P03", ERR_TEMPORARY}, /* lock not available */
        {"25006", ERR_TEMPORARY}, /* read-only: a standby, or the primary became one */
        {"22", ERR_DATA},         /* a value that its type does not take */
        {"23", ERR_DATA},         /* constraints */
        {"RC003", ERR_DATA},      /* rules of sql/ about what is given */
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strncmp(sqlstate, rows[i].prefix, strlen(rows[i].prefix)) == 0)
            return rows[i].class;
    return ERR_OTHER;
}

static const char *field_of(const PGresult *result, int field)
{
    const char *text = PQresultErrorField(result, field);
    return text != NULL ? text : "";
}

bool db_refused(struct db *db, const PGresult *result, struct err *err)
{
    const char *detail = field_of(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = field_of(result, PG_DIAG_MESSAGE_HINT);
    const char *primary = field_of(result, PG_DIAG_MESSAGE_PRIMARY);
    char text[sizeof err->text];

    snprintf(db->sqlstate, sizeof db->sqlstate, "%s", field_of(result, PG_DIAG_SQLSTATE));
    db_flatten(text, sizeof text, primary[0] != '\0' ? primary : PQresultErrorMessage(result));
    err_set(err, class_of(db->sqlstate), "database %s: %s%s%s%s%s", db->host, text,
            detail[0] != '\0' ? ": " : "", detail, hint[0] != '\0' ? "; " : "", hint);
    /* the server hangs up after FATAL and PANIC, whether or not libpq has seen the end yet */
    const char *severity = field_of(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    bool over = strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
    if (over || PQstatus(db->conn) == CONNECTION_BAD) {
        err->class = ERR_TEMPORARY;
        db_drop(db);
    }
    return false;
}

const char *db_sqlstate(const struct db *db)
{
    return db->sqlstate;
}

void db_close(struct db **db)
{
    if (*db == NULL)
        return;
    db_kept_forget(*db);
    PQfinish((*db)->conn);
    free(*db);
    *db = NULL;
}

bool db_alive(const struct db *db)
{
    return db->conn != NULL;
}

const char *db_host(const struct db *db)
{
    return db->host;
}

bool db_socket(const struct db *db, char *path, size_t room)
{
    if (db->conn == NULL || db->host[0] != '/')
        return false;
    int len = snprintf(path, room, "%s/.s.PGSQL.%s", db->host, PQport(db->conn));
    return len > 0 && (size_t)len < room;
}

void db_set_timeout(struct db *db, int64_t timeout_us)
{
    db->timeout_us = timeout_us;
}

int64_t db_timeout(const struct db *db)
{
    return db->timeout_us;
}

void db_set_interrupt(struct db *db, int fd)
{
    db->interrupt = fd;
}

bool db_start(struct db *db, bool streaming, struct err *err)
{
    if (db->conn == NULL)
        return err_set(err, ERR_TEMPORARY, "database %s: the connection is closed", db->host);
    db->sqlstate[0] = '\0';
    db->streaming = streaming;
    db->deadline = deadline_after(db->timeout_us);
    return !db->copying || db_copy_abandon(db, err);
}

void db_renew(struct db *db)
{
    db->deadline = deadline_after(db->timeout_us);
}

/* ---- notifications ---- */

static bool take_notifications(struct db *db)
{
    bool any = false;

    for (PGnotify *note; (note = PQnotifies(db->conn)) != NULL; any = true)
        PQfreemem(note);
    return any;
}

bool db_wait_notify(struct db *db, int64_t timeout_us, bool *notified, struct err *err)
{
    int64_t deadline = clock_elapsed_us() + (timeout_us > 0 ? timeout_us : 0);

    *notified = false;
    if (!db_start(db, false, err))
        return false;
    while (!(*notified = take_notifications(db))) {
        enum db_wait_end end = db_wait_fd(PQsocket(db->conn), POLLIN, db->interrupt, deadline);
        if (end == WAIT_LATE || end == WAIT_INTERRUPTED)
            return true;
        if (end == WAIT_FAILED || !PQconsumeInput(db->conn))
            return db_lost(db, err);
    }
    return true;
}
