/*
 * second - the second factor of an account: its secret, sealed in the database, and recovery codes
 */
#ifndef ROLLCALL_PANEL_SECOND_H
#define ROLLCALL_PANEL_SECOND_H

#include "lib/db.h"
#include "lib/err.h"
#include "lib/totp.h"
#include "panel/session.h"

enum {
    SECOND_CODES = 8,
    SECOND_CODE = 14, /* characters of a recovery code: "abcd-efgh-jkmn" */
    SECOND_DIGEST_TEXT = 64,
};

/* The step that the code belongs to, -1: none. */
bool second_match(struct db *db, const struct session *session, const char *code,
                  const unsigned char *key, int64_t *step, struct err *err) MUST_CHECK;
/* The digest of a recovery code: blanks, dashes and case do not matter. */
void second_recovery_digest(const char *code, char out[SECOND_DIGEST_TEXT + 1]);
/* Keeps a secret whose code of `step` was typed; fills the codes, which are shown once. */
bool second_keep(struct db *db, const struct session *session, const uint8_t secret[TOTP_SECRET],
                 int64_t step, const unsigned char *key, char codes[SECOND_CODES][SECOND_CODE + 1],
                 struct err *err) MUST_CHECK;
bool second_drop(struct db *db, const struct session *session, struct err *err) MUST_CHECK;

/* A secret on its way through the form that confirms it, sealed for this session. */
void second_seal_for_form(const struct session *session, const uint8_t secret[TOTP_SECRET],
                          const unsigned char *key, struct buf *out);
bool second_open_from_form(const struct session *session, const char *text,
                           const unsigned char *key, uint8_t secret[TOTP_SECRET]) MUST_CHECK;

#endif
