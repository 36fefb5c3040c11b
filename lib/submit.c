/* submit - see submit.h */
#include "submit.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"

enum {
    PIECE = 32 * 1024, /* read at once; with every end of line made two bytes it is twice that */
    MAXIMUM_RECIPIENTS = 1000,
};

/* Where the bytes of a message come from, and what has become of them. */
struct source {
    const struct submit_message *message;
    struct span head, body; /* what is left of them */
    bool ended;             /* all was handed to libcurl */
    bool failed;            /* `read` failed */
    bool after_cr;          /* the last byte that went out was a CR */
    bool at_line_start;
    char in[PIECE];
    char out[2 * PIECE + 2];
    size_t out_at, out_len;
};

struct submit {
    CURL *curl;
    struct source source;
    char error[CURL_ERROR_SIZE];
    /* the server's last answer to the message in hand */
    int code;
    char line[512];
    bool in_transaction; /* MAIL was said: an answer is about the message, not about us */
    bool data_started;   /* 354 */
};

/* ---- the bytes ---- */

static size_t take(struct span *from, char *out, size_t room)
{
    size_t n = from->len < room ? from->len : room;

    if (n > 0)
        memcpy(out, from->at, n);
    *from = span_of(from->at + n, from->len - n);
    return n;
}

/* The next bytes as the caller has them; 0: the end. */
static size_t raw_piece(struct source *s)
{
    size_t got = take(&s->head, s->in, PIECE);

    if (got == 0)
        got = take(&s->body, s->in, PIECE);
    if (got > 0 || s->message->read == NULL)
        return got;
    if (!s->message->read(s->message->context, s->in, PIECE, &got)) {
        s->failed = true;
        return 0;
    }
    return got;
}

static void put(struct source *s, char c)
{
    s->out[s->out_len++] = c;
}

/* CRLF for every CRLF, bare LF and bare CR. */
static void put_line_ends(struct source *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = s->in[i];
        if (s->after_cr && c != '\n')
            put(s, '\n');
        if (c == '\n' && !s->after_cr)
            put(s, '\r');
        put(s, c);
        s->after_cr = c == '\r';
        s->at_line_start = c == '\n';
    }
}

static void end_last_line(struct source *s)
{
    if (s->after_cr)
        put(s, '\n');
    else if (!s->at_line_start) {
        put(s, '\r');
        put(s, '\n');
    }
    s->after_cr = false;
    s->at_line_start = true;
}

static size_t read_for_curl(char *out, size_t size, size_t count, void *context)
{
    struct source *s = context;
    size_t room = size * count;

    while (s->out_at == s->out_len) {
        s->out_at = s->out_len = 0;
        if (s->ended)
            return 0;
        size_t got = raw_piece(s);
        if (s->failed)
            return CURL_READFUNC_ABORT;
        if (got > 0) {
            put_line_ends(s, got);
            continue;
        }
        end_last_line(s);
        s->ended = true;
    }
    size_t n = s->out_len - s->out_at < room ? s->out_len - s->out_at : room;
    memcpy(out, s->out + s->out_at, n);
    s->out_at += n;
    return n;
}

static void begin_source(struct source *s, const struct submit_message *message)
{
    s->message = message;
    s->head = message->head;
    s->body = message->body;
    s->ended = s->failed = s->after_cr = false;
    s->at_line_start = true;
    s->out_at = s->out_len = 0;
}

/* ---- the answers ---- */

/* Every line that the server says: "250-PIPELINING", "250 2.0.0 Ok: queued as …". */
static size_t take_answer(char *line, size_t size, size_t count, void *context)
{
    struct submit *s = context;
    size_t len = size * count;
    int64_t code;

    if (len < 3 || !str_int64(span_of(line, 3), &code) || (len > 3 && line[3] == '-'))
        return len;
    if (s->code >= 400)
        return len; /* it was decided; libcurl says QUIT and gets its 221 */
    struct span text = span_trim(span_of(line + 3, len - 3));
    s->code = (int)code;
    s->data_started |= code == 354;
    str_printable(s->line, sizeof s->line, text.at, text.len);
    return len;
}

/* What we say. */
static int watch(CURL *curl, curl_infotype type, char *text, size_t len, void *context)
{
    struct submit *s = context;

    (void)curl;
    if (type == CURLINFO_HEADER_OUT && len > 5 && memcmp(text, "MAIL ", 5) == 0) {
        s->in_transaction = true;
        s->code = 0; /* what was answered before was not about this message */
    }
    return 0;
}

/* "4.3.0" at the beginning of a text. */
static size_t status_length(const char *text)
{
    unsigned class, subject, detail;
    int len = 0;

    if (sscanf(text, "%1u.%3u.%3u%n", &class, &subject, &detail, &len) != 3)
        return 0;
    return text[len] == ' ' || text[len] == '\0' ? (size_t)len : 0;
}

static enum submit_outcome outcome_of(const struct submit *s, CURLcode code)
{
    if (code == CURLE_OK)
        return SUBMIT_SENT;
    if (s->in_transaction && s->code >= 500 && s->code < 600)
        return SUBMIT_PERMANENT;
    if (s->in_transaction && s->code >= 400 && s->code < 500)
        return SUBMIT_TEMPORARY;
    return s->data_started && s->source.ended ? SUBMIT_UNKNOWN : SUBMIT_TEMPORARY;
}

static void tell(const struct submit *s, CURLcode code, struct submit_result *result)
{
    bool answered = s->code >= 400 || code == CURLE_OK;
    size_t len = status_length(s->line);
    const char *why = s->source.failed      ? "the message could not be read to its end"
                      : s->error[0] != '\0' ? s->error
                                            : curl_easy_strerror(code);

    *result = (struct submit_result){.outcome = outcome_of(s, code), .code = s->code};
    if (answered && len < sizeof result->status)
        snprintf(result->status, sizeof result->status, "%.*s", (int)len, s->line);
    if (answered)
        snprintf(result->text, sizeof result->text, "%s", s->line);
    else
        str_printable(result->text, sizeof result->text, why, strlen(why));
}

static enum submit_outcome refuse(struct submit_result *result, const char *why)
{
    *result = (struct submit_result){.outcome = SUBMIT_PERMANENT};
    snprintf(result->text, sizeof result->text, "%s", why);
    return SUBMIT_PERMANENT;
}

/* ---- sending ---- */

/* Nothing that could end the command it stands in. */
static bool is_sendable(const char *address)
{
    for (const char *p = address; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f || *p == '<' || *p == '>')
            return false;
    return str_utf8_valid(span_text(address));
}

static const char *objection(const struct submit_message *message)
{
    if (message->recipient_count == 0 || message->recipient_count > MAXIMUM_RECIPIENTS)
        return "a message needs 1 to 1000 recipients";
    if (!is_sendable(message->sender))
        return "the sender's address cannot be sent";
    for (size_t i = 0; i < message->recipient_count; i++)
        if (message->recipients[i][0] == '\0' || !is_sendable(message->recipients[i]))
            return "a recipient's address cannot be sent";
    return NULL;
}

static CURLcode attempt(struct submit *s, const struct submit_message *message)
{
    s->code = 0;
    s->line[0] = s->error[0] = '\0';
    s->in_transaction = s->data_started = false;
    begin_source(&s->source, message);
    return curl_easy_perform(s->curl);
}

/* A server may close a connection that has been idle: that says nothing about the message. */
static bool was_idle_too_long(const struct submit *s)
{
    long made = 0;

    curl_easy_getinfo(s->curl, CURLINFO_NUM_CONNECTS, &made);
    return made == 0 && !s->data_started && (s->code < 400 || s->code == 421);
}

enum submit_outcome submit_send(struct submit *submit, const struct submit_message *message,
                                struct submit_result *result)
{
    const char *wrong = objection(message);
    struct curl_slist *recipients = NULL;

    if (wrong != NULL)
        return refuse(result, wrong);
    for (size_t i = 0; i < message->recipient_count; i++) {
        struct curl_slist *longer = curl_slist_append(recipients, message->recipients[i]);
        if (longer == NULL)
            abort();
        recipients = longer;
    }
    /* without an address libcurl says MAIL FROM:<> */
    curl_easy_setopt(submit->curl, CURLOPT_MAIL_FROM,
                     message->sender[0] != '\0' ? message->sender : NULL);
    curl_easy_setopt(submit->curl, CURLOPT_MAIL_RCPT, recipients);
    CURLcode code = attempt(submit, message);
    if (code != CURLE_OK && was_idle_too_long(submit)) {
        curl_easy_setopt(submit->curl, CURLOPT_FRESH_CONNECT, 1L);
        code = attempt(submit, message);
        curl_easy_setopt(submit->curl, CURLOPT_FRESH_CONNECT, 0L);
    }
    tell(submit, code, result);
    curl_easy_setopt(submit->curl, CURLOPT_MAIL_RCPT, NULL);
    curl_slist_free_all(recipients);
    return result->outcome;
}

/* ---- opening ---- */

static void begin_library(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort();
}

static char *url_of(const struct conf_address *address, const char *helo)
{
    char host[256] = "";

    if (helo == NULL || helo[0] == '\0') {
        if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
            snprintf(host, sizeof host, "localhost");
        helo = host;
    }
    if (address->is_unix)
        return mem_printf("smtp://localhost/%s", helo);
    bool literal6 = strchr(address->host, ':') != NULL;
    return mem_printf("smtp://%s%s%s:%s/%s", literal6 ? "[" : "", address->host,
                      literal6 ? "]" : "", address->port, helo);
}

static void set_options(struct submit *s, const struct conf_address *address,
                        const struct submit_options *o)
{
    STR_AUTO url = url_of(address, o->helo);

    curl_easy_setopt(s->curl, CURLOPT_URL, url);
    if (address->is_unix)
        curl_easy_setopt(s->curl, CURLOPT_UNIX_SOCKET_PATH, address->path);
    curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "smtp");
    curl_easy_setopt(s->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(s->curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(o->connect_us / 1000));
    curl_easy_setopt(s->curl, CURLOPT_SERVER_RESPONSE_TIMEOUT,
                     (long)((o->response_us + 999999) / 1000000));
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, (long)(o->timeout_us / 1000));
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, s->error);
    curl_easy_setopt(s->curl, CURLOPT_READFUNCTION, read_for_curl);
    curl_easy_setopt(s->curl, CURLOPT_READDATA, &s->source);
    curl_easy_setopt(s->curl, CURLOPT_HEADERFUNCTION, take_answer);
    curl_easy_setopt(s->curl, CURLOPT_HEADERDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_DEBUGFUNCTION, watch);
    curl_easy_setopt(s->curl, CURLOPT_DEBUGDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_VERBOSE, 1L); /* so that `watch` is called */
}

bool submit_open(struct submit **submit, const struct submit_options *options, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct conf_address address;

    *submit = NULL;
    if (!conf_parse_address(span_text(options->server), &address, err))
        return false;
    pthread_once(&once, begin_library);
    struct submit *s = mem_zero(1, sizeof *s);
    s->curl = curl_easy_init();
    if (s->curl == NULL)
        abort();
    set_options(s, &address, options);
    *submit = s;
    return true;
}

void submit_close(struct submit **submit)
{
    if (*submit == NULL)
        return;
    curl_easy_cleanup((*submit)->curl);
    free(*submit);
    *submit = NULL;
}
