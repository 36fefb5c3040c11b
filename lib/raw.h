/*
 * raw - the bytes of a quarantined message that its gateway put into PostgreSQL because somebody
 * asked for them (quarantine_ask with 'raw')
 */
#ifndef ROLLCALL_RAW_H
#define ROLLCALL_RAW_H

#include "db.h"
#include "err.h"
#include "str.h"

typedef bool raw_take(void *context, struct span bytes, struct err *err);

/* Hands the bytes of that request's answer over in order, in pieces of at most 1 MiB. */
bool raw_read(struct db *db, const char *request, raw_take *take, void *context,
              struct err *err) MUST_CHECK;

#endif
