/*
 * password_request - how a user comes to a password: two mails, two links (for the panel and the
 * help desk)
 *
 *     password_request(address)   1. the user asks; a mail with a link comes
 *     password_confirm(token)        the link's page has a button: the registration is confirmed
 *     password_send(address)      2. the user asks for a password; a mail with a link comes
 *     password_set(token, new)       the link's page takes the new password
 *
 * Both askings only leave a row, the same for every address: rollcall-report send finds out whose
 * it is, and makes and sends the mail within a second. So neither the answer nor its time tells
 * whether an address exists. The caller shows one text for every token that is not good.
 */
#ifndef ROLLCALL_PASSWORD_REQUEST_H
#define ROLLCALL_PASSWORD_REQUEST_H

#include <stdint.h>

#include "conf.h"
#include "db.h"
#include "err.h"
#include "token.h"

enum password_asked {
    PASSWORD_ASKED,    /* if it is somebody's, a mail is on its way */
    PASSWORD_TOO_MANY, /* of late, for this address or from this client, whether it exists or not */
    PASSWORD_NO_ADDRESS, /* it is no address by its form: err says why */
    PASSWORD_UNSURE,     /* the database: see err */
};

/* `client`: the IP address that asks; NULL: the help desk, which only the address's limit binds. */
enum password_asked password_request(struct db *db, const struct conf *conf, const char *address,
                                     const char *client, struct err *err) MUST_CHECK;
enum password_asked password_send(struct db *db, const struct conf *conf, const char *address,
                                  const char *client, struct err *err) MUST_CHECK;

/* For the page behind a link (token_look); *user is who confirmed. */
enum token_answer password_confirm(struct db *db, struct span token, int64_t *user,
                                   struct err *err) MUST_CHECK;

enum password_outcome {
    PASSWORD_DONE,
    PASSWORD_REFUSED,   /* by the rules for passwords: err says why; the token is as it was */
    PASSWORD_BAD_TOKEN, /* or the user is gone */
    PASSWORD_FAILED,    /* the database: see err */
};
/* *user is whose it is now: their sessions end. */
enum password_outcome password_set(struct db *db, struct span token, struct span password,
                                   int64_t *user, struct err *err) MUST_CHECK;

/* ---- for who is signed in, or signs in ---- */

/* Sets a password by its owner, who is signed in (rollcall.user); `login` is what it must not be.
 */
enum password_outcome password_change(struct db *db, int64_t user, const char *login,
                                      struct span password, struct err *err) MUST_CHECK;
/*
 * Whether it is that user's password (user 0: nobody's, with the same work). A hash made at a lower
 * cost is made anew on the way. *must_change: it came by mail.
 */
bool password_sign_in(struct db *db, int64_t user, struct span password, bool *right,
                      bool *must_change, struct err *err) MUST_CHECK;

#endif
