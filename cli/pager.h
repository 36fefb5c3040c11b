/*
 * pager - long output on a terminal, a page at a time
 *
 * $PAGER, or else less, which gives a single page back at once. Where standard output is no
 * terminal, or PAGER is empty or "cat", nothing is done.
 */
#ifndef ROLLCALL_PAGER_H
#define ROLLCALL_PAGER_H

/* Standard output goes through the pager from here on. */
void pager_begin(void);
/* Waits until it is left. */
void pager_end(void);

#endif
