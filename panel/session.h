/*
 * session - who is behind a request: the cookie, the session it names, signing in and out
 *
 * The cookie holds 256 random bits; the database knows only their digest. Whoever is signed in to
 * nothing has a cookie too, so that forms are bound to a browser; signing in gives a new one.
 */
#ifndef ROLLCALL_PANEL_SESSION_H
#define ROLLCALL_PANEL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"

enum { SESSION_TOKEN = 43 /* characters */, SESSION_DIGEST_TEXT = 66 /* "\x" and hexadecimal */ };

enum role {
    ROLE_NOBODY,
    ROLE_USER,     /* of a mailbox */
    ROLE_ADMIN,    /* of a customer */
    ROLE_OPERATOR, /* of the gateway */
};

struct session {
    char token[SESSION_TOKEN + 1];
    enum role role;
    int32_t account, customer; /* 0: none */
    int64_t user;
    char login[512], customer_name[801];
    bool pending, must_change, second_factor;
    char language[21], time_zone[65];
};

/* A cookie that names no session. */
void session_fresh(struct session *session);
/* Takes over the browser's cookie, if it has the form of one; else a fresh one. */
bool session_take_token(struct session *session, struct span token);
/* Asks whose it is, and from now on the connection shows what they may see, and knows from which
 * client a password or a second factor is changed (sql/…_credential_change), by whomever: forms
 * that do that carry a token, and so a cookie. */
bool session_load(struct session *session, struct db *db, int64_t idle_us, const char *client,
                  struct err *err) MUST_CHECK;
/* The same for another connection; nothing is asked. */
bool session_apply(const struct session *session, struct db *db, struct err *err) MUST_CHECK;
void session_digest(const char *token, char out[SESSION_DIGEST_TEXT + 1]);
/* What every form of this browser carries. */
enum { SESSION_FORM_TOKEN = 32 };
void session_form_token(const struct session *session, char out[SESSION_FORM_TOKEN + 1]);
bool session_form_token_is(const struct session *session, const char *given) MUST_CHECK;

enum sign_in {
    SIGN_IN_DONE,
    SIGN_IN_SECOND, /* a code has to follow */
    SIGN_IN_CHANGE, /* the password came by mail: another one has to be set */
    SIGN_IN_WRONG,
    SIGN_IN_WAIT, /* too many failures; *wait seconds */
    SIGN_IN_TROUBLE,
};
struct sign_in_options {
    const struct conf *conf;
    const char *login, *password, *client, *agent;
    int64_t life_us;
};
/* On success the session has another token. The answer for an unknown login takes as long as for a
 * known one. */
enum sign_in session_sign_in(struct session *session, struct db *db,
                             const struct sign_in_options *options, int *wait, struct err *err);
/* The code of the second factor, or a recovery code. */
enum sign_in session_second(struct session *session, struct db *db, const char *code,
                            const unsigned char *key, const char *client, int64_t life_us,
                            int *wait, struct err *err);

#endif
