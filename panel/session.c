/* session - see session.h */
#include "panel/session.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/clock.h"
#include "lib/ldap_login.h"
#include "lib/log.h"
#include "lib/password.h"
#include "lib/password_request.h"
#include "lib/secret.h"
#include "panel/second.h"

enum {
    ACCOUNT_FREE = 5,  /* failures without a wait */
    ACCOUNT_WAIT = 60, /* seconds at most: nobody is locked out by others */
    CLIENT_FREE = 20,
    CLIENT_WAIT = 900,
    HASHING_AT_ONCE = 2, /* 16 MiB each */
};

/* ---- the cookie ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void session_fresh(struct session *session)
{
    unsigned char random[SESSION_TOKEN];

    secret_random(random, sizeof random); /* 6 of each 8 bits: 258 in all */
    for (size_t i = 0; i < SESSION_TOKEN; i++)
        session->token[i] = letters[random[i] & 63];
    session->token[SESSION_TOKEN] = '\0';
}

bool session_take_token(struct session *session, struct span token)
{
    bool fine = token.len == SESSION_TOKEN;

    for (size_t i = 0; fine && i < token.len; i++)
        fine = token.at[i] != '\0' && strchr(letters, token.at[i]) != NULL;
    if (fine)
        snprintf(session->token, sizeof session->token, "%.*s", (int)token.len, token.at);
    else
        session_fresh(session);
    return fine;
}

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void session_digest(const char *token, char out[SESSION_DIGEST_TEXT + 1])
{
    uint8_t digest[SECRET_DIGEST];

    secret_digest(token, strlen(token), digest, sizeof digest);
    memcpy(out, "\\x", 2);
    hex(digest, sizeof digest, out + 2);
}

void session_form_token(const struct session *session, char out[SESSION_FORM_TOKEN + 1])
{
    char text[SESSION_TOKEN + 8];
    uint8_t digest[SESSION_FORM_TOKEN / 2];

    snprintf(text, sizeof text, "form %s", session->token);
    secret_digest(text, strlen(text), digest, sizeof digest);
    hex(digest, sizeof digest, out);
}

bool session_form_token_is(const struct session *session, const char *given)
{
    char wanted[SESSION_FORM_TOKEN + 1];
    unsigned char difference = 0;

    session_form_token(session, wanted);
    if (strlen(given) != SESSION_FORM_TOKEN)
        return false;
    for (size_t i = 0; i < SESSION_FORM_TOKEN; i++)
        difference |= (unsigned char)(wanted[i] ^ given[i]);
    return difference == 0;
}

/* ---- the session ---- */

static enum role role_by_name(const char *name)
{
    static const char *const names[] = {
        [ROLE_USER] = "user", [ROLE_ADMIN] = "admin", [ROLE_OPERATOR] = "operator"};

    for (int i = ROLE_USER; i <= ROLE_OPERATOR; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum role)i;
    return ROLE_NOBODY;
}

bool session_load(struct session *session, struct db *db, int64_t idle_us, const char *client,
                  struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1], idle[40];

    session_digest(session->token, digest);
    snprintf(idle, sizeof idle, "%lld microseconds", (long long)idle_us);
    if (!db_query_kept(db, &row,
                       "select account_id, user_id, login, role, customer_id, customer, pending,"
                       " must_change, second_factor, language, time_zone"
                       " from set_config('rollcall.client', $3, false)"
                       " left join panel_session($1::bytea, $2::interval) on true",
                       DB_VALUES(digest, idle, client), err))
        return false;
    session->role = ROLE_NOBODY;
    if (db_null(row, 0, 3)) /* no role: no session */
        return true;
    session->account = (int32_t)db_int(row, 0, 0);
    session->user = db_int(row, 0, 1);
    snprintf(session->login, sizeof session->login, "%s", db_text(row, 0, 2));
    session->role = role_by_name(db_text(row, 0, 3));
    session->customer = (int32_t)db_int(row, 0, 4);
    snprintf(session->customer_name, sizeof session->customer_name, "%s", db_text(row, 0, 5));
    session->pending = db_bool(row, 0, 6);
    session->must_change = db_bool(row, 0, 7);
    session->second_factor = db_bool(row, 0, 8);
    snprintf(session->language, sizeof session->language, "%s", db_text(row, 0, 9));
    snprintf(session->time_zone, sizeof session->time_zone, "%s", db_text(row, 0, 10));
    return true;
}

bool session_apply(const struct session *session, struct db *db, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char customer[16] = "", user[24] = "";

    if (session->role != ROLE_NOBODY && !session->pending)
        snprintf(customer, sizeof customer, "%d",
                 session->role == ROLE_OPERATOR ? 0 : (int)session->customer);
    if (session->user != 0)
        snprintf(user, sizeof user, "%lld", (long long)session->user);
    return db_query(db, &row,
                    "select set_config('rollcall.customer', $1, false),"
                    " set_config('rollcall.user', $2, false)",
                    DB_VALUES(customer, user), err);
}

/* ---- signing in ---- */

static sem_t hashing;
static pthread_once_t hashing_once = PTHREAD_ONCE_INIT;

static void make_hashing(void)
{
    sem_init(&hashing, 0, HASHING_AT_ONCE);
}

static bool fits(const char *password, const char *hash)
{
    pthread_once(&hashing_once, make_hashing);
    while (sem_wait(&hashing) != 0) {
    }
    bool right = password_fits(span_text(password), hash);
    sem_post(&hashing);
    return right;
}

/* What failures are counted by: 'account:…' and 'client:…'. */
struct keys {
    char account[260], client[80];
};

static struct keys keys_of(const char *login, const char *client)
{
    struct keys keys;
    uint8_t digest[16];
    char text[33], lower[512];

    /* whatever was typed as a login is not kept */
    snprintf(lower, sizeof lower, "%s", login);
    for (char *c = lower; *c != '\0'; c++)
        *c = str_lower(*c);
    secret_digest(lower, strlen(lower), digest, sizeof digest);
    hex(digest, sizeof digest, text);
    snprintf(keys.account, sizeof keys.account, "account:%s", text);
    snprintf(keys.client, sizeof keys.client, "client:%s", client);
    return keys;
}

static bool waits(struct db *db, const struct keys *keys, int *wait, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select panel_wait(array[$1, $2])",
                  DB_VALUES(keys->account, keys->client), err))
        return false;
    *wait = (int)db_int(row, 0, 0);
    return true;
}

static bool count_failure(struct db *db, const struct keys *keys, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char account_free[12], account_wait[12], client_free[12], client_wait[12];

    snprintf(account_free, sizeof account_free, "%d", ACCOUNT_FREE);
    snprintf(account_wait, sizeof account_wait, "%d", ACCOUNT_WAIT);
    snprintf(client_free, sizeof client_free, "%d", CLIENT_FREE);
    snprintf(client_wait, sizeof client_wait, "%d", CLIENT_WAIT);
    return db_query(db, &row,
                    "select panel_failed($1, $2::int, $3::int), panel_failed($4, $5::int, $6::int)",
                    DB_VALUES(keys->account, account_free, account_wait, keys->client, client_free,
                              client_wait),
                    err);
}

static bool forgive(struct db *db, const struct keys *keys, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    return db_query(db, &row, "select panel_forgive($1)", DB_VALUES(keys->account), err);
}

static void life_text(int64_t life_us, char out[40])
{
    snprintf(out, 40, "%lld microseconds", (long long)life_us);
}

static enum sign_in fail(struct db *db, const struct keys *keys, const char *login,
                         const char *client, struct err *err)
{
    log_write(LOG_SIGN_IN_FAILED, "%s from %s", login, client);
    return count_failure(db, keys, err) ? SIGN_IN_WRONG : SIGN_IN_TROUBLE;
}

/* A new token, so that one that somebody else put into the browser is worth nothing. */
static enum sign_in open_session(struct session *session, struct db *db,
                                 const struct sign_in_options *o, const char *account, bool second,
                                 struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1], life[40];

    session_fresh(session);
    session_digest(session->token, digest);
    life_text(o->life_us, life);
    if (!db_query(db, &row, "select panel_sign_in($1::int, $2::bytea, $3::interval, $4, $5)",
                  DB_VALUES(account, digest, life, o->client, o->agent), err))
        return SIGN_IN_TROUBLE;
    log_write(LOG_SIGN_IN, "%s from %s%s", o->login, o->client, second ? ", a code follows" : "");
    return second ? SIGN_IN_SECOND : SIGN_IN_DONE;
}

/* Users sign in with one of their addresses, by their own password or their directory's. */
static bool find_user(struct db *db, const char *login, int64_t *user, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    struct addr addr;
    struct err ignored;

    *user = 0;
    if (strchr(login, '@') == NULL || !addr_parse(span_text(login), true, &addr, &ignored))
        return true;
    if (!db_query(db, &row, "select panel_user($1, $2)", DB_VALUES(addr.domain, addr.local), err))
        return false;
    *user = db_int(row, 0, 0);
    return true;
}

static bool user_fits(struct db *db, const struct sign_in_options *o, int64_t user, bool *right,
                      bool *must_change, struct err *err)
{
    enum ldap_login answer = LDAP_LOGIN_NONE;

    *right = *must_change = false;
    if (user != 0)
        answer = ldap_login_check(db, o->conf, user, o->password, err);
    if (answer == LDAP_LOGIN_UNSURE)
        log_write(LOG_PANEL_TROUBLE, "directory of %s: %s", o->login, err->text);
    if (answer != LDAP_LOGIN_NONE) {
        *right = answer == LDAP_LOGIN_YES;
        return true;
    }
    pthread_once(&hashing_once, make_hashing);
    while (sem_wait(&hashing) != 0) {
    }
    bool fine = password_sign_in(db, user, span_text(o->password), right, must_change, err);
    sem_post(&hashing);
    return fine;
}

static enum sign_in sign_user_in(struct session *session, struct db *db,
                                 const struct sign_in_options *o, const struct keys *keys,
                                 struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1], life[40], number[24];
    int64_t user;
    bool right, must_change;

    if (!find_user(db, o->login, &user, err) || !user_fits(db, o, user, &right, &must_change, err))
        return SIGN_IN_TROUBLE;
    if (!right)
        return fail(db, keys, o->login, o->client, err);
    session_fresh(session);
    session_digest(session->token, digest);
    life_text(o->life_us, life);
    snprintf(number, sizeof number, "%lld", (long long)user);
    if (!forgive(db, keys, err) ||
        !db_query(db, &row,
                  "select panel_user_sign_in($1::bigint, $2::bytea, $3::interval, $4, $5)",
                  DB_VALUES(number, digest, life, o->client, o->agent), err))
        return SIGN_IN_TROUBLE;
    log_write(LOG_SIGN_IN, "%s from %s", o->login, o->client);
    return must_change ? SIGN_IN_CHANGE : SIGN_IN_DONE;
}

enum sign_in session_sign_in(struct session *session, struct db *db,
                             const struct sign_in_options *o, int *wait, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    struct keys keys = keys_of(o->login, o->client);

    *wait = 0;
    if (!waits(db, &keys, wait, err) ||
        !db_query(db, &row, "select id, password, second_factor is not null from panel_account($1)",
                  DB_VALUES(o->login), err))
        return SIGN_IN_TROUBLE;
    if (*wait > 0)
        return SIGN_IN_WAIT;
    if (db_rows(row) == 0)
        return sign_user_in(session, db, o, &keys, err);
    if (!fits(o->password, db_text(row, 0, 1)))
        return fail(db, &keys, o->login, o->client, err);
    if (!forgive(db, &keys, err))
        return SIGN_IN_TROUBLE;
    return open_session(session, db, o, db_text(row, 0, 0), db_bool(row, 0, 2), err);
}

/* The digest of a recovery code as it is kept: without blanks and dashes, in lower case. */
static enum sign_in try_codes(struct session *session, struct session *fresh, struct db *db,
                              const char *code, const unsigned char *key, const char *life,
                              struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char old[SESSION_DIGEST_TEXT + 1], digest[SESSION_DIGEST_TEXT + 1], step[24],
        recovery[SECOND_DIGEST_TEXT + 1];
    int64_t matched = -1;

    session_digest(session->token, old);
    session_digest(fresh->token, digest);
    if (!second_match(db, session, code, key, &matched, err))
        return SIGN_IN_TROUBLE;
    snprintf(step, sizeof step, "%lld", (long long)matched);
    second_recovery_digest(code, recovery);
    bool asked =
        matched >= 0
            ? db_query(db, &row,
                       "select panel_second($1::bytea, $2::bytea, $3::bigint,"
                       " $4::interval)",
                       DB_VALUES(old, digest, step, life), err)
            : db_query(db, &row, "select panel_recover($1::bytea, $2::bytea, $3, $4::interval)",
                       DB_VALUES(old, digest, recovery, life), err);
    if (!asked)
        return SIGN_IN_TROUBLE;
    return db_bool(row, 0, 0) ? SIGN_IN_DONE : SIGN_IN_WRONG;
}

enum sign_in session_second(struct session *session, struct db *db, const char *code,
                            const unsigned char *key, const char *client, int64_t life_us,
                            int *wait, struct err *err)
{
    struct keys keys = keys_of(session->login, client);
    struct session fresh = *session;
    char life[40];

    *wait = 0;
    if (!waits(db, &keys, wait, err))
        return SIGN_IN_TROUBLE;
    if (*wait > 0)
        return SIGN_IN_WAIT;
    session_fresh(&fresh);
    life_text(life_us, life);
    enum sign_in outcome = try_codes(session, &fresh, db, code, key, life, err);
    if (outcome == SIGN_IN_WRONG)
        return fail(db, &keys, session->login, client, err);
    if (outcome == SIGN_IN_DONE) {
        *session = fresh;
        log_write(LOG_SIGN_IN, "%s from %s with the second factor", session->login, client);
        return forgive(db, &keys, err) ? outcome : SIGN_IN_TROUBLE;
    }
    return outcome;
}
