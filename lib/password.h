/*
 * password - how passwords are kept and judged; the only user of libxcrypt
 *
 * Hashes are yescrypt's ("$y$…", crypt(5)): about 60 ms of one core and 16 MiB each. Nothing here
 * knows whose password it is.
 */
#ifndef ROLLCALL_PASSWORD_H
#define ROLLCALL_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "str.h"

enum {
    PASSWORD_LEAST = 10, /* characters (NIST SP 800-63B section 5.1.1: 8 at least) */
    PASSWORD_MOST = 256, /* octets */
    PASSWORD_HASH_ROOM = 384,
    PASSWORD_GENERATED = 24, /* characters of a generated one, dashes included */
};

bool password_hash(struct span password, char hash[PASSWORD_HASH_ROOM], struct err *err) MUST_CHECK;
/* Whether it is the password of that hash. With an empty hash the answer is no after the same work,
 * so that nobody learns by the clock who has a password. */
bool password_fits(struct span password, const char *hash) MUST_CHECK;
/* Whether the hash was made by another method or cost than a new one: to be made anew while the
 * password is at hand. */
bool password_is_weakly_kept(const char *hash) MUST_CHECK;
/* Length, and not one of those that are tried first, nor the login. ERR_DATA with what to do. */
bool password_check_rules(struct span password, const char *login, struct err *err) MUST_CHECK;
/* A random one that can be read out: 100 bits as "kw3f-9xhm-…". */
void password_generate(char out[PASSWORD_GENERATED + 1]);

#endif
