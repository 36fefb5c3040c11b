/* requests - see requests.h */
#include "sync/requests.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/db.h"
#include "lib/ldap_source.h"
#include "lib/log.h"
#include "lib/record.h"
#include "lib/spawn.h"

static const int64_t POLL = 5 * CLOCK_SECOND, PAUSE = CLOCK_SECOND;
enum {
    SERVERS_MOST = 8,
    APPLY_S = 1800, /* beyond a source's time-limit: for the roll to follow what was read */
    GOODBYE_S = 5,  /* how long servers have to end */
    ARGUMENTS_MOST = 160,
};
#define RECORDS_MOST "300" /* of each kind */
#define KEPT         "20"  /* requests of each source */

struct request {
    char id[24];
    char *source, *actor, *what;
    int64_t seconds; /* it may take */
};

/* One of the threads. */
struct server {
    const struct requests_options *options;
    pthread_t thread;
    int stop_fd;
    struct db *db;
    bool told; /* that the database is away */
    bool fine;
    struct err err;
};

static atomic_bool stopped;

/* ---- the next one ---- */

static void request_free(struct request *request)
{
    str_free(&request->source);
    str_free(&request->actor);
    str_free(&request->what);
}

/* Whoever is at work on one holds its lock; who ended without a word holds none. */
#define LOCK "hashtext('rollcall-ldapsync request'), id::int"
static const char lost_sql[] =
    "update ldap_request set state = 'failed', ended_at = now(), why = 'ended without a word; ask "
    "again' where state = 'running' and pg_try_advisory_xact_lock(" LOCK ")";
static const char claim_sql[] =
    "with next as (select id from ldap_request where state = 'waiting' order by id"
    "   limit 1 for update skip locked)"
    " update ldap_request r set state = 'running', started_at = now(), step = 'connecting'"
    " from next, ldap_source s where r.id = next.id and s.id = r.source_id"
    " returning r.id, s.name, r.actor, r.what, s.settings ->> 'time-limit',"
    "   pg_try_advisory_lock(hashtext('rollcall-ldapsync request'), r.id::int)";

static bool claim(struct server *s, struct request *request, bool *any, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_exec(s->db, lost_sql, DB_NO_VALUES, NULL, err) ||
        !db_query(s->db, &rows, claim_sql, DB_NO_VALUES, err))
        return false;
    *any = db_rows(rows) > 0;
    if (!*any)
        return true;
    const char *limit = db_null(rows, 0, 4)
                            ? ldap_setting_find("time-limit")->fallback[PRESET_CUSTOM]
                            : db_text(rows, 0, 4);
    snprintf(request->id, sizeof request->id, "%s", db_text(rows, 0, 0));
    request->source = mem_text(db_text(rows, 0, 1));
    request->actor = mem_text(db_text(rows, 0, 2));
    request->what = mem_text(db_text(rows, 0, 3));
    request->seconds = ldap_setting_time_us(limit) / CLOCK_SECOND + APPLY_S;
    return true;
}

/* ---- carried out ---- */

static size_t make_arguments(const struct server *s, const struct request *request,
                             const char *self, const char *arguments[ARGUMENTS_MOST])
{
    const char *const first[] = {
        self,        "--source",  request->source, "--actor",        request->actor,
        "--request", request->id, "--records",     "--records-most", RECORDS_MOST};
    size_t count = sizeof first / sizeof first[0];

    memcpy(arguments, first, sizeof first);
    if (strcmp(request->what, "test") == 0)
        arguments[count++] = "--look";
    if (strcmp(request->what, "preview") == 0)
        arguments[count++] = "--dry-run";
    if (s->options->file != NULL) {
        arguments[count++] = "-c";
        arguments[count++] = s->options->file;
    }
    for (size_t i = 0; i < s->options->override_count && count + 2 < ARGUMENTS_MOST; i++) {
        arguments[count++] = "-o";
        arguments[count++] = s->options->overrides[i];
    }
    arguments[count] = NULL;
    return count;
}

/* Why it failed: the record that says so, or what it complained of. */
static void find_failure(const struct spawn_output *output, struct buf *why)
{
    struct span rest = span_of(output->out.at, output->out.len);
    struct record record;

    buf_clear(why);
    while (record_next(&rest, &record))
        if (record_is(&record, "failed")) {
            struct span text = record_field(&record, 3);
            buf_append(why, text.at, text.len);
            return;
        }
    struct span said = span_trim(span_of(output->errors.at, output->errors.len));
    buf_append(why, said.at, said.len < 1000 ? said.len : 1000);
    if (why->len == 0)
        buf_text(why, "rollcall-ldapsync was ended; ask again");
}

static bool answer(struct server *s, const struct request *request, bool fine, const char *why,
                   const char *records, struct err *err)
{
    return db_exec(s->db,
                   "update ldap_request set state = $2, ended_at = now(), why = $3, records = $4"
                   " where id = $1",
                   DB_VALUES(request->id, fine ? "done" : "failed", why, records), NULL, err) &&
           db_exec(s->db,
                   "delete from ldap_request r using ldap_request this where this.id = $1"
                   " and r.source_id = this.source_id and r.id <= (select id from ldap_request"
                   "   where source_id = this.source_id order by id desc offset " KEPT " limit 1)",
                   DB_VALUES(request->id), NULL, err) &&
           db_exec(s->db,
                   "select pg_advisory_unlock(hashtext('rollcall-ldapsync request'), $1::int)",
                   DB_VALUES(request->id), NULL, err);
}

static bool carry_out(struct server *s, const struct request *request, struct err *err)
{
    const char *arguments[ARGUMENTS_MOST];
    char self[SPAWN_PATH];
    struct spawn_output output = {0};
    struct err trouble;
    BUF_AUTO why = {0};

    make_arguments(s, request, spawn_beside("rollcall-ldapsync", self), arguments);
    buf_text(&why, "");
    bool ran = spawn_run_within(arguments, span_of("", 0), request->seconds, &output, &trouble);
    bool fine = ran && output.code == 0;
    if (!ran)
        buf_text(&why, trouble.text);
    else if (!fine)
        find_failure(&output, &why);
    fine = answer(s, request, fine, why.at, output.out.at, err);
    spawn_output_free(&output);
    return fine;
}

/* ---- servers ---- */

static bool connect_database(struct server *s, struct err *err)
{
    const struct db_options options = {.conninfo = s->options->conf->database,
                                       .target = DB_PRIMARY,
                                       .timeout_us = s->options->conf->database_timeout,
                                       .program = "rollcall-ldapsync requests",
                                       .interrupt = s->stop_fd};

    if (s->db != NULL && db_alive(s->db))
        return true;
    db_close(&s->db);
    return db_open(&s->db, &options, err) && db_script(s->db, "listen rollcall_ldap", err);
}

/* Until none is left. */
static bool serve_all(struct server *s, struct err *err)
{
    bool any = true;

    while (any && !stopped) {
        struct request request = {0};
        if (!connect_database(s, err) || !claim(s, &request, &any, err))
            return false;
        bool fine = !any || carry_out(s, &request, err);
        request_free(&request);
        if (!fine)
            return false;
    }
    return true;
}

static void *serve(void *context)
{
    struct server *s = context;
    bool notified;

    while (!stopped) {
        s->fine = serve_all(s, &s->err);
        if (!s->options->follow)
            break;
        if (s->fine && !stopped && db_wait_notify(s->db, POLL, &notified, &s->err)) {
            if (s->told)
                log_write(LOG_DATABASE_BACK, "%s", db_host(s->db));
            s->told = false;
            continue;
        }
        if (stopped)
            break;
        if (!s->told)
            log_write(LOG_DATABASE_LOST, "%s", s->err.text);
        s->told = true;
        db_close(&s->db);
        poll(&(struct pollfd){.fd = s->stop_fd, .events = POLLIN}, 1, (int)(PAUSE / 1000));
    }
    db_close(&s->db);
    return NULL;
}

static void *wait_for_signal(void *context)
{
    const struct server *s = context;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    daemon_wait_signal(&signals);
    stopped = true;
    daemon_notify("STOPPING=1");
    if (eventfd_write(s->stop_fd, 1) != 0)
        _exit(1);
    return NULL;
}

/* A server that has a directory in hand is not waited for: its request is found lost, and the
 * process of that ends by itself or with the service. */
static void join(struct server *servers, size_t count, bool follow)
{
    for (size_t i = 0; i < count; i++) {
        struct timespec end;
        if (!follow) {
            pthread_join(servers[i].thread, NULL);
            continue;
        }
        while (!stopped)
            poll(&(struct pollfd){.fd = servers[0].stop_fd, .events = POLLIN}, 1, -1);
        clock_gettime(CLOCK_REALTIME, &end);
        end.tv_sec += GOODBYE_S;
        if (pthread_timedjoin_np(servers[i].thread, NULL, &end) != 0)
            _exit(0);
    }
}

bool requests_serve(const struct requests_options *options, struct err *err)
{
    static struct server servers[SERVERS_MOST];
    size_t most = options->conf->ldap_parallel < SERVERS_MOST ? (size_t)options->conf->ldap_parallel
                                                              : SERVERS_MOST;
    int stop_fd = eventfd(0, EFD_CLOEXEC);
    sigset_t signals;
    pthread_t thread;
    bool fine = true;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (size_t i = 0; i < most; i++)
        servers[i] = (struct server){.options = options, .stop_fd = stop_fd, .fine = true};
    if (stop_fd < 0 || pthread_create(&thread, NULL, wait_for_signal, &servers[0]) != 0)
        return err_set(err, ERR_TEMPORARY, "no thread can be started");
    pthread_detach(thread);
    for (size_t i = 0; i < most; i++)
        if (pthread_create(&servers[i].thread, NULL, serve, &servers[i]) != 0)
            abort();
    if (options->follow)
        daemon_notify("READY=1");
    join(servers, most, options->follow);
    for (size_t i = 0; i < most && !stopped; i++)
        if (fine && !servers[i].fine) {
            *err = servers[i].err;
            fine = false;
        }
    return fine;
}
