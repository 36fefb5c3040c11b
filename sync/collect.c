/* collect - see collect.h */
#include "sync/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/db.h"
#include "lib/log.h"
#include "lib/schema.h"
#include "lib/secret.h"
#include "lib/sql.h"
#include "sync/counts.h"
#include "sync/journal.h"
#include "sync/keep.h"
#include "sync/logfile.h"
#include "sync/position.h"
#include "sync/probe.h"
#include "sync/stamp.h"

static const int64_t LAG_US = 10 * CLOCK_SECOND; /* a line may take so long to its file */
static const int64_t AHEAD_US =
    3600 * CLOCK_SECOND; /* a stamp later than that is a clock's fault */
static const int64_t STATEMENT_US = 120 * CLOCK_SECOND;

struct collect {
    const struct collect_options *options;
    struct collect_report *report;
    struct db *db;
    struct keep *keep;
    struct position position;
    struct network_list inside;
    struct served *served;
    struct evidence *evidence;
    struct collect_rules rules;
    int64_t progress_us[COLLECT_SOURCES_MOST]; /* per source of the options */
    int64_t reading_us; /* the newest line of what is being read; INT64_MAX: nothing is */
    int64_t step_bytes; /* since the last commit */
    int64_t oldest_us;  /* the oldest line read in a gateway's first run */
};

/* ---- rules ---- */

/* "X-Spam-Flag: YES, X-Spam: Yes" into spans of the setting's text. */
static void read_headers(const char *setting, struct evidence_rules *rules)
{
    struct span rest = span_text(setting), header;

    while (rules->header_count < EVIDENCE_HEADERS_MOST && span_next(&rest, ',', &header)) {
        header = span_trim(header);
        if (header.len > 0)
            rules->headers[rules->header_count++] = header;
    }
}

static bool make_evidence(struct collect *c, struct err *err)
{
    const struct conf *conf = c->options->conf;
    struct evidence_rules rules = {.inside = &c->inside};

    if (!network_list_parse(span_text(conf->inside_networks), &c->inside, err) ||
        !evidence_filters_parse(span_text(conf->spam_verdicts), &rules.filters, err) ||
        !collect_rules(&c->rules, conf->observe_instances, err))
        return false;
    read_headers(conf->spam_headers, &rules);
    secret_random(rules.key, sizeof rules.key);
    rules.served = c->served = served_new(&c->inside);
    c->evidence = evidence_new(&rules);
    return true;
}

/* ---- commits ---- */

/* What all sources have been read to. */
static int64_t progress(const struct collect *c)
{
    int64_t least = INT64_MAX;

    for (size_t i = 0; i < c->options->source_count; i++)
        if (c->progress_us[i] < least)
            least = c->progress_us[i];
    return least;
}

static void note_progress(struct collect *c)
{
    int64_t settled_us = progress(c), undecided_us = evidence_undecided_us(c->evidence);

    for (size_t i = 0; i < c->options->source_count; i++) {
        struct position_source *s = position_source(&c->position, c->options->sources[i]);
        if (s != NULL)
            s->progress_us = c->progress_us[i];
    }
    if (c->position.sequence == 0)
        c->position.read_from_us = c->position.read_to_us = c->oldest_us;
    if (!c->options->aside)
        c->position.read_to_us = undecided_us < settled_us ? undecided_us : settled_us;
}

/* In one transaction; what is in flight was kept before it under its number. */
static bool send(struct collect *c, int64_t *rows, struct err *err)
{
    return keep_save(c->keep, c->position.sequence + 1, c->evidence, err) &&
           db_script(c->db, "begin; " SQL_OBSERVING, err) &&
           ((counts_send(c->evidence, c->db, c->options->gateway, rows, err) &&
             position_move(&c->position, c->db, c->options->gateway, err) &&
             db_script(c->db, "commit", err)) ||
            db_rollback(c->db));
}

static bool commit(struct collect *c, struct err *err)
{
    int64_t rows = 0;

    /* in the midst of lines that came late, what they belong to is not over yet */
    evidence_settle(c->evidence, c->reading_us < progress(c) ? c->reading_us : progress(c));
    note_progress(c);
    if (!send(c, &rows, err))
        return false;
    evidence_forget(c->evidence);
    c->step_bytes = 0;
    c->report->commits++;
    c->report->rows += rows;
    c->report->read_to_us = c->position.read_to_us;
    return true;
}

static bool commit_when_due(struct collect *c, struct err *err)
{
    return (c->step_bytes < c->options->conf->observe_step && !evidence_full(c->evidence)) ||
           commit(c, err);
}

/* ---- events ---- */

static void take_event(struct collect *c, size_t source, const struct maillog_event *event,
                       int64_t at_us)
{
    int64_t now_us = c->options->now_us;
    int64_t settled_us = (at_us < now_us ? at_us : now_us) - LAG_US;

    if (at_us > now_us + AHEAD_US)
        at_us = now_us;
    if (at_us < c->oldest_us)
        c->oldest_us = at_us;
    if (settled_us > c->progress_us[source])
        c->progress_us[source] = settled_us;
    if (at_us > c->reading_us)
        c->reading_us = at_us;
    evidence_event(c->evidence, event, at_us);
}

/* ---- files ---- */

static void trouble(struct collect *c, const struct err *err)
{
    log_write(LOG_OBSERVE_TROUBLE, "%s", err->text);
    if (c->report->trouble[0] == '\0')
        snprintf(c->report->trouble, sizeof c->report->trouble, "%s", err->text);
}

static bool read_lines(struct collect *c, size_t source, struct logfile_reader *reader,
                       struct position_file *place, int64_t newest_us, struct err *err)
{
    struct stamp_clock clock = {
        .zone = stamp_local, .newest_us = newest_us, .last_us = place->last_us};
    struct maillog_event event;
    struct span block;
    int64_t at_us;

    c->reading_us = INT64_MIN;
    for (;;) {
        if (!logfile_read(reader, &block, err)) {
            trouble(c, err); /* damaged: what could be read of it counts */
            return true;
        }
        int64_t bytes = (int64_t)block.len;
        while (maillog_next(&c->rules.rules, &block, &event))
            if (stamp_time(&clock, event.stamp, &at_us))
                take_event(c, source, &event, at_us);
        place->last_us = clock.last_us;
        logfile_note(reader, place);
        c->step_bytes += bytes;
        c->report->bytes += bytes;
        if (bytes == 0)
            return true;
        if (!commit_when_due(c, err))
            return false;
    }
}

/* Opens where it was left; another log that begins alike is read from its beginning. */
static bool open_file(struct collect *c, struct position_source *s, const struct logfile *file,
                      struct position_file **place, struct logfile_reader **reader, bool *fine)
{
    struct err err;

    *fine = logfile_open(reader, file, *place, &err);
    if (*fine)
        return true;
    trouble(c, &err);
    if (err.class != ERR_DATA)
        return false;
    *place = position_new_file(s);
    *fine = logfile_open(reader, file, *place, &err);
    if (!*fine)
        trouble(c, &err);
    return *fine;
}

/* False only when nothing can go on; a file that cannot be read is told, and left for later. */
static bool read_file(struct collect *c, size_t source, struct position_source *s,
                      const struct logfile *file, const struct logfile_plan *plan, bool *whole,
                      struct err *err)
{
    struct position_file *place =
        plan->known != SIZE_MAX ? &s->files[plan->known] : position_new_file(s);
    struct logfile_reader *reader = NULL;
    int64_t newest_us = file->modified_us;
    bool fine;

    if (newest_us > c->options->now_us)
        newest_us = c->options->now_us;
    place->seen_us = c->options->now_us;
    if (!open_file(c, s, file, &place, &reader, &fine)) {
        *whole = false;
        return true;
    }
    place->seen_us = c->options->now_us;
    fine = read_lines(c, source, reader, place, newest_us, err);
    logfile_close(&reader);
    return fine;
}

/* Files that are there are not forgotten. */
static void note_seen(const struct logfile_family *family, struct position_source *s,
                      int64_t now_us)
{
    for (size_t i = 0; i < family->count; i++)
        for (size_t k = 0; k < s->file_count; k++)
            if (logfile_known(&family->files[i], &s->files[k]))
                s->files[k].seen_us = now_us;
}

static bool read_family(struct collect *c, size_t source, struct position_source *s, bool *whole,
                        struct err *err)
{
    struct logfile_plan plan[POSITION_FILES_MOST];
    struct logfile_family family;
    bool fine = true;

    if (!logfile_family(&family, s->name, err)) {
        trouble(c, err);
        *whole = false;
        return true;
    }
    note_seen(&family, s, c->options->now_us);
    size_t count = logfile_plan(&family, s, c->options->history, plan);
    for (size_t i = 0; fine && i < count; i++)
        fine = read_file(c, source, s, &family.files[plan[i].file], &plan[i], whole, err);
    logfile_family_free(&family);
    return fine;
}

/* ---- standard input, journal ---- */

static bool read_stream(struct collect *c, size_t source, struct position_source *s,
                        struct err *err)
{
    struct logfile head = {0};
    struct logfile_reader *reader;
    struct position_file *place = NULL;
    bool fine;

    if (!logfile_stream(&reader, dup(STDIN_FILENO), &head, err))
        return false;
    for (size_t i = 0; i < s->file_count && place == NULL; i++)
        if (logfile_known(&head, &s->files[i]))
            place = &s->files[i];
    if (place == NULL)
        place = position_new_file(s);
    place->seen_us = c->options->now_us;
    fine = logfile_skip(reader, place, err) &&
           read_lines(c, source, reader, place, c->options->now_us, err);
    logfile_close(&reader);
    return fine;
}

static bool read_journal(struct collect *c, size_t source, struct position_source *s,
                         struct err *err)
{
    const char *directory = s->name[7] == ':' ? s->name + 8 : "";
    struct journal *journal;
    struct journal_entry entry;
    struct maillog_event event;
    bool fine, found = true;

    c->reading_us = INT64_MIN;
    fine = journal_open(&journal, directory, s->cursor, err);
    while (fine && (fine = journal_next(journal, &entry, &found, err)) && found) {
        maillog_message(&c->rules.rules, entry.program, entry.message, &event);
        if (event.kind != MAILLOG_OTHER)
            take_event(c, source, &event, entry.at_us);
        c->step_bytes += (int64_t)entry.message.len;
        c->report->bytes += (int64_t)entry.message.len;
        if (c->step_bytes >= c->options->conf->observe_step || evidence_full(c->evidence))
            fine = journal_cursor(journal, s->cursor, sizeof s->cursor, err) &&
                   commit_when_due(c, err);
    }
    fine = fine && journal_cursor(journal, s->cursor, sizeof s->cursor, err);
    if (journal != NULL)
        journal_close(&journal);
    return fine;
}

static bool is_journal(const char *name)
{
    return strncmp(name, "journal", 7) == 0 && (name[7] == '\0' || name[7] == ':');
}

static bool read_source(struct collect *c, size_t source, struct err *err)
{
    struct position_source *s = position_source(&c->position, c->options->sources[source]);
    bool whole = true, fine;

    if (s == NULL)
        return err_set(err, ERR_CONFIG,
                       "observe_sources: this gateway has read more than %d different ones",
                       POSITION_SOURCES_MOST);
    if (strcmp(s->name, "-") == 0)
        fine = read_stream(c, source, s, err);
    else if (is_journal(s->name))
        fine = read_journal(c, source, s, err);
    else
        fine = read_family(c, source, s, &whole, err);
    if (!fine)
        return false;
    s->run_us = c->options->now_us;
    if (whole && c->progress_us[source] < c->options->now_us - LAG_US)
        c->progress_us[source] = c->options->now_us - LAG_US;
    return true;
}

/* ---- the run ---- */

static bool restore(struct collect *c, struct err *err)
{
    bool found;

    if (!position_load(&c->position, c->db, c->options->gateway, err))
        return false;
    for (size_t i = 0; i < c->options->source_count; i++) {
        struct position_source *s = position_source(&c->position, c->options->sources[i]);
        c->progress_us[i] = s != NULL ? s->progress_us : 0;
    }
    if (c->position.sequence == 0)
        return true;
    if (!keep_load(c->keep, c->position.sequence, c->evidence, &found, err))
        return false;
    c->report->lost = !found;
    if (!found)
        log_write(LOG_OBSERVE_STATE,
                  "%s: what was in flight is not known; messages half read "
                  "then do not count",
                  c->options->conf->observe_directory);
    return true;
}

static bool prepare(struct collect *c, struct err *err)
{
    const struct conf *conf = c->options->conf;
    struct db_options options = {.conninfo = conf->database,
                                 .target = DB_PRIMARY,
                                 .timeout_us = conf->database_timeout,
                                 .program = "rollcall-observe"};

    if (!make_evidence(c, err) || !keep_open(&c->keep, conf->observe_directory, err) ||
        !db_open(&c->db, &options, err))
        return false;
    db_set_timeout(c->db, STATEMENT_US);
    return schema_check(c->db, err) && counts_domains(c->served, c->db, err) && restore(c, err);
}

static void finish(struct collect *c)
{
    if (c->evidence != NULL)
        evidence_figures(c->evidence, &c->report->figures);
    evidence_free(&c->evidence);
    served_free(&c->served);
    collect_rules_free(&c->rules);
    position_free(&c->position);
    keep_close(&c->keep);
    db_close(&c->db);
}

bool collect_run(const struct collect_options *options, struct collect_report *report,
                 struct err *err)
{
    struct collect c = {.options = options, .report = report, .oldest_us = options->now_us};
    bool fine;

    *report = (struct collect_report){0};
    fine = prepare(&c, err);
    for (size_t i = 0; fine && i < options->source_count; i++)
        fine = read_source(&c, i, err);
    c.reading_us = INT64_MAX;
    fine = fine && commit(&c, err);
    if (fine && options->prober != NULL &&
        !probe_send(c.db, options->conf, options->prober, options->now_us, err))
        trouble(&c, err);
    finish(&c);
    return fine;
}
