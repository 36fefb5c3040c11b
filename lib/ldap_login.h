/*
 * ldap_login - whether a user's password is the one that its directory knows
 *
 * For signing in: a user that came from a directory has no password here. One bind as the user's
 * own entry, where it was last seen; never repeated, so that a typing error counts once towards a
 * lock-out.
 */
#ifndef ROLLCALL_LDAP_LOGIN_H
#define ROLLCALL_LDAP_LOGIN_H

#include <stdint.h>

#include "conf.h"
#include "db.h"
#include "err.h"

enum { LDAP_LOGIN_S = 15 }; /* at most */

enum ldap_login {
    LDAP_LOGIN_YES,
    LDAP_LOGIN_NO,     /* another password, or the account may not sign in */
    LDAP_LOGIN_UNSURE, /* the directory could not be asked: try again later */
    LDAP_LOGIN_NONE,   /* the user is of no directory */
};
/* err says why it is not YES; for the log, not for who signs in. directory_init() comes before. */
enum ldap_login ldap_login_check(struct db *db, const struct conf *conf, int64_t user,
                                 const char *password, struct err *err) MUST_CHECK;

#endif
