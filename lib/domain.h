/*
 * domain - customers and domains as rows, changed inside changesets like everything else on the
 * roll
 *
 * Reading for the command line, the panel and `explain`; writing with history (domain_change) and
 * audit.
 */
#ifndef ROLLCALL_DOMAIN_H
#define ROLLCALL_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "conf.h"
#include "db.h"
#include "err.h"
#include "verdict.h"

struct domain_row {
    int32_t id;
    char name[ADDR_DOMAIN_MAX + 1];
    char customer[801];                 /* up to 200 characters of UTF-8 */
    char alias_of[ADDR_DOMAIN_MAX + 1]; /* "" when it is no alias */
    enum relay_check check, shadow;
    char next_hop[301];
    char delimiter[9];
    bool case_sensitive;
    int32_t threshold;
    int32_t stale_limit, source_stale_limit,
        guard_percent; /* seconds, seconds, percent; -1: the setting */
    bool follows_directory;
    int64_t synced_at_us, loaded_at_us; /* wall time, 0: never */
    bool removed;
    int64_t changeset;  /* that touched it last */
    int64_t recipients; /* accepted now; filled by domain_list and domain_get */
};

/* Calls `row` for each domain in name order; `like`: NULL or a fragment of the name; customer NULL:
 * all. */
typedef bool domain_row_fn(void *context, const struct domain_row *row, struct err *err);
bool domain_list(struct db *db, const char *customer, const char *like, domain_row_fn *row,
                 void *context, struct err *err) MUST_CHECK;
/* A removed domain counts as absent unless `with_removed`. Absent: ERR_DATA naming it. */
bool domain_get(struct db *db, const char *name, bool with_removed, struct domain_row *row,
                struct err *err) MUST_CHECK;

/* One setting of a domain to change: name as on the command line without dashes ("relay-check"),
 * value as text. */
struct domain_setting {
    const char *name, *value;
};
/*
 * Adds all names in one changeset, or none: a name that is there already, or bad, is an error
 * naming it. `customer` must exist. A tombstone of that name comes to life again (its recipients
 * stay gone).
 */
bool domain_add(struct db *db, const char *const *names, size_t count, const char *customer,
                const struct domain_setting *settings, size_t setting_count, const char *actor,
                int64_t *version, struct err *err) MUST_CHECK;
bool domain_set(struct db *db, const char *const *names, size_t count,
                const struct domain_setting *settings, size_t setting_count, const char *actor,
                int64_t *version, struct err *err) MUST_CHECK;
/* Refused while it has recipients or aliases, unless with_users. */
bool domain_remove(struct db *db, const char *const *names, size_t count, bool with_users,
                   const char *actor, int64_t *version, struct err *err) MUST_CHECK;

/* The settings that domain_add and domain_set know, for --help, completion and tests. */
struct domain_setting_row {
    const char *name;  /* "relay-check" */
    const char *value; /* "panel|smtp|either|off" */
    const char *doc;
};
extern const struct domain_setting_row domain_settings[];
extern const size_t domain_setting_count;

bool customer_add(struct db *db, const char *name, const char *actor, struct err *err) MUST_CHECK;
bool customer_remove(struct db *db, const char *name, const char *actor,
                     struct err *err) MUST_CHECK; /* refused while it has domains */
/* Who may release a virus to its users: a word of conf_release_virus_words; NULL: by the setting.
 */
bool customer_set_release_virus(struct db *db, const char *name, const char *who, const char *actor,
                                struct err *err) MUST_CHECK;
/* The same to read; *own: the customer's, not the setting's. */
bool customer_release_virus(struct db *db, const char *name, enum conf_release_virus preset,
                            enum conf_release_virus *who, bool *own, struct err *err) MUST_CHECK;
struct customer_row {
    int32_t id;
    const char *name;
    int64_t domains, users, recipients;
    const char *created_at; /* RFC 3339 */
};
typedef bool customer_row_fn(void *context, const struct customer_row *row, struct err *err);
bool customer_list(struct db *db, const char *name /* NULL: all */, customer_row_fn *row,
                   void *context, struct err *err) MUST_CHECK;

#endif
