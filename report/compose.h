/*
 * compose - who is due for a report, and what stands in it: from the quarantine into the outbox
 *
 * A report, the marks on its messages and its mail in the outbox are one transaction, so each
 * message is told of in exactly one report, whatever ends when. Several programs at once share the
 * work: whoever is first makes a user's report, the others find it made.
 */
#ifndef ROLLCALL_COMPOSE_H
#define ROLLCALL_COMPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/secret.h"

struct compose {
    struct db *db;
    const struct conf *conf;
    uint8_t key[SECRET_KEY]; /* of links (link_key) */
    char from[ADDR_TEXT_MAX + 1];
    int64_t now; /* seconds since 1970 */
};

/* mail_from or what stands for it, and the key (made when there is none). */
bool compose_prepare(struct compose *compose, struct err *err) MUST_CHECK;

/* Makes every report that is due; *made counts them. */
bool compose_due(struct compose *compose, int64_t *made, struct err *err) MUST_CHECK;

/* One report by hand: it changes nothing but the outbox. */
enum compose_what {
    COMPOSE_PENDING, /* what the next report would list */
    COMPOSE_LAST,    /* what the last one listed */
    COMPOSE_SINCE,   /* everything since then */
};
struct compose_one {
    const char *address;
    enum compose_what what;
    int64_t since;               /* COMPOSE_SINCE: seconds since 1970 */
    bool send;                   /* into the outbox; else only into the buffers */
    struct buf text, html, mail; /* what was made */
    int64_t listed;              /* 0: nothing was made */
};
/* ERR_DATA: the address is no active user's. Release with compose_one_free. */
bool compose_one(struct compose *compose, struct compose_one *one, struct err *err) MUST_CHECK;
void compose_one_free(struct compose_one *one);

#endif
