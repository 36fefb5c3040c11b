/* second - see second.h */
#include "panel/second.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/secret.h"

static void hex(struct span bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++)
        buf_printf(out, "%02x", (unsigned char)bytes.at[i]);
}

/* Bytes of hexadecimal digits; false: they are none. */
static bool unhex(struct span text, struct buf *out)
{
    for (size_t i = 0; i + 1 < text.len; i += 2) {
        char pair[3] = {text.at[i], text.at[i + 1], '\0'}, *end;
        if (strspn(pair, "0123456789abcdef") != 2)
            return false;
        char byte = (char)strtol(pair, &end, 16);
        buf_append(out, &byte, 1);
    }
    return text.len % 2 == 0 && text.len > 0;
}

static void context_of(int32_t account, char out[48])
{
    snprintf(out, 48, "second factor of account %d", (int)account);
}

static bool open_secret(struct span sealed, const char *context, const unsigned char *key,
                        uint8_t secret[TOTP_SECRET])
{
    BUF_AUTO plain = {0};

    bool fine = secret_open(&plain, sealed, context, key) && plain.len == TOTP_SECRET;
    if (fine)
        memcpy(secret, plain.at, TOTP_SECRET);
    secret_forget(plain.at, plain.len);
    return fine;
}

bool second_match(struct db *db, const struct session *session, const char *code,
                  const unsigned char *key, int64_t *step, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    BUF_AUTO sealed = {0};
    uint8_t secret[TOTP_SECRET];
    char context[48];

    *step = -1;
    if (!db_query(db, &row,
                  "select encode(second_factor, 'hex'), second_step from panel_account($1)",
                  DB_VALUES(session->login), err))
        return false;
    if (db_rows(row) == 0 || !unhex(db_span(row, 0, 0), &sealed))
        return true;
    context_of(session->account, context);
    if (!open_secret(span_of(sealed.at, sealed.len), context, key, secret))
        return err_set(err, ERR_CONFIG,
                       "the second factor of %s is sealed under another key; see secret_key_file",
                       session->login);
    *step = totp_match(secret, span_text(code), clock_wall_us() / CLOCK_SECOND, db_int(row, 0, 1));
    secret_forget(secret, sizeof secret);
    return true;
}

void second_recovery_digest(const char *code, char out[SECOND_DIGEST_TEXT + 1])
{
    char plain[64];
    uint8_t digest[SECRET_DIGEST];
    size_t len = 0;

    for (; *code != '\0' && len + 1 < sizeof plain; code++)
        if (*code != '-' && *code != ' ')
            plain[len++] = str_lower(*code);
    plain[len] = '\0';
    secret_digest(plain, len, digest, sizeof digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static void make_code(char out[SECOND_CODE + 1])
{
    static const char letters[32 + 1] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t random[SECOND_CODE];

    secret_random(random, sizeof random);
    for (size_t i = 0; i < SECOND_CODE; i++)
        out[i] = i % 5 == 4 ? '-' : letters[random[i] % 32];
    out[SECOND_CODE] = '\0';
}

bool second_keep(struct db *db, const struct session *session, const uint8_t secret[TOTP_SECRET],
                 int64_t step, const unsigned char *key, char codes[SECOND_CODES][SECOND_CODE + 1],
                 struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    BUF_AUTO sealed = {0};
    BUF_AUTO text = {0};
    BUF_AUTO digests = {0};
    char context[48], digest[SESSION_DIGEST_TEXT + 1], one[SECOND_DIGEST_TEXT + 1], at[24];

    context_of(session->account, context);
    secret_seal(&sealed, span_of((const char *)secret, TOTP_SECRET), context, key);
    buf_text(&text, "\\x");
    hex(span_of(sealed.at, sealed.len), &text);
    for (size_t i = 0; i < SECOND_CODES; i++) {
        make_code(codes[i]);
        second_recovery_digest(codes[i], one);
        buf_printf(&digests, "%s%s", i > 0 ? "," : "{", one);
    }
    buf_text(&digests, "}");
    session_digest(session->token, digest);
    snprintf(at, sizeof at, "%lld", (long long)step);
    return db_query(db, &row,
                    "select panel_set_second($1::bytea, $2::bytea, $3::bigint, $4::text[])",
                    DB_VALUES(digest, text.at, at, digests.at), err) &&
           (db_bool(row, 0, 0) || err_set(err, ERR_DATA, "the session has ended"));
}

bool second_drop(struct db *db, const struct session *session, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1];

    session_digest(session->token, digest);
    return db_query(db, &row, "select panel_set_second($1::bytea, null, 0, '{}')",
                    DB_VALUES(digest), err);
}

static void form_context(const struct session *session, char out[96])
{
    snprintf(out, 96, "second factor in a form of %s", session->token);
}

void second_seal_for_form(const struct session *session, const uint8_t secret[TOTP_SECRET],
                          const unsigned char *key, struct buf *out)
{
    BUF_AUTO sealed = {0};
    char context[96];

    form_context(session, context);
    secret_seal(&sealed, span_of((const char *)secret, TOTP_SECRET), context, key);
    hex(span_of(sealed.at, sealed.len), out);
}

bool second_open_from_form(const struct session *session, const char *text,
                           const unsigned char *key, uint8_t secret[TOTP_SECRET])
{
    BUF_AUTO sealed = {0};
    char context[96];

    form_context(session, context);
    return unhex(span_text(text), &sealed) &&
           open_secret(span_of(sealed.at, sealed.len), context, key, secret);
}
