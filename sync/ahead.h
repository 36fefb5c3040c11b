/*
 * ahead - the first list of a directory goes onto the roll while the directory is still read
 *
 * A second thread with a connection of its own follows the spool and gives the roll what comes
 * (roll.h: `eager`). Nothing of it can be seen before ahead_end, which is told to apply it only
 * once the answer is known to be complete and good. Whenever it is not to be (somebody is on the
 * roll already, an address twice, a slow directory), it ends by itself, and the caller compares as
 * usual.
 */
#ifndef ROLLCALL_AHEAD_H
#define ROLLCALL_AHEAD_H

#include "lib/conf.h"
#include "lib/ldap_source.h"
#include "lib/roll.h"
#include "sync/spool.h"

struct ahead_options {
    const struct conf *conf;
    const struct ldap_source *source;
    struct roll_request request; /* `eager` is set */
};

struct ahead;

/* `options` and `spool` must outlive it. NULL when it cannot be: then nothing is done. */
struct ahead *ahead_begin(const struct ahead_options *options, struct spool *spool);
/* The number of the user that the entry becomes which came as the `came`th; asked over `db`. */
bool ahead_number(struct ahead *ahead, struct db *db, size_t came, int64_t *number,
                  struct err *err) MUST_CHECK;
/* Once the spool has ended: waits until all of it is staged; false when it cannot be. */
bool ahead_staged(struct ahead *ahead);
/* Waits for the thread; nulls; NULL allowed. `wanted`: the list is to be applied, and its users are
 * there. True when the roll has it; else nothing was done. */
bool ahead_end(struct ahead **ahead, bool wanted, struct roll_outcome *outcome);

/* Gives the roll an entry of the spool, whether early or as usual. `place` counts from 0; `user`:
 * who it is known to be, 0: nobody. */
bool ahead_stage(struct roll_job *job, const struct spool_entry *found, size_t place, int64_t user,
                 struct err *err) MUST_CHECK;

#endif
