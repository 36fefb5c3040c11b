/*
 * say - what lib says is wrong, in the words of the panel (pure)
 *
 * lib words its errors in English, for logs and for who works with the command line. Here stands,
 * for each that people meet in a browser, what it looks like there and what the panel says instead:
 * without commands and options, which nobody has in a browser, and to be translated.
 */
#ifndef ROLLCALL_PANEL_SAY_H
#define ROLLCALL_PANEL_SAY_H

#include "lib/text.h"
#include "panel/data.h"

/* The text in the panel's words and in that language; what is not known stays, but for the advice
 * of a command. The answer lives in the arena, or as long as `text`. */
const char *say(struct arena *arena, enum text_language language, const char *text);

#endif
