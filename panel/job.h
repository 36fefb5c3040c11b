/*
 * job - a list of users on its way onto the roll: read, compared, shown, and applied when somebody
 * says so; in a thread of its own, so that the page that asked may be left
 */
#ifndef ROLLCALL_PANEL_JOB_H
#define ROLLCALL_PANEL_JOB_H

#include "panel/visit.h"

struct jobs *jobs_new(struct panel *panel);
void jobs_free(struct jobs **jobs);

enum job_state {
    JOB_READING, /* a preview is being made */
    JOB_PREVIEW, /* it is there, and waits for a word */
    JOB_APPLYING,
    JOB_DONE,
    JOB_FAILED,
};

struct job_options {
    const char *list;   /* name of the file in panel_spool_directory */
    const char *called; /* what people call it */
    bool pasted, replace;
    const char *domain; /* the list is for that one only; "": for all that it names */
};
enum { JOB_NAME = 32 };
/* Begins the preview. The job belongs to the session's account. */
bool job_begin(struct visit *visit, const struct job_options *options, char name[JOB_NAME + 1],
               struct err *err) MUST_CHECK;
/* Applies a list whose preview is there. ERR_DATA: no such job. */
bool job_apply(struct visit *visit, const char *name, struct err *err) MUST_CHECK;
bool job_drop(struct visit *visit, const char *name, struct err *err) MUST_CHECK;
/* Everything about it into visit->data. ERR_DATA: no such job of this account. */
bool job_show(struct visit *visit, const char *name, struct err *err) MUST_CHECK;
/* All bad lines as CSV, into visit->body_file. */
bool job_problems(struct visit *visit, const char *name, struct err *err) MUST_CHECK;

#endif
