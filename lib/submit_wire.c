/* submit_wire - the connection below submit.c, see submit_private.h; the only user of libcurl */
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"
#include "submit_private.h"

/* ---- connecting ---- */

static void begin_library(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

bool wire_begin(struct wire *wire, const struct submit_options *options, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *helo = options->helo != NULL ? options->helo : "";

    *wire = (struct wire){.connect_us = options->connect_us,
                          .response_us = options->response_us,
                          .timeout_us = options->timeout_us};
    if (!conf_parse_address(span_text(options->server), &wire->address, err))
        return false;
    snprintf(wire->helo, sizeof wire->helo, "%s", helo);
    if (helo[0] == '\0' &&
        (gethostname(wire->helo, sizeof wire->helo - 1) != 0 || wire->helo[0] == '\0'))
        snprintf(wire->helo, sizeof wire->helo, "localhost");
    pthread_once(&once, begin_library);
    return true;
}

static void see_offer(struct wire *wire, struct span text)
{
    struct span word;

    if (!span_next(&text, ' ', &word))
        return;
    wire->pipelining |= word.len == 10 && strncasecmp(word.at, "PIPELINING", 10) == 0;
    wire->smtputf8 |= word.len == 8 && strncasecmp(word.at, "SMTPUTF8", 8) == 0;
}

/* Every line that the server says until we are connected. */
static size_t take_line(char *line, size_t size, size_t count, void *context)
{
    struct wire *wire = context;
    size_t len = size * count;
    int64_t code;

    if (len < 4 || !str_int64(span_of(line, 3), &code))
        return len;
    struct span text = span_trim(span_of(line + 4, len - 4));
    if (code == 220) /* a greeting, or TLS: what was offered before does not count */
        wire->pipelining = wire->smtputf8 = false;
    if (code == 250)
        see_offer(wire, text);
    if (line[3] == '-' || wire->code >= 400)
        return len; /* it goes on; or it was decided, and libcurl says QUIT and gets its 221 */
    wire->code = (int)code;
    str_printable(wire->line, sizeof wire->line, text.at, text.len);
    return len;
}

static char *url_of(const struct wire *wire)
{
    const struct conf_address *address = &wire->address;

    if (address->is_unix)
        return mem_printf("smtp://localhost/%s", wire->helo);
    bool literal6 = strchr(address->host, ':') != NULL;
    return mem_printf("smtp://%s%s%s:%s/%s", literal6 ? "[" : "", address->host,
                      literal6 ? "]" : "", address->port, wire->helo);
}

static CURL *handle_of(struct wire *wire, char error[CURL_ERROR_SIZE])
{
    STR_AUTO url = url_of(wire);
    CURL *curl = curl_easy_init();

    if (curl == NULL)
        abort();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    if (wire->address.is_unix)
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, wire->address.path);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp");
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L); /* until EHLO is answered */
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(wire->connect_us / 1000));
    curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT,
                     (long)((wire->response_us + 999999) / 1000000));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(wire->timeout_us / 1000));
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_line);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, wire);
    return curl;
}

bool wire_connect(struct wire *wire)
{
    char error[CURL_ERROR_SIZE] = "";

    wire_cut(wire);
    wire->code = 0;
    wire->line[0] = '\0';
    wire->in_at = wire->in_len = 0;
    CURL *curl = handle_of(wire, error);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    if (code == CURLE_OK) {
        wire->curl = curl;
        return true;
    }
    const char *why = error[0] != '\0' ? error : curl_easy_strerror(code);
    str_printable(wire->why, sizeof wire->why, why, strlen(why));
    curl_easy_cleanup(curl);
    return false;
}

/* ---- talking ---- */

static int socket_of(const struct wire *wire)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    curl_easy_getinfo(wire->curl, CURLINFO_ACTIVESOCKET, &fd);
    return (int)fd;
}

static bool fail(struct wire *wire, const char *why)
{
    snprintf(wire->why, sizeof wire->why, "%s", why);
    return false;
}

/* Until it can be read or written (events). */
static bool wait_for(struct wire *wire, short events, int64_t deadline_us)
{
    struct pollfd ready = {.fd = socket_of(wire), .events = events};

    for (;;) {
        int64_t left_us = deadline_us - clock_elapsed_us();
        if (left_us <= 0)
            return fail(wire, "the server did not answer in time");
        int n =
            poll(&ready, 1, left_us > CLOCK_SECOND * 1000 ? 1000000 : (int)(left_us / 1000) + 1);
        if (n > 0)
            return true;
        if (n < 0 && errno != EINTR)
            return fail(wire, "poll failed");
    }
}

bool wire_is_quiet(struct wire *wire)
{
    struct pollfd now = {.fd = socket_of(wire), .events = POLLIN};

    return wire->in_at == wire->in_len && poll(&now, 1, 0) == 0;
}

bool wire_send(struct wire *wire, const void *bytes, size_t len, int64_t deadline_us)
{
    for (const char *at = bytes; len > 0;) {
        size_t n = 0;
        CURLcode code = curl_easy_send(wire->curl, at, len, &n);
        if (code == CURLE_AGAIN) {
            if (!wait_for(wire, POLLOUT, deadline_us))
                return false;
            continue;
        }
        if (code != CURLE_OK)
            return fail(wire, curl_easy_strerror(code));
        at += n;
        len -= n;
    }
    return true;
}

static bool receive(struct wire *wire, int64_t deadline_us)
{
    size_t n = 0;
    CURLcode code;

    memmove(wire->in, wire->in + wire->in_at, wire->in_len - wire->in_at);
    wire->in_len -= wire->in_at;
    wire->in_at = 0;
    if (wire->in_len == sizeof wire->in)
        return fail(wire, "the server's answer is too long");
    do {
        if (!wait_for(wire, POLLIN, deadline_us))
            return false;
        code =
            curl_easy_recv(wire->curl, wire->in + wire->in_len, sizeof wire->in - wire->in_len, &n);
    } while (code == CURLE_AGAIN);
    if (code != CURLE_OK)
        return fail(wire, curl_easy_strerror(code));
    wire->in_len += n;
    return n > 0 || fail(wire, "the server closed the connection");
}

bool wire_line(struct wire *wire, struct span *line, int64_t deadline_us)
{
    char *end;

    while ((end = memchr(wire->in + wire->in_at, '\n', wire->in_len - wire->in_at)) == NULL)
        if (!receive(wire, deadline_us))
            return false;
    *line = span_of(wire->in + wire->in_at, (size_t)(end - (wire->in + wire->in_at)));
    wire->in_at += line->len + 1;
    *line = span_trim(*line);
    return true;
}

/* ---- ending ---- */

void wire_cut(struct wire *wire)
{
    curl_easy_cleanup(wire->curl); /* NULL allowed; without QUIT, as it made the connection only */
    wire->curl = NULL;
}

void wire_quit(struct wire *wire)
{
    static const int64_t PATIENCE = CLOCK_SECOND;
    int64_t until_us = clock_elapsed_us() + PATIENCE;
    struct span line;

    /* whether it answers makes no difference any more */
    if (wire->curl != NULL && wire_send(wire, "QUIT\r\n", 6, until_us))
        (void)!wire_line(wire, &line, until_us);
    wire_cut(wire);
}
