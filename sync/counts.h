/*
 * counts - what a run has counted, on its way into table observation
 */
#ifndef ROLLCALL_COUNTS_H
#define ROLLCALL_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"
#include "sync/evidence.h"
#include "sync/served.h"

/* The domains with which recipients in the log are compared. */
bool counts_domains(struct served *served, struct db *db, struct err *err) MUST_CHECK;

/* Inside the caller's transaction: adds all counts, in the order of their keys, so that gateways
 * that do so at once wait for each other and never deadlock. */
bool counts_send(const struct evidence *evidence, struct db *db, const char *gateway, int64_t *rows,
                 struct err *err) MUST_CHECK;

#endif
