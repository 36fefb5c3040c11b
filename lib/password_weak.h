/*
 * password_weak - whether a password is among those that are tried first (pure)
 *
 * Case, digits and signs at the ends and letters written as digits are folded away; what is left
 * must not be one of the common words (password_common.c), the login or a part of it, a walk over
 * the keyboard, or a repetition. A table of answers: t/data/password.txt.
 */
#ifndef ROLLCALL_PASSWORD_WEAK_H
#define ROLLCALL_PASSWORD_WEAK_H

#include <stdbool.h>

/* Both UTF-8 without NUL; `login` may be "". */
bool password_weak(const char *password, const char *login);

#endif
