/*
 * prober - a process of our own that runs `sendmail -bv` for us, started before the sandbox is
 * entered
 *
 * Postfix's sendmail hands the question to postdrop, whose rights come from its setgid bit: what is
 * started from inside of the sandbox would not get them. So the process that reads logs, which are
 * strangers' bytes, gives up all programs, and this one, which sees nothing of them, runs one: with
 * addresses that it looks at again itself, a few at a time.
 */
#ifndef ROLLCALL_PROBER_H
#define ROLLCALL_PROBER_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

enum { PROBER_AT_ONCE = 20 };

struct prober;

/* Call it before there are threads. `postfix_directory` must outlive it: that of main.cf. */
bool prober_start(struct prober **prober, const char *postfix_directory,
                  struct err *err) MUST_CHECK;
/* Nulls; NULL allowed. The process ends. */
void prober_stop(struct prober **prober);

/* Has the servers of these addresses asked, at most PROBER_AT_ONCE; returns when Postfix has taken
 * the question. Only an address made for that (evidence.h) is taken. */
bool prober_ask(struct prober *prober, char *const *addresses, size_t count,
                struct err *err) MUST_CHECK;

#endif
