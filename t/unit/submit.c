/*
 * submit - messages handed to a server that this test plays itself: what arrives, and what is told
 *
 * Would catch: a byte lost, added or doubled (dots, ends of lines, no last line); a temporary
 * answer taken for a permanent one; a message called refused although it may have been taken; a
 * connection not used again, or used after the server closed it; an address that ends its command.
 */
#include "lib/submit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "t/unit/tap.h"

/* What the server answers; "": it closes the connection instead. */
struct plan {
    const char *greeting, *mail, *rcpt, *data, *end;
    bool close_after; /* once the message is answered, the connection */
    bool slow;        /* offers no PIPELINING */
};

static struct server {
    int fd;
    char address[64];
    pthread_mutex_t lock;
    struct plan plan;
    int connections;
    size_t waiting;   /* what had come with a command and was not answered yet, the most */
    size_t after_dot; /* what had come with the last dot */
    struct buf commands, data;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const struct plan kind = {
    "220 hello", "250 2.1.0 Ok", "250 2.1.5 Ok", "354 go on", "250 2.0.0 Ok: queued as 4ABC",
    false,       false};

static bool say(int fd, const char *line)
{
    char text[300];
    int len = snprintf(text, sizeof text, "%s\r\n", line);

    return line[0] != '\0' && send(fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}

/* The next line without CRLF; false at the end. */
static bool hear(int fd, struct buf *in, struct buf *line)
{
    char *end;
    char piece[65536];

    while (in->at == NULL || (end = memmem(in->at, in->len, "\r\n", 2)) == NULL) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0)
            return false;
        buf_append(in, piece, (size_t)n);
    }
    buf_clear(line);
    buf_append(line, in->at, (size_t)(end - in->at));
    size_t used = (size_t)(end + 2 - in->at);
    memmove(in->at, in->at + used, in->len - used + 1);
    in->len -= used;
    return true;
}

/* The message, with the dots that were doubled made one again. */
static bool hear_data(int fd, struct buf *in, struct buf *line)
{
    while (hear(fd, in, line)) {
        if (strcmp(line->at, ".") == 0 && line->len == 1) {
            server.after_dot = in->len;
            return true;
        }
        size_t skip = line->at[0] == '.' ? 1 : 0;
        pthread_mutex_lock(&server.lock);
        buf_append(&server.data, line->at + skip, line->len - skip);
        buf_text(&server.data, "\r\n");
        pthread_mutex_unlock(&server.lock);
    }
    return false;
}

static bool answer(int fd, struct buf *in, struct buf *line)
{
    const struct plan *p = &server.plan;

    pthread_mutex_lock(&server.lock);
    buf_printf(&server.commands, "%s\n", line->at);
    pthread_mutex_unlock(&server.lock);
    server.waiting = in->len > server.waiting ? in->len : server.waiting;
    if (strncmp(line->at, "EHLO", 4) == 0)
        return say(fd, "250-here") && say(fd, p->slow ? "250-VRFY" : "250-PIPELINING") &&
               say(fd, "250 SMTPUTF8");
    if (strncmp(line->at, "RSET", 4) == 0)
        return say(fd, "250 2.0.0 Ok");
    if (strncmp(line->at, "MAIL", 4) == 0)
        return say(fd, p->mail);
    if (strncmp(line->at, "RCPT", 4) == 0)
        return say(fd, p->rcpt);
    if (strncmp(line->at, "QUIT", 4) == 0) {
        say(fd, "221 bye");
        return false;
    }
    if (p->data[0] == '5')
        return say(fd, p->data);
    return say(fd, p->data) && p->data[0] == '3' && hear_data(fd, in, line) && say(fd, p->end) &&
           !p->close_after;
}

static void *serve(void *unused)
{
    (void)unused;
    for (int fd; (fd = accept(server.fd, NULL, NULL)) >= 0; close(fd)) {
        BUF_AUTO in = {0};
        BUF_AUTO line = {0};
        server.connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* answers one by one */
        if (say(fd, server.plan.greeting))
            while (hear(fd, &in, &line) && answer(fd, &in, &line)) {
            }
    }
    return NULL;
}

static void start_server(pthread_t *thread)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server.fd < 0 || bind(server.fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(server.fd, 16) != 0 || getsockname(server.fd, (struct sockaddr *)&at, &len) != 0)
        abort();
    snprintf(server.address, sizeof server.address, "inet:127.0.0.1:%d", ntohs(at.sin_port));
    server.plan = kind;
    pthread_create(thread, NULL, serve, NULL);
}

static struct submit *open_handle(void)
{
    struct submit *submit;
    struct err err;
    const struct submit_options options = {.server = server.address,
                                           .helo = "gateway.example.test",
                                           .connect_us = 5 * CLOCK_SECOND,
                                           .response_us = 5 * CLOCK_SECOND,
                                           .timeout_us = 10 * CLOCK_SECOND};

    if (!submit_open(&submit, &options, &err))
        abort();
    return submit;
}

static void begin(struct plan plan)
{
    pthread_mutex_lock(&server.lock);
    server.plan = plan;
    buf_clear(&server.commands);
    buf_clear(&server.data);
    buf_text(&server.data, "");
    server.waiting = 0;
    pthread_mutex_unlock(&server.lock);
}

static const char *const bob[] = {"bob@example.com"};

static struct submit_message plain(const char *text)
{
    return (struct submit_message){.sender = "alice@example.org",
                                   .recipients = bob,
                                   .recipient_count = 1,
                                   .body = span_text(text)};
}

/* ---- what arrives ---- */

static void test_bytes(void)
{
    static const struct {
        const char *name, *sent, *want;
    } rows[] = {
        {"lines", "A: b\r\n\r\ntext\r\n", "A: b\r\n\r\ntext\r\n"},
        {"dots", ".\r\n..\r\n.x\r\nx.\r\n.\r\n", ".\r\n..\r\n.x\r\nx.\r\n.\r\n"},
        {"no last end", "A: b\r\n\r\ntext", "A: b\r\n\r\ntext\r\n"},
        {"a last dot", "text\r\n.", "text\r\n.\r\n"},
        {"bare LF", "a\nb\n.\nMAIL FROM:<x@y>\n", "a\r\nb\r\n.\r\nMAIL FROM:<x@y>\r\n"},
        {"bare CR", "a\rb\r.\rc\r", "a\r\nb\r\n.\r\nc\r\n"},
        {"mixed ends", "a\n\r\nb\r\r\nc\n\r", "a\r\n\r\nb\r\n\r\nc\r\n\r\n"},
        {"LF dot CRLF", "a\n.\r\nb", "a\r\n.\r\nb\r\n"},
        {"bytes above 127", "\xff\xfe \xc3\xa4\r\n", "\xff\xfe \xc3\xa4\r\n"},
    };
    struct submit *submit = open_handle();
    struct submit_result result;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct submit_message message = plain(rows[i].sent);
        begin(kind);
        is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "%s: sent", rows[i].name);
        is_text(server.data.at, rows[i].want, "%s: arrives", rows[i].name);
    }
    is_int(server.connections, 1, "over one connection");
    submit_close(&submit);
}

struct large {
    size_t left;
    uint32_t state;
    struct buf all;
};

static bool read_large(void *context, char *out, size_t room, size_t *got)
{
    struct large *l = context;

    *got = room < l->left ? room : l->left;
    for (size_t i = 0; i < *got; i++) {
        l->state = l->state * 1664525 + 1013904223;
        out[i] = (l->left - i) % 61 == 1 ? '\n' : "abc.\0xyz"[l->state >> 29];
        if (out[i] == '\n')
            buf_text(&l->all, "\r");
        buf_append(&l->all, out + i, 1);
    }
    l->left -= *got;
    return true;
}

static bool read_nothing(void *context, char *out, size_t room, size_t *got)
{
    (void)context, (void)out, (void)room;
    *got = 0;
    return false;
}

static void test_pieces(void)
{
    struct submit *submit = open_handle();
    struct submit_result result;
    struct large large = {.left = 3 * 1024 * 1024, .state = 7};
    struct submit_message message = plain("Subject: large\r\n\r\n");

    buf_text(&large.all, "X-Trace: yes\r\nSubject: large\r\n\r\n");
    message.head = span_text("X-Trace: yes\r\n");
    message.read = read_large;
    message.context = &large;
    begin(kind);
    is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "3 MB in pieces: sent");
    ok(server.data.len == large.all.len && memcmp(server.data.at, large.all.at, large.all.len) == 0,
       "and arrives behind its head, byte for byte, NULs and dots too");
    buf_free(&large.all);

    message.read = read_nothing;
    begin(kind);
    is_int(submit_send(submit, &message, &result), SUBMIT_TEMPORARY, "unreadable: not sent");
    is_text(result.text, "the message could not be read to its end", "and why");
    submit_close(&submit);
}

static void test_envelope(void)
{
    static const char *const two[] = {"\"b b\"@example.com", "j\xc3\xb6rg@example.com"};
    struct submit *submit = open_handle();
    struct submit_result result;
    struct submit_message message = plain("x\r\n");

    message.sender = "";
    begin(kind);
    is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "null sender");
    is_text(server.commands.at,
            "EHLO gateway.example.test\nMAIL FROM:<>\nRCPT TO:<bob@example.com>\nDATA\n",
            "its commands");
    is_int(result.code, 250, "code");
    is_text(result.status, "2.0.0", "enhanced status");
    is_text(result.text, "2.0.0 Ok: queued as 4ABC", "text");

    message.recipients = two;
    message.recipient_count = 2;
    begin(kind);
    is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "UTF-8 and quotes");
    is_text(
        server.commands.at,
        "MAIL FROM:<> SMTPUTF8\nRCPT TO:<\"b b\"@example.com>\nRCPT TO:<j\xc3\xb6rg@example.com>\n"
        "DATA\n",
        "its commands, over the same connection");
    submit_close(&submit);
}

/* Commands go together where the server offers it, and only there; DATA not behind recipients of
 * whom one may be refused. */
static void test_pipelining(void)
{
    static const char *const two[] = {"a@example.com", "b@example.com"};
    struct submit_result result;

    for (int slow = 0; slow < 2; slow++) {
        struct submit *submit = open_handle();
        struct submit_message message = plain("x\r\n");
        struct plan plan = kind;
        plan.slow = slow;
        begin(plan);
        is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "sent");
        ok((server.waiting > 0) == !slow, "%zu octets came at once", server.waiting);
        message.recipients = two;
        message.recipient_count = 2;
        plan.rcpt = "550 5.1.1 unknown";
        plan.data = "554 5.5.1 no valid recipients";
        begin(plan);
        is_int(submit_send(submit, &message, &result), SUBMIT_PERMANENT, "refused");
        ok(strstr(server.commands.at, "DATA") == NULL, "no DATA behind two: %s",
           server.commands.at);
        message.recipient_count = 1;
        begin(plan);
        is_int(submit_send(submit, &message, &result), SUBMIT_PERMANENT, "refused");
        is_text(result.text, "5.1.1 unknown", "the first refusal is told");
        plan = kind;
        plan.slow = slow;
        begin(plan);
        is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "the next is sent");
        is_text(server.commands.at,
                "RSET\nMAIL FROM:<alice@example.org>\nRCPT TO:<a@example.com>\nDATA\n",
                "over the same connection, from the beginning");
        submit_close(&submit);
    }
    is_int(server.connections, 2, "one connection each");
}

/* A server that wants a message after all, although it refused its only recipient. */
static void test_wanted_after_all(void)
{
    struct submit *submit = open_handle();
    struct submit_result result;
    struct submit_message message = plain("x\r\n");
    struct plan plan = kind;

    plan.rcpt = "550 5.1.1 unknown";
    begin(plan);
    is_int(submit_send(submit, &message, &result), SUBMIT_PERMANENT, "refused");
    is_text(server.data.at, "", "and nothing of it arrives");
    begin(kind);
    is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "the next one is sent");
    is_text(server.data.at, "x\r\n", "as it is");
    submit_close(&submit);
}

/* The next one's envelope goes with the last dot; what follows may be another one all the same. */
static void test_ahead(void)
{
    static const char *const others[] = {"carol@example.com"};
    struct submit *submit = open_handle();
    struct submit_result result;
    struct submit_message first = plain("one\r\n"), second = plain("two\r\n");
    struct plan refusing = kind, no_end = kind;

    server.connections = 0;
    first.next_sender = "alice@example.org";
    first.next_recipient = bob[0];
    begin(kind);
    is_int(submit_send(submit, &first, &result), SUBMIT_SENT, "sent");
    ok(server.after_dot > 40, "the next one's envelope came with the dot");
    is_int(submit_send(submit, &first, &result), SUBMIT_SENT, "the next is sent");
    is_int(submit_send(submit, &second, &result), SUBMIT_SENT, "and the one after it");
    is_text(server.data.at, "one\r\none\r\ntwo\r\n", "all three as they are");
    is_int(submit_send(submit, &second, &result), SUBMIT_SENT, "nothing was said ahead");
    is_int(server.connections, 1, "over one connection");

    is_int(submit_send(submit, &first, &result), SUBMIT_SENT, "sent");
    second.recipients = others;
    is_int(submit_send(submit, &second, &result), SUBMIT_SENT, "another one than was said");
    is_int(server.connections, 2, "over a new connection");

    second.recipients = bob;
    begin(kind);
    is_int(submit_send(submit, &first, &result), SUBMIT_SENT, "sent");
    refusing.end = "554 5.6.0 no";
    begin(refusing);
    is_int(submit_send(submit, &first, &result), SUBMIT_PERMANENT, "refused at its end");
    begin(kind);
    is_int(submit_send(submit, &second, &result), SUBMIT_SENT, "the next is sent all the same");
    is_text(server.data.at, "two\r\n", "as it is");
    is_int(server.connections, 2, "over the same connection");

    no_end.end = "";
    begin(no_end);
    is_int(submit_send(submit, &first, &result), SUBMIT_UNKNOWN, "no answer at the end");
    begin(kind);
    is_int(submit_send(submit, &second, &result), SUBMIT_SENT, "the next is sent anew");
    is_text(server.data.at, "two\r\n", "as it is");
    is_int(submit_send(submit, &first, &result), SUBMIT_SENT, "sent");
    submit_close(&submit);
}

static void test_rest(void)
{
    struct submit *submit = open_handle();
    struct submit_result result;
    struct submit_message message = plain("x\r\n");

    server.connections = 0;
    submit_rest(submit);
    for (int i = 0; i < 2; i++) {
        begin(kind);
        is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "sent");
        submit_rest(submit);
        ok(strstr(server.commands.at, "QUIT") != NULL, "then QUIT");
    }
    is_int(server.connections, 2, "and a new connection for the next");
    submit_close(&submit);
}

static void test_injection(void)
{
    static const char *const bad[] = {
        "a@b>\r\nRCPT TO:<c@d", "a@b\nx", "a<b@c", "a@b\x7f", "a@\xff", ""};
    struct submit *submit = open_handle();
    struct submit_result result;
    struct submit_message message = plain("x\r\n");

    begin(kind);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        message.recipients = &bad[i];
        is_int(submit_send(submit, &message, &result), SUBMIT_PERMANENT, "bad recipient %zu", i);
        message.recipients = bob;
        message.sender = bad[i];
        if (bad[i][0] != '\0')
            is_int(submit_send(submit, &message, &result), SUBMIT_PERMANENT, "bad sender %zu", i);
        message.sender = "";
    }
    is_int(server.commands.len, 0, "nothing of it was said");
    submit_close(&submit);
}

/* ---- what is told ---- */

static void test_outcomes(void)
{
    static const struct {
        const char *name;
        struct plan plan;
        enum submit_outcome outcome;
        int code;
        const char *status;
    } rows[] = {
        {"refused sender",
         {"220 x", "550 5.7.1 no", "", "", "", false, false},
         SUBMIT_PERMANENT,
         550,
         "5.7.1"},
        {"deferred recipient",
         {"220 x", "250 x", "451 4.3.0 later", "", "", false, false},
         SUBMIT_TEMPORARY,
         451,
         "4.3.0"},
        {"refused recipient",
         {"220 x", "250 x", "550 5.1.1 unknown", "", "", false, false},
         SUBMIT_PERMANENT,
         550,
         "5.1.1"},
        {"DATA deferred",
         {"220 x", "250 x", "250 x", "452 full", "", false, false},
         SUBMIT_TEMPORARY,
         452,
         ""},
        {"message refused",
         {"220 x", "250 x", "250 x", "354 x", "554 5.6.0 no", false, false},
         SUBMIT_PERMANENT,
         554,
         "5.6.0"},
        {"message deferred",
         {"220 x", "250 x", "250 x", "354 x", "452 4.3.1 full", false, false},
         SUBMIT_TEMPORARY,
         452,
         "4.3.1"},
        {"no answer at the end",
         {"220 x", "250 x", "250 x", "354 x", "", false, false},
         SUBMIT_UNKNOWN,
         354,
         ""},
        {"closed at DATA",
         {"220 x", "250 x", "250 x", "", "", false, false},
         SUBMIT_TEMPORARY,
         250,
         ""},
        {"no service",
         {"554 5.3.2 go away", "", "", "", "", false, false},
         SUBMIT_TEMPORARY,
         554,
         "5.3.2"},
        {"busy", {"421 4.3.2 busy", "", "", "", "", false, false}, SUBMIT_TEMPORARY, 421, "4.3.2"},
    };
    struct submit_result result;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct submit *submit = open_handle();
        struct submit_message message = plain("x\r\n");
        begin(rows[i].plan);
        is_int(submit_send(submit, &message, &result), rows[i].outcome, "%s: outcome",
               rows[i].name);
        is_int(result.code, rows[i].code, "%s: code", rows[i].name);
        is_text(result.status, rows[i].status, "%s: enhanced status", rows[i].name);
        ok(result.text[0] != '\0', "%s: a text: %s", rows[i].name, result.text);
        begin(kind);
        is_int(submit_send(submit, &message, &result), SUBMIT_SENT, "%s: the next one is sent",
               rows[i].name);
        submit_close(&submit);
    }
}

static void test_closed_connection(void)
{
    struct submit *submit = open_handle();
    struct submit_result result;
    struct submit_message message = plain("x\r\n");
    struct plan once = kind;

    once.close_after = true;
    for (int i = 0; i < 20; i++) {
        begin(once);
        is_int(submit_send(submit, &message, &result), SUBMIT_SENT,
               "a connection that the server closed is made anew (%s)", result.text);
        is_text(server.data.at, "x\r\n", "and the message goes once");
    }
    submit_close(&submit);
}

static void test_nobody_there(void)
{
    struct submit *submit;
    struct err err;
    struct submit_options options = {.server = "nonsense"};
    struct submit_result result;
    struct submit_message message = plain("x\r\n");

    ok(!submit_open(&submit, &options, &err) && err.class == ERR_CONFIG, "a bad address: %s",
       err.text);
    options = (struct submit_options){.server = "unix:/nonexistent/socket",
                                      .connect_us = CLOCK_SECOND,
                                      .response_us = CLOCK_SECOND,
                                      .timeout_us = CLOCK_SECOND};
    if (!ok(submit_open(&submit, &options, &err), "a unix socket"))
        return;
    is_int(submit_send(submit, &message, &result), SUBMIT_TEMPORARY, "nobody listens: %s",
           result.text);
    is_int(result.code, 0, "no code");
    submit_close(&submit);
    submit_close(&submit);
}

int main(void)
{
    pthread_t thread;

    start_server(&thread);
    test_bytes();
    test_pieces();
    test_envelope();
    test_injection();
    server.connections = 0;
    test_pipelining();
    test_wanted_after_all();
    test_ahead();
    test_rest();
    test_outcomes();
    test_closed_connection();
    test_nobody_there();
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(server.fd);
    buf_free(&server.commands);
    buf_free(&server.data);
    return tap_done();
}
