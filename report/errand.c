/* errand - see errand.h */
#include "report/errand.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "report/errand_parts.h"
#include "report/figures.h"
#include "report/tally.h"

static const int64_t COARSE = CLOCK_SECOND / 50; /* a file's time may be so much behind the clock */
static const int64_t POLL = 5 * CLOCK_SECOND, SWEEP = 3600 * CLOCK_SECOND,
                     FIGURES = 15 * CLOCK_SECOND, SUBMIT_CONNECT = 10 * CLOCK_SECOND,
                     SUBMIT_RESPONSE = 60 * CLOCK_SECOND, SUBMIT_MESSAGE = 600 * CLOCK_SECOND;

static bool connect_database(struct errand *e, struct err *err)
{
    const struct db_options options = {.conninfo = e->options.conf->database,
                                       .target = DB_PRIMARY,
                                       .timeout_us = e->options.conf->database_timeout,
                                       .program = "rollcall-quarantine errands",
                                       .interrupt = e->stop_fd};

    if (e->db != NULL && db_alive(e->db))
        return true;
    db_close(&e->db);
    return db_open(&e->db, &options, err) && db_script(e->db, "listen rollcall_quarantine", err);
}

static bool sweep_when_due(struct errand *e, struct err *err)
{
    int64_t now = clock_elapsed_us();

    if (e->swept_us != 0 && now - e->swept_us < SWEEP)
        return true;
    if (!sweep_all(e, err))
        return false;
    e->swept_us = now;
    return true;
}

/* Figures that cannot be written stop nothing. */
static void write_figures(struct errand *e)
{
    int64_t now = clock_elapsed_us();
    uint64_t sum = tally_sum();
    struct err err;

    if (e->figured_us != 0 && now - e->figured_us < FIGURES &&
        (sum == e->figured_sum || now - e->figured_us < CLOCK_SECOND))
        return;
    e->figured_us = now;
    e->figured_sum = sum;
    bool there = e->db != NULL && db_alive(e->db);
    bool fine = figures_quarantine(e->options.conf, there ? e->db : NULL, e->options.gateway, &err);
    if (!fine && !e->told_figures)
        log_write(LOG_QUARANTINE_TROUBLE, "%s", err.text);
    e->told_figures = !fine;
}

static bool is_stopped(const struct errand *e)
{
    struct pollfd fd = {.fd = e->stop_fd, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}

/* Until nothing is left to do now. */
static bool do_all(struct errand *e, struct err *err)
{
    size_t released, dropped;

    do {
        if (!connect_database(e, err) || !release_due(e, &released, err) ||
            !sweep_dropped(e, &dropped, err))
            return false;
    } while (released + dropped > 0 && !is_stopped(e));
    return sweep_when_due(e, err) && sweep_some(e, err);
}

static void *run(void *context)
{
    struct errand *e = context;
    struct err err;
    bool notified;

    pthread_setname_np(pthread_self(), "errands");
    while (!is_stopped(e)) {
        bool fine = do_all(e, &err);
        write_figures(e);
        if (fine && db_wait_notify(e->db, POLL, &notified, &err)) {
            if (e->told)
                log_write(LOG_DATABASE_BACK, "%s", db_host(e->db));
            e->told = false;
            continue;
        }
        if (is_stopped(e))
            break;
        if (!e->told)
            log_write(LOG_DATABASE_LOST, "%s", err.text);
        e->told = true;
        db_close(&e->db);
        poll(&(struct pollfd){.fd = e->stop_fd, .events = POLLIN}, 1, (int)(CLOCK_SECOND / 1000));
    }
    db_close(&e->db);
    return NULL;
}

bool errand_start(struct errand **errand, const struct errand_options *options, struct err *err)
{
    struct errand *e = mem_zero(1, sizeof *e);

    *errand = NULL;
    e->options = *options;
    e->started_us = clock_wall_us() - COARSE;
    if (!submit_open(&e->submit,
                     &(struct submit_options){.server = options->conf->release_to,
                                              .helo = options->host,
                                              .connect_us = SUBMIT_CONNECT,
                                              .response_us = SUBMIT_RESPONSE,
                                              .timeout_us = SUBMIT_MESSAGE},
                     err)) {
        free(e);
        return err_prefix(err, "release_to");
    }
    e->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (e->stop_fd < 0 || pthread_create(&e->thread, NULL, run, e) != 0)
        abort();
    *errand = e;
    return true;
}

void errand_stop(struct errand **errand)
{
    struct errand *e = *errand;

    if (e == NULL)
        return;
    eventfd_write(e->stop_fd, 1);
    pthread_join(e->thread, NULL);
    submit_close(&e->submit);
    close(e->stop_fd);
    free(e);
    *errand = NULL;
}
