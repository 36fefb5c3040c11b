/*
 * entry - one directory entry to the user or group that it is (pure)
 *
 * Which attributes hold addresses, the name, the identity, and which say "disabled" comes from the
 * source's settings. Values are hostile: what is no address is told and left out, never an error;
 * what another directory made of it never stops the rest.
 *
 * The identity is 16 bytes: objectGUID as it is, entryUUID parsed, anything else hashed. It does
 * not change when the entry is moved or renamed.
 */
#ifndef ROLLCALL_ENTRY_H
#define ROLLCALL_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/addr.h"
#include "lib/directory.h"
#include "lib/ldap_source.h"
#include "lib/roll.h"
#include "lib/str.h"

enum {
    ENTRY_IDENTITY = 16,
    ENTRY_RULES_MOST = 64,   /* attributes, and disabling rules, of a source */
    ENTRY_VALUE_MOST = 1024, /* bytes of a value that is looked at */
    ENTRY_NAME_BYTES = ROLL_NAME_MAX,
};

struct entry_names {
    char *at[ENTRY_RULES_MOST];
    size_t count;
};

/* When an attribute says that the account is disabled. */
enum entry_test {
    ENTRY_BITS,     /* attribute&NUMBER: any of these bits is set */
    ENTRY_EQUALS,   /* attribute=VALUE, without case */
    ENTRY_FILETIME, /* attribute@filetime: that time has passed (0 and 2^63-1: never) */
    ENTRY_DAYS,     /* attribute@days: days since 1970 have passed (below 0: never) */
    ENTRY_TIME,     /* attribute@time: that generalized time has passed */
};
struct entry_disabling {
    enum entry_test test;
    char *attribute, *value;
    int64_t number;
};

struct entry_rules {
    struct entry_names address, alias, name, identity;
    bool address_alone; /* `address` counts only where `alias` names no primary (SMTP:) */
    struct entry_disabling disabling[ENTRY_RULES_MOST];
    size_t disabling_count;
    const struct ldap_domain *domains; /* sorted by name; not owned */
    size_t domain_count;
    int64_t now_s; /* wall time */
};

/* From checked settings. The domains must outlive the rules. Release with entry_rules_free. */
bool entry_rules_make(struct entry_rules *rules, const struct ldap_settings *settings,
                      const struct ldap_domain *domains, size_t domain_count, int64_t now_s,
                      struct err *err) MUST_CHECK;
void entry_rules_free(struct entry_rules *rules);
/* Appends the name of each attribute that the rules look at, a line each. */
void entry_rules_attributes(const struct entry_rules *rules, struct buf *out);

enum entry_result {
    ENTRY_TAKEN,
    ENTRY_NO_IDENTITY, /* without its identity attribute it cannot be followed */
    ENTRY_NO_ADDRESS,  /* has no address at all */
    ENTRY_ELSEWHERE,   /* has addresses, none in the source's domains */
    ENTRY_BAD,         /* nothing of what it has is an address */
};

enum entry_note_kind {
    ENTRY_NOTE_VALUE,   /* a value that is no address; reason says why */
    ENTRY_NOTE_FOREIGN, /* an address in a domain that the source does not feed */
    ENTRY_NOTE_MANY,    /* more addresses than one user may have: the rest is left out */
};
struct entry_note {
    enum entry_note_kind kind;
    struct span value;  /* as it came */
    const char *domain; /* FOREIGN: normalised */
    const char *reason;
};

/* What becomes of an entry; reuse it from one to the next. */
struct entry {
    uint8_t identity[ENTRY_IDENTITY];
    bool disabled;
    const struct entry_disabling *because; /* the rule that disables it */
    char name[ENTRY_NAME_BYTES + 1];
    size_t name_len;
    struct addr addresses[ROLL_ADDRESSES_MAX]; /* the primary first, each once */
    size_t address_count;
};

/* `note` may be NULL; its texts are valid during the call. */
enum entry_result entry_take(const struct entry_rules *rules,
                             const struct directory_attribute *attributes, size_t count,
                             struct entry *entry,
                             void (*note)(void *context, const struct entry_note *note),
                             void *context);

#endif
