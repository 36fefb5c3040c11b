/* change - one change of the roll that a page asks for, through the one door */
#ifndef ROLLCALL_PANEL_CHANGE_H
#define ROLLCALL_PANEL_CHANGE_H

#include "lib/roll.h"
#include "panel/visit.h"

struct roll_request change_request(const struct visit *visit, enum roll_mode mode);

/* What is to be done to one user, or to single addresses. */
struct change_job {
    enum roll_mode mode;
    const char *addresses; /* separated by white space, commas or semicolons */
    const char *name;      /* display name; "" keeps the one there is */
    bool together;         /* the first is the primary address of one user, the rest its aliases */
    bool group;
    const char *field; /* that complaints are about */
};
/*
 * Runs it: all or nothing. True with *done false: complaints stand in visit->data. The outcome in
 * words goes to *note.
 */
bool change_run(struct visit *visit, const struct change_job *job, bool *done, struct buf *note,
                struct err *err) MUST_CHECK;
/* "Changeset 12: 1 added." */
void change_tell(struct visit *visit, const struct roll_outcome *outcome, struct buf *note);

#endif
