/*
 * asked - a user's report sent because somebody asked for it in the panel (report_request)
 */
#ifndef ROLLCALL_ASKED_H
#define ROLLCALL_ASKED_H

#include "report/compose.h"

/* Takes the next request, puts its report into the outbox, and records what became of it; *any
 * tells whether there was one. */
bool asked_next(struct compose *compose, bool *any, struct err *err) MUST_CHECK;

#endif
