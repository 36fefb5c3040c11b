/* mime - see mime.h */
#include "mime.h"

#include <gmime/gmime.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "addr.h"
#include "display.h"
#include "header.h"

enum {
    FIELD_MOST = 8 * 1024, /* bytes of a field that are decoded */
    ADDRESSES_MOST = 20,   /* of From */
    MULTIPARTS_MOST = 100, /* beyond it nobody looks into the parts: gmime goes down by recursion */
    PARTS_MOST = 200,
};

static GMimeParserOptions *options;

static void begin_library(void)
{
    static const char *charsets[] = {"utf-8", "windows-1252", NULL};

    g_mime_init();
    options = g_mime_parser_options_new();
    g_mime_parser_options_set_fallback_charsets(options, charsets);
}

/* ---- fields ---- */

static bool raw_field(struct span header, const char *name, struct buf *out)
{
    struct span value;

    if (!header_find(header, name, &value))
        return false;
    header_unfold(out, value, FIELD_MOST);
    /* a NUL would end the text for gmime: what stands behind it shall be seen */
    for (size_t i = 0; i < out->len; i++)
        if (out->at[i] == '\0')
            out->at[i] = '?';
    return true;
}

static void put_decoded(struct buf *out, char *decoded)
{
    if (decoded != NULL)
        display_line(out, span_text(decoded), MIME_LINE_MOST);
    g_free(decoded);
}

static void summarise_line(struct span header, const char *name, struct buf *out)
{
    BUF_AUTO raw = {0};

    buf_text(out, "");
    if (raw_field(header, name, &raw))
        put_decoded(out, g_mime_utils_header_decode_text(options, raw.at));
}

static void normalise_address(const char *text, struct buf *out)
{
    struct addr addr;
    struct err err;
    char normal[ADDR_TEXT_MAX + 1];

    if (!addr_parse(span_text(text), true, &addr, &err))
        return;
    addr_format(&addr, normal);
    buf_text(out, normal);
}

/* "Name <local@domain>"; a name that is absent leaves the address alone. */
static void put_mailbox(InternetAddress *address, struct mime_summary *summary)
{
    const char *name = internet_address_get_name(address);
    const char *addr = INTERNET_ADDRESS_IS_MAILBOX(address)
                           ? internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address))
                           : NULL;
    struct buf *out = &summary->from;

    if (out->len > 0)
        buf_text(out, ", ");
    if (name != NULL && name[0] != '\0')
        display_line(out, span_text(name), MIME_LINE_MOST / 4);
    if (addr == NULL)
        return;
    if (name != NULL && name[0] != '\0')
        buf_text(out, " <");
    display_address(out, span_text(addr), MIME_LINE_MOST / 4);
    if (name != NULL && name[0] != '\0')
        buf_text(out, ">");
    if (summary->from_address.len == 0)
        normalise_address(addr, &summary->from_address);
}

static void summarise_from(struct span header, struct mime_summary *summary)
{
    BUF_AUTO raw = {0};
    BUF_AUTO whole = {0};

    buf_text(&summary->from, "");
    buf_text(&summary->from_address, "");
    if (!raw_field(header, "From", &raw))
        return;
    InternetAddressList *list = internet_address_list_parse(options, raw.at);
    int count = list != NULL ? internet_address_list_length(list) : 0;
    for (int i = 0; i < count && i < ADDRESSES_MOST; i++)
        put_mailbox(internet_address_list_get_address(list, i), summary);
    if (list != NULL)
        g_object_unref(list);
    if (summary->from.len == 0) { /* no address in it: show what stands there */
        put_decoded(&summary->from, g_mime_utils_header_decode_text(options, raw.at));
        return;
    }
    buf_append(&whole, summary->from.at, summary->from.len);
    buf_clear(&summary->from);
    display_line(&summary->from, span_of(whole.at, whole.len), MIME_LINE_MOST);
}

/* ---- parts ---- */

static bool ends_with(struct span text, const char *word)
{
    size_t len = strlen(word);

    return text.len >= len && g_ascii_strncasecmp(text.at + text.len - len, word, len) == 0;
}

/* Whether it names so many multiparts and messages that they may lie deep in one another. */
static bool is_too_deep(struct span message)
{
    size_t count = 0;
    struct span before;

    while (count < MULTIPARTS_MOST && message.len > 0 && span_next(&message, '/', &before))
        count +=
            message.at != NULL && (ends_with(before, "multipart") || ends_with(before, "message"));
    return count >= MULTIPARTS_MOST;
}

/* True when both are there. */
static bool take_part(GMimeObject *object, struct mime_summary *summary)
{
    GMimeContentType *type = g_mime_object_get_content_type(object);
    bool html = g_mime_content_type_is_type(type, "text", "html");

    if (!GMIME_IS_TEXT_PART(object) || (html ? summary->html.len : summary->text.len) > 0)
        return false;
    char *text = g_mime_text_part_get_text(GMIME_TEXT_PART(object));
    if (text == NULL)
        return false;
    if (html)
        display_markup(&summary->html, span_text(text), MIME_HTML_MOST);
    else
        display_text(&summary->text, span_text(text), MIME_TEXT_MOST);
    g_free(text);
    return summary->html.len > 0 && summary->text.len > 0;
}

static void walk(GMimeMessage *message, struct mime_summary *summary)
{
    GMimePartIter *iter = g_mime_part_iter_new(GMIME_OBJECT(message));
    int count = 0;

    do {
        GMimeObject *part = g_mime_part_iter_get_current(iter);
        if (part != NULL && take_part(part, summary))
            break;
    } while (g_mime_part_iter_next(iter) && ++count < PARTS_MOST);
    g_mime_part_iter_free(iter);
}

static void summarise_parts(struct span message, struct mime_summary *summary)
{
    GMimeStream *stream = g_mime_stream_mem_new_with_buffer(message.at, message.len);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *parsed = g_mime_parser_construct_message(parser, options);

    if (parsed != NULL) {
        walk(parsed, summary);
        g_object_unref(parsed);
    }
    g_object_unref(parser);
    g_object_unref(stream);
}

/* A message that does not speak of MIME and is UTF-8 (most are ASCII): the body is its text, and
 * gmime, which makes a hundred objects of it, has nothing to decode. */
static bool take_bare(struct span message, struct span header, struct mime_summary *summary)
{
    struct span field, body = span_of(message.at + header.len, message.len - header.len);

    if (header_find(header, "Content-Type", &field) ||
        header_find(header, "Content-Transfer-Encoding", &field) ||
        (body.len > 0 && memchr(body.at, '\0', body.len) != NULL) || !str_utf8_valid(body))
        return false;
    if (body.len > 0 && body.at[0] == '\r')
        body = span_of(body.at + 1, body.len - 1);
    if (body.len > 0 && body.at[0] == '\n') /* the empty line */
        body = span_of(body.at + 1, body.len - 1);
    display_text(&summary->text, body, MIME_TEXT_MOST);
    return true;
}

static void text_from_html(struct mime_summary *summary)
{
    BUF_AUTO text = {0};

    if (summary->text.len > 0 || summary->html.len == 0)
        return;
    display_html_text(&text, span_of(summary->html.at, summary->html.len), MIME_TEXT_MOST);
    display_text(&summary->text, span_of(text.at, text.len), MIME_TEXT_MOST);
}

void mime_summarise(struct span message, struct mime_summary *summary)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin_library);
    *summary = (struct mime_summary){0};
    if (message.len > MIME_LOOKED_AT)
        message.len = MIME_LOOKED_AT;
    struct span header = header_of(message);
    summarise_from(header, summary);
    summarise_line(header, "Subject", &summary->subject);
    summarise_line(header, "Message-ID", &summary->message_id);
    display_text(&summary->headers, header, MIME_HEADERS_MOST);
    buf_text(&summary->text, "");
    buf_text(&summary->html, "");
    if (!take_bare(message, header, summary) && !is_too_deep(message))
        summarise_parts(message, summary);
    text_from_html(summary);
}

void mime_summary_free(struct mime_summary *summary)
{
    buf_free(&summary->from);
    buf_free(&summary->from_address);
    buf_free(&summary->subject);
    buf_free(&summary->message_id);
    buf_free(&summary->headers);
    buf_free(&summary->text);
    buf_free(&summary->html);
}
