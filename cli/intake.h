/*
 * intake - a list of users on its way from bytes to the outcome: what `user import` and `user
 * paste` share
 *
 * The list is read by lib/list and goes through the one door as it is read. Signals are watched
 * for: whatever breaks it off, nothing is changed, and that is said.
 */
#ifndef ROLLCALL_INTAKE_H
#define ROLLCALL_INTAKE_H

#include "cli/apply.h"
#include "lib/list.h"

struct intake {
    struct cli *cli;
    struct apply apply;
    struct list_options options;
    struct list_sink sink;
    struct list *list;
    const char *name; /* of the list, for people */
    bool shown;       /* entries go to the command's table: line, address, name */
    int64_t rows;     /* of it */
};
enum { INTAKE_ROWS_SHOWN = 200 };

/*
 * Reads the options of the command, connects, opens the job and the reader. `name`: the file, or
 * what else people call the list. `form`: LIST_ANY lets --format decide. Release with intake_free
 * in every case.
 */
bool intake_begin(struct intake *intake, struct cli *cli, enum source_kind source,
                  enum list_form form, const char *name, struct err *err) MUST_CHECK;
/* Gives the whole list: a file ("-": standard input), or bytes. */
bool intake_file(struct intake *intake, const char *path, struct err *err) MUST_CHECK;
bool intake_bytes(struct intake *intake, struct span bytes, struct err *err) MUST_CHECK;
/* Tells what the list was taken for and what became of it. */
bool intake_finish(struct intake *intake, struct err *err) MUST_CHECK;
/* The same as a dry run of which only the problems are told. */
bool intake_try(struct intake *intake, struct roll_outcome *outcome, struct err *err) MUST_CHECK;
void intake_free(struct intake *intake);

#endif
