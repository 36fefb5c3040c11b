/*
 * roll - the one door: every change of the roll of recipients goes through here
 *
 *     staged list --plan--> difference --guard--> apply as one changeset (or hold it, or only show
 * it)
 *
 * A job is one transaction: roll_open, any number of roll_stage, roll_finish. The list is streamed
 * into a temporary table and compared set by set inside PostgreSQL, so memory here stays constant.
 * The domains concerned are locked in id order. Nothing is changed before roll_finish says so; a
 * broken connection in the middle leaves the roll as it was.
 *
 * A source claims addresses and withdraws only its own claims; an address leaves the roll with its
 * last one. Files: roll.c (the job), roll_stage.c (the list on its way in), roll_first.c (a list
 * that meets an empty roll), roll_eager.c (the same while it comes), roll_list.c (what a list
 * wants, in SQL), roll_plan.c (difference and guard), roll_apply.c, roll_undo.c (undo, approve,
 * reject), roll_tell.c (problems and differences in words), roll_guard.c (pure), domain.c (domains
 * and customers).
 */
#ifndef ROLLCALL_ROLL_H
#define ROLLCALL_ROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "db.h"
#include "err.h"
#include "str.h"

enum source_kind { SOURCE_SMTP, SOURCE_LDAP, SOURCE_IMPORT, SOURCE_MANUAL, SOURCE_PANEL };
extern const char *const source_names[]; /* by the enum */

enum roll_mode {
    ROLL_ADD,     /* only additions and updates */
    ROLL_REPLACE, /* the list becomes the scope's list: all other claims there are withdrawn */
    ROLL_FOLLOW,  /* the list becomes this source's claims in the scope: its other claims are
                     withdrawn */
    ROLL_REMOVE,  /* the named addresses leave, whoever claims them; naming a user's primary address
                     takes the user */
    ROLL_DISABLE, /* by a person; a primary address: the user with all its addresses */
    ROLL_ENABLE,
    ROLL_RETIRE, /* the named addresses count as not on the roll until a list brings them again; by
                    observation */
};

enum entry_kind { ENTRY_USER, ENTRY_GROUP };

/* One user (first address primary, the rest aliases) or one group (one address) of the list. */
struct roll_entry {
    int64_t line; /* where it stands in the list, for messages; from 1 */
    enum entry_kind kind;
    const struct addr *addresses; /* normalised, with fold_case as the domain says */
    size_t address_count;         /* at least 1, at most ROLL_ADDRESSES_MAX */
    struct span name; /* display name, UTF-8, may be empty: then a present name stays … */
    bool unnamed;     /* … unless this says that there is none any more */
    bool disabled;    /* the source says: exists, but disabled */
    const bool *disabled_each; /* the same of each address, where they differ; else NULL */
    int64_t user; /* who it is known to be, whatever its addresses: number of a user; 0: by them.
                     Eager requests: its new user, whom the caller makes, with the name */
};
enum { ROLL_ADDRESSES_MAX = 1000, ROLL_NAME_MAX = 300 };

struct roll_guard {
    int64_t least;   /* setting guard_least */
    int64_t percent; /* setting guard_percent; a domain's own wins */
};

struct roll_request {
    enum roll_mode mode;
    enum source_kind source;
    int32_t source_id;   /* SOURCE_LDAP: which; else 0 */
    const char *actor;   /* login or service that asks, for the history */
    const char *program; /* "rollcall", "rollcall-ldapsync" */
    const char *note;    /* free text, may be "" */
    bool dry_run;        /* plan and guard, change nothing */
    bool strict;         /* any problem: nothing is applied, roll_finish fails with ERR_DATA */
    bool force;          /* skip the guard; recorded in the changeset */
    bool eager;          /* a first list, that may be given again: it is written while it comes, and
                            the outcome may be ROLL_AGAIN; its users, numbered by roll_numbers(),
                            are there before roll_finish, and roll_tidy_search() in the database is
                            called after it; not with dry_run or strict */
    struct roll_guard guard;
};

enum roll_problem_kind {
    PROBLEM_FOREIGN,  /* its domain is not ours, or removed */
    PROBLEM_CONFLICT, /* the address belongs to somebody else, named in `owner` */
    PROBLEM_ABSENT,   /* remove, disable, enable: not on the roll */
    PROBLEM_KIND,     /* a group where a user's address is, or the reverse */
    PROBLEM_OUTSIDE,  /* not in the scope of the job */
};
struct roll_problem {
    int64_t line;
    enum roll_problem_kind kind;
    const char *address;
    const char *owner; /* CONFLICT: the present owner's primary address; else "" */
};
/* A sentence for people: "bob@example.com is an alias of alice@example.com". */
void roll_problem_text(const struct roll_problem *problem, struct buf *out);
extern const char *const roll_problem_names[]; /* "foreign", "conflict", … */

/* One address of the difference, as `change show` prints it. Strings are valid during the call. */
struct roll_difference {
    char sign; /* '+' comes onto the roll, '-' leaves it, '~' changes */
    const char *address;
    const char *before; /* "user alice@example.com, alias, active, manual ldap:3"; "" for '+' */
    const char *after;  /* "" for '-' */
};

struct roll_listener {
    void *context;
    void (*problem)(void *context, const struct roll_problem *problem); /* may be NULL */
    void (*difference)(
        void *context,
        const struct roll_difference *difference); /* may be NULL; called by dry runs */
};

enum roll_state {
    ROLL_UNCHANGED,
    ROLL_APPLIED,
    ROLL_HELD,
    ROLL_DRY,
    ROLL_AGAIN, /* nothing was done: it was no first list; without `eager`, please */
};

struct roll_outcome {
    enum roll_state state;
    int64_t changeset;               /* 0 when nothing was recorded */
    int64_t version;                 /* of the roll after it; 0 unless applied */
    int64_t added, removed, changed; /* addresses */
    int64_t problems;
    char why[512]; /* ROLL_HELD: the message for people, "example.com: held: would remove 412 of 430
                      users (limit 20 %); see …" */
};

struct roll_job;

/* Begins the transaction and the staging. `request` must outlive the job. Each statement has the
 * connection's time-out: for a long list set none (db_set_timeout). */
bool roll_open(struct roll_job **job, struct db *db, const struct roll_request *request,
               struct err *err) MUST_CHECK;
/*
 * Names a domain that the list speaks for (ROLL_REPLACE, ROLL_FOLLOW: also those of which it lists
 * nobody). An alias domain counts as its target. With any scope named, addresses elsewhere are
 * PROBLEM_OUTSIDE.
 */
bool roll_scope(struct roll_job *job, const char *domain, struct err *err) MUST_CHECK;
bool roll_stage(struct roll_job *job, const struct roll_entry *entry, struct err *err) MUST_CHECK;
/* After it the caller may use the connection of an eager job, until the next entry. */
bool roll_pause(struct roll_job *job, struct err *err) MUST_CHECK;
/* Whether an eager list is staged in full, and was a first list so far. */
bool roll_staged(struct roll_job *job, struct err *err) MUST_CHECK;
/* Plans, guards and, unless held or dry, applies and commits. The job is over in every case, and
 * nulled. */
bool roll_finish(struct roll_job **job, const struct roll_listener *listener,
                 struct roll_outcome *outcome, struct err *err) MUST_CHECK;
void roll_abort(struct roll_job **job); /* rolls back; NULL allowed */

/* Reserves numbers for so many new users, one behind the other. */
bool roll_numbers(struct db *db, int32_t count, int64_t *first, struct err *err) MUST_CHECK;

/* Whether local parts of that (normalised) domain are compared without case; true too for a domain
 * that is not ours. */
bool roll_folds_case(struct roll_job *job, struct span domain);

/*
 * Applies the inverse of changeset `id`. Refused (ERR_DATA) when later changesets touched the same
 * addresses: err names them. `request` gives actor, program, note, dry_run.
 */
bool roll_undo(struct db *db, int64_t id, const struct roll_request *request,
               const struct roll_listener *listener, struct roll_outcome *outcome,
               struct err *err) MUST_CHECK;
/* Applies a held changeset: planned anew against the roll as it is now; the guard is not asked
 * again. */
bool roll_approve(struct db *db, int64_t id, const struct roll_request *request,
                  const struct roll_listener *listener, struct roll_outcome *outcome,
                  struct err *err) MUST_CHECK;
bool roll_reject(struct db *db, int64_t id, const struct roll_request *request,
                 struct err *err) MUST_CHECK;

/* roll_guard.c (pure): the verdict about one domain of a plan. */
struct roll_guard_case {
    int64_t before;  /* recipients accepted now */
    int64_t leaving; /* of these: would stop being accepted (removed, disabled, moved to a disabled
                        user) */
    bool list_empty; /* the list speaks for the domain and names nobody in it */
    int64_t least, percent;
};
bool roll_guard_holds(const struct roll_guard_case *c);
/* So many addresses before (`before` is not looked at) are enough for it to pass, so that nobody
 * counts a million to let ten go; 0: all must be counted. */
int64_t roll_guard_enough(const struct roll_guard_case *c);

#endif
