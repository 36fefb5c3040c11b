/*
 * apply - one roll job of a command: from its list to the line that tells the outcome
 *
 * What is wrong with single addresses is told on standard error as it is found, and again as the
 * member "problem_list" of JSON.
 */
#ifndef ROLLCALL_APPLY_H
#define ROLLCALL_APPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "lib/roll.h"

struct apply_problem {
    int64_t line;
    const char *kind; /* "malformed" or one of roll_problem_names */
    char *text;
};
enum {
    APPLY_PROBLEMS_KEPT = 10000, /* for JSON; the rest is only counted and told */
    APPLY_PROBLEMS_SHOWN = 100,  /* on a terminal; the rest is counted */
};

struct apply {
    struct cli *cli;
    struct roll_request request;
    struct roll_job *job;
    bool from_file;    /* problems name their line */
    int64_t malformed; /* addresses that are none: nothing will be changed */
    int64_t bad;       /* lines of a list that are no good: the others are applied, unless strict */
    bool quiet;        /* problems were told before: they are only counted */
    bool done;         /* the job's outcome is known */
    FILE *errors;      /* every problem as CSV, or NULL */
    struct progress progress;
    int64_t told;
    struct apply_problem *problems;
    size_t problem_count, problem_room;
};

/* Fills the request from the options that the command was given: --dry-run, --note, --strict,
 * --force. */
void apply_init(struct apply *apply, struct cli *cli, enum roll_mode mode, enum source_kind source);
void apply_free(struct apply *apply); /* aborts a job that is open */

/* Connects and begins. From here on signals are watched for, see interrupt.h. */
bool apply_open(struct apply *apply, struct err *err) MUST_CHECK;
/* The same without a list of its own: for undo and approve. */
bool apply_connect(struct apply *apply, struct err *err) MUST_CHECK;
/* What failed or was interrupted before its end changed nothing: says so, unless the text tells
 * already what is changed. Returns false. */
bool apply_failed(const struct apply *apply, struct err *err);
/*
 * Parses one address under its domain's case rule (before apply_open: without case). What is no
 * address is told and counted; the command goes on, to name the next ones.
 */
bool apply_address(struct apply *apply, int64_t line, struct span text, struct addr *addr);
/* Tells a line of the list that is no good, or the piece of it that is meant, and counts it. */
void apply_bad_line(struct apply *apply, int64_t line, struct span text, const char *why);
/* Ends the job as a dry run of which only the problems are told. */
bool apply_try(struct apply *apply, struct roll_outcome *outcome, struct err *err) MUST_CHECK;
/* Finishes the job and tells; ERR_DATA and nothing changed when an address was malformed. */
bool apply_finish(struct apply *apply, struct err *err) MUST_CHECK;

/* For undo and approve, which have no list: the listener, and telling the outcome. */
struct roll_listener apply_listener(struct apply *apply);
bool apply_tell(struct apply *apply, const struct roll_outcome *outcome,
                struct err *err) MUST_CHECK;

#endif
