/* http - see http.h */
#include "panel/http.h"

#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "panel/metrics.h"

enum {
    STACK = 512 * 1024,
    /* Headers and what is read at once. libmicrohttpd touches all of it for each connection, and
     * takes whole pages only above 32 KiB. */
    CONNECTION_MEMORY = 36 * 1024,
    SOCKET_MODE = 0660,
};

struct http {
    struct panel *panel;
    struct listeners pages, metrics;
    struct MHD_Daemon *daemons[2 * LISTENERS_MOST];
    size_t daemon_count;
};

/* ---- what came ---- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* An IPv4 client of a socket for both is itself. */
static void address_text(const struct sockaddr *address, char out[64])
{
    socklen_t len =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

    if (address->sa_family == AF_UNIX ||
        getnameinfo(address, len, out, 64, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, 64, "local");
    if (strncmp(out, "::ffff:", 7) == 0)
        memmove(out, out + 7, strlen(out + 7) + 1);
}

/* Behind a proxy of ours the client is whom the proxy names last. */
static void find_client(struct visit *visit, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *named = header(connection, "X-Forwarded-For");
    struct network_address address;

    address_text(info->client_addr, visit->client);
    bool trusted = strcmp(visit->client, "local") == 0 ||
                   (network_address_parse(span_text(visit->client), &address) &&
                    network_list_has(&visit->panel->proxies, &address));
    if (!trusted || named == NULL)
        return;
    const char *last = strrchr(named, ',');
    struct span text = span_trim(span_text(last != NULL ? last + 1 : named));
    if (network_address_parse(text, &address))
        snprintf(visit->client, sizeof visit->client, "%.*s", (int)text.len, text.at);
}

static void take_headers(struct visit *visit, struct MHD_Connection *connection, const char *method)
{
    const char *length = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *agent = header(connection, MHD_HTTP_HEADER_USER_AGENT);

    visit->method = method;
    visit->cookie = header(connection, MHD_HTTP_HEADER_COOKIE);
    visit->content_type = header(connection, MHD_HTTP_HEADER_CONTENT_TYPE);
    visit->languages = header(connection, MHD_HTTP_HEADER_ACCEPT_LANGUAGE);
    visit->agent = agent != NULL && str_utf8_valid(span_text(agent)) ? agent : "";
    if (length == NULL || !str_int64(span_text(length), &visit->length))
        visit->length = -1;
    find_client(visit, connection);
}

/* ---- what is answered ---- */

static void put_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        log_write(LOG_PANEL_TROUBLE, "the header %s cannot be sent", name);
}

static void put_headers(const struct visit *visit, struct MHD_Response *response)
{
    static const char own[] =
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; form-action 'self'; frame-src 'self'; frame-ancestors 'none';"
        " base-uri 'none'";
    static const char stranger[] =
        "default-src 'none'; sandbox; form-action 'none'; frame-ancestors 'self'; base-uri 'none'";

    static const char report[] =
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox;"
        " form-action 'none'; frame-ancestors 'self'; base-uri 'none'";

    put_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
               visit->type != NULL ? visit->type : "text/html; charset=utf-8");
    put_header(response, "Content-Security-Policy",
               visit->styled      ? report
               : visit->sandboxed ? stranger
                                  : own);
    put_header(response, "X-Content-Type-Options", "nosniff");
    put_header(response, "X-Frame-Options", visit->sandboxed ? "SAMEORIGIN" : "DENY");
    put_header(response, "Referrer-Policy", "no-referrer");
    put_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    put_header(response, "Cross-Origin-Resource-Policy",
               visit->for_others ? "cross-origin" : "same-origin");
    put_header(response, "Permissions-Policy", "camera=(), microphone=(), geolocation=()");
    put_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
               visit->lasting ? "public, max-age=31536000, immutable" : "no-store");
    if (visit->panel->secure)
        put_header(response, "Strict-Transport-Security", "max-age=31536000");
    if (visit->location != NULL)
        put_header(response, MHD_HTTP_HEADER_LOCATION, visit->location);
    if (visit->status == 405)
        put_header(response, MHD_HTTP_HEADER_ALLOW, "GET, POST");
    if (visit->status == 503)
        put_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    if (visit->attachment != NULL) {
        STR_AUTO value = mem_printf("attachment; filename=\"%s\"", visit->attachment);
        put_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION, value);
    }
    for (size_t i = 0; i < visit->cookie_count; i++)
        put_header(response, MHD_HTTP_HEADER_SET_COOKIE, visit->cookies[i]);
}

static struct MHD_Response *make_response(struct visit *visit)
{
    struct stat about;

    if (visit->body_file >= 0 && fstat(visit->body_file, &about) == 0) {
        int fd = visit->body_file;
        visit->body_file = -1; /* the response closes it */
        return MHD_create_response_from_fd((uint64_t)about.st_size, fd);
    }
    char *bytes = visit->body.at;
    size_t len = visit->body.len;
    visit->body = (struct buf){0};
    return MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result answer(struct visit *visit, struct MHD_Connection *connection)
{
    struct MHD_Response *response = make_response(visit);

    if (response == NULL)
        return MHD_NO;
    put_headers(visit, response);
    enum MHD_Result sent = MHD_queue_response(connection, (unsigned)visit->status, response);
    MHD_destroy_response(response);
    metrics_count(visit->panel, visit->status, clock_elapsed_us() - visit->begun_us);
    return sent;
}

/* ---- the way of a request ---- */

/* Called first, with the URI as it was sent. What it returns is *mine below. */
static void *begin(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http *http = context;

    (void)connection;
    return visit_new(http->panel, uri);
}

static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_len, void **mine)
{
    const struct http *http = context;
    struct visit *visit = *mine;

    (void)url;
    (void)version;
    if (visit == NULL)
        return MHD_NO;
    if (visit->method == NULL) {
        take_headers(visit, connection, method);
        return visit_begin(visit) ? MHD_YES : answer(visit, connection);
    }
    if (clock_elapsed_us() - visit->begun_us > http->panel->conf->panel_request_limit) {
        log_write(LOG_REQUEST_REFUSED, "%s %s from %s: too slow", visit->method, visit->path,
                  visit->client);
        return MHD_NO;
    }
    if (*data_len > 0) {
        visit_body(visit, span_of(data, *data_len));
        *data_len = 0;
        /* the rest of what is too much is not read: only a body of unknown length gets here */
        return visit->body_outcome == FORM_TOO_LARGE && visit->length < 0 ? MHD_NO : MHD_YES;
    }
    visit_run(visit);
    return answer(visit, connection);
}

/* Requests that did not come to an answer. */
static void end(void *context, struct MHD_Connection *connection, void **mine,
                enum MHD_RequestTerminationCode why)
{
    struct visit *visit = *mine;

    (void)context;
    (void)connection;
    if (visit != NULL && visit->status == 0 && why != MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
        log_write(LOG_REQUEST_REFUSED, "%s %s from %s: %s",
                  visit->method != NULL ? visit->method : "a request for", visit->path,
                  visit->client[0] != '\0' ? visit->client : "somebody",
                  why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED ? "nothing more came in time"
                                                                : "it broke off");
    visit_free(&visit);
    *mine = NULL;
}

/* Paths are decoded by route.c, piece by piece. */
static size_t leave(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static enum MHD_Result handle_metrics(void *context, struct MHD_Connection *connection,
                                      const char *url, const char *method, const char *version,
                                      const char *data, size_t *data_len, void **mine)
{
    struct http *http = context;
    struct buf body = {0};

    (void)method;
    (void)version;
    (void)data;
    (void)mine;
    *data_len = 0;
    unsigned status = metrics_page(http->panel, url, &body);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body.len, body.at, MHD_RESPMEM_MUST_FREE);
    put_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    put_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

/* ---- sockets ---- */

static struct MHD_Daemon *serve_pages(struct http *http, int fd)
{
    return MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
            MHD_USE_ITC,
        0, NULL, NULL, handle, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)http->panel->conf->panel_connections, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((http->panel->conf->panel_silence_limit + CLOCK_SECOND - 1) / CLOCK_SECOND),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_STACK_SIZE,
        (size_t)STACK, MHD_OPTION_URI_LOG_CALLBACK, begin, http, MHD_OPTION_NOTIFY_COMPLETED, end,
        http, MHD_OPTION_UNESCAPE_CALLBACK, leave, NULL, MHD_OPTION_END);
}

static struct MHD_Daemon *serve_metrics(struct http *http, int fd)
{
    return MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL,
                            NULL, handle_metrics, http, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_CONNECTION_LIMIT, 20U, MHD_OPTION_CONNECTION_TIMEOUT, 10U,
                            MHD_OPTION_END);
}

/* A server for each of the sockets, which are its own from then on. */
static bool serve_all(struct http *http, const struct listeners *listeners,
                      struct MHD_Daemon *(*serve)(struct http *, int), struct err *err)
{
    for (size_t i = 0; i < listeners->count; i++) {
        struct MHD_Daemon *daemon = serve(http, listeners->fds[i]);
        if (daemon == NULL)
            return err_set(err, ERR_OTHER, "the HTTP server does not start");
        http->daemons[http->daemon_count++] = daemon;
    }
    return true;
}

bool http_prepare(struct http **http, struct panel *panel, struct err *err)
{
    const struct conf *conf = panel->conf;
    struct listen_options pages = {.setting = "panel_listen",
                                   .addresses = conf->panel_listen,
                                   .mode = SOCKET_MODE,
                                   .owner_setting = "panel_socket_owner",
                                   .owner = ""};
    struct conf_address address;

    *http = mem_zero(1, sizeof **http);
    (*http)->panel = panel;
    if (!listeners_open(&(*http)->pages, &pages, err))
        return false;
    if (conf->panel_metrics_listen[0] == '\0')
        return true;
    (*http)->metrics.count = 1; /* never one that systemd hands over */
    return conf_parse_address(span_text(conf->panel_metrics_listen), &address, err) &&
           (listen_open(&address, SOCKET_MODE, "", &(*http)->metrics.fds[0], err) ||
            err_prefix(err, "panel_metrics_listen"));
}

char *const *http_sockets(const struct http *http)
{
    return http->pages.paths;
}

size_t http_socket_count(const struct http *http)
{
    return http->pages.count;
}

bool http_serve(struct http *http, struct err *err)
{
    return serve_all(http, &http->metrics, serve_metrics, err) &&
           serve_all(http, &http->pages, serve_pages, err);
}

void http_close(struct http **http)
{
    if (*http == NULL)
        return;
    for (size_t i = 0; i < (*http)->daemon_count; i++)
        MHD_stop_daemon((*http)->daemons[i]);
    if ((*http)->daemon_count == 0)
        listeners_close(&(*http)->pages);
    for (size_t i = 0; i < (*http)->pages.count; i++) {
        if ((*http)->pages.paths[i] != NULL)
            unlink((*http)->pages.paths[i]);
        free((*http)->pages.paths[i]);
    }
    free(*http);
    *http = NULL;
}
