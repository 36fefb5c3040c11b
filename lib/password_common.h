/* password_common - words and strings that are tried first (data); for password.c */
#ifndef ROLLCALL_PASSWORD_COMMON_H
#define ROLLCALL_PASSWORD_COMMON_H

#include <stddef.h>

/* Lines of words, in lower case, each between blanks. */
extern const char *const password_common[];
extern const size_t password_common_count;

#endif
