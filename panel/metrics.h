/* metrics - what the panel counts, for Prometheus, and whether it can do its work */
#ifndef ROLLCALL_PANEL_METRICS_H
#define ROLLCALL_PANEL_METRICS_H

#include "panel/visit.h"

void metrics_count(struct panel *panel, int status, int64_t took_us);
/* /metrics or /healthz; returns the status. */
unsigned metrics_page(struct panel *panel, const char *path, struct buf *body);

#endif
