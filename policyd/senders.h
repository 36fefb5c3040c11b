/*
 * senders - who is allowed and blocked by whom, in memory: users' and domains' sender rules
 *
 * A table of keyed fingerprints, as index.h: eight bytes for a rule, eight for a recipient or
 * domain that has any. Filled once and published; afterwards readers look at it without a lock, and
 * the writer only ever forgets a recipient's. Which patterns match an address: lib/sender.
 */
#ifndef ROLLCALL_SENDERS_H
#define ROLLCALL_SENDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/str.h"
#include "lib/verdict.h"

enum { SENDERS_MOST = 2 << 20 }; /* rules, each counted for each address of its user */

struct senders;

struct senders *senders_new(void);
void senders_free(struct senders **senders);
/* Of a recipient, or with an empty local part of the whole domain. False: there are SENDERS_MOST.
 */
bool senders_add(struct senders *senders, int32_t domain_id, struct span local, struct span pattern,
                 bool allow);
size_t senders_count(const struct senders *senders);

/* What the recipient's rules, and then the domain's, say of an envelope sender. */
enum sender_word senders_word(const struct senders *senders, int32_t domain_id, struct span local,
                              struct span sender);

/* Whether the recipient has rules of his own; from now on he has none. The writer only. */
bool senders_forget(struct senders *senders, int32_t domain_id, struct span local);

#endif
