/* mime: any bytes as a message; what is shown of it is UTF-8, without ends of lines where a line is
 * meant, and bounded; what is shown of it as HTML has elements without attributes and no others. */
#include "lib/mime.h"

#include <ctype.h>
#include <string.h>

#include "lib/display.h"
#include "t/fuzz/fuzz.h"

static void must_be_line(const struct buf *text)
{
    fuzz_must(str_utf8_valid(span_of(text->at, text->len)));
    fuzz_must(text->len <= 2 * MIME_LINE_MOST);
    for (size_t i = 0; i < text->len; i++)
        fuzz_must((unsigned char)text->at[i] >= ' ' && text->at[i] != 0x7f);
}

/* Each '<' begins a name, whose '>' follows it. */
static void check_safe(struct span html)
{
    struct buf out = {0};

    display_safe_html(&out, html, 4096);
    fuzz_must(str_utf8_valid(span_of(out.at, out.len)) && strlen(out.at) == out.len);
    fuzz_must(strpbrk(out.at, "\"'") == NULL);
    for (const char *tag = out.at; (tag = strchr(tag, '<')) != NULL;) {
        tag += tag[1] == '/' ? 2 : 1;
        fuzz_must(islower((unsigned char)*tag));
        while (islower((unsigned char)*tag) || isdigit((unsigned char)*tag))
            tag++;
        fuzz_must(*tag == '>');
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mime_summary summary;

    check_safe(span_of((const char *)data, size));
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
