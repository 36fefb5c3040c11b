/*
 * letter - the mails of the two steps to a password, made from what was asked for
 *
 * The one place that finds out whether an asked address exists (password_request.h). A letter with
 * its token is sealed in the outbox, in the transaction that takes the request off the list.
 */
#ifndef ROLLCALL_LETTER_H
#define ROLLCALL_LETTER_H

#include "report/compose.h"

/* Takes the next request; *any tells whether there was one. `seal` is the key of secret_key_file.
 */
bool letter_next(struct compose *compose, const uint8_t seal[SECRET_KEY], bool *any,
                 struct err *err) MUST_CHECK;
/* What a sealed body is bound to. */
void letter_context(const char *message_id, char *out, size_t room);

#endif
