/* token - see token.h */
#include "token.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"

const char *const token_purpose_names[] = {"confirm", "password", "account"};

static void hash_of(const uint8_t bytes[TOKEN_BYTES], char hash[TOKEN_HASH_TEXT + 1])
{
    uint8_t digest[SECRET_DIGEST];

    secret_digest(bytes, TOKEN_BYTES, digest, sizeof digest);
    hash[0] = '\\';
    hash[1] = 'x';
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hash + 2 + 2 * i, 3, "%02x", digest[i]);
}

bool token_hash(struct span text, char hash[TOKEN_HASH_TEXT + 1])
{
    uint8_t bytes[TOKEN_BYTES];

    if (!secret_from_text(text, bytes, sizeof bytes))
        return false;
    hash_of(bytes, hash);
    secret_forget(bytes, sizeof bytes);
    return true;
}

bool token_make(struct db *db, enum token_purpose purpose, int64_t subject, int64_t life_us,
                char text[TOKEN_TEXT + 1], struct err *err)
{
    uint8_t bytes[TOKEN_BYTES];
    char hash[TOKEN_HASH_TEXT + 1], number[24], life[40];

    secret_random(bytes, sizeof bytes);
    secret_to_text(bytes, sizeof bytes, text, TOKEN_TEXT + 1);
    hash_of(bytes, hash);
    secret_forget(bytes, sizeof bytes);
    snprintf(number, sizeof number, "%" PRId64, subject);
    snprintf(life, sizeof life, "%" PRId64 " seconds", life_us / CLOCK_SECOND);
    return db_exec(db, "select token_make($1::bytea, $2, $3::bigint, $4::interval)",
                   DB_VALUES(hash, token_purpose_names[purpose], number, life), NULL, err);
}

static enum token_answer ask(struct db *db, const char *sql, enum token_purpose purpose,
                             struct span text, int64_t *subject, struct err *err)
{
    char hash[TOKEN_HASH_TEXT + 1];
    DB_RESULT_AUTO found = NULL;

    *subject = 0;
    if (!token_hash(text, hash))
        return TOKEN_BAD;
    if (!db_query(db, &found, sql, DB_VALUES(hash, token_purpose_names[purpose]), err))
        return TOKEN_UNSURE;
    *subject = db_int(found, 0, 0);
    return db_null(found, 0, 0) ? TOKEN_BAD : TOKEN_GOOD;
}

enum token_answer token_look(struct db *db, enum token_purpose purpose, struct span text,
                             int64_t *subject, struct err *err)
{
    return ask(db, "select token_look($1::bytea, $2)", purpose, text, subject, err);
}

enum token_answer token_use(struct db *db, enum token_purpose purpose, struct span text,
                            int64_t *subject, struct err *err)
{
    return ask(db, "select token_use($1::bytea, $2)", purpose, text, subject, err);
}
