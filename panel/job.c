/* job - see job.h */
#include "panel/job.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/secret.h"
#include "panel/change.h"

enum {
    JOBS_MOST = 64,       /* kept, all accounts together */
    RUNNING_MOST = 4,     /* at work at once */
    PROBLEMS_SHOWN = 200, /* on the page; the file has all */
    DIFFERENCES_SHOWN = 300,
};
static const int64_t KEPT = 2 * 3600 * CLOCK_SECOND; /* since somebody last looked at it */

struct line {
    int64_t number;
    char sign;
    char *text, *before, *after; /* of a difference */
    char *why;                   /* of a problem, as lib says it */
};
struct lines {
    struct line at[DIFFERENCES_SHOWN];
    size_t count;
};

/* Everything but what is marked so is guarded by the lock of the jobs. */
struct job {
    char name[JOB_NAME + 1];
    struct jobs *jobs;
    struct session session;                       /* whose it is; never changed */
    char *list, *called, *problems_file, *domain; /* never changed */
    bool pasted, replace;                         /* never changed */
    pthread_t thread;
    bool started; /* there is a thread to be joined */
    enum job_state state;
    int64_t seen_us, read, size, line_count, entries, bad;
    struct roll_outcome outcome;
    struct lines problems, differences;
    char form[200], why[1024];
    /* the thread's own */
    struct db *db;
    struct roll_job *door;
    FILE *errors;
    bool dry;
};

struct jobs {
    struct panel *panel;
    pthread_mutex_t lock;
    struct job *all[JOBS_MOST];
    size_t count;
    int stop; /* an eventfd: readable once the program ends */
};

struct jobs *jobs_new(struct panel *panel)
{
    struct jobs *jobs = mem_zero(1, sizeof *jobs);

    jobs->panel = panel;
    pthread_mutex_init(&jobs->lock, NULL);
    jobs->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return jobs;
}

static void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        free(lines->at[i].text);
        free(lines->at[i].before);
        free(lines->at[i].after);
        free(lines->at[i].why);
    }
    lines->count = 0;
}

static bool is_running(const struct job *job)
{
    return job->state == JOB_READING || job->state == JOB_APPLYING;
}

/* Its thread has ended, or is about to. */
static void job_free(struct job *job)
{
    if (job->started)
        pthread_join(job->thread, NULL);
    unlink(job->list);
    unlink(job->problems_file);
    lines_free(&job->problems);
    lines_free(&job->differences);
    free(job->list);
    free(job->called);
    free(job->problems_file);
    free(job->domain);
    free(job);
}

void jobs_free(struct jobs **jobs)
{
    struct jobs *j = *jobs;
    uint64_t one = 1;

    if (j == NULL)
        return;
    if (write(j->stop, &one, sizeof one) < 0)
        log_write(LOG_PANEL_TROUBLE, "jobs cannot be told to stop: %s", strerror(errno));
    for (size_t i = 0; i < j->count; i++)
        job_free(j->all[i]);
    close(j->stop);
    pthread_mutex_destroy(&j->lock);
    free(j);
    *jobs = NULL;
}

/* ---- the thread ---- */

static void keep_line(struct job *job, struct lines *lines, size_t most, struct line line)
{
    pthread_mutex_lock(&job->jobs->lock);
    bool kept = lines->count < most;
    if (kept)
        lines->at[lines->count++] = line;
    pthread_mutex_unlock(&job->jobs->lock);
    if (kept)
        return;
    free(line.text);
    free(line.before);
    free(line.after);
    free(line.why);
}

static void keep_problem(struct job *job, int64_t number, struct span text, const char *why)
{
    char shown[120];
    BUF_AUTO row = {0};

    str_printable(shown, sizeof shown, text.at, text.len);
    if (job->errors != NULL) {
        buf_printf(&row, "%lld,", (long long)number);
        list_write_text(&row, text);
        buf_text(&row, ",");
        list_write_text(&row, span_text(why));
        fprintf(job->errors, "%s\r\n", row.at);
    }
    keep_line(job, &job->problems, PROBLEMS_SHOWN,
              (struct line){.number = number, .text = mem_text(shown), .why = mem_text(why)});
}

static bool take_entry(void *context, const struct roll_entry *entry, struct err *err)
{
    struct job *job = context;

    return roll_stage(job->door, entry, err);
}

static void take_bad_line(void *context, const struct list_problem *problem)
{
    if (!problem->passed_over)
        keep_problem(context, problem->line, problem->text, problem->why);
}

static bool folds_case(void *context, struct span domain)
{
    struct job *job = context;

    return roll_folds_case(job->door, domain);
}

static void hear_problem(void *context, const struct roll_problem *problem)
{
    BUF_AUTO text = {0};

    roll_problem_text(problem, &text);
    keep_problem(context, problem->line, span_of("", 0), text.at);
}

static void hear_difference(void *context, const struct roll_difference *difference)
{
    struct job *job = context;

    keep_line(job, &job->differences, DIFFERENCES_SHOWN,
              (struct line){.sign = difference->sign,
                            .text = mem_text(difference->address),
                            .before = mem_text(difference->before),
                            .after = mem_text(difference->after)});
}

struct reading {
    struct job *job;
    struct list *list;
};

static bool step(void *context, int64_t read, int64_t size, struct err *err)
{
    struct reading *reading = context;
    struct list_counts counts = list_counts(reading->list);
    struct job *job = reading->job;

    (void)err;
    pthread_mutex_lock(&job->jobs->lock);
    job->read = read;
    job->size = size;
    job->line_count = counts.lines;
    job->entries = counts.entries;
    job->bad = counts.problems;
    pthread_mutex_unlock(&job->jobs->lock);
    return true;
}

static bool read_list(struct job *job, struct err *err)
{
    struct list_options options = {.form = job->pasted ? LIST_PASTE : LIST_ANY};
    struct list_sink sink = {job, take_entry, take_bad_line, folds_case};
    struct reading reading = {.job = job};
    struct list_progress progress = {&reading, step};
    BUF_AUTO form = {0};

    if (!list_open(&reading.list, &options, &sink, err))
        return false;
    bool fine = list_read_file(reading.list, job->list, &progress, err) &&
                step(&reading, job->size, job->size, err);
    list_describe(reading.list, &form);
    pthread_mutex_lock(&job->jobs->lock);
    snprintf(job->form, sizeof job->form, "%s", form.at != NULL ? form.at : "");
    pthread_mutex_unlock(&job->jobs->lock);
    list_free(&reading.list);
    return fine;
}

static struct roll_request request_of(const struct job *job)
{
    const struct conf *conf = job->jobs->panel->conf;

    return (struct roll_request){
        .mode = job->replace ? ROLL_REPLACE : ROLL_ADD,
        .source = job->pasted ? SOURCE_PANEL : SOURCE_IMPORT,
        .actor = job->session.login,
        .program = "rollcall-panel",
        .note = job->called,
        .dry_run = job->dry,
        .guard = {.least = conf->guard_least, .percent = conf->guard_percent},
    };
}

static bool connect_job(struct job *job, struct err *err)
{
    if (!pool_extra(job->jobs->panel->pool, &job->db, err) ||
        !session_apply(&job->session, job->db, err))
        return false;
    db_set_timeout(job->db, 0); /* a long list takes as long as it takes */
    db_set_interrupt(job->db, job->jobs->stop);
    return true;
}

static bool work(struct job *job, struct roll_outcome *outcome, struct err *err)
{
    struct roll_request request = request_of(job);
    struct roll_listener listener = {
        .context = job, .problem = hear_problem, .difference = job->dry ? hear_difference : NULL};

    return connect_job(job, err) && roll_open(&job->door, job->db, &request, err) &&
           (job->domain[0] == '\0' || roll_scope(job->door, job->domain, err)) &&
           read_list(job, err) && roll_finish(&job->door, &listener, outcome, err);
}

static void *run(void *context)
{
    struct job *job = context;
    struct roll_outcome outcome = {0};
    struct err err = {0};

    job->errors = fopen(job->problems_file, "we");
    if (job->errors != NULL)
        fputs("line,text,reason\r\n", job->errors);
    bool fine = work(job, &outcome, &err);
    roll_abort(&job->door);
    db_close(&job->db);
    if (job->errors != NULL)
        fclose(job->errors);
    pthread_mutex_lock(&job->jobs->lock);
    job->outcome = outcome;
    job->state = !fine ? JOB_FAILED : job->dry ? JOB_PREVIEW : JOB_DONE;
    if (!fine)
        snprintf(job->why, sizeof job->why, "%s", err.text);
    pthread_mutex_unlock(&job->jobs->lock);
    if (!fine && err.class != ERR_DATA)
        log_write(LOG_PANEL_TROUBLE, "list %s of %s: %s", job->called, job->session.login,
                  err.text);
    return NULL;
}

/* Under the lock. */
static bool start(struct job *job, bool dry, struct err *err)
{
    size_t running = 0;

    for (size_t i = 0; i < job->jobs->count; i++)
        running += is_running(job->jobs->all[i]);
    if (running >= RUNNING_MOST)
        return err_set(err, ERR_TEMPORARY, "%d lists are being worked on; try again shortly",
                       RUNNING_MOST);
    if (job->started)
        pthread_join(job->thread, NULL);
    lines_free(&job->problems);
    lines_free(&job->differences);
    job->dry = dry;
    job->state = dry ? JOB_READING : JOB_APPLYING;
    job->read = job->line_count = job->entries = job->bad = 0;
    job->started = pthread_create(&job->thread, NULL, run, job) == 0;
    if (!job->started)
        job->state = JOB_FAILED;
    return job->started || err_set(err, ERR_TEMPORARY, "no thread could be made");
}

/* ---- for pages ---- */

/* Under the lock: forgets what nobody looks at any more, and the oldest when there is no room. */
static void make_room(struct jobs *jobs)
{
    int64_t now = clock_elapsed_us();

    for (size_t i = jobs->count; i-- > 0;) {
        struct job *job = jobs->all[i];
        bool full = jobs->count == JOBS_MOST;
        if (is_running(job) || (!full && now - job->seen_us < KEPT))
            continue;
        job_free(job);
        memmove(&jobs->all[i], &jobs->all[i + 1], (jobs->count - i - 1) * sizeof jobs->all[0]);
        jobs->count--;
    }
}

static void name_job(struct job *job)
{
    uint8_t random[JOB_NAME / 2];

    secret_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(job->name + 2 * i, 3, "%02x", random[i]);
}

static struct job *job_new(struct visit *visit, const struct job_options *options)
{
    const char *spool = visit->panel->conf->panel_spool_directory;
    struct job *job = mem_zero(1, sizeof *job);

    job->jobs = visit->panel->jobs;
    job->session = visit->session;
    job->list = mem_printf("%s/%s", spool, options->list);
    job->problems_file = mem_printf("%s/%s.csv", spool, options->list);
    job->called = mem_text(options->called);
    job->domain = mem_text(options->domain);
    job->pasted = options->pasted;
    job->replace = options->replace;
    job->seen_us = clock_elapsed_us();
    visit->spool_taken = true;
    name_job(job);
    return job;
}

bool job_begin(struct visit *visit, const struct job_options *options, char name[JOB_NAME + 1],
               struct err *err)
{
    struct jobs *jobs = visit->panel->jobs;
    struct job *job = job_new(visit, options);

    memcpy(name, job->name, sizeof job->name);
    pthread_mutex_lock(&jobs->lock);
    make_room(jobs);
    bool fine = (jobs->count < JOBS_MOST ||
                 err_set(err, ERR_TEMPORARY, "%d lists wait already", JOBS_MOST)) &&
                start(job, true, err);
    if (fine)
        jobs->all[jobs->count++] = job;
    pthread_mutex_unlock(&jobs->lock);
    if (!fine)
        job_free(job);
    return fine;
}

/* Under the lock: the job of that name, of this account. */
static struct job *find(struct visit *visit, const char *name, struct err *err)
{
    struct jobs *jobs = visit->panel->jobs;

    for (size_t i = 0; i < jobs->count; i++)
        if (strcmp(jobs->all[i]->name, name) == 0 &&
            jobs->all[i]->session.account == visit->session.account) {
            jobs->all[i]->seen_us = clock_elapsed_us();
            return jobs->all[i];
        }
    err_set(err, ERR_DATA, "This list is not here any more; upload it again.");
    return NULL;
}

bool job_apply(struct visit *visit, const char *name, struct err *err)
{
    pthread_mutex_lock(&visit->panel->jobs->lock);
    struct job *job = find(visit, name, err);
    bool fine = job != NULL && (job->state != JOB_PREVIEW || start(job, false, err));
    pthread_mutex_unlock(&visit->panel->jobs->lock);
    return fine;
}

bool job_drop(struct visit *visit, const char *name, struct err *err)
{
    struct jobs *jobs = visit->panel->jobs;

    pthread_mutex_lock(&jobs->lock);
    struct job *job = find(visit, name, err);
    if (job != NULL && !is_running(job)) {
        for (size_t i = 0; i < jobs->count; i++)
            if (jobs->all[i] == job)
                jobs->all[i] = jobs->all[--jobs->count];
        job_free(job);
    }
    pthread_mutex_unlock(&jobs->lock);
    return job != NULL;
}

static void put_lines(struct visit *visit, const char *key, const struct lines *lines)
{
    struct data *list = data_list(visit->data, key);

    for (size_t i = 0; i < lines->count; i++) {
        const struct line *line = &lines->at[i];
        struct data *one = data_item(list);
        const char sign[] = {line->sign, '\0'};
        data_int(one, "line", line->number);
        data_text(one, "sign", sign);
        data_text(one, "what", line->text);
        if (line->why != NULL)
            data_text(one, "why", visit_say(visit, line->why));
        if (line->before != NULL) {
            data_text(one, "before", line->before);
            data_text(one, "after", line->after);
        }
    }
}

static void put_outcome(struct visit *visit, const struct job *job)
{
    struct data *page = visit->data;
    const struct roll_outcome *outcome = &job->outcome;

    data_count(page, "n_added", outcome->added);
    data_count(page, "n_removed", outcome->removed);
    data_count(page, "n_changed", outcome->changed);
    data_count(page, "n_problems", outcome->problems + job->bad);
    data_flag(page, "nothing", outcome->added + outcome->removed + outcome->changed == 0);
    data_flag(page, "would_hold", outcome->state == ROLL_DRY && outcome->why[0] != '\0');
    data_flag(page, "held", outcome->state == ROLL_HELD);
    data_text(page, "hold_reason", visit_say(visit, outcome->why));
    if (outcome->changeset != 0)
        data_int(page, "changeset", outcome->changeset);
    data_flag(page, "more_differences",
              outcome->added + outcome->removed + outcome->changed > DIFFERENCES_SHOWN);
    data_flag(page, "more_problems", outcome->problems + job->bad > PROBLEMS_SHOWN);
}

bool job_show(struct visit *visit, const char *name, struct err *err)
{
    static const char *const states[] = {[JOB_READING] = "reading",
                                         [JOB_PREVIEW] = "preview",
                                         [JOB_APPLYING] = "applying",
                                         [JOB_DONE] = "done",
                                         [JOB_FAILED] = "failed"};
    struct data *page = visit->data;

    pthread_mutex_lock(&visit->panel->jobs->lock);
    const struct job *job = find(visit, name, err);
    if (job != NULL) {
        data_text(page, "name", job->name);
        data_text(page, "list_state", states[job->state]);
        data_flag(page, "running", is_running(job));
        data_text(page, "called", job->called);
        data_text(page, "domain", job->domain);
        data_flag(page, "replace", job->replace);
        data_text(page, "form_of_list", job->form);
        data_text(page, "why", visit_say(visit, job->why));
        data_count(page, "n_lines", job->line_count);
        data_count(page, "n_entries", job->entries);
        data_int(page, "percent", job->size > 0 ? job->read * 100 / job->size : 0);
        put_outcome(visit, job);
        put_lines(visit, "problems", &job->problems);
        put_lines(visit, "differences", &job->differences);
    }
    pthread_mutex_unlock(&visit->panel->jobs->lock);
    return job != NULL;
}

bool job_problems(struct visit *visit, const char *name, struct err *err)
{
    pthread_mutex_lock(&visit->panel->jobs->lock);
    const struct job *job = find(visit, name, err);
    if (job != NULL && !is_running(job))
        visit->body_file = open(job->problems_file, O_RDONLY | O_CLOEXEC);
    pthread_mutex_unlock(&visit->panel->jobs->lock);
    return visit->body_file >= 0 ||
           err_set(err, ERR_DATA, "This list is not here any more; upload it again.");
}
