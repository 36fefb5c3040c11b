/* mime: any bytes as a message; what is shown of it is UTF-8, without ends of lines where a line is
 * meant, and bounded. */
#include "lib/mime.h"

#include <string.h>

#include "t/fuzz/fuzz.h"

static void must_be_line(const struct buf *text)
{
    fuzz_must(str_utf8_valid(span_of(text->at, text->len)));
    fuzz_must(text->len <= 2 * MIME_LINE_MOST);
    for (size_t i = 0; i < text->len; i++)
        fuzz_must((unsigned char)text->at[i] >= ' ' && text->at[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mime_summary summary;

    mime_summarise(span_of((const char *)data, size), &summary);
    must_be_line(&summary.from);
    must_be_line(&summary.from_address);
    must_be_line(&summary.subject);
    must_be_line(&summary.message_id);
    fuzz_must(str_utf8_valid(span_of(summary.text.at, summary.text.len)));
    fuzz_must(str_utf8_valid(span_of(summary.html.at, summary.html.len)));
    fuzz_must(summary.headers.len + summary.text.len + summary.html.len <= 256 * 1024);
    mime_summary_free(&summary);
    return 0;
}
