/*
 * domain_private - what domain.c (reading), domain_change.c (add, set, remove), domain_settings.c
 * (what may be set; pure), domain_patch.c (setting it) and customer.c share; nobody else includes
 * it
 */
#ifndef ROLLCALL_DOMAIN_PRIVATE_H
#define ROLLCALL_DOMAIN_PRIVATE_H

#include "domain.h"

/* The settings of a call, checked. */
struct domain_patch {
    struct buf json;      /* inside of a JSON object: columns of table domain and their values */
    const char *loaded;   /* "yes", "no", or NULL: as it is */
    const char *customer; /* name, or NULL: as it is */
    bool alias_given;
    char alias_of[ADDR_DOMAIN_MAX + 1]; /* "": none */
    bool shadow_given, folds_case;      /* a shadow mode; case-sensitive=no */
};
bool domain_patch_fill(struct domain_patch *patch, const struct domain_setting *settings,
                       size_t count, struct err *err) MUST_CHECK;
void domain_patch_free(struct domain_patch *patch);

/* A next hop as Postfix's transport(5) takes it; "" is none. */
bool domain_next_hop_check(const char *text, struct err *err) MUST_CHECK;

/* ERR_DATA when `sql` gives rows: "FIRST, SECOND and 3 more: complaint". Column 0 is the name. */
bool domain_refuse_rows(struct db *db, const char *sql, const char *const *values, size_t count,
                        const char *complaint, struct err *err) MUST_CHECK;
/* The id of the customer as text; absent: ERR_DATA. */
bool customer_find(struct db *db, const char *name, char id[16], struct err *err) MUST_CHECK;
/* One row of the audit; `detail` is a JSON object. */
bool domain_audit(struct db *db, const char *actor, const char *action, const char *object,
                  const char *detail, struct err *err) MUST_CHECK;

/* One call that changes domains: a transaction with one changeset. */
struct change {
    struct db *db;
    const char *action; /* "domain add" */
    const char *actor;
    struct buf names;   /* the array: {"a.example","b.example"} */
    struct buf object;  /* the names for the audit, cut */
    char customer[16];  /* id, of domain_add; else "" */
    char changeset[24]; /* id */
    struct domain_patch patch;
};

/* domain_refuse_rows with $1 the names. */
bool domain_refuse(struct change *change, const char *sql, const char *complaint,
                   struct err *err) MUST_CHECK;
/* Ids into the patch, and everything that speaks against it. */
bool domain_patch_prepare(struct change *change, struct err *err) MUST_CHECK;
/* Runs a statement made of the following with its parameters. */
bool domain_patch_run(struct change *change, const char *sql, int64_t *touched,
                      struct err *err) MUST_CHECK;

/* $1 names, $2 columns as JSON, $3 "yes", "no" or NULL: loaded; only rows that really change */
#define PATCHED                                                                                    \
    "with patched as (select p.* from domain d cross join lateral jsonb_populate_record(d,"        \
    "   $2::jsonb || case $3::text when 'yes' then jsonb_build_object('loaded_at',"                \
    "     coalesce(d.loaded_at, now())) when 'no' then '{\"loaded_at\": null}' else '{}' end) p"   \
    "   where d.name = any ($1) and d.state = 'active')"
/* Who becomes an alias, or is none any more, has no list of its own that is complete. */
#define UPDATE                                                                                     \
    "update domain d set customer_id = p.customer_id, alias_of = p.alias_of,"                      \
    " relay_check = p.relay_check, shadow = p.shadow, next_hop = p.next_hop,"                      \
    " recipient_delimiter = p.recipient_delimiter, case_sensitive = p.case_sensitive,"             \
    " threshold = p.threshold, stale_limit = p.stale_limit,"                                       \
    " source_stale_limit = p.source_stale_limit, guard_percent = p.guard_percent,"                 \
    " follows_directory = p.follows_directory,"                                                    \
    " loaded_at = case when p.alias_of is not distinct from d.alias_of or $3::text = 'yes'"        \
    "   then p.loaded_at end,"                                                                     \
    " changed_by = roll_changeset()"                                                               \
    " from patched p, domain old where p.id = d.id and old.id = d.id"                              \
    " and to_jsonb(p) <> to_jsonb(old)"
#define HISTORY "insert into domain_change (changeset_id, domain_id, before, after) "

#define HAS_RECIPIENTS                                                                             \
    "exists (select from recipient r where r.domain_id = d.id and r.state <> 'removed')"
#define HAS_ALIASES "exists (select from domain a where a.alias_of = d.id and a.state = 'active')"
#define SUCH        "select d.name from domain d where d.name = any ($1) and "

#endif
