/*
 * gather - everything of a directory that a source takes, or the reason why it cannot be had
 *
 * Searches for users, and where asked for groups and contacts; asks who belongs to the groups that
 * restrict it; makes each entry a user by its rules (entry.h) and puts it aside (spool.h). True
 * only when the directory's answer is complete.
 */
#ifndef ROLLCALL_GATHER_H
#define ROLLCALL_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/directory.h"
#include "sync/spool.h"

enum { GATHER_FOREIGN_MOST = 32, GATHER_GROUPS_MOST = 100000 };

struct gather_report {
    char server[320];
    struct directory_count read;
    int64_t users, groups, disabled;
    int64_t left_out; /* entries that are no users of ours, why does not matter */
    int64_t no_identity, no_address, elsewhere, bad, outside; /* of these */
    int64_t bad_values, foreign_addresses, many;
    struct {
        char domain[ADDR_DOMAIN_MAX + 1];
        int64_t count;
    } foreign[GATHER_FOREIGN_MOST]; /* the first that were met */
    size_t foreign_count;
    bool more; /* a look: there is more */
};

/* What is told on the way; either may be NULL. */
struct gather_listener {
    void *context;
    /* Taken as a user or group (why NULL), or left out. */
    void (*entry)(void *context, const char *dn, enum entry_kind kind, const struct entry *entry,
                  const char *why);
    void (*note)(void *context, const char *dn, const struct entry_note *note);
};

struct gather_options {
    const struct ldap_source *source;
    const char *password;
    const struct network_list *denied;
    int64_t now_s;
    bool look; /* only the first page of each search */
};

/* `spool` may be NULL for a look. */
bool gather_run(const struct gather_options *options, struct spool *spool,
                const struct gather_listener *listener, struct gather_report *report,
                struct err *err) MUST_CHECK;

#endif
