/*
 * collect - one run over a gateway's logs: what is new is counted into PostgreSQL, once
 *
 * Position and counts move in one transaction, in steps, so that a run can be killed at any moment.
 */
#ifndef ROLLCALL_COLLECT_H
#define ROLLCALL_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/err.h"
#include "sync/evidence.h"
#include "sync/maillog.h"
#include "sync/prober.h"

enum { COLLECT_SOURCES_MOST = 32 };

struct collect_options {
    const struct conf *conf;
    const char *gateway;   /* whose logs they are */
    int64_t now_us;        /* the time it is */
    bool history;          /* in the first run read what was rotated too */
    struct prober *prober; /* asks servers; NULL: nobody does in this run */
    bool aside;            /* other logs than the setting\'s: they do not tell how far that is */
    const char *sources[COLLECT_SOURCES_MOST]; /* paths, "journal", "journal:/directory", "-" */
    size_t source_count;
    char *text; /* of the names, when collect_sources made them; released by collect_sources_free */
};

struct collect_report {
    int64_t bytes, commits, rows; /* read, made, sent */
    int64_t read_to_us;           /* everything older is counted */
    struct evidence_figures figures;
    bool lost;         /* what was in flight before was not found */
    char trouble[512]; /* a source that could not be read; "": none. The others were. */
};

/* The elements of observe_sources. False when there are too many, or none. */
bool collect_sources(const char *setting, struct collect_options *options,
                     struct err *err) MUST_CHECK;
void collect_sources_free(struct collect_options *options);

bool collect_run(const struct collect_options *options, struct collect_report *report,
                 struct err *err) MUST_CHECK;

/* Events of a file ("-": standard input) in words, on standard output; without a database. */
bool collect_print(const struct conf *conf, const char *path, int64_t now_us,
                   struct err *err) MUST_CHECK;

/* observe_instances as rules; release with collect_rules_free. */
struct collect_rules {
    struct maillog_rules rules;
    char *text;
    const char *names[16];
};
bool collect_rules(struct collect_rules *rules, const char *instances, struct err *err) MUST_CHECK;
void collect_rules_free(struct collect_rules *rules);

#endif
