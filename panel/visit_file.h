/*
 * visit_file - what is too long for memory lies in panel_spool_directory: a list that is uploaded
 * or pasted, a message that is the answer
 *
 * One file each way, of one visit. How much may come is visit.c's matter.
 */
#ifndef ROLLCALL_PANEL_VISIT_FILE_H
#define ROLLCALL_PANEL_VISIT_FILE_H

#include "panel/visit.h"

/* For struct form_sink. Nobody without our form puts anything on our disk. */
bool visit_file_begin(void *visit, const struct form *form, struct span name,
                      struct span file_name);
bool visit_file_take(void *visit, struct span bytes);
/* What no job has taken over goes with the visit. */
void visit_file_drop(struct visit *visit);

#endif
