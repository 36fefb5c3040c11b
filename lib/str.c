/* str - see str.h */
#include "str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct span span_text(const char *text)
{
    return span_of(text, strlen(text));
}

bool span_equals(struct span a, const char *text)
{
    return a.len == strlen(text) && memcmp(a.at, text, a.len) == 0;
}

bool span_next(struct span *rest, char separator, struct span *piece)
{
    if (rest->at == NULL)
        return false;
    const char *found = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    if (found == NULL) {
        *piece = *rest;
        *rest = (struct span){NULL, 0};
        return true;
    }
    *piece = span_of(rest->at, (size_t)(found - rest->at));
    *rest = span_of(found + 1, rest->len - piece->len - 1);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

void buf_free(struct buf *buf)
{
    free(buf->at);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    if (buf->at != NULL)
        buf->at[0] = '\0';
}

void buf_reserve(struct buf *buf, size_t more)
{
    size_t need = buf->len + more + 1;

    if (need <= buf->room)
        return;
    size_t room = buf->room * 2 > need ? buf->room * 2 : need;
    buf->at = mem_grow(buf->at, room);
    buf->room = room;
}

char *buf_room(struct buf *buf, size_t len)
{
    buf_reserve(buf, len);
    return buf->at + buf->len;
}

void buf_append(struct buf *buf, const void *bytes, size_t len)
{
    buf_reserve(buf, len);
    if (len > 0)
        memcpy(buf->at + buf->len, bytes, len);
    buf->len += len;
    buf->at[buf->len] = '\0';
}

void buf_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

/* Most text fits into what room there is, and is formatted once. */
void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->room - buf->len;
    int len = vsnprintf(room > 0 ? buf->at + buf->len : NULL, room, format, args);
    va_end(args);
    if (len > 0 && (size_t)len >= room) {
        buf_reserve(buf, (size_t)len);
        vsnprintf(buf->at + buf->len, (size_t)len + 1, format, again);
    }
    if (len > 0)
        buf->len += (size_t)len;
    va_end(again);
}

/* How many bytes from here stand for themselves in JSON and are ASCII. */
static size_t json_run(struct span text)
{
    size_t n = 0;

    while (n < text.len && text.at[n] >= ' ' && text.at[n] < 0x7f && text.at[n] != '"' &&
           text.at[n] != '\\')
        n++;
    return n;
}

void buf_json(struct buf *buf, struct span text)
{
    while (text.len > 0) {
        size_t run = json_run(text), n = run > 0 ? run : str_utf8_sequence(text);
        char c = text.at[0];

        if (n == 0)
            buf_text(buf, "\\ufffd");
        else if (c == '"' || c == '\\')
            buf_printf(buf, "\\%c", c);
        else if ((unsigned char)c < 0x20)
            buf_printf(buf, "\\u%04x", (unsigned)c);
        else
            buf_append(buf, text.at, n);
        n += n == 0;
        text = span_of(text.at + n, text.len - n);
    }
}

void str_hex(char *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[at[i] >> 4];
        *out++ = digits[at[i] & 15];
    }
    *out = '\0';
}

void str_free(char **text)
{
    free(*text);
    *text = NULL;
}

size_t str_utf8_sequence(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.at;

    if (s.len == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : p[0] >= 0xe0 && p[0] <= 0xef ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || s.len < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool beyond = p[0] == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : n;
}

/* How many bytes from here, in eights, are ASCII. */
static size_t ascii_run(struct span s)
{
    size_t len = 0;
    uint64_t eight;

    for (; len + sizeof eight <= s.len; len += sizeof eight) {
        memcpy(&eight, s.at + len, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return len;
}

bool str_utf8_valid(struct span s)
{
    while (s.len > 0) {
        size_t run = ascii_run(s);
        if (run > 0) {
            s = span_of(s.at + run, s.len - run);
            continue;
        }
        size_t n = str_utf8_sequence(s);
        if (n == 0)
            return false;
        s = span_of(s.at + n, s.len - n);
    }
    return true;
}

/* C0, DEL, and the C1 controls (U+0080 to U+009F) that some terminals obey. */
static bool is_control(const unsigned char *p, size_t n)
{
    return (n == 1 && (p[0] < 0x20 || p[0] == 0x7f)) || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
}

/* Turns the end of what was written into dots, from where a character begins. */
static size_t put_cut_mark(char *out, size_t used)
{
    size_t dots = used < 3 ? used : 3, from = used - dots;

    while (from > 0 && (out[from] & 0xc0) == 0x80)
        from--;
    memset(out + from, '.', dots);
    return from + dots;
}

size_t str_printable(char *out, size_t room, const char *in, size_t len)
{
    size_t used = 0;
    struct span rest = span_of(in, len);

    if (room == 0)
        return 0;
    while (rest.len > 0) {
        size_t n = str_utf8_sequence(rest);
        size_t step = n == 0 ? 1 : n;
        bool plain = n > 0 && !is_control((const unsigned char *)rest.at, n);
        size_t add = plain ? n : 1;

        if (used + add >= room) {
            used = put_cut_mark(out, used);
            break;
        }
        if (plain)
            memcpy(out + used, rest.at, n);
        else
            out[used] = '?';
        used += add;
        rest = span_of(rest.at + step, rest.len - step);
    }
    out[used] = '\0';
    return used;
}

bool str_int64(struct span s, int64_t *value)
{
    char text[24], *end;

    if (s.len == 0 || s.len >= sizeof text || is_blank(s.at[0]) || s.at[0] == '+')
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0' || end != text + s.len)
        return false;
    *value = parsed;
    return true;
}

size_t str_distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    size_t row[MOST + 1];
    size_t la = strnlen(a, MOST), lb = strnlen(b, MOST);

    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replace < least ? replace : least;
        }
    }
    return row[lb];
}

static void *mem_checked(void *got)
{
    if (got == NULL) {
        static const char text[] = "out of memory\n";
        fwrite(text, 1, sizeof text - 1, stderr);
        abort();
    }
    return got;
}

void *mem_alloc(size_t size)
{
    return mem_checked(malloc(size > 0 ? size : 1));
}

void *mem_zero(size_t count, size_t size)
{
    return mem_checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *mem_grow(void *old, size_t size)
{
    return mem_checked(realloc(old, size));
}

char *mem_text(const char *text)
{
    return mem_checked(strdup(text));
}

char *mem_span(struct span s)
{
    char *copy = mem_alloc(s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.at, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *mem_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    return mem_checked(text);
}
