/*
 * account - people who manage: operators of the gateway, and administrators of one customer
 *
 * For the command line and the panel. Each change is one transaction with its row in `audit`;
 * passwords come as hashes (password.h) and are never read back here.
 */
#ifndef ROLLCALL_ACCOUNT_H
#define ROLLCALL_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "err.h"

struct account_row {
    int32_t id;
    const char *login, *role, *customer; /* "operator" or "admin"; customer "" of an operator */
    const char *state;                   /* "active", "disabled" */
    bool must_change;
    const char *created_at, *signed_in_at; /* RFC 3339; "" never */
};
typedef bool account_row_fn(void *context, const struct account_row *row, struct err *err);
/* In the order of their logins. */
bool account_list(struct db *db, account_row_fn *row, void *context, struct err *err) MUST_CHECK;

/* `customer` NULL makes an operator, else an administrator of it. The password has to be changed at
 * the first sign-in. */
bool account_add(struct db *db, const char *login, const char *customer, const char *hash,
                 const char *actor, struct err *err) MUST_CHECK;

/* What can be done to one that is there; ERR_DATA when there is none of that login. */
enum account_act {
    ACCOUNT_REMOVE,
    ACCOUNT_DISABLE, /* signs out */
    ACCOUNT_ENABLE,
    ACCOUNT_PASSWORD,     /* with a hash; to be changed at the next sign-in */
    ACCOUNT_RESET_SECOND, /* takes the second factor away */
};
extern const char *const account_act_names[]; /* "account remove", for audit */
bool account_do(struct db *db, enum account_act act, const char *login, const char *hash,
                const char *actor, struct err *err) MUST_CHECK;

#endif
