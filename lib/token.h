/*
 * token - what a mail carries so that its reader can show that he got it
 *
 * 256 random bits. The database has only a hash, the purpose, whose it is, and until when; it works
 * once, and with it go all others of that purpose for the same subject. Looking at one changes
 * nothing: whatever follows links in mails may look.
 */
#ifndef ROLLCALL_TOKEN_H
#define ROLLCALL_TOKEN_H

#include <stdint.h>

#include "db.h"
#include "err.h"
#include "secret.h"

enum { TOKEN_BYTES = 32, TOKEN_TEXT = 43 }; /* as base 64 for URLs */

enum token_purpose {
    TOKEN_CONFIRM,  /* that a registration is meant; subject: a user */
    TOKEN_PASSWORD, /* to set a password; subject: a user */
    TOKEN_ACCOUNT,  /* to set an account's password; subject: an account */
};
extern const char *const token_purpose_names[];

/* Unknown, used, expired, altered, made for something else: all the same TOKEN_BAD. */
enum token_answer { TOKEN_GOOD, TOKEN_BAD, TOKEN_UNSURE /* see err */ };

/* `text` is to be sent and forgotten (secret_forget). */
bool token_make(struct db *db, enum token_purpose purpose, int64_t subject, int64_t life_us,
                char text[TOKEN_TEXT + 1], struct err *err) MUST_CHECK;
enum token_answer token_look(struct db *db, enum token_purpose purpose, struct span text,
                             int64_t *subject, struct err *err) MUST_CHECK;
/* The same, and it works no more. */
enum token_answer token_use(struct db *db, enum token_purpose purpose, struct span text,
                            int64_t *subject, struct err *err) MUST_CHECK;

/* What the database knows of a token, as a bytea literal ("\x…"). False: it is none by its form. */
enum { TOKEN_HASH_TEXT = 2 + 2 * SECRET_DIGEST };
bool token_hash(struct span text, char hash[TOKEN_HASH_TEXT + 1]) MUST_CHECK;

#endif
