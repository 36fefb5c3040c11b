/*
 * ldapmetrics - the last runs of all sources as Prometheus text, for node_exporter's textfile
 * collector
 */
#ifndef ROLLCALL_LDAPMETRICS_H
#define ROLLCALL_LDAPMETRICS_H

#include "lib/db.h"
#include "lib/err.h"

/* Replaces the file as a whole. */
bool ldapmetrics_write(struct db *db, const char *path, struct err *err) MUST_CHECK;

#endif
