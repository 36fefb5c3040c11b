/*
 * clean - what is over of mails, reports and tokens, and needs no remembering
 */
#ifndef ROLLCALL_CLEAN_H
#define ROLLCALL_CLEAN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"

/* Deletes mails that were sent or given up keep_us ago, and what else has no use after its time. */
bool clean_mails(struct db *db, int64_t keep_us, struct err *err) MUST_CHECK;

#endif
