/*
 * record - the rows of a message whose file is on disk: read out of the file's bytes, so that a
 * message taken in now and one found again later become the same rows
 */
#ifndef ROLLCALL_RECORD_H
#define ROLLCALL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/db.h"
#include "lib/pool.h"
#include "lib/secret.h"
#include "report/envelope.h"
#include "report/store.h"

struct recorder;

/* What the pool's connections should prepare. */
extern const char record_sql[];

struct recorder_options {
    struct pool *pool;
    size_t writers; /* connections that may write at the same time; fewer than the pool has */
    struct store *store;
    const char *gateway;
    const char *rules, *reasons; /* settings quarantine_rules, quarantine_reasons */
};
struct recorder *recorder_open(const struct recorder_options *options);
void recorder_close(struct recorder **recorder);

/* Whether the domain of an address (unquoted) is served; asked for again after some seconds. False:
 * it could not be told. */
bool recorder_serves(struct recorder *recorder, const char *address, bool *served,
                     struct err *err) MUST_CHECK;

enum record_outcome {
    RECORD_STORED, /* the rows name this file */
    RECORD_AGAIN,  /* the message was there: the file is not needed */
    RECORD_NOBODY, /* no recipient is served any more */
    RECORD_HALF,   /* the file is not what its seal says, or has none; nothing was recorded (err) */
    RECORD_FAILED, /* nothing was recorded (err) */
    RECORD_UNSURE, /* the connection broke: perhaps it was, perhaps not (err); the file must stay */
};

/* The message that was just committed: read from what is held of it, where that is all. It is made
 * durable while PostgreSQL works at its rows, before they are committed. */
enum record_outcome recorder_add_written(struct recorder *recorder, struct store_writing *writing,
                                         struct err *err) MUST_CHECK;
/* The message in a file that was found: its digest is made anew and compared with the seal, and it
 * is made durable first. */
enum record_outcome recorder_add(struct recorder *recorder, const char *name,
                                 struct err *err) MUST_CHECK;

#endif
