/* form - see form.h */
#include "panel/form.h"

#include <stdlib.h>
#include <string.h>

static enum form_outcome fail(struct form *form, enum form_outcome outcome, const char *why)
{
    form->why = why;
    return outcome;
}

/* ---- fields ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool form_decode(char *text, size_t *len, bool plus)
{
    size_t out = 0;

    for (size_t i = 0; i < *len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < *len ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+')
            c = ' ';
        if (c == '\0')
            return false;
        text[out++] = c;
    }
    text[out] = '\0';
    *len = out;
    return str_utf8_valid(span_of(text, out));
}

/* Browsers end lines with CR LF. */
static size_t without_returns(char *text, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i < len; i++)
        if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n')
            text[out++] = text[i];
    text[out] = '\0';
    return out;
}

/* Takes over both texts. */
static enum form_outcome keep(struct form *form, char *name, char *value, size_t len)
{
    enum form_outcome outcome = FORM_FINE;

    form->bytes += strlen(name) + len;
    if (form->count == FORM_FIELDS_MOST)
        outcome = fail(form, FORM_TOO_LARGE, "more fields than any form here has");
    else if (strlen(name) > FORM_NAME_MOST)
        outcome = fail(form, FORM_TOO_LARGE, "a field's name is too long");
    else if (form->bytes > FORM_BYTES_MOST)
        outcome = fail(form, FORM_TOO_LARGE, "more text than a form takes; import it as a file");
    if (outcome != FORM_FINE) {
        free(name);
        free(value);
        return outcome;
    }
    if (form->count == form->room) {
        form->room = form->room > 0 ? form->room * 2 : 16;
        form->fields = mem_grow(form->fields, form->room * sizeof *form->fields);
    }
    form->fields[form->count++] = (struct form_field){name, value, without_returns(value, len)};
    return FORM_FINE;
}

static enum form_outcome take_pair(struct form *form, struct span pair)
{
    struct span rest = pair, key = {0};

    span_next(&rest, '=', &key);
    char *name = mem_span(key);
    char *value = mem_span(rest.at != NULL ? rest : span_of("", 0));
    size_t name_len = key.len, len = rest.at != NULL ? rest.len : 0;
    if (!form_decode(name, &name_len, true) || !form_decode(value, &len, true)) {
        free(name);
        free(value);
        return fail(form, FORM_MALFORMED, "a field is no text in UTF-8");
    }
    return keep(form, name, value, len);
}

enum form_outcome form_query(struct form *form, struct span text)
{
    struct span rest = text, pair;
    enum form_outcome outcome = FORM_FINE;

    while (outcome == FORM_FINE && span_next(&rest, '&', &pair))
        if (pair.len > 0)
            outcome = take_pair(form, pair);
    return outcome;
}

/* ---- multipart ---- */

static void consume(struct form *form, size_t len)
{
    form->window.len -= len;
    memmove(form->window.at, form->window.at + len, form->window.len);
}

/* name="…" in a Content-Disposition. Browsers write '"' as %22 and line ends as %0D%0A (WHATWG). */
static bool parameter(struct span header, const char *name, struct span *value)
{
    size_t len = strlen(name);

    for (size_t i = 0; i + len + 2 < header.len; i++) {
        bool here = (header.at[i] == ';' || header.at[i] == ' ') &&
                    strncasecmp(header.at + i + 1, name, len) == 0 &&
                    header.at[i + 1 + len] == '=' && i + len + 2 < header.len &&
                    header.at[i + len + 2] == '"';
        if (!here)
            continue;
        const char *begin = header.at + i + len + 3;
        const char *end = memchr(begin, '"', header.len - (size_t)(begin - header.at));
        if (end == NULL)
            return false;
        *value = span_of(begin, (size_t)(end - begin));
        return true;
    }
    return false;
}

static bool disposition(struct span headers, struct span *line)
{
    static const char name[] = "content-disposition:";
    struct span rest = headers;

    while (span_next(&rest, '\n', line))
        if (line->len > strlen(name) && strncasecmp(line->at, name, strlen(name)) == 0)
            return true;
    return false;
}

static enum form_outcome begin_file(struct form *form, struct span name, struct span file_name)
{
    bool fits = name.len <= FORM_NAME_MOST && file_name.len <= FORM_FILE_NAME_MOST &&
                str_utf8_valid(file_name) && memchr(file_name.at, '\0', file_name.len) == NULL;

    if (!fits)
        return fail(form, FORM_MALFORMED, "the file has no usable name");
    if (form->has_file || form->sink.begin == NULL)
        return fail(form, FORM_REFUSED, "a file that this form does not take");
    form->has_file = true;
    form->part = PART_FILE;
    return form->sink.begin(form->sink.context, form, name, file_name)
               ? FORM_FINE
               : fail(form, FORM_REFUSED, "the file is not taken");
}

static enum form_outcome begin_part(struct form *form, struct span headers)
{
    struct span line, name, file_name;

    if (!disposition(headers, &line) || !parameter(line, "name", &name))
        return fail(form, FORM_MALFORMED, "a part of the form has no name");
    if (parameter(line, "filename", &file_name))
        return begin_file(form, name, file_name);
    char *key = mem_span(name);
    size_t len = name.len;
    bool fine = strlen(key) == len && str_utf8_valid(name);
    form->part = PART_BODY;
    if (fine)
        return keep(form, key, mem_text(""), 0);
    free(key);
    return fail(form, FORM_MALFORMED, "the name of a field is no text in UTF-8");
}

/* The next piece of the part that is open. */
static enum form_outcome take_body(struct form *form, size_t len)
{
    if (len == 0)
        return FORM_FINE;
    if (form->part == PART_FILE)
        return form->sink.bytes(form->sink.context, span_of(form->window.at, len))
                   ? FORM_FINE
                   : fail(form, FORM_REFUSED, "the file is not taken");
    struct form_field *field = &form->fields[form->count - 1];
    form->bytes += len;
    if (form->bytes > FORM_BYTES_MOST)
        return fail(form, FORM_TOO_LARGE, "more text than a form takes; import it as a file");
    field->value = mem_grow(field->value, field->len + len + 1);
    memcpy(field->value + field->len, form->window.at, len);
    field->len += len;
    field->value[field->len] = '\0';
    return FORM_FINE;
}

static enum form_outcome end_part(struct form *form)
{
    struct form_field *field = form->part == PART_BODY ? &form->fields[form->count - 1] : NULL;

    form->part = PART_DELIMITER;
    if (field == NULL)
        return FORM_FINE;
    if (strlen(field->value) != field->len || !str_utf8_valid(span_of(field->value, field->len)))
        return fail(form, FORM_MALFORMED, "a field is no text in UTF-8");
    field->len = without_returns(field->value, field->len);
    return FORM_FINE;
}

/* Each takes what it can from the window; *more when the next can go on. */
static enum form_outcome read_body(struct form *form, bool *more)
{
    size_t len = strlen(form->delimiter);
    const char *end = memmem(form->window.at, form->window.len, form->delimiter, len);
    size_t safe = end != NULL               ? (size_t)(end - form->window.at)
                  : form->window.len >= len ? form->window.len - len + 1
                                            : 0;
    enum form_outcome outcome = take_body(form, safe);

    consume(form, safe + (end != NULL ? len : 0));
    *more = end != NULL;
    return end != NULL && outcome == FORM_FINE ? end_part(form) : outcome;
}

static enum form_outcome read_headers(struct form *form, bool *more)
{
    const char *end = memmem(form->window.at, form->window.len, "\r\n\r\n", 4);

    if (end == NULL)
        return form->window.len > FORM_HEADER_MOST
                   ? fail(form, FORM_MALFORMED, "the headers of a part are too long")
                   : FORM_FINE;
    size_t len = (size_t)(end - form->window.at);
    enum form_outcome outcome =
        len > FORM_HEADER_MOST ? fail(form, FORM_MALFORMED, "the headers of a part are too long")
                               : begin_part(form, span_of(form->window.at, len));
    consume(form, len + 4);
    *more = true;
    return outcome;
}

/* Behind a delimiter: "--" ends the form, an end of line begins a part. */
static enum form_outcome read_delimiter(struct form *form, bool *more)
{
    if (form->window.len < 2)
        return FORM_FINE;
    bool last = memcmp(form->window.at, "--", 2) == 0;
    if (!last && memcmp(form->window.at, "\r\n", 2) != 0)
        return fail(form, FORM_MALFORMED, "the parts of the form are not separated");
    consume(form, last ? form->window.len : 0); /* the CR LF belongs to the headers */
    form->part = last ? PART_END : PART_HEADERS;
    *more = !last;
    return FORM_FINE;
}

static enum form_outcome read_preamble(struct form *form, bool *more)
{
    size_t len = strlen(form->delimiter) - 2; /* the first stands without its CR LF */

    if (form->window.len < len)
        return FORM_FINE;
    if (memcmp(form->window.at, form->delimiter + 2, len) != 0)
        return fail(form, FORM_MALFORMED, "the form does not begin with its boundary");
    consume(form, len);
    form->part = PART_DELIMITER;
    *more = true;
    return FORM_FINE;
}

static enum form_outcome read_multipart(struct form *form)
{
    enum form_outcome outcome = FORM_FINE;
    bool more = true;

    while (outcome == FORM_FINE && more) {
        more = false;
        switch (form->part) {
        case PART_PREAMBLE:
            outcome = read_preamble(form, &more);
            break;
        case PART_DELIMITER:
            outcome = read_delimiter(form, &more);
            break;
        case PART_HEADERS:
            outcome = read_headers(form, &more);
            break;
        case PART_END:
            form->window.len = 0; /* an epilogue says nothing */
            break;
        default:
            outcome = read_body(form, &more);
        }
    }
    return outcome;
}

/* ---- the whole ---- */

static bool take_boundary(struct form *form, struct span type)
{
    static const char word[] = "boundary=";
    const char *at = type.at;

    for (size_t left = type.len; left >= strlen(word); at++, left--)
        if (strncasecmp(at, word, strlen(word)) == 0) {
            struct span value = span_of(at + strlen(word), left - strlen(word)), cut;
            if (value.len > 0 && value.at[0] == '"') {
                value = span_of(value.at + 1, value.len - 1);
                span_next(&value, '"', &cut);
            } else
                span_next(&value, ';', &cut);
            cut = span_trim(cut);
            if (cut.len == 0 || cut.len > FORM_BOUNDARY_MOST)
                return false;
            memcpy(form->delimiter, "\r\n--", 4);
            memcpy(form->delimiter + 4, cut.at, cut.len);
            form->delimiter[4 + cut.len] = '\0';
            return true;
        }
    return false;
}

static bool is_type(struct span type, const char *name)
{
    struct span rest = type, cut = {0};

    span_next(&rest, ';', &cut);
    cut = span_trim(cut);
    return cut.len == strlen(name) && strncasecmp(cut.at, name, cut.len) == 0;
}

enum form_outcome form_open(struct form *form, const char *content_type,
                            const struct form_sink *sink)
{
    struct span type = span_text(content_type != NULL ? content_type : "");

    *form = (struct form){.why = ""};
    if (sink != NULL)
        form->sink = *sink;
    if (content_type == NULL)
        return FORM_FINE;
    if (is_type(type, "application/x-www-form-urlencoded"))
        form->kind = FORM_URLENCODED;
    else if (is_type(type, "multipart/form-data") && take_boundary(form, type))
        form->kind = FORM_MULTIPART;
    else
        return fail(form, FORM_MALFORMED, "the body is no form");
    return FORM_FINE;
}

enum form_outcome form_feed(struct form *form, struct span bytes)
{
    if (bytes.len == 0)
        return FORM_FINE;
    if (form->kind == FORM_NONE)
        return fail(form, FORM_MALFORMED, "the body is no form");
    if (form->kind == FORM_URLENCODED && form->window.len + bytes.len > FORM_BYTES_MOST * (size_t)3)
        return fail(form, FORM_TOO_LARGE, "more text than a form takes; import it as a file");
    buf_append(&form->window, bytes.at, bytes.len);
    return form->kind == FORM_MULTIPART ? read_multipart(form) : FORM_FINE;
}

enum form_outcome form_end(struct form *form)
{
    enum form_outcome outcome = FORM_FINE;

    if (form->kind == FORM_URLENCODED)
        outcome = form_query(form, span_of(form->window.at, form->window.len));
    else if (form->kind == FORM_MULTIPART && form->part != PART_END)
        outcome = fail(form, FORM_MALFORMED, "the form is cut off");
    buf_free(&form->window);
    return outcome;
}

void form_free(struct form *form)
{
    for (size_t i = 0; i < form->count; i++) {
        free(form->fields[i].name);
        free(form->fields[i].value);
    }
    free(form->fields);
    buf_free(&form->window);
    *form = (struct form){.why = ""};
}

const char *form_value(const struct form *form, const char *name)
{
    for (size_t i = 0; i < form->count; i++)
        if (strcmp(form->fields[i].name, name) == 0)
            return form->fields[i].value;
    return "";
}

bool form_has(const struct form *form, const char *name)
{
    for (size_t i = 0; i < form->count; i++)
        if (strcmp(form->fields[i].name, name) == 0)
            return true;
    return false;
}
