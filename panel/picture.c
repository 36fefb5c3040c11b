/* picture - see picture.h */
#include "panel/picture.h"

#include <string.h>

static const struct {
    struct picture_kind kind;
    struct span begins, ends;
} kinds[] = {
    {{"png", "image/png"}, {"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16}, {"IEND\xae\x42\x60\x82", 8}},
    {{"jpg", "image/jpeg"}, {"\xff\xd8\xff", 3}, {"\xff\xd9", 2}},
    {{"gif", "image/gif"}, {"GIF87a", 6}, {";", 1}},
    {{"gif", "image/gif"}, {"GIF89a", 6}, {";", 1}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], LEAST = 24 };

static bool begins(struct span bytes, struct span with)
{
    return bytes.len >= with.len && memcmp(bytes.at, with.at, with.len) == 0;
}

static bool ends(struct span bytes, struct span with)
{
    return bytes.len >= with.len && memcmp(bytes.at + bytes.len - with.len, with.at, with.len) == 0;
}

const struct picture_kind *picture_kind_of(struct span bytes)
{
    for (size_t i = 0; bytes.len >= LEAST && bytes.len <= PICTURE_MOST && i < KINDS; i++)
        if (begins(bytes, kinds[i].begins) && ends(bytes, kinds[i].ends))
            return &kinds[i].kind;
    return NULL;
}

const struct picture_kind *picture_kind_named(const char *name)
{
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && i < KINDS; i++)
        if (strcmp(dot + 1, kinds[i].kind.ending) == 0)
            return &kinds[i].kind;
    return NULL;
}

static const char digits[] = "0123456789abcdef";

void picture_to_hex(struct span bytes, struct buf *out)
{
    buf_text(out, "");
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.at[i];
        const char pair[2] = {digits[c >> 4], digits[c & 15]};
        buf_append(out, pair, 2);
    }
}

bool picture_from_hex(struct span text, struct buf *out)
{
    for (size_t i = 0; i + 1 < text.len; i += 2) {
        const char *high = memchr(digits, text.at[i], 16),
                   *low = memchr(digits, text.at[i + 1], 16);
        if (high == NULL || low == NULL)
            return false;
        char c = (char)((high - digits) << 4 | (low - digits));
        buf_append(out, &c, 1);
    }
    return text.len % 2 == 0;
}

void picture_to_base64(struct span bytes, struct buf *out)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = (const unsigned char *)bytes.at;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        unsigned group = (unsigned)at[i] << 16 | (left > 1 ? (unsigned)at[i + 1] << 8 : 0) |
                         (left > 2 ? (unsigned)at[i + 2] : 0);
        const char four[4] = {signs[group >> 18], signs[group >> 12 & 63],
                              left > 1 ? signs[group >> 6 & 63] : '=',
                              left > 2 ? signs[group & 63] : '='};
        buf_append(out, four, sizeof four);
    }
}
