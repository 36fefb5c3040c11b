/*
 * lmtp - whole sessions (t/data/lmtp), each once in large pieces and once byte by byte: what is
 * said and done must be the same
 *
 * Would catch: a message that ends where it does not (or does not where it does), a dot or a CR
 * lost at the edge of a piece, a command that runs in the wrong order, a reply too many, an address
 * with something in it that breaks out.
 */
#include "report/lmtp.h"

#include "t/unit/table.h"
#include "t/unit/tap.h"

struct played {
    struct lmtp lmtp;
    struct buf said; /* replies and events as in the table */
    bool in_body;
};

static void put_bytes(struct buf *out, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.at[i];
        if (c == '\n')
            buf_text(out, "\\n");
        else if (c == '\\')
            buf_text(out, "\\\\");
        else if (c < ' ' || c > '~')
            buf_printf(out, "\\x%02x", c);
        else
            buf_append(out, &bytes.at[i], 1);
    }
}

static void take_replies(struct played *p)
{
    struct span rest = span_of(p->lmtp.out.at, p->lmtp.out.len), line;

    while (rest.len > 0 && span_next(&rest, '\n', &line)) {
        buf_text(&p->said, "< ");
        put_bytes(&p->said, span_trim(line));
        buf_text(&p->said, "\n");
    }
    buf_clear(&p->lmtp.out);
}

static void put_event(struct played *p, const char *name, struct span what)
{
    if (p->in_body)
        buf_text(&p->said, "\n");
    p->in_body = false;
    take_replies(p);
    buf_printf(&p->said, "! %s", name);
    put_bytes(&p->said, what);
    buf_text(&p->said, "\n");
}

static void put_end(struct played *p)
{
    const struct lmtp *l = &p->lmtp;
    BUF_AUTO text = {0};

    if (!l->too_large)
        buf_printf(&text, "%llu ", (unsigned long long)l->size);
    buf_printf(&text, "%s%sfrom %s", l->too_large ? "too large " : "",
               l->smtputf8 ? "smtputf8 " : "", l->sender);
    if (l->forward.ident[0] != '\0')
        buf_printf(&text, " id %s", l->forward.ident);
    put_event(p, "end ", span_of(text.at, text.len));
}

static void answer_end(struct lmtp *l)
{
    BUF_AUTO text = {0};

    /* the last answer takes the recipients away */
    for (size_t i = 0, count = l->recipient_count; i < count; i++) {
        buf_clear(&text);
        buf_printf(&text, "%s <%s>", l->too_large ? "552 5.3.4" : "250 2.0.0", l->recipients[i]);
        lmtp_answer(l, text.at);
    }
}

/* Until more input is needed; false at the end. */
static bool play_some(struct played *p, struct span in)
{
    for (;;) {
        struct span what;
        switch (lmtp_next(&p->lmtp, &in, &what)) {
        case LMTP_MORE:
            if (in.len > 0)
                ok(false, "all input is taken");
            return true;
        case LMTP_RCPT: {
            STR_AUTO asked = mem_span(what);
            put_event(p, "rcpt ", what);
            lmtp_answer(&p->lmtp, strstr(asked, "later") != NULL     ? "451 4.3.0 Later"
                                  : strstr(asked, "unknown") != NULL ? "550 5.1.1 Unknown"
                                                                     : "250 2.1.5 Ok");
            break;
        }
        case LMTP_DATA:
            put_event(p, "data", what);
            lmtp_answer(&p->lmtp, "354 End with a dot");
            break;
        case LMTP_BODY:
            take_replies(p);
            if (!p->in_body)
                buf_text(&p->said, "! body ");
            p->in_body = true;
            put_bytes(&p->said, what);
            break;
        case LMTP_END:
            put_end(p);
            answer_end(&p->lmtp);
            break;
        case LMTP_STOP:
            return false;
        }
    }
}

static void play(const struct buf *input, size_t step, struct buf *said)
{
    struct played p = {0};

    lmtp_begin(&p.lmtp, "host", 100);
    for (size_t i = 0; i < input->len; i += step) {
        size_t len = input->len - i < step ? input->len - i : step;
        /* a copy of its own, so that the sanitizer sees a read beyond it */
        char *piece = mem_alloc(len);
        memcpy(piece, input->at + i, len);
        bool on = play_some(&p, span_of(piece, len));
        free(piece);
        if (!on)
            break;
    }
    take_replies(&p);
    buf_append(said, p.said.at, p.said.len);
    lmtp_free(&p.lmtp);
    buf_free(&p.said);
}

struct session {
    char name[100];
    struct buf input, want;
};

static void check(struct session *s)
{
    static const size_t steps[] = {1 << 20, 1, 7};

    for (size_t i = 0; s->name[0] != '\0' && i < sizeof steps / sizeof steps[0]; i++) {
        BUF_AUTO said = {0};
        play(&s->input, steps[i], &said);
        is_text(said.at, s->want.at, "%s, %zu bytes at a time", s->name, steps[i]);
    }
    buf_clear(&s->input);
    buf_clear(&s->want);
}

static void take_line(struct session *s, char *line)
{
    BUF_AUTO bytes = {0};

    line[strcspn(line, "\n")] = '\0';
    if (line[0] == '=') {
        check(s);
        snprintf(s->name, sizeof s->name, "%s", line + 2);
    } else if (line[0] == '>') {
        bool raw = line[1] == '>';
        struct span sent = table_bytes(line + (raw ? 3 : strlen(line) > 1 ? 2 : 1), &bytes);
        buf_append(&s->input, sent.at, sent.len);
        if (!raw)
            buf_text(&s->input, "\r\n");
    } else if (line[0] == '<' || line[0] == '!') {
        buf_text(&s->want, line);
        buf_text(&s->want, "\n");
    }
}

static void check_unquote(void)
{
    static const char *const rows[][2] = {{"a@b", "a@b"},
                                          {"\"a b\"@c", "a b@c"},
                                          {"\"a\\\"b\\\\\"@c", "a\"b\\@c"},
                                          {"\"a@b\"@c", "a@b@c"},
                                          {"", ""}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        BUF_AUTO out = {0};
        lmtp_unquote(rows[i][0], &out);
        is_text(out.at, rows[i][1], "unquoted: %s", rows[i][0]);
    }
}

int main(void)
{
    FILE *file = fopen(TEST_DATA "/lmtp/sessions.txt", "r");
    struct session session = {0};
    char *line = NULL;
    size_t room = 0;

    if (!ok(file != NULL, "the table"))
        return tap_done();
    while (getline(&line, &room, file) > 0)
        if (line[0] != '#')
            take_line(&session, line);
    check(&session);
    check_unquote();
    buf_free(&session.input);
    buf_free(&session.want);
    free(line);
    fclose(file);
    return tap_done();
}
