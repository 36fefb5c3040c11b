/*
 * directory - reading an LDAP directory, and asking it for a password; the only user of libldap
 *
 * A connection belongs to one thread. Every wait has the deadline of the login. A search succeeds
 * only when its answer is complete: a size or time limit, a referral, a lost connection, anything
 * but success is an error, and whoever acts on half an answer has himself to blame. Errors name the
 * server and say in words what is wrong and what to do.
 *
 * libldap's own configuration (ldap.conf, LDAP* in the environment) is not read: what counts is the
 * source's settings.
 */
#ifndef ROLLCALL_DIRECTORY_H
#define ROLLCALL_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ldap_source.h"
#include "network.h"

struct directory;

/* Must be called once before the others, while the program has one thread. */
void directory_init(void);

enum {
    DIRECTORY_CONNECT_S = 10,          /* for one server's connection, TLS and bind */
    DIRECTORY_MESSAGE_MOST = 32 << 20, /* bytes of one entry */
    DIRECTORY_READ_AHEAD = 64 << 10,   /* bytes of a connection without TLS */
    DIRECTORY_ATTRIBUTES_MOST = 64,    /* of one entry */
    DIRECTORY_VALUES_MOST = 200000,    /* of one entry, all attributes together */
};

struct directory_login {
    const struct ldap_settings *settings;
    const char *password;              /* "" with SASL or anonymous */
    const struct network_list *denied; /* no server may be there; NULL: anywhere */
    int64_t deadline_us;               /* clock_elapsed_us() */
};

/* The certificates in a text (PEM, with anything between them), one after the other as they are
 * kept in the setting `ca`. ERR_DATA: there is none, or one is damaged, or there are too many. */
enum { DIRECTORY_CA_MOST = 8 };
bool directory_ca_take(struct span text, struct buf *out, struct err *err) MUST_CHECK;

/* Connects to the first server that answers, protects the connection, binds. A server that says no
 * to the login ends it: the next one would say the same, and count it towards a lock-out. */
bool directory_open(struct directory **directory, const struct directory_login *login,
                    struct err *err) MUST_CHECK;
void directory_close(struct directory **directory); /* nulls; NULL allowed */
const char *directory_server(const struct directory *directory);

/* An attribute as the directory gave it. */
struct directory_attribute {
    const char *name; /* options such as ";range=0-1499" behind it do not count */
    const struct span *values;
    size_t count;
};

/* Valid during the call. */
struct directory_entry {
    const char *dn;
    const struct directory_attribute *attributes;
    size_t count;
};
typedef bool directory_entry_fn(void *context, const struct directory_entry *entry,
                                struct err *err);

struct directory_query {
    const char *base;
    const char *scope; /* "sub", "one", "base" */
    const char *filter;
    const char *attributes; /* a line each; NULL: none but the DN */
    int64_t page_size;
    int64_t entry_limit; /* more entries are an error; counted together with *count */
};
struct directory_count {
    int64_t entries, pages;
};
/* Calls `take` for each entry as it arrives (RFC 2696 pages, one message at a time in memory).
 * Adds to *count. */
bool directory_search(struct directory *directory, const struct directory_query *query,
                      directory_entry_fn *take, void *context, struct directory_count *count,
                      struct err *err) MUST_CHECK;
/* The first page only, whatever comes behind it: for a look at what there is. */
bool directory_look(struct directory *directory, const struct directory_query *query,
                    directory_entry_fn *take, void *context, struct directory_count *count,
                    bool *more, struct err *err) MUST_CHECK;

/* A DN as it compares: lower case, without optional blanks; false when it is none. */
bool directory_normal_dn(const char *dn, struct buf *out) MUST_CHECK;

enum directory_answer { DIRECTORY_YES, DIRECTORY_NO, DIRECTORY_UNSURE };
/*
 * Whether that is the password of the entry: one bind as the entry itself, never repeated, at the
 * first server that answers, so that a typing error counts once. An empty password (which LDAP
 * takes for an anonymous bind, RFC 4513 section 5.1.2) is NO. err says why it is not YES.
 */
enum directory_answer directory_check_password(const struct directory_login *login, const char *dn,
                                               const char *password, struct err *err) MUST_CHECK;

#endif
