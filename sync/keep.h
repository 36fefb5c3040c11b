/*
 * keep - what is in flight between two runs, in a small local store
 *
 * The state behind a commit is written before that commit, under the sequence number it will have,
 * beside the state before it. PostgreSQL then tells which of the two is true, wherever a run was
 * killed.
 */
#ifndef ROLLCALL_KEEP_H
#define ROLLCALL_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"
#include "sync/evidence.h"

struct keep;

/* Makes the directory when it is not there. ERR_TEMPORARY when another run has it. */
bool keep_open(struct keep **keep, const char *directory, struct err *err) MUST_CHECK;
void keep_close(struct keep **keep);

/* Restores what was in flight at that sequence; *found is false when the store does not know it. */
bool keep_load(struct keep *keep, int64_t sequence, struct evidence *evidence, bool *found,
               struct err *err) MUST_CHECK;
bool keep_save(struct keep *keep, int64_t sequence, const struct evidence *evidence,
               struct err *err) MUST_CHECK;

#endif
