/*
 * terminal - talking with the person in front: what is pasted, and questions
 */
#ifndef ROLLCALL_TERMINAL_H
#define ROLLCALL_TERMINAL_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/str.h"

enum { TERMINAL_PASTE_MAX = 64 << 20 }; /* octets */

/*
 * Reads what is pasted at a terminal, lines of any length, until an empty line that nothing follows
 * or Ctrl-D; or, when standard input is no terminal, all of it. The prompt is for a terminal, and
 * comes when it is ready for long lines.
 */
bool terminal_read_paste(const char *prompt, struct buf *out, struct err *err) MUST_CHECK;
/* A line from standard input, if it is a terminal or `from_pipe`; else from /dev/tty. Without its
 * end. */
bool terminal_ask(const char *question, bool from_pipe, struct buf *answer,
                  struct err *err) MUST_CHECK;
/* A line from standard input that is not shown when it is a terminal; up to 1,000 octets. */
bool terminal_ask_secret(const char *question, struct buf *answer, struct err *err) MUST_CHECK;

#endif
