/*
 * record - lines of what a program of ours tells another: fields with tabs between (pure)
 *
 * The first two fields are the kind of record and whom it is about; rollcall-ldapsync(8) writes
 * them, the command line and the panel show them.
 */
#ifndef ROLLCALL_RECORD_H
#define ROLLCALL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum { RECORD_FIELDS_MOST = 24 };

struct record {
    struct span fields[RECORD_FIELDS_MOST];
    size_t count;
};

/* Takes the next line off *rest; false at the end. */
bool record_next(struct span *rest, struct record *record);
bool record_is(const struct record *record, const char *kind);
/* "" and 0 where the field is missing or no number. */
struct span record_field(const struct record *record, size_t at);
int64_t record_number(const struct record *record, size_t at);

/* What stands where in "done". */
enum record_done {
    RECORD_DONE_WHAT = 2,
    RECORD_DONE_SERVER,
    RECORD_DONE_ENTRIES,
    RECORD_DONE_PAGES,
    RECORD_DONE_USERS,
    RECORD_DONE_GROUPS,
    RECORD_DONE_LEFT_OUT,
    RECORD_DONE_ADDED,
    RECORD_DONE_REMOVED,
    RECORD_DONE_CHANGED,
    RECORD_DONE_PROBLEMS,
    RECORD_DONE_CHANGESET,
    RECORD_DONE_VERSION,
    RECORD_DONE_MORE,
    RECORD_DONE_BAD_VALUES,
    RECORD_DONE_WHY,
};

#endif
