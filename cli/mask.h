/* mask - connection strings without their secrets (pure) */
#ifndef ROLLCALL_MASK_H
#define ROLLCALL_MASK_H

#include <stdbool.h>

#include "lib/str.h"

/*
 * Replaces the values of password= and sslpassword=, and the password of a URI's user, by "***".
 * Takes both forms of libpq (PostgreSQL documentation, section 34.1.1). Returns whether there was
 * any.
 */
bool mask_password(struct buf *conninfo);

#endif
