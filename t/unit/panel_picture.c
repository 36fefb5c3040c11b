/*
 * picture: kinds by their bytes. Catches a page or script that calls itself a picture, one that is
 * cut off or too large, and bytes that do not come back from hex as they were.
 */
#include "panel/picture.h"

#include "tap.h"

#define SPAN(text) span_of(text, sizeof(text) - 1)
#define PNG        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR....data....\0\0\0\0IEND\xae\x42\x60\x82"

static void check_kind(struct span bytes, const char *ending, const char *what)
{
    const struct picture_kind *kind = picture_kind_of(bytes);

    is_text(kind != NULL ? kind->ending : "none", ending, "%s", what);
}

int main(void)
{
    BUF_AUTO hex = {0}, back = {0}, large = {0};
    char every[256];

    check_kind(SPAN(PNG), "png", "a PNG");
    check_kind(SPAN("\xff\xd8\xff\xe0 0123456789 0123456789\xff\xd9"), "jpg", "a JPEG");
    check_kind(SPAN("GIF89a 0123456789 0123456789;"), "gif", "a GIF");
    check_kind(SPAN("GIF87a 0123456789 0123456789;"), "gif", "an old one");
    check_kind(span_of(PNG, sizeof PNG - 3), "none", "a PNG that is cut off");
    check_kind(SPAN("<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"), "none", "SVG");
    check_kind(SPAN("<html><body>GIF89a 0123456789;"), "none", "a page");
    check_kind(SPAN("GIF89a;"), "none", "next to nothing");
    check_kind(SPAN(""), "none", "nothing");
    buf_append(&large, PNG, sizeof PNG - 1 - 8);
    while (large.len < PICTURE_MOST)
        buf_text(&large, "0123456789");
    buf_append(&large, PNG + sizeof PNG - 1 - 8, 8);
    check_kind(span_of(large.at, large.len), "none", "one that is too large");
    ok(picture_kind_named("a.png") != NULL && picture_kind_named("a.svg") == NULL &&
           picture_kind_named("png") == NULL,
       "kinds by name");
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    picture_to_hex(span_of(every, sizeof every), &hex);
    ok(picture_from_hex(span_of(hex.at, hex.len), &back) && back.len == 256 &&
           memcmp(back.at, every, 256) == 0,
       "every byte comes back");
    ok(!picture_from_hex(SPAN("0g"), &back) && !picture_from_hex(SPAN("abc"), &back),
       "what is no hex is refused");
    static const char *const texts[][2] = {
        {"", ""},        {"f", "Zg=="},          {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe", "//4="}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) { /* RFC 4648 section 10 */
        BUF_AUTO out = {0};
        buf_text(&out, "");
        picture_to_base64(span_text(texts[i][0]), &out);
        is_text(out.at, texts[i][1], "%s in base64", texts[i][0]);
    }
    return tap_done();
}
