/*
 * roll_job - what the files of the one door share; nobody else includes it
 *
 *     roll_stage.c  roll_list    the list as it was given, by COPY; which domains it names
 *     roll_first.c               a list that meets an empty roll: all of it comes
 *     roll_eager.c               the same, written piece by piece while it is staged
 *     roll_list.c   roll_diff    what a list of users and groups wants
 *     roll_plan.c                the same for addresses named one by one, and what follows from
 * both roll_apply.c               roll_diff becomes the roll, with its history roll_undo.c
 * roll_diff from the history; held lists approved or rejected roll_tell.c                problems
 * and differences in words, for the listener
 *
 * Both tables are temporary and end with the transaction. An address stands in roll_diff with what
 * it is (before_…) and what it will be (after_…), and a sign:
 *     '+' comes onto the roll   '-' leaves it   '~' changes
 *     '=' stays, but its user's name changes    '!' is a problem, nothing happens to it
 */
#ifndef ROLLCALL_ROLL_JOB_H
#define ROLLCALL_ROLL_JOB_H

#include "roll.h"

/* Numbers of domains. */
struct roll_ids {
    int32_t *at;
    size_t count, room;
};
void roll_ids_add(struct roll_ids *ids, int32_t id);
/* Ascending, each once. */
void roll_ids_sort(struct roll_ids *ids);
bool roll_ids_have(const struct roll_ids *sorted, int32_t id);
/* "{1,2,3}" */
void roll_ids_text(const struct roll_ids *ids, struct buf *out);
void roll_ids_free(struct roll_ids *ids);

/* A domain name that the list mentions, as it was when it was looked up. */
struct roll_domain {
    char *name;
    int32_t id;       /* 0: not ours */
    int32_t target;   /* itself, or what it is an alias of */
    int32_t customer; /* the target's, as is what follows */
    bool case_sensitive;
    bool listed;    /* the list has an address in it */
    int32_t staged; /* so many */
    bool used;      /* the list or the scope names it: it must still be so once it is locked */
};

struct roll_job {
    struct db *db;
    const struct roll_request *request;
    struct err broken; /* what roll_folds_case could not say; class ERR_NONE: nothing */

    struct roll_domain *domains; /* open addressing by name */
    struct roll_domain foreign;  /* any name that is not ours and not in the table */
    size_t domain_room, domain_count, lookups;
    bool all_domains;       /* every domain of ours is in the table: who is not there is not ours */
    struct roll_ids listed; /* targets that the list names addresses in */
    struct roll_ids scope;  /* targets that it speaks for, if named */
    struct roll_ids locked;
    struct roll_ids extra; /* to be locked as well: domains that the plan turned out to touch */

    struct buf rows; /* staged, not yet sent; COPY text format */
    bool copying;    /* a COPY into roll_list is open */
    uint64_t *seen;  /* Bloom filter of addresses staged; NULL until there are two */
    int32_t entries, places, users;
    bool several;   /* an entry has several addresses */
    bool known;     /* an entry has a user that it is known to be */
    bool names;     /* an entry has a name */
    bool again;     /* an address may be there twice */
    bool repeats;   /* one is */
    int64_t faults; /* rows of roll_list with a problem */

    bool first;                        /* the list meets an empty roll: roll_first.c */
    int64_t first_user, first_address; /* then: their numbers */

    char changeset[24]; /* "" until it is made */
    bool spoiled;       /* eager: it is no first list */
    size_t looked_at;   /* eager: so many of `listed` had nobody else */
    int32_t in_piece;   /* eager: addresses of the COPY that is open */
    int64_t version;    /* eager: of the roll when it began */

    char source[16], source_id[16];
    char own[32];     /* this source as a claim reads: "manual", "ldap:3" */
    const char *undo; /* id of the changeset that this job undoes, or NULL */
    const char *held; /* id of the held changeset that this job applies, or NULL */
    bool over;        /* committed: nothing to roll back */
};

enum { ROLL_LARGE = 500 }; /* addresses; from here on statistics and memory pay */

/* roll.c */
bool roll_job_open(struct roll_job **job, struct db *db, const struct roll_request *request,
                   struct err *err) MUST_CHECK;
/* Once the list is there, before anything is asked about it. */
bool roll_job_prepare(struct roll_job *job, struct err *err) MUST_CHECK;
/* Everything after that; the transaction is committed or must be rolled back by roll_abort. */
bool roll_job_run(struct roll_job *job, const struct roll_listener *listener,
                  struct roll_outcome *outcome, struct err *err) MUST_CHECK;
extern const char *const roll_mode_names[]; /* as the database spells them */

/* roll_stage.c */
bool roll_stage_flush(struct roll_job *job, struct err *err) MUST_CHECK;
/* Gives the buffer to the database, which reads it while the next one is filled; begins that COPY
 * if none is open. */
bool roll_stage_send(struct roll_job *job, const char *copy, struct err *err) MUST_CHECK;
/* Ends the COPY that may be open, so that other statements can be sent. */
bool roll_stage_pause(struct roll_job *job, struct err *err) MUST_CHECK;
void roll_put_number(struct buf *rows, int64_t number); /* of at least 0; and a tab */
/* Marks what is outside the scope, and what the list says twice. */
bool roll_stage_judge(struct roll_job *job, struct err *err) MUST_CHECK;
/*
 * Locks the domains of the list, the scope and job->extra in id order; a domain that is not any
 * more what it was when it was looked up is ERR_TEMPORARY.
 */
bool roll_stage_lock(struct roll_job *job, struct err *err) MUST_CHECK;
void roll_stage_free(struct roll_job *job);

/* One domain of a plan. */
struct roll_plan_domain {
    int32_t id;
    char name[ADDR_DOMAIN_MAX + 1];
    int32_t customer;
    int64_t guard_percent;     /* -1: the setting */
    bool unloaded;             /* its list never was complete */
    bool touched;              /* the plan changes addresses of it */
    int64_t kept;              /* addresses of it in the plan that are on the roll afterwards */
    int64_t leaving, removing; /* accepted now and not afterwards; of these: off the roll */
};

struct roll_plan {
    int64_t added, removed, changed;
    int64_t problems;
    int64_t lost;                     /* users that lose their primary address */
    int64_t rising;                   /* addresses, there already, that become primary */
    int64_t fresh;                    /* addresses that need a new row */
    int64_t touched;                  /* addresses that have one */
    int64_t new_users;                /* users that come with the list */
    int64_t renamed;                  /* users whose name changes */
    struct roll_plan_domain *domains; /* in id order */
    size_t domain_count;
};
void roll_plan_free(struct roll_plan *plan);
/* Fills roll_diff under the locks it needs. */
bool roll_plan_make(struct roll_job *job, struct roll_plan *plan, struct err *err) MUST_CHECK;
/* A long difference is worth statistics before it is joined: without them the planner expects a
 * handful of rows. */
bool roll_plan_large(struct roll_job *job, int64_t rows, struct err *err) MUST_CHECK;
/* Whether the guard holds the plan; then `why` tells it without the changeset's number. */
bool roll_plan_held(struct roll_job *job, const struct roll_plan *plan, bool *held, char *why,
                    size_t room, struct err *err) MUST_CHECK;

/* The first five columns: number, name, customer, limit of the guard or -1, list not complete. */
void roll_plan_domain_read(struct roll_plan_domain *domain, const struct db_result *rows,
                           size_t row);

/* roll_first.c: a list that meets an empty roll needs no roll_diff. Under the locks it needs. */
bool roll_first_fits(struct roll_job *job, bool *fits, struct err *err) MUST_CHECK;
bool roll_first_plan(struct roll_job *job, struct roll_plan *plan, struct err *err) MUST_CHECK;
bool roll_first_write(struct roll_job *job, const char *changeset, struct err *err) MUST_CHECK;

/* So many numbers of a sequence, one behind the other; *first = 0 when others were at it too. */
bool roll_reserve(struct db *db, const char *sequence, int32_t count, int64_t *first,
                  struct err *err) MUST_CHECK;

/* roll_eager.c: before an entry; each of its addresses; what is in the buffer. */
struct roll_eager_row {
    int32_t domain;
    struct span local_part;
    int64_t user; /* 0: none */
    const char *kind;
    bool disabled;
};
bool roll_eager_begin(struct roll_job *job, struct err *err) MUST_CHECK;
void roll_eager_row(struct roll_job *job, const struct roll_eager_row *row);
bool roll_eager_send(struct roll_job *job, struct err *err) MUST_CHECK;
bool roll_eager_finish(struct roll_job *job, struct roll_outcome *outcome,
                       struct err *err) MUST_CHECK;

/* roll_list.c: fills roll_diff from a list of users and groups. */
bool roll_list_draft(struct roll_job *job, struct err *err) MUST_CHECK;

/* roll_apply.c: changes the roll as one changeset and commits; fills the outcome. */
bool roll_apply(struct roll_job *job, const struct roll_plan *plan, struct roll_outcome *outcome,
                struct err *err) MUST_CHECK;
/* Makes job->changeset. */
bool roll_apply_changeset(struct roll_job *job, const struct roll_plan *plan, const char *state,
                          struct err *err) MUST_CHECK;
/* Completes job->changeset, whose addresses are written already, and commits. */
bool roll_apply_eager(struct roll_job *job, const struct roll_plan *plan,
                      struct roll_outcome *outcome, struct err *err) MUST_CHECK;
/* The roll is as the list wants it: only what waits from older lists may be out of date. */
bool roll_apply_nothing(struct roll_job *job, struct err *err) MUST_CHECK;
/* Stores the list in a held changeset and commits. */
bool roll_apply_hold(struct roll_job *job, const struct roll_plan *plan,
                     struct roll_outcome *outcome, struct err *err) MUST_CHECK;

/* roll_undo.c: fills roll_diff with the inverse of changeset job->undo, or refuses. */
bool roll_undo_draft(struct roll_job *job, struct err *err) MUST_CHECK;
/* `changeset` has undone job->undo. */
bool roll_undo_done(struct roll_job *job, const char *changeset, struct err *err) MUST_CHECK;
/* Locks the held changeset, which must still be held; clears it away once it is applied. */
bool roll_held_check(struct roll_job *job, struct err *err) MUST_CHECK;
bool roll_held_done(struct roll_job *job, struct err *err) MUST_CHECK;

/* roll_tell.c */
bool roll_tell_problems(struct roll_job *job, const struct roll_listener *listener,
                        struct err *err) MUST_CHECK;
bool roll_tell_differences(struct roll_job *job, const struct roll_listener *listener,
                           struct err *err) MUST_CHECK;

#endif
