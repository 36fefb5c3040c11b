/* lmtp: any bytes as a session, in pieces of any size; what is handed on of a message depends on
 * its bytes alone, never on how they were cut. */
#include "report/lmtp.h"

#include <string.h>

#include "t/fuzz/fuzz.h"

static void answer_end(struct lmtp *l)
{
    for (size_t i = 0, count = l->recipient_count; i < count; i++)
        lmtp_answer(l, "250 2.0.0 Ok");
}

static bool take(struct lmtp *l, struct span in, struct buf *said)
{
    for (;;) {
        struct span what;
        enum lmtp_event event = lmtp_next(l, &in, &what);
        if (event == LMTP_MORE || event == LMTP_STOP) {
            fuzz_must(event == LMTP_STOP || in.len == 0);
            buf_append(said, l->out.at, l->out.len);
            buf_clear(&l->out);
            return event == LMTP_MORE;
        }
        if (event == LMTP_BODY) {
            fuzz_must(what.len > 0 && l->size <= l->size_most);
            buf_append(said, what.at, what.len);
        } else if (event == LMTP_END) {
            answer_end(l);
        } else {
            fuzz_must(event != LMTP_RCPT || what.len > 0);
            lmtp_answer(l, event == LMTP_RCPT ? "250 2.1.5 Ok" : "354 Go on");
        }
    }
}

static void play(struct span in, size_t step, struct buf *said)
{
    struct lmtp lmtp;

    buf_text(said, "");
    lmtp_begin(&lmtp, "host", 1000);
    for (size_t i = 0; i < in.len; i += step) {
        size_t len = in.len - i < step ? in.len - i : step;
        if (!take(&lmtp, span_of(in.at + i, len), said))
            break;
    }
    lmtp_free(&lmtp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = {0}, pieces = {0};

    if (size < 1)
        return 0;
    struct span in = span_of((const char *)data + 1, size - 1);
    play(in, size, &whole);
    play(in, (size_t)data[0] % 16 + 1, &pieces);
    /* replies may come between other bytes of the message: compare lengths, and each by itself */
    fuzz_must(whole.len == pieces.len);
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
