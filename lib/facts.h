/*
 * facts - what the verdict about one address rests on, gathered from PostgreSQL
 *
 * The same facts as rollcall-policyd gathers from its replica (policyd/answer.c), so that
 * lib/verdict says the same; and beside them the rows they came from, for people.
 */
#ifndef ROLLCALL_FACTS_H
#define ROLLCALL_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "conf.h"
#include "db.h"
#include "verdict.h"

/* Columns of the row of a domain or of its target. */
enum facts_domain_column {
    FACTS_NAME,
    FACTS_STATE,
    FACTS_ALIAS_OF, /* name of the target */
    FACTS_ID,
    FACTS_CHECK,
    FACTS_SHADOW,
    FACTS_LOADED,
    FACTS_STALE_LIMIT,
    FACTS_SOURCE_STALE_LIMIT,
    FACTS_FOLLOWS,
    FACTS_SYNCED_AGE_US,
    FACTS_DELIMITER,
    FACTS_CASE_SENSITIVE,
    FACTS_DOMAIN_ORIGIN, /* and the columns of enum facts_origin */
};
/* Columns of a recipient's row. */
enum facts_recipient_column {
    FACTS_ADDRESS,
    FACTS_RECIPIENT_STATE,
    FACTS_KIND,
    FACTS_USER, /* primary address */
    FACTS_USER_NAME,
    FACTS_SOURCES,       /* one a line */
    FACTS_VERIFIED_DAYS, /* whole days since it was verified */
    FACTS_REFUSED_HOURS,
    FACTS_REFUSED_WINS, /* of both the newer evidence */
    FACTS_RECIPIENT_ORIGIN,
};
/* Where a row comes from: columns from ..._ORIGIN on. */
enum facts_origin { ORIGIN_CHANGESET, ORIGIN_VERSION, ORIGIN_ACTOR, ORIGIN_PROGRAM, ORIGIN_AT };

struct facts {
    struct verdict_question question; /* as a gateway with all of the data asks, of age 0 */
    struct db_result *domain;         /* the nearest domain or parent that is known; may be empty */
    struct db_result *target;         /* its alias target; NULL when it is none */
    struct db_result *recipient;      /* the row that was found, or its tombstone; NULL: none */
    struct db_result *rules; /* of facts_sender: those that match, the user's first; else NULL */
    bool observed;           /* the address that observations are about is known: */
    char local[ADDR_LOCAL_MAX + 1]; /* normalised, without its tag if it was found so */
    int32_t domain_id;              /* of the target */
    int64_t version;                /* the newest of these rows' changesets; 0: no row */
};

/* `addr`: not folded. The question's spans point into it. Release with facts_free, also after an
 * error. */
bool facts_gather(struct facts *facts, struct db *db, const struct conf *conf,
                  const struct addr *addr, struct err *err) MUST_CHECK;
/* Then, what the user's and the domain's rules say of an envelope sender; it counts in the question
 * only where blocked ones are refused. */
enum facts_rule_column {
    FACTS_RULE_OF,
    FACTS_RULE_ACTION,
    FACTS_RULE_PATTERN,
    FACTS_RULE_ACTOR,
    FACTS_RULE_AT,
    FACTS_RULE_HERE /* the same as a timestamptz, in the zone of the session */
};
bool facts_sender(struct facts *facts, struct db *db, const struct conf *conf, const char *sender,
                  struct err *err) MUST_CHECK;
void facts_free(struct facts *facts);

#endif
