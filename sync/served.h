/*
 * served - the domains as observation sees them: whose deliveries count, and for whom (pure)
 *
 * Filled once per run from PostgreSQL. Answers which relay is a domain's next hop, and which
 * recipient of the roll an address in the log stands for.
 */
#ifndef ROLLCALL_SERVED_H
#define ROLLCALL_SERVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/network.h"
#include "lib/str.h"

struct served;

/* A row of table `domain`; an alias domain has the id, case rule and delimiter of its target, and
 * the target's next hop where it has none of its own. */
struct served_row {
    int32_t id;
    const char *name; /* normalised */
    const char *next_hop;
    const char *delimiter;
    bool case_sensitive;
};

/*
 * `never` are networks that no next hop found by MX, or not given at all, lies in: content filters,
 * quarantine, this machine. A next hop that names its host counts wherever that is.
 */
struct served *served_new(const struct network_list *never);
void served_free(struct served **served);
void served_add(struct served *served, const struct served_row *row);
size_t served_count(const struct served *served);

struct served_domain;
/* The domain of that name as it stands in an address, normalised or not; NULL: not ours. */
struct served_domain *served_find(struct served *served, struct span domain);
/* Whether a delivery through that relay (as logged) reached the customer's server. */
bool served_is_next_hop(struct served_domain *domain, struct span relay);
int32_t served_id(const struct served_domain *domain);

/* What becomes of an address in the log. */
enum served_address {
    SERVED_FOREIGN,   /* not ours */
    SERVED_REWRITTEN, /* BATV, SRS, VERP, or mangled by the log: stands for nobody */
    SERVED_EXACT,     /* this recipient */
    SERVED_TAGGED,    /* with a tag; `local` is without it */
};
/* `text` as logged, quoted local parts quoted. The local part comes out normalised. */
enum served_address served_recipient(struct served *served, struct span text,
                                     struct served_domain **domain, char local[ADDR_LOCAL_MAX + 1],
                                     size_t *local_len);

#endif
