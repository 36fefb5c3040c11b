/*
 * ldap_source - the LDAP connection of a domain: its settings, and the rows that keep them
 *
 * A source reads one directory and claims addresses in one or more domains of one customer; several
 * may feed one domain. Its settings are rows of one table that parses, bounds, documents and prints
 * them, as conf does for the programs. What is not set has the preset's value. The password is kept
 * sealed (secret.h) and is never part of the settings. Nothing here talks to a directory.
 */
#ifndef ROLLCALL_LDAP_SOURCE_H
#define ROLLCALL_LDAP_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "db.h"
#include "err.h"
#include "secret.h"

enum ldap_preset { PRESET_AD, PRESET_SAMBA, PRESET_OPENLDAP, PRESET_CUSTOM, PRESETS };

/* Values as text, each checked; lists have one element a line. Owned, never NULL. */
struct ldap_settings {
    char *preset;
    char *server, *tls, *allow_cleartext, *ca, *ca_file, *client_certificate, *client_key;
    char *bind_dn, *sasl, *password_file;
    char *base, *scope, *filter, *member_of;
    char *groups, *group_filter, *contacts, *contact_filter;
    char *address_attribute, *address_use, *alias_attribute, *name_attribute, *identity_attribute;
    char *disabled;
    char *page_size, *entry_limit, *time_limit, *interval;
    char *enabled;
};

struct ldap_setting_row {
    const char *name;  /* on the command line, without dashes: "bind-dn" */
    const char *value; /* what stands for its value in the help */
    bool list;         /* several values */
    size_t offset;     /* of the field in struct ldap_settings */
    const char *fallback[PRESETS];
    bool (*check)(const char *value, struct err *err); /* one element of a list; NULL: any */
    const char *doc;
};
extern const struct ldap_setting_row ldap_setting_rows[];
extern const size_t ldap_setting_count;
enum { LDAP_SETTING_MOST = 8192 }; /* bytes of a value */

const struct ldap_setting_row *ldap_setting_find(const char *name);
char **ldap_setting_field(struct ldap_settings *settings, const struct ldap_setting_row *row);

/* One setting that somebody gives; value NULL: back to the preset's. */
struct ldap_given {
    const char *name, *value;
};
/* Zeroed settings become those of the preset with what is given; ERR_USAGE names what is wrong. */
bool ldap_settings_fill(struct ldap_settings *settings, const struct ldap_given *given,
                        size_t count, struct err *err) MUST_CHECK;
void ldap_settings_free(struct ldap_settings *settings);

/* Typed values of checked settings. */
enum ldap_preset ldap_settings_preset(const struct ldap_settings *settings);
bool ldap_setting_yes(const char *value);
int64_t ldap_setting_number(const char *value);
int64_t ldap_setting_time_us(const char *value);

/* Whether a search filter (RFC 4515) is well-formed; err names the place. */
bool ldap_filter_check(const char *filter, struct err *err) MUST_CHECK;
/* Appends a value for use inside a filter (RFC 4515 section 3): whatever it holds, it is only a
 * value. */
void ldap_filter_value(struct buf *out, struct span value);

/* A name that the source may claim addresses in. */
struct ldap_domain {
    char name[ADDR_DOMAIN_MAX + 1]; /* one of its domains, or an alias domain of one */
    bool case_sensitive;
    bool scope; /* one of its domains by its own name */
};

struct ldap_source {
    int32_t id;
    int32_t customer;
    char *name, *customer_name;
    bool by_customer;  /* its servers were named by the customer: see ldap_denied_networks */
    bool has_password; /* one is kept */
    struct buf sealed; /* filled where the role may read it and it was asked for */
    struct ldap_given *given;
    size_t given_count;
    struct ldap_settings settings;
    struct ldap_domain *domains; /* by name */
    size_t domain_count;
};
void ldap_source_free(struct ldap_source *source);

/* By its name. Absent: ERR_DATA naming what there is. */
bool ldap_source_get(struct db *db, const char *name, bool with_secret, struct ldap_source *source,
                     struct err *err) MUST_CHECK;
bool ldap_source_exists(struct db *db, const char *name, bool *exists, struct err *err) MUST_CHECK;

/* What `ldap set` stores. */
struct ldap_change {
    const char *name;
    const char *const *domains; /* NULL: as they are; of a new source: the domain of its name */
    size_t domain_count;
    const struct ldap_given *given;
    size_t given_count;
    const char *password;     /* NULL: as it is; "": none any more */
    const unsigned char *key; /* SECRET_KEY bytes; needed with a password */
    const char *actor;
    bool by_customer; /* the customer sets it: then nothing of this machine may be named */
};
/*
 * Makes or changes a source, all or nothing, with its row in `audit` (names of settings, never a
 * password). Its domains must be served and of one customer; they follow a directory from then on.
 * What the new settings would read from is checked as a whole: servers, base, TLS.
 */
bool ldap_source_set(struct db *db, const struct ldap_change *change, bool *made,
                     struct err *err) MUST_CHECK;
/*
 * Removes a source. What it claims leaves the roll first (a changeset of its own, made by the
 * caller): refused while there are claims. Domains that no source feeds any more stop following.
 */
bool ldap_source_remove(struct db *db, const char *name, const char *actor,
                        struct err *err) MUST_CHECK;

/* What the sealed password is bound to. */
void ldap_source_context(int32_t id, char context[64]);

#endif
