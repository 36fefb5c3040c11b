/*
 * db_connect - see db.h; here: finding a server that takes us
 *
 * The hosts of the connection string are tried one by one here, not by libpq: its non-blocking
 * connect knows no time limit and would spend the whole deadline on the first dead host. Each host
 * gets an equal share of what is left. Names are looked up by the system's resolver, whose own
 * time-outs are the one wait that is not bounded here.
 */
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "db_private.h"

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

/* The hosts of the connection string; names and addresses as libpq understands them. */
struct hosts {
    struct list names, addresses, ports;
    size_t count;
};

static bool hosts_fill(struct hosts *hosts, const struct params *params, struct err *err)
{
    if (!list_split(&hosts->names, param_value(params, "host")) ||
        !list_split(&hosts->addresses, param_value(params, "hostaddr")) ||
        !list_split(&hosts->ports, param_value(params, "port")))
        return err_set(err, ERR_CONFIG, "database: more than %d hosts", HOSTS_MOST);
    size_t names = hosts->names.count, addresses = hosts->addresses.count;
    size_t ports = hosts->ports.count, most = addresses > 0 ? addresses : names;
    hosts->count = most > 0 ? most : 1;
    if ((addresses > 0 && names > 0 && names != addresses) || (ports > 1 && ports != hosts->count))
        return err_set(err, ERR_CONFIG,
                       "database: %zu hosts, %zu addresses and %zu ports do not go together", names,
                       addresses, ports);
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

/* The SQLSTATE in a refusal that libpq words verbosely, "FATAL:  28P01: why\nLOCATION: ...",
 * whatever the server's language; NULL without one. */
static const char *sqlstate_in(const char *text)
{
    for (const char *at = strstr(text, ":  "); at != NULL; at = strstr(at + 1, ":  "))
        if (strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
            strncmp(at + 8, ": ", 2) == 0)
            return at + 3;
    return NULL;
}

/* Waiting does not mend these: a role or password that is refused, a database that is not there. */
static enum err_class refusal_class(const char *sqlstate)
{
    static const char *const lasting[] = {"28", "3D000", "42501"};

    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++)
        if (strncmp(sqlstate, lasting[i], strlen(lasting[i])) == 0)
            return ERR_CONFIG;
    return ERR_TEMPORARY;
}

/* libpq's "connection to server at "h", port p failed: why", without what we say ourselves and what
 * only programs read. */
static enum err_class connect_reason(PGconn *conn, char *out, size_t room)
{
    const char *text = PQerrorMessage(conn), *failed = strstr(text, " failed: ");
    const char *sqlstate = sqlstate_in(text);

    if (sqlstate != NULL) {
        const char *why = sqlstate + strlen("28P01: ");
        STR_AUTO line = mem_span(span_of(why, strcspn(why, "\n")));
        db_flatten(out, room, line);
        return refusal_class(sqlstate);
    }
    if (strncmp(text, "connection to server", 20) == 0 && failed != NULL)
        text = failed + strlen(" failed: ");
    db_flatten(out, room, text);
    return ERR_TEMPORARY;
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
    enum db_wait_end end = WAIT_READY;
    enum err_class class;
    char why[400];

    db->conn = PQconnectStartParams(params->keys, params->values, 0);
    if (db->conn == NULL)
        return err_set(err, ERR_TEMPORARY, "out of memory");
    name_host(db, db->conn, host);
    PQsetErrorVerbosity(db->conn, PQERRORS_VERBOSE); /* shows the SQLSTATE of a refusal */
    PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
    if (PQstatus(db->conn) == CONNECTION_BAD)
        want = PGRES_POLLING_FAILED;
    while (want != PGRES_POLLING_OK && want != PGRES_POLLING_FAILED && end == WAIT_READY) {
        short events = want == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        end = db_wait_fd(PQsocket(db->conn), events, db->interrupt, db->deadline);
        if (end == WAIT_READY)
            want = PQconnectPoll(db->conn);
    }
    if (want == PGRES_POLLING_OK && end == WAIT_READY) {
        PQsetnonblocking(db->conn, 1);
        PQsetErrorVerbosity(db->conn, PQERRORS_DEFAULT);
        if (session_start(db, err))
            return true;
        db_drop(db);
        return false;
    }
    class = connect_reason(db->conn, why, sizeof why);
    if (end != WAIT_READY || why[0] == '\0')
        snprintf(why, sizeof why, "%s",
                 end == WAIT_LATE          ? "no connection in time"
                 : end == WAIT_INTERRUPTED ? "interrupted"
                                           : "no connection");
    db_drop(db);
    return err_set(err, class, "database %s: %s", db->host, why);
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

static bool connect_hosts(struct db *db, struct params *params, const struct hosts *hosts,
                          int64_t deadline, struct err *err)
{
    enum err_class class = ERR_CONFIG; /* unless one of them may come round by itself */
    BUF_AUTO reasons = {0};
    bool done = false;

    for (size_t at = 0; at < hosts->count; at++) {
        STR_AUTO name = list_item(&hosts->names, at);
        STR_AUTO address = list_item(&hosts->addresses, at);
        STR_AUTO port = list_item(&hosts->ports, at);
        param_set(params, "host", name);
        param_set(params, "hostaddr", address);
        param_set(params, "port", port);
        db->deadline = host_deadline(params, deadline, hosts->count - at);
        done = connect_host(db, params, address != NULL ? address : name, err);
        if (done)
            break;
        buf_printf(&reasons, "%s%s", at > 0 ? "; " : "", err->text);
        if (err->class != ERR_CONFIG)
            class = ERR_TEMPORARY;
    }
    return done || err_set(err, class, "%s", reasons.at);
}

/* prefer-standby among several hosts: first a standby anywhere, then anything. */
static bool connect_preferring(struct db *db, struct params *params, int64_t deadline,
                               struct err *err)
{
    struct hosts hosts;
    const char *target = param_value(params, "target_session_attrs");

    if (!hosts_fill(&hosts, params, err))
        return false;
    if (target == NULL || strcmp(target, "prefer-standby") != 0)
        return connect_hosts(db, params, &hosts, deadline, err);
    int64_t now = clock_elapsed_us();
    param_set(params, "target_session_attrs", "standby");
    if (connect_hosts(db, params, &hosts, now + (deadline - now) / 2, err))
        return true;
    param_set(params, "target_session_attrs", "any");
    return connect_hosts(db, params, &hosts, deadline, err);
}

/* libpq's complaint may quote a piece of the string: of a password, at worst. */
static bool bad_conninfo(const char *conninfo, char *reason, struct err *err)
{
    char why[300] = "not a libpq connection string";

    if (reason != NULL && strstr(conninfo, "pass") == NULL && strstr(conninfo, "://") == NULL)
        db_flatten(why, sizeof why, reason);
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

/* ---- what a sandbox has to leave ---- */

static void add_file(char **files, size_t *count, const char *path)
{
    if (path != NULL && path[0] == '/')
        files[(*count)++] = mem_text(path);
}

/* What stands in the connection string. */
static void add_named(char **files, size_t *count, const char *conninfo)
{
    static const char *const keywords[] = {"passfile",    "sslcert", "sslkey",
                                           "sslrootcert", "sslcrl",  "sslcrldir"};
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
            if (strcmp(o->keyword, keywords[i]) == 0)
                add_file(files, count, o->val);
    PQconninfoFree(options);
}

char **db_files(const char *conninfo)
{
    enum { FILES_MOST = 24 };
    static const char *const environment[] = {"PGPASSFILE", "PGSERVICEFILE", "PGSYSCONFDIR",
                                              "PGSSLCERT",  "PGSSLKEY",      "PGSSLROOTCERT"};
    static const char *const at_home[] = {".pgpass", ".pg_service.conf", ".postgresql"};
    char **files = mem_zero(FILES_MOST, sizeof *files);
    const struct passwd *user = getpwuid(geteuid());
    size_t count = 0;

    add_named(files, &count, conninfo);
    for (size_t i = 0; i < sizeof environment / sizeof environment[0]; i++)
        add_file(files, &count, getenv(environment[i]));
    for (size_t i = 0; user != NULL && i < sizeof at_home / sizeof at_home[0]; i++) {
        STR_AUTO path = mem_printf("%s/%s", user->pw_dir, at_home[i]);
        add_file(files, &count, path);
    }
    add_file(files, &count, "/etc/postgresql-common/pg_service.conf");
    return files;
}

void db_files_free(char ***files)
{
    for (size_t i = 0; *files != NULL && (*files)[i] != NULL; i++)
        free((*files)[i]);
    free(*files);
    *files = NULL;
}
