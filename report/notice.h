/*
 * notice - tells a customer's contact that a directory fails, is held, or is well again
 *
 * rollcall-ldapsync notes it once for each episode (table ldap_notice); here a plain mail is made
 * of it, in the transaction that marks it.
 */
#ifndef ROLLCALL_NOTICE_H
#define ROLLCALL_NOTICE_H

#include "report/compose.h"

/* Takes the next one; *any tells whether there was one. */
bool notice_next(struct compose *compose, bool *any, struct err *err) MUST_CHECK;

#endif
