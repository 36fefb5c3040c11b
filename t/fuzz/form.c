/*
 * form: whatever the body, reading stays within it and its limits, and pieces give what the whole
 * gives. The first byte chooses the type, the second the size of the pieces.
 */
#include "panel/form.h"

#include <string.h>

#include "fuzz.h"

static bool begin_file(void *context, const struct form *form, struct span name,
                       struct span file_name)
{
    (void)context;
    (void)form;
    fuzz_must(name.len <= FORM_NAME_MOST && file_name.len <= FORM_FILE_NAME_MOST);
    return true;
}

static bool take_bytes(void *context, struct span bytes)
{
    buf_append(context, bytes.at, bytes.len);
    return true;
}

static enum form_outcome read_form(struct form *form, const char *type, struct span body,
                                   size_t step, struct buf *file)
{
    struct form_sink sink = {file, begin_file, take_bytes};
    enum form_outcome outcome = form_open(form, type, &sink);

    for (size_t at = 0; outcome == FORM_FINE && at < body.len; at += step)
        outcome =
            form_feed(form, span_of(body.at + at, body.len - at < step ? body.len - at : step));
    return outcome == FORM_FINE ? form_end(form) : outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {"application/x-www-form-urlencoded",
                                        "multipart/form-data; boundary=x",
                                        "multipart/form-data; boundary=\"ab\""};
    struct form whole, pieces;
    struct buf file = {0}, other = {0};

    if (size < 3)
        return 0;
    const char *type = types[data[0] % 3];
    struct span body = span_of((const char *)data + 2, size - 2);
    enum form_outcome a = read_form(&whole, type, body, body.len, &file);
    enum form_outcome b = read_form(&pieces, type, body, 1 + data[1] % 16, &other);
    fuzz_must((a == FORM_FINE) == (b == FORM_FINE));
    if (a == FORM_FINE) {
        fuzz_must(whole.count == pieces.count && whole.count <= FORM_FIELDS_MOST);
        for (size_t i = 0; i < whole.count; i++) {
            fuzz_must(strcmp(whole.fields[i].name, pieces.fields[i].name) == 0);
            fuzz_must(strcmp(whole.fields[i].value, pieces.fields[i].value) == 0);
            fuzz_must(strlen(whole.fields[i].value) == whole.fields[i].len);
        }
        fuzz_must(file.len == other.len &&
                  (file.len == 0 || memcmp(file.at, other.at, file.len) == 0));
    }
    form_free(&whole);
    form_free(&pieces);
    buf_free(&file);
    buf_free(&other);
    return 0;
}
