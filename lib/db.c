/*
 * db - see db.h; here: connecting, waiting, and what became of it
 *
 * The hosts of the connection string are tried one by one here, not by libpq: its non-blocking
 * connect knows no time limit and would spend the whole deadline on the first dead host. Each host
 * gets an equal share of what is left. Names are looked up by the system's resolver, whose own
 * time-outs are the one wait that is not bounded here.
 */
#include "db_private.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum {
    HOSTS_MOST = 16,
    EXTRA_PARAMS = 16,
    CONNECT_SECONDS_MOST = 60, /* when the caller sets no time-out */
};

/* Servers since 14 notice, with the first setting, that a client which gave up is gone. */
static const char session_since_14[] = "set client_connection_check_interval = '5s';";
/* A commit that was announced to followers must not be lost by a crash. */
static const char session_always[] =
    "set search_path = public; set standard_conforming_strings = on; set datestyle = iso;"
    "set bytea_output = hex; set default_transaction_isolation = 'read committed';"
    "select set_config('synchronous_commit', 'on', false)"
    " where current_setting('synchronous_commit') = 'off'";

/* ---- waiting ---- */

enum wait_end { WAIT_READY, WAIT_LATE, WAIT_INTERRUPTED, WAIT_FAILED };

static int poll_ms(int64_t deadline)
{
    if (deadline == INT64_MAX)
        return -1;
    int64_t left = deadline - clock_elapsed_us();
    int64_t ms = left <= 0 ? 0 : (left + 999) / 1000;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

static enum wait_end wait_fd(int fd, short events, int interrupt, int64_t deadline)
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
    switch (wait_fd(PQsocket(db->conn), events, db->interrupt, db->deadline)) {
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

/* One line, single blanks, without the guesses that libpq adds as indented lines. */
static void flatten(char *out, size_t room, const char *text)
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

    flatten(why, sizeof why, db->conn != NULL ? PQerrorMessage(db->conn) : "");
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
    flatten(text, sizeof text, primary[0] != '\0' ? primary : PQresultErrorMessage(result));
    err_set(err, class_of(db->sqlstate), "database %s: %s%s%s%s%s", db->host, text,
            detail[0] != '\0' ? ": " : "", detail, hint[0] != '\0' ? "; " : "", hint);
    if (PQstatus(db->conn) == CONNECTION_BAD) {
        err->class = ERR_TEMPORARY;
        db_drop(db);
    }
    return false;
}

const char *db_sqlstate(const struct db *db)
{
    return db->sqlstate;
}

/* ---- connecting ---- */

/* What libpq is called with: the keywords of the connection string and ours. */
struct params {
    const char **keys, **values;
    size_t count;
};

static const char *param_value(const struct params *params, const char *key)
{
    for (size_t i = 0; i < params->count; i++)
        if (strcmp(params->keys[i], key) == 0)
            return params->values[i];
    return NULL;
}

/* Keys and values are borrowed. */
static void param_set(struct params *params, const char *key, const char *value)
{
    size_t i = 0;

    while (i < params->count && strcmp(params->keys[i], key) != 0)
        i++;
    params->keys[i] = key;
    params->values[i] = value;
    params->count += i == params->count;
}

static void param_default(struct params *params, const char *key, const char *value)
{
    if (param_value(params, key) == NULL)
        param_set(params, key, value);
}

/* libpq reads these from the environment where the connection string is silent; several hosts
 * there are split here as well. With a service file libpq alone knows the hosts. */
static void params_from_environment(struct params *params)
{
    static const char *const names[][2] = {
        {"host", "PGHOST"}, {"hostaddr", "PGHOSTADDR"}, {"port", "PGPORT"}};

    if (param_value(params, "service") != NULL || getenv("PGSERVICE") != NULL)
        return;
    if (param_value(params, "host") != NULL || param_value(params, "hostaddr") != NULL)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i][1]);
        if (value != NULL && value[0] != '\0')
            param_default(params, names[i][0], value);
    }
}

static void params_fill(struct params *params, const PQconninfoOption *given,
                        const struct db_options *options)
{
    for (; given->keyword != NULL; given++)
        if (given->val != NULL && given->val[0] != '\0')
            param_set(params, given->keyword, given->val);
    params_from_environment(params);
    param_set(params, "client_encoding", "UTF8");
    param_default(params, "fallback_application_name", options->program);
    param_default(params, "keepalives_idle", "30");
    param_default(params, "keepalives_interval", "10");
    param_default(params, "keepalives_count", "3");
    param_default(params, "tcp_user_timeout", "60000");
    const char *target = param_value(params, "target_session_attrs");
    if (options->target == DB_PRIMARY && (target == NULL || strcmp(target, "primary") != 0))
        param_set(params, "target_session_attrs", "read-write");
}

/* One value of a comma-separated list for each host; a list of one counts for all. */
struct list {
    struct span items[HOSTS_MOST];
    size_t count;
};

static bool list_split(struct list *list, const char *text)
{
    struct span rest = text != NULL ? span_text(text) : span_of(NULL, 0), item;

    list->count = 0;
    while (span_next(&rest, ',', &item)) {
        if (list->count == HOSTS_MOST)
            return false;
        list->items[list->count++] = item;
    }
    return true;
}

static char *list_item(const struct list *list, size_t at)
{
    if (list->count == 0)
        return NULL;
    return mem_span(list->items[list->count == 1 ? 0 : at]);
}

static void name_host(struct db *db, PGconn *conn, const char *fallback)
{
    const char *host = PQhost(conn), *port = PQport(conn);

    if (host == NULL || host[0] == '\0')
        host = fallback != NULL ? fallback : "";
    if (host[0] == '/' || host[0] == '@' || port == NULL || port[0] == '\0')
        snprintf(db->host, sizeof db->host, "%s", host);
    else
        snprintf(db->host, sizeof db->host, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host,
                 port);
}

static void ignore_notice(void *context, const char *message)
{
    (void)context;
    (void)message;
}

/* libpq's "connection to server at "h", port p failed: why", without what we say ourselves */
static void connect_reason(PGconn *conn, char *out, size_t room)
{
    const char *text = PQerrorMessage(conn), *failed = strstr(text, " failed: ");

    if (strncmp(text, "connection to server", 20) == 0 && failed != NULL)
        text = failed + strlen(" failed: ");
    flatten(out, room, text);
}

static bool session_start(struct db *db, struct err *err)
{
    bool checks = PQserverVersion(db->conn) >= 140000;
    STR_AUTO sql = mem_printf("%s%s", checks ? session_since_14 : "", session_always);

    if (!PQsendQuery(db->conn, sql))
        return db_lost(db, err);
    return db_finish(db, NULL, err);
}

/* db->deadline is this host's. Fills err (prefixed with the host) when it cannot be had. */
static bool connect_host(struct db *db, const struct params *params, const char *host,
                         struct err *err)
{
    PostgresPollingStatusType want = PGRES_POLLING_WRITING;
    enum wait_end end = WAIT_READY;
    char why[400];

    db->conn = PQconnectStartParams(params->keys, params->values, 0);
    if (db->conn == NULL)
        return err_set(err, ERR_TEMPORARY, "out of memory");
    name_host(db, db->conn, host);
    PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
    if (PQstatus(db->conn) == CONNECTION_BAD)
        want = PGRES_POLLING_FAILED;
    while (want != PGRES_POLLING_OK && want != PGRES_POLLING_FAILED && end == WAIT_READY) {
        short events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        end = wait_fd(PQsocket(db->conn), events, db->interrupt, db->deadline);
        if (end == WAIT_READY)
            want = PQconnectPoll(db->conn);
    }
    if (want == PGRES_POLLING_OK && end == WAIT_READY) {
        PQsetnonblocking(db->conn, 1);
        if (session_start(db, err))
            return true;
        db_drop(db);
        return false;
    }
    connect_reason(db->conn, why, sizeof why);
    if (end != WAIT_READY || why[0] == '\0')
        snprintf(why, sizeof why, "%s",
                 end == WAIT_LATE          ? "no connection in time"
                 : end == WAIT_INTERRUPTED ? "interrupted"
                                           : "no connection");
    db_drop(db);
    return err_set(err, ERR_TEMPORARY, "database %s: %s", db->host, why);
}

/* This host's share of the time: equal among those left, but no more than connect_timeout. */
static int64_t host_deadline(const struct params *params, int64_t deadline, size_t hosts_left)
{
    const char *own = param_value(params, "connect_timeout");
    int64_t now = clock_elapsed_us(), left = deadline > now ? deadline - now : 0, seconds;

    if (own != NULL && str_int64(span_text(own), &seconds) && seconds > 0 &&
        seconds < left / CLOCK_SECOND)
        return now + seconds * CLOCK_SECOND;
    return now + (own != NULL ? left : left / (int64_t)hosts_left);
}

static bool connect_hosts(struct db *db, const struct params *base, int64_t deadline,
                          struct err *err)
{
    static const char *const names[] = {"host", "hostaddr", "port"};
    struct params params = *base;
    struct list lists[3];
    BUF_AUTO reasons = {0};

    for (size_t i = 0; i < 3; i++)
        if (!list_split(&lists[i], param_value(base, names[i])))
            return err_set(err, ERR_CONFIG, "database: more than %d hosts", HOSTS_MOST);
    size_t hosts = lists[1].count > 0 ? lists[1].count : lists[0].count;
    hosts = hosts > 0 ? hosts : 1;
    for (size_t i = 0; i < 3; i++)
        if (lists[i].count > 1 && lists[i].count != hosts)
            return err_set(err, ERR_CONFIG, "database: %zu hosts but %zu entries in %s", hosts,
                           lists[i].count, names[i]);
    for (size_t at = 0; at < hosts; at++) {
        STR_AUTO host = list_item(&lists[0], at);
        STR_AUTO address = list_item(&lists[1], at);
        STR_AUTO port = list_item(&lists[2], at);
        param_set(&params, "host", host);
        param_set(&params, "hostaddr", address);
        param_set(&params, "port", port);
        db->deadline = host_deadline(base, deadline, hosts - at);
        if (connect_host(db, &params, address != NULL ? address : host, err))
            return true;
        buf_printf(&reasons, "%s%s", at > 0 ? "; " : "", err->text);
    }
    return err_set(err, ERR_TEMPORARY, "%s", reasons.at);
}

/* prefer-standby among several hosts: first a standby anywhere, then anything. */
static bool connect_preferring(struct db *db, struct params *params, int64_t deadline,
                               struct err *err)
{
    const char *target = param_value(params, "target_session_attrs");

    if (target == NULL || strcmp(target, "prefer-standby") != 0)
        return connect_hosts(db, params, deadline, err);
    int64_t now = clock_elapsed_us();
    param_set(params, "target_session_attrs", "standby");
    if (connect_hosts(db, params, now + (deadline - now) / 2, err))
        return true;
    param_set(params, "target_session_attrs", "any");
    return connect_hosts(db, params, deadline, err);
}

/* libpq's complaint may quote a piece of the string: of a password, at worst. */
static bool bad_conninfo(const char *conninfo, char *reason, struct err *err)
{
    char why[300] = "not a libpq connection string";

    if (reason != NULL && strstr(conninfo, "pass") == NULL && strstr(conninfo, "://") == NULL)
        flatten(why, sizeof why, reason);
    PQfreemem(reason);
    return err_set(err, ERR_CONFIG, "database: %s", why);
}

static size_t option_count(const PQconninfoOption *options)
{
    size_t count = 0;

    while (options[count].keyword != NULL)
        count++;
    return count;
}

bool db_open(struct db **out, const struct db_options *options, struct err *err)
{
    char *reason = NULL;
    PQconninfoOption *given = PQconninfoParse(options->conninfo, &reason);
    int64_t timeout =
        options->timeout_us > 0 ? options->timeout_us : CONNECT_SECONDS_MOST * CLOCK_SECOND;

    *out = NULL;
    if (given == NULL)
        return bad_conninfo(options->conninfo, reason, err);
    struct db *db = mem_zero(1, sizeof *db);
    size_t room = option_count(given) + EXTRA_PARAMS;
    struct params params = {mem_zero(room, sizeof(char *)), mem_zero(room, sizeof(char *)), 0};
    db->timeout_us = timeout;
    db->interrupt = options->interrupt > 0 ? options->interrupt : -1;
    params_fill(&params, given, options);
    bool done = connect_preferring(db, &params, clock_elapsed_us() + timeout, err);
    free(params.keys);
    free(params.values);
    PQconninfoFree(given);
    db->timeout_us = options->timeout_us;
    if (done)
        *out = db;
    else
        db_close(&db);
    return done;
}

void db_close(struct db **db)
{
    if (*db == NULL)
        return;
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

void db_set_timeout(struct db *db, int64_t timeout_us)
{
    db->timeout_us = timeout_us;
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
        enum wait_end end = wait_fd(PQsocket(db->conn), POLLIN, db->interrupt, deadline);
        if (end == WAIT_LATE || end == WAIT_INTERRUPTED)
            return true;
        if (end == WAIT_FAILED || !PQconsumeInput(db->conn))
            return db_lost(db, err);
    }
    return true;
}
