/* lmtp_data - see lmtp_data.h */
#include "report/lmtp_data.h"

#include <string.h>

/* How many bytes of `in` belong to the message as they stand; moves l->place over them. Stops in
 * front of a dot that begins a line. */
static size_t run_of_text(struct lmtp *l, struct span in)
{
    size_t i = 0;

    while (i < in.len) {
        if (l->place == LMTP_DATA_LINE_START && in.at[i] == '.')
            break;
        const char *end = memchr(in.at + i, '\n', in.len - i);
        if (end == NULL) {
            l->place = in.at[in.len - 1] == '\r' ? LMTP_DATA_CR : LMTP_DATA_TEXT;
            return in.len;
        }
        size_t at = (size_t)(end - in.at);
        bool after_cr = at > i ? end[-1] == '\r' : l->place == LMTP_DATA_CR;
        l->place = after_cr ? LMTP_DATA_LINE_START : LMTP_DATA_TEXT;
        i = at + 1;
    }
    return i;
}

/* At a dot that begins a line. True: with CR LF behind it, it was the end. */
static bool take_dot(struct lmtp *l, struct span *in, struct span *bytes)
{
    while (in->len > 0) {
        char c = in->at[0];
        if (l->place == LMTP_DATA_DOT && c == '\r') {
            l->place = LMTP_DATA_DOT_CR;
        } else if (l->place == LMTP_DATA_DOT) {
            l->place = LMTP_DATA_TEXT; /* the dot was added by the client; this byte was not */
            return false;
        } else if (c == '\n') {
            *in = span_of(in->at + 1, in->len - 1);
            return true;
        } else {
            *bytes = span_of("\r", 1); /* it was text after all; it may lie in bytes long gone */
            l->place = LMTP_DATA_CR;
            return false;
        }
        *in = span_of(in->at + 1, in->len - 1);
    }
    return false;
}

static bool next_piece(struct lmtp *l, struct span *in, struct span *bytes)
{
    *bytes = span_of(in->at, 0);
    while (in->len > 0 && bytes->len == 0) {
        if (l->place == LMTP_DATA_LINE_START && in->at[0] == '.') {
            l->place = LMTP_DATA_DOT;
            *in = span_of(in->at + 1, in->len - 1);
        }
        if (l->place == LMTP_DATA_DOT || l->place == LMTP_DATA_DOT_CR) {
            if (take_dot(l, in, bytes))
                return true;
            continue;
        }
        size_t len = run_of_text(l, *in);
        *bytes = span_of(in->at, len);
        *in = span_of(in->at + len, in->len - len);
    }
    return false;
}

bool lmtp_data_next(struct lmtp *l, struct span *in, struct span *bytes)
{
    bool ended;

    do {
        ended = next_piece(l, in, bytes);
        if (bytes->len > l->size_most - l->size) {
            l->too_large = true;
            bytes->len = l->size_most - l->size;
        }
        l->size += bytes->len;
    } while (!ended && bytes->len == 0 && in->len > 0);
    return ended;
}
