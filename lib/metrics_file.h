/*
 * metrics_file - figures as Prometheus text, in a file that node_exporter's textfile collector
 * takes
 *
 * For programs that are no servers, or whose sockets are not for this.
 */
#ifndef ROLLCALL_METRICS_FILE_H
#define ROLLCALL_METRICS_FILE_H

#include <stdbool.h>

#include "err.h"
#include "str.h"

/* `type`: "gauge" or "counter"; before the values of that name. */
void metrics_family(struct buf *out, const char *name, const char *type, const char *help);
/* `label` NULL: none. The value as text: a number. */
void metrics_value(struct buf *out, const char *name, const char *label, const char *of,
                   const char *value);
/* The two at once, for a number without labels. */
void metrics_put(struct buf *out, const char *name, const char *type, const char *help,
                 double value);

/* Replaces the file as a whole; `setting` is the one that names it. */
bool metrics_file_write(const char *setting, const char *path, const struct buf *text,
                        struct err *err) MUST_CHECK;

#endif
