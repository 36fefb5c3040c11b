/* http - HTTP for browsers and for Prometheus; the only user of libmicrohttpd */
#ifndef ROLLCALL_PANEL_HTTP_H
#define ROLLCALL_PANEL_HTTP_H

#include "panel/visit.h"

struct http;
/* Opens the sockets, which may need root: panel_listen, or those that systemd hands over, and
 * panel_metrics_listen. */
bool http_prepare(struct http **http, struct panel *panel, struct err *err) MUST_CHECK;
/* Paths of the sockets for pages; NULL among them: one that is none of ours. */
char *const *http_sockets(const struct http *http);
size_t http_socket_count(const struct http *http);
/* Requests are answered from here on, by threads. */
bool http_serve(struct http *http, struct err *err) MUST_CHECK;
/* Requests in hand are finished. */
void http_close(struct http **http);

#endif
