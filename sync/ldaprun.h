/*
 * ldaprun - one source, once: the directory read, the roll following it, the run recorded
 *
 * The order is what keeps the roll whole: first the directory's answer, complete, put aside; only
 * then a transaction of the one door. An answer that is the same as the one the roll agreed with,
 * while nobody else changed the customer's roll since, is not even compared.
 */
#ifndef ROLLCALL_LDAPRUN_H
#define ROLLCALL_LDAPRUN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/err.h"

struct ldaprun_options {
    const struct conf *conf;
    const char *source;
    const char *actor;
    bool look;    /* read the first page, tell what would be taken; the roll is not asked */
    bool dry_run; /* tell the difference, change nothing */
    bool force;   /* the guard does not hold it */
    bool records; /* tell on standard output (records.h) */
    const char *request; /* number of the ldap_request that is told how far it is; NULL: none */
};

/*
 * False: the run failed, which is recorded and logged. ERR_TEMPORARY too when another run of the
 * same source is at work, which is not recorded.
 */
bool ldaprun(const struct ldaprun_options *options, struct err *err) MUST_CHECK;

/* The run of a source ended without a word (killed, out of time): records and logs it. */
bool ldaprun_lost(const struct ldaprun_options *options, const struct err *why,
                  struct err *err) MUST_CHECK;

#endif
