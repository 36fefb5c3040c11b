/*
 * ldaprun_private - what the files of ldaprun share; nobody else includes it
 *
 *     ldaprun.c         the order of things: read, put aside, compare, follow
 *     ldaprun_record.c  what the database keeps of a run
 *     ldaprun_tell.c    what is told of it, to whoever reads along and to the log
 */
#ifndef ROLLCALL_LDAPRUN_PRIVATE_H
#define ROLLCALL_LDAPRUN_PRIVATE_H

#include "lib/db.h"
#include "sync/ahead.h"
#include "sync/gather.h"
#include "sync/ldaprun.h"

#define LDAPRUN_PROGRAM "rollcall-ldapsync"

struct run {
    const struct ldaprun_options *options;
    struct db *db;
    struct ldap_source source;
    struct buf password;
    struct network_list denied;
    char id[16];     /* of the source */
    char number[24]; /* of the run; "" when it is not recorded */
    struct spool *spool;
    struct ahead_options ahead_options;
    struct ahead *ahead; /* a first list is on its way onto the roll; or NULL */
    bool untidy;         /* or was: roll_tidy_search() is due */
    struct gather_report report;
    struct roll_outcome outcome;
    const char *what; /* the outcome in a word */
    uint8_t digest[SECRET_DIGEST];
    char digest_hex[2 * SECRET_DIGEST + 1];
    char version[24];  /* of the roll before it was compared */
    uint8_t *troubled; /* a bit for each entry that the roll has a problem with */
    int logged;        /* values and addresses of this run */
    int64_t seen;      /* entries so far */
    int64_t told_us;   /* when the request was told of them */
};

/* ldaprun_tell.c */
void ldaprun_tell_entry(void *context, const char *dn, enum entry_kind kind,
                        const struct entry *entry, const char *why);
void ldaprun_tell_note(void *context, const char *dn, const struct entry_note *note);
void ldaprun_tell_problem(void *context, const struct roll_problem *problem);
void ldaprun_tell_difference(void *context, const struct roll_difference *difference);
void ldaprun_tell_done(const struct run *run);
void ldaprun_tell_failed(const struct ldaprun_options *options, const struct err *err);

/* ldaprun_record.c */
bool ldaprun_record_begin(struct run *run, struct err *err) MUST_CHECK;
/* The same answer again, and nobody else changed the customer's roll since; or the same answer as
 * the one that waits to be approved or was rejected. */
bool ldaprun_nothing_new(struct run *run, bool *agrees, bool *waits, struct err *err) MUST_CHECK;
/* The roll agrees with the directory as it was when the run began. */
bool ldaprun_record_agreed(struct run *run, struct err *err) MUST_CHECK;
bool ldaprun_record_held(struct run *run, struct err *err) MUST_CHECK;
/* To the request that asked for the run, if there is one; at most once a second for one step. */
void ldaprun_record_step(struct run *run, const char *step);
/* Over a new connection if need be. */
void ldaprun_record_failed(struct run *run, const struct err *why);

#endif
