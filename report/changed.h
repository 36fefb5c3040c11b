/*
 * changed - the mails to people whose password or second factor was changed (OWASP ASVS 2.2.3)
 *
 * There is nothing secret in them. They go to the user's address, or to an account's login where
 * that is an address; else to who is told of trouble (notice_contact), of the customer or here.
 */
#ifndef ROLLCALL_CHANGED_H
#define ROLLCALL_CHANGED_H

#include "report/compose.h"

/* Takes the next change; *any tells whether there was one. */
bool changed_next(struct compose *compose, bool *any, struct err *err) MUST_CHECK;

#endif
