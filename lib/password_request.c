/* password_request - see password_request.h */
#include "password_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "password.h"

/* ---- asking ---- */

static enum password_asked ask(struct db *db, const struct conf *conf, const char *kind,
                               const char *address, const char *client, struct err *err)
{
    char normal[ADDR_TEXT_MAX + 1], per_address[24], per_client[24];
    struct addr parsed;
    DB_RESULT_AUTO taken = NULL;

    /* the case is kept: some domains tell Bob from bob */
    if (!addr_parse(span_text(address), false, &parsed, err))
        return PASSWORD_NO_ADDRESS;
    addr_format(&parsed, normal);
    snprintf(per_address, sizeof per_address, "%" PRId64, conf->password_requests_address);
    snprintf(per_client, sizeof per_client, "%" PRId64, conf->password_requests_client);
    if (!db_query(db, &taken, "select mail_ask($1, $2, $3::inet, $4::int, $5::int)",
                  DB_VALUES(kind, normal, client, per_address, per_client), err))
        return PASSWORD_UNSURE;
    return db_bool(taken, 0, 0) ? PASSWORD_ASKED : PASSWORD_TOO_MANY;
}

enum password_asked password_request(struct db *db, const struct conf *conf, const char *address,
                                     const char *client, struct err *err)
{
    return ask(db, conf, "confirm", address, client, err);
}

enum password_asked password_send(struct db *db, const struct conf *conf, const char *address,
                                  const char *client, struct err *err)
{
    return ask(db, conf, "password", address, client, err);
}

/* ---- the links ---- */

enum token_answer password_confirm(struct db *db, struct span token, int64_t *user, struct err *err)
{
    char hash[TOKEN_HASH_TEXT + 1];
    DB_RESULT_AUTO done = NULL;

    *user = 0;
    if (!token_hash(token, hash))
        return TOKEN_BAD;
    if (!db_query(db, &done, "select password_confirm($1::bytea)", DB_VALUES(hash), err))
        return TOKEN_UNSURE;
    *user = db_int(done, 0, 0);
    return *user != 0 ? TOKEN_GOOD : TOKEN_BAD;
}

/* Runs a statement with the key as $1 and the new password's hash as $2; it gives the user. */
static enum password_outcome store(struct db *db, const char *sql, const char *key,
                                   struct span password, int64_t *user, struct err *err)
{
    char hash[PASSWORD_HASH_ROOM];
    DB_RESULT_AUTO done = NULL;

    if (!password_hash(password, hash, err) || !db_query(db, &done, sql, DB_VALUES(key, hash), err))
        return PASSWORD_FAILED;
    *user = db_int(done, 0, 0);
    return *user != 0 ? PASSWORD_DONE : PASSWORD_BAD_TOKEN;
}

/* What the user signs in with, so that it is no password; "" for one who cannot any more. */
static bool find_login(struct db *db, int64_t user, struct db_result **found, struct err *err)
{
    char number[24];

    snprintf(number, sizeof number, "%" PRId64, user);
    return db_query(db, found, "select coalesce(address, '') from link_user($1::bigint)",
                    DB_VALUES(number), err);
}

enum password_outcome password_set(struct db *db, struct span token, struct span password,
                                   int64_t *user, struct err *err)
{
    char hash[TOKEN_HASH_TEXT + 1];
    DB_RESULT_AUTO login = NULL;

    switch (token_look(db, TOKEN_PASSWORD, token, user, err)) {
    case TOKEN_UNSURE:
        return PASSWORD_FAILED;
    case TOKEN_BAD:
        return PASSWORD_BAD_TOKEN;
    case TOKEN_GOOD:
        break;
    }
    if (!find_login(db, *user, &login, err))
        return PASSWORD_FAILED;
    if (!password_check_rules(password, db_text(login, 0, 0), err))
        return PASSWORD_REFUSED;
    if (!token_hash(token, hash))
        return PASSWORD_BAD_TOKEN;
    return store(db, "select password_set($1::bytea, $2)", hash, password, user, err);
}

/* ---- signed in ---- */

enum password_outcome password_change(struct db *db, int64_t user, const char *login,
                                      struct span password, struct err *err)
{
    char number[24];

    if (!password_check_rules(password, login, err))
        return PASSWORD_REFUSED;
    snprintf(number, sizeof number, "%" PRId64, user);
    return store(db, "select password_store($1::bigint, $2)", number, password, &user, err);
}

static bool rehash(struct db *db, const char *user, struct span password, const char *old,
                   struct err *err)
{
    char hash[PASSWORD_HASH_ROOM];

    return password_hash(password, hash, err) &&
           db_exec(db, "select password_rehash($1::bigint, $2, $3)", DB_VALUES(user, old, hash),
                   NULL, err);
}

bool password_sign_in(struct db *db, int64_t user, struct span password, bool *right,
                      bool *must_change, struct err *err)
{
    char number[24];
    DB_RESULT_AUTO found = NULL;

    *right = *must_change = false;
    snprintf(number, sizeof number, "%" PRId64, user);
    if (!db_query(db, &found, "select hash, must_change from password_look($1::bigint)",
                  DB_VALUES(number), err))
        return false;
    bool any = db_rows(found) > 0;
    const char *hash = any ? db_text(found, 0, 0) : "";
    *right = password_fits(password, hash);
    *must_change = *right && db_bool(found, 0, 1);
    return !*right || !password_is_weakly_kept(hash) || rehash(db, number, password, hash, err);
}
