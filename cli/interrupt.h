/*
 * interrupt - Ctrl-C and its like as something to wait for
 *
 * While it is watched for, a signal (INT, TERM, HUP) ends every wait of the database connection
 * that was given the descriptor, and every read, instead of the program: so that the command can
 * say what became of its work.
 */
#ifndef ROLLCALL_INTERRUPT_H
#define ROLLCALL_INTERRUPT_H

#include <stdbool.h>

/* Watches from now on; returns a descriptor that is readable once a signal came. */
int interrupt_watch(void);
bool interrupt_seen(void);
/* The program's own way with signals again. */
void interrupt_end(void);

#endif
