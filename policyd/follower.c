/* follower - see follower.h */
#include "policyd/follower.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/db.h"
#include "lib/log.h"
#include "lib/schema.h"
#include "policyd/feed.h"
#include "policyd/sender_feed.h"
#include "policyd/settings.h"

static const int64_t CONNECT_PAUSE_LEAST = CLOCK_SECOND / 10;
static const int64_t CONNECT_PAUSE_MOST = 2 * CLOCK_SECOND;

/* SQLSTATE invalid_sql_statement_name */
static const char UNKNOWN_STATEMENT[] = "26000";
/* SQLSTATE undefined_table, undefined_column */
static const char UNKNOWN_TABLE[] = "42P01", UNKNOWN_COLUMN[] = "42703";

struct follower {
    struct follower_options options;
    pthread_t thread;
    int stop_fd;
    _Atomic bool stop, connected;
    _Atomic int64_t failing_since;
    struct db *db;
    bool listening;
    struct sender_feed senders;
    bool has_refusals; /* the index has them all; each new index begins without */
    bool pooled;       /* something between us and the server does not keep prepared statements */
    bool told_lost, told_behind, told_failed, told_stale; /* each trouble is logged once */
    int64_t pause_us;
    int64_t apart_us; /* wall time from elapsed time, at the last confirmation */
    struct settings settings;
};

/* One reading. */
struct reading {
    struct follower *follower;
    struct replica_from from;
    struct feed_header header;
    enum feed_decision decision;
    int64_t begun_us;
    bool refusals; /* reading all of them: there are some */
};

static void pause_for(struct follower *f, int64_t us)
{
    struct pollfd p = {.fd = f->stop_fd, .events = POLLIN};

    poll(&p, 1, (int)(us / 1000));
}

/* ---- connection ---- */

static void lost(struct follower *f, const struct err *err)
{
    db_close(&f->db);
    atomic_store(&f->connected, false);
    f->listening = false;
    if (!f->told_lost && !atomic_load(&f->stop))
        log_write(LOG_DATABASE_LOST, "%s; answers come from the replica", err->text);
    f->told_lost = true;
}

enum {
    ST_BEGIN,
    ST_HEADER,
    ST_RECIPIENTS,
    ST_DOMAINS,
    ST_LEFT,
    ST_REFUSALS,
    ST_COMMIT,
    STATEMENTS
};

/* One reading of what is new; in the order in which readers may see it. */
static const struct statement {
    const char *name, *sql;
} statements[STATEMENTS] = {
    [ST_BEGIN] = {"rollcall_begin", "begin isolation level repeatable read read only"},
    [ST_HEADER] = {"rollcall_header", FEED_HEADER},
    [ST_RECIPIENTS] = {"rollcall_recipients", FEED_RECIPIENTS},
    [ST_DOMAINS] = {"rollcall_domains", FEED_DOMAINS},
    [ST_LEFT] = {"rollcall_left", FEED_LEFT},
    [ST_REFUSALS] = {"rollcall_refusals", FEED_REFUSALS},
    [ST_COMMIT] = {"rollcall_commit", "commit"},
};

/* A few rows by index are read, always in the same way. */
static const char SESSION[] =
    "set enable_seqscan = off; set jit = off; set plan_cache_mode = force_generic_plan";

/* A database of another version is followed as long as it has what is read; else that is why. */
static bool blame_version(struct follower *f, struct err *err)
{
    const char *state = db_sqlstate(f->db);
    struct err version;

    if ((strcmp(state, UNKNOWN_TABLE) == 0 || strcmp(state, UNKNOWN_COLUMN) == 0) &&
        !schema_check(f->db, &version))
        *err = version;
    return false;
}

static bool prepare_session(struct follower *f, struct err *err)
{
    bool fine = db_script(f->db, SESSION, err);

    for (size_t i = 0; fine && !f->pooled && i < STATEMENTS; i++)
        fine = db_prepare(f->db, statements[i].name, statements[i].sql, err);
    return fine || blame_version(f, err);
}

static bool connect_database(struct follower *f)
{
    struct db_options options = {.conninfo = f->options.conninfo,
                                 .target = DB_ANY,
                                 .timeout_us = f->options.timeout_us,
                                 .program = "rollcall-policyd",
                                 .interrupt = f->stop_fd};
    struct err err;

    if (!db_open(&f->db, &options, &err) || !prepare_session(f, &err)) {
        lost(f, &err);
        f->pause_us = f->pause_us == 0 ? CONNECT_PAUSE_LEAST : f->pause_us * 2;
        if (f->pause_us > CONNECT_PAUSE_MOST)
            f->pause_us = CONNECT_PAUSE_MOST;
        return false;
    }
    f->pause_us = 0;
    atomic_store(&f->connected, true);
    return true;
}

/* A standby knows no LISTEN; once it is promoted it does. */
static bool listen_where_possible(struct follower *f, bool standby, struct err *err)
{
    if (f->listening || standby)
        return true;
    f->listening = db_script(f->db, "listen rollcall", err);
    return f->listening;
}

/* ---- a full load ---- */

static bool load_line(void *context, struct span line, struct err *err)
{
    struct reading *reading = context;
    struct feed_recipient r;

    if (!feed_copy_line(line, &r, err))
        return false;
    replica_load_recipient(reading->follower->options.replica, r.domain_id,
                           span_of(r.local, r.local_len), &r.recipient);
    return true;
}

static bool load_domains(struct reading *reading, struct err *err)
{
    struct follower *f = reading->follower;
    DB_RESULT_AUTO domains = NULL;

    if (!db_query(f->db, &domains, FEED_ALL_DOMAINS, DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(domains); i++) {
        struct domain_record record;
        if (!feed_domain(domains, i, &record, err))
            return false;
        replica_load_domain(f->options.replica, &record);
    }
    return true;
}

static bool load_header(struct reading *reading, struct err *err)
{
    DB_RESULT_AUTO header = NULL;

    if (!db_query(reading->follower->db, &header, FEED_HEADER, DB_VALUES("0", "0"), err))
        return false;
    if (db_rows(header) != 1)
        return err_set(err, ERR_DATA, "roll_clock has no row; is this Rollcall's database?");
    return feed_header(header, 0, &reading->header, err);
}

static bool load_rows(struct reading *reading, struct err *err)
{
    struct follower *f = reading->follower;

    reading->begun_us = clock_elapsed_us();
    return db_script(f->db,
                     "begin isolation level repeatable read read only; "
                     "set local enable_seqscan = on",
                     err) &&
           load_header(reading, err) && load_domains(reading, err) &&
           db_copy_out(f->db, FEED_COPY_RECIPIENTS, load_line, reading, err) &&
           db_script(f->db, "commit", err);
}

static bool load_everything(struct reading *reading, struct err *err)
{
    struct follower *f = reading->follower;
    struct replica_figures figures;
    struct err ignored;

    log_write(LOG_FULL_LOAD, "from version %lld of this replica to %lld of %s",
              (long long)reading->from.position.version, (long long)reading->header.newest.version,
              db_host(f->db));
    sender_feed_drop(&f->senders); /* numbers of domains may be others' now */
    replica_load_begin(f->options.replica);
    if (!load_rows(reading, err)) {
        replica_load_abort(f->options.replica);
        if (db_alive(f->db) && !db_script(f->db, "rollback", &ignored))
            db_close(&f->db);
        return false;
    }
    replica_load_end(f->options.replica, &reading->header.newest);
    f->has_refusals = false;
    replica_figures(f->options.replica, &figures);
    log_write(LOG_FULL_LOAD_DONE, "version %lld: %llu domains, %llu recipients in %.1f s",
              (long long)figures.position.version, (unsigned long long)figures.domains,
              (unsigned long long)figures.recipients,
              (double)(clock_elapsed_us() - reading->begun_us) / CLOCK_SECOND);
    return true;
}

/* ---- refusals, once for each index ---- */

static bool load_refusal(void *context, struct span line, struct err *err)
{
    struct reading *reading = context;
    struct replica *replica = reading->follower->options.replica;
    struct feed_recipient r;

    if (!feed_copy_line(line, &r, err))
        return false;
    if (!reading->refusals)
        replica_batch_begin(replica, &reading->header.newest);
    reading->refusals = true;
    replica_batch_refusal(replica, r.domain_id, span_of(r.local, r.local_len),
                          r.recipient.refused_hour);
    return true;
}

/* They may be newer than the roll at hand: whoever comes onto it meanwhile wins all the same. */
static bool load_refusals(struct reading *reading, struct err *err)
{
    struct follower *f = reading->follower;

    if (f->has_refusals)
        return true;
    f->has_refusals = db_copy_out(f->db, FEED_COPY_REFUSALS, load_refusal, reading, err);
    if (reading->refusals && f->has_refusals)
        replica_batch_end(f->options.replica);
    else if (reading->refusals)
        replica_batch_abort(f->options.replica);
    return f->has_refusals;
}

/* ---- following ---- */

static bool take_header(struct reading *reading, const struct db_result *row, struct err *err)
{
    if (!feed_header(row, 0, &reading->header, err))
        return false;
    reading->decision = feed_decide(&reading->from, &reading->header);
    if (reading->decision == FEED_CHANGES)
        replica_batch_begin(reading->follower->options.replica, &reading->header.newest);
    return true;
}

static bool take_recipient(struct reading *reading, const struct db_result *row, bool left,
                           struct err *err)
{
    struct feed_recipient r;

    if (!feed_recipient(row, 0, &r, err))
        return false;
    sender_feed_changed(&reading->follower->senders, r.domain_id, span_of(r.local, r.local_len));
    replica_batch_recipient(reading->follower->options.replica, r.domain_id,
                            span_of(r.local, r.local_len), left ? NULL : &r.recipient);
    return true;
}

static bool take_refusal(struct reading *reading, const struct db_result *row, struct err *err)
{
    struct feed_recipient r;

    if (!feed_recipient(row, 0, &r, err))
        return false;
    replica_batch_refusal(reading->follower->options.replica, r.domain_id,
                          span_of(r.local, r.local_len), r.recipient.refused_hour);
    return true;
}

static bool take_domain(struct reading *reading, const struct db_result *row, struct err *err)
{
    struct domain_record record;

    if (!feed_domain(row, 0, &record, err))
        return false;
    replica_batch_domain(reading->follower->options.replica, &record);
    return true;
}

static bool take_row(void *context, size_t statement, const struct db_result *row, struct err *err)
{
    struct reading *reading = context;

    if (statement == ST_HEADER)
        return take_header(reading, row, err);
    if (reading->decision != FEED_CHANGES)
        return true; /* purged tombstones: the rows alone do not help */
    if (statement == ST_DOMAINS)
        return take_domain(reading, row, err);
    if (statement == ST_REFUSALS)
        return take_refusal(reading, row, err);
    return take_recipient(reading, row, statement == ST_LEFT, err);
}

/* All in one round trip and one snapshot. */
static bool read_changes(struct reading *reading, struct err *err)
{
    struct follower *f = reading->follower;
    char version[24], pending[24], uuid[FEED_UUID_TEXT];
    const char *const points[] = {version, pending}, *const point[] = {version, uuid};
    struct db_statement sent[STATEMENTS];

    snprintf(version, sizeof version, "%lld", (long long)reading->from.position.version);
    snprintf(pending, sizeof pending, "%lld", (long long)reading->from.pending.version);
    feed_uuid_text(uuid, reading->from.position.uuid);
    for (size_t i = 0; i < STATEMENTS; i++)
        sent[i] = (struct db_statement){
            .sql = statements[i].sql,
            .values = i == ST_HEADER ? points : point,
            .count = i == ST_BEGIN || i == ST_COMMIT ? 0 : 2,
            .prepared = f->pooled ? NULL : statements[i].name,
        };
    return db_pipeline(f->db, sent, STATEMENTS, take_row, reading, err);
}

static void tell_behind(struct follower *f, const struct reading *reading)
{
    if (!f->told_behind)
        log_write(LOG_STANDBY_BEHIND, "%s: at version %lld, this replica at %lld", db_host(f->db),
                  (long long)reading->header.newest.version,
                  (long long)reading->from.position.version);
    f->told_behind = true;
}

static int64_t clocks_apart_us(void)
{
    return clock_wall_us() - clock_elapsed_us();
}

static void caught_up(struct follower *f, const struct reading *reading)
{
    if (reading->header.lag_us >= 0) {
        replica_confirm(f->options.replica, reading->begun_us - reading->header.lag_us);
        f->apart_us = clocks_apart_us();
    }
    f->told_behind = false;
    if (reading->decision == FEED_CHANGES || reading->decision == FEED_RELOAD)
        f->options.changed(f->options.context);
}

static bool carry_out(struct follower *f, struct reading *reading, struct err *err)
{
    switch (reading->decision) {
    case FEED_BEHIND:
        tell_behind(f, reading);
        return true;
    case FEED_EMPTY:
        return true; /* nobody has been put on the roll yet: nothing to confirm */
    case FEED_RELOAD:
        if (!load_everything(reading, err))
            return false;
        break;
    case FEED_CHANGES:
        replica_batch_end(f->options.replica);
        log_write(LOG_APPLIED, "version %lld", (long long)reading->header.newest.version);
        break;
    case FEED_CURRENT:
        break;
    }
    caught_up(f, reading);
    return load_refusals(reading, err) &&
           sender_feed_read(&f->senders, f->db, f->settings.reject_blocked_senders,
                            &reading->header, err);
}

static bool follow(struct follower *f, struct err *err)
{
    struct reading reading = {
        .follower = f, .begun_us = clock_elapsed_us(), .decision = FEED_EMPTY};

    reading.from = replica_from(f->options.replica, reading.begun_us);
    if (reading.from.load) {
        if (!load_header(&reading, err))
            return false;
        reading.decision = feed_decide(&reading.from, &reading.header);
    } else if (!read_changes(&reading, err)) {
        replica_batch_abort(f->options.replica);
        return false;
    }
    return carry_out(f, &reading, err) && listen_where_possible(f, reading.header.standby, err);
}

static void failed(struct follower *f, struct err *err)
{
    int64_t none = 0;

    atomic_compare_exchange_strong(&f->failing_since, &none, clock_elapsed_us());
    if (!db_alive(f->db)) {
        lost(f, err);
        return;
    }
    if (strcmp(db_sqlstate(f->db), UNKNOWN_STATEMENT) == 0 && !f->pooled) {
        f->pooled = true; /* do without from now on */
        return;
    }
    if (!f->told_failed)
        log_write(LOG_FOLLOW_FAILED, "%s", err->text);
    f->told_failed = true;
}

static void went_well(struct follower *f)
{
    if (f->told_lost)
        log_write(LOG_DATABASE_BACK, "%s", db_host(f->db));
    f->told_lost = f->told_failed = false;
    atomic_store(&f->failing_since, 0);
}

/* While nobody confirms the list. With a server at hand no clock decides. */
static void mind_the_clock(struct follower *f)
{
    int64_t apart_us = clocks_apart_us(), missed_us = feed_missed_us(f->apart_us, apart_us);
    char text[32];

    if (f->db != NULL || missed_us == 0)
        return;
    clock_age_text(text, sizeof text, missed_us);
    log_write(LOG_CLOCK_JUMPED, "by %s; the list may be older by that", text);
    replica_grow_older(f->options.replica, missed_us);
    f->apart_us = apart_us;
}

static void tell_when_stale(struct follower *f)
{
    int64_t age = replica_age_us(f->options.replica, clock_elapsed_us());
    bool stale = age > f->settings.stale_limit_us;
    char text[32];

    if (stale && !f->told_stale && age != INT64_MAX) {
        clock_age_text(text, sizeof text, age);
        log_write(LOG_REPLICA_STALE, "PostgreSQL confirmed it %s ago", text);
    }
    f->told_stale = stale;
}

/* Until there may be something new. */
static bool wait_for_changes(struct follower *f, int64_t reading_us, struct err *err)
{
    int64_t begun = clock_elapsed_us();
    bool notified;

    if (!db_wait_notify(f->db, f->settings.poll_interval_us, &notified, err))
        return false;
    if (notified)
        pause_for(f, feed_rest_us(reading_us, clock_elapsed_us() - begun));
    return true;
}

static void round_once(struct follower *f)
{
    struct err err;
    int64_t begun;

    settings_refresh(&f->settings);
    replica_fill(f->options.replica, &f->stop);
    begun = clock_elapsed_us();
    if (f->db == NULL && !connect_database(f)) {
        pause_for(f, f->pause_us);
    } else if (!follow(f, &err)) {
        failed(f, &err);
        pause_for(f, f->settings.poll_interval_us);
    } else {
        went_well(f);
        if (!wait_for_changes(f, clock_elapsed_us() - begun, &err))
            failed(f, &err);
    }
    mind_the_clock(f);
    tell_when_stale(f);
    replica_tend(f->options.replica, clock_elapsed_us(), f->settings.refused_for_us);
}

static void *run(void *context)
{
    struct follower *f = context;

    pthread_setname_np(pthread_self(), "follower");
    while (!atomic_load(&f->stop))
        round_once(f);
    db_close(&f->db);
    return NULL;
}

struct follower *follower_start(const struct follower_options *options)
{
    struct follower *f = mem_zero(1, sizeof *f);

    f->options = *options;
    f->senders.replica = options->replica;
    f->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->apart_us = clocks_apart_us();
    settings_refresh(&f->settings);
    if (f->stop_fd < 0 || pthread_create(&f->thread, NULL, run, f) != 0)
        abort(); /* out of threads at start: nothing can work */
    return f;
}

void follower_stop(struct follower **follower)
{
    struct follower *f = *follower;

    if (f == NULL)
        return;
    atomic_store(&f->stop, true);
    eventfd_write(f->stop_fd, 1);
    pthread_join(f->thread, NULL);
    close(f->stop_fd);
    free(f);
    *follower = NULL;
}

bool follower_connected(const struct follower *follower)
{
    return atomic_load(&follower->connected);
}

int64_t follower_failing_since(const struct follower *follower)
{
    return atomic_load(&follower->failing_since);
}
