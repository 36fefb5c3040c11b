/*
 * members - who belongs to groups, nested groups included
 *
 * For directories without Active Directory's rule "in chain": the groups are walked from member to
 * member, each once, so that a circle ends. DNs are kept as keyed hashes: eight bytes for each.
 */
#ifndef ROLLCALL_MEMBERS_H
#define ROLLCALL_MEMBERS_H

#include <stdbool.h>

#include "lib/directory.h"

struct members;

/* Reads the groups of that list of DNs. A group that is not there is an error: it would otherwise
 * look like one without members. */
bool members_read(struct members **members, struct directory *directory, const char *groups,
                  int64_t page_size, struct directory_count *count, struct err *err) MUST_CHECK;
void members_free(struct members **members); /* nulls; NULL allowed */

/* By its DN, or by the uid that a posixGroup names. */
bool members_have(const struct members *members, const char *dn, struct span uid);

#endif
