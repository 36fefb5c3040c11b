/*
 * form: what browsers send, whole and in pieces of every size, and what nobody should. Catches a
 * reader that depends on how the bytes arrive, that keeps a file in memory, or that takes more than
 * its limits.
 */
#include "panel/form.h"

#include "tap.h"

struct file {
    struct buf name, bytes;
    bool refuse;
};

static bool begin_file(void *context, const struct form *form, struct span name,
                       struct span file_name)
{
    struct file *file = context;

    (void)name;
    (void)form;
    buf_append(&file->name, file_name.at, file_name.len);
    return !file->refuse;
}

static bool take_bytes(void *context, struct span bytes)
{
    struct file *file = context;

    buf_append(&file->bytes, bytes.at, bytes.len);
    return true;
}

static enum form_outcome read_form(struct form *form, const char *type, struct span body,
                                   size_t step, struct file *file)
{
    struct form_sink sink = {file, begin_file, take_bytes};
    enum form_outcome outcome = form_open(form, type, file != NULL ? &sink : NULL);

    for (size_t at = 0; outcome == FORM_FINE && at < body.len; at += step) {
        size_t len = body.len - at < step ? body.len - at : step;
        outcome = form_feed(form, span_of(body.at + at, len));
    }
    return outcome == FORM_FINE ? form_end(form) : outcome;
}

#define URLENCODED "application/x-www-form-urlencoded"
#define MULTIPART  "multipart/form-data; boundary=AaB03x"

static void check_urlencoded(void)
{
    static const struct {
        const char *body;
        enum form_outcome outcome;
        const char *a, *b;
    } rows[] = {
        {"a=1&b=2", FORM_FINE, "1", "2"},
        {"", FORM_FINE, "", ""},
        {"a=1&a=3&b", FORM_FINE, "1", ""},
        {"a=+x%20y%2B&b=%C3%A4%e2%82%ac", FORM_FINE, " x y+", "ä€"},
        {"a=1%0D%0A2%0a3&b=%0D", FORM_FINE, "1\n2\n3", "\r"},
        {"&&a=1&&", FORM_FINE, "1", ""},
        {"=x&a=1", FORM_FINE, "1", ""},
        {"a=%4", FORM_MALFORMED, "", ""},
        {"a=%", FORM_MALFORMED, "", ""},
        {"a=%zz", FORM_MALFORMED, "", ""},
        {"a=%00", FORM_MALFORMED, "", ""},
        {"a=%ff", FORM_MALFORMED, "", ""},
        {"a=\xc3", FORM_MALFORMED, "", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t step = 1; step < 5; step += 3) {
            struct form form;
            is_int(read_form(&form, URLENCODED, span_text(rows[i].body), step, NULL),
                   rows[i].outcome, "%s by %zu", rows[i].body, step);
            if (rows[i].outcome == FORM_FINE) {
                is_text(form_value(&form, "a"), rows[i].a, "its a");
                is_text(form_value(&form, "b"), rows[i].b, "its b");
            }
            form_free(&form);
        }
}

#define PART(name, value)                                                                          \
    "--AaB03x\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_PART(name, value)                                                                     \
    "--AaB03x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" name                     \
    "\"\r\nContent-Type: text/csv\r\n\r\n" value "\r\n"

static void check_multipart(void)
{
    static const char body[] = PART("a", "1\r\n--AaB03\r\n2") PART("empty", "")
        FILE_PART("ü.csv", "x\r\n--AaB03\r\n\r\n--y\r") PART("b", "2") "--AaB03x--\r\nrest";

    for (size_t step = 1; step <= sizeof body; step++) {
        struct form form;
        struct file file = {0};
        bool fine = read_form(&form, MULTIPART, span_text(body), step, &file) == FORM_FINE &&
                    strcmp(form_value(&form, "a"), "1\n--AaB03\n2") == 0 &&
                    strcmp(form_value(&form, "b"), "2") == 0 && form_has(&form, "empty") &&
                    strcmp(file.name.at, "ü.csv") == 0 &&
                    strcmp(file.bytes.at, "x\r\n--AaB03\r\n\r\n--y\r") == 0;
        if (!fine || step == sizeof body)
            ok(fine, "in pieces of %zu", step);
        buf_free(&file.name);
        buf_free(&file.bytes);
        form_free(&form);
    }
}

static void check_refused(void)
{
    static const struct {
        const char *type, *body;
        enum form_outcome outcome;
    } rows[] = {
        {MULTIPART, "", FORM_MALFORMED},
        {MULTIPART, "x", FORM_MALFORMED},
        {MULTIPART, PART("a", "1"), FORM_MALFORMED}, /* cut off */
        {MULTIPART, "--AaB03x--", FORM_FINE},
        {MULTIPART, "--AaB03xx", FORM_MALFORMED},
        {MULTIPART, "--AaB03x\r\n\r\nx\r\n--AaB03x--", FORM_MALFORMED},
        {MULTIPART, PART("a", "\xff") "--AaB03x--", FORM_MALFORMED},
        {MULTIPART, PART("\xff", "a") "--AaB03x--", FORM_MALFORMED},
        {MULTIPART, FILE_PART("\xff", "a") "--AaB03x--", FORM_MALFORMED},
        {MULTIPART, FILE_PART("a", "a") FILE_PART("b", "b") "--AaB03x--", FORM_REFUSED},
        {"multipart/form-data", "", FORM_MALFORMED},
        {"multipart/form-data; boundary=", "", FORM_MALFORMED},
        {"multipart/form-data; boundary=\"\"", "", FORM_MALFORMED},
        {"application/json", "{}", FORM_MALFORMED},
        {"text/plain", "", FORM_MALFORMED},
        {NULL, "a=1", FORM_MALFORMED},
        {NULL, "", FORM_FINE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct form form;
        struct file file = {0};
        enum form_outcome outcome =
            read_form(&form, rows[i].type, span_text(rows[i].body), 7, &file);
        is_int(outcome, rows[i].outcome, "%zu: %s", i, form.why);
        buf_free(&file.name);
        buf_free(&file.bytes);
        form_free(&form);
    }
}

static void check_limits(void)
{
    struct form form;
    struct file file = {.refuse = true};
    BUF_AUTO body = {0};

    for (int i = 0; i < 100000; i++)
        buf_text(&body, "a=1&");
    is_int(read_form(&form, URLENCODED, span_of(body.at, body.len), 32768, NULL), FORM_TOO_LARGE,
           "100,000 fields");
    form_free(&form);
    buf_clear(&body);
    buf_text(&body, "a=");
    while (body.len <= FORM_BYTES_MOST)
        buf_text(&body, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    is_int(read_form(&form, URLENCODED, span_of(body.at, body.len), 32768, NULL), FORM_TOO_LARGE,
           "a long value");
    form_free(&form);
    is_int(read_form(&form, MULTIPART, span_text(FILE_PART("a", "b") "--AaB03x--"), 9, &file),
           FORM_REFUSED, "a file that is not wanted");
    form_free(&form);
    buf_free(&file.name);
    is_int(read_form(&form, MULTIPART, span_text(FILE_PART("a", "b") "--AaB03x--"), 9, NULL),
           FORM_REFUSED, "a file in a form without one");
    form_free(&form);
}

int main(void)
{
    check_urlencoded();
    check_multipart();
    check_refused();
    check_limits();
    return tap_done();
}
