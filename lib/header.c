/* header - see header.h */
#include "header.h"

#include <string.h>
#include <strings.h>

/* The next line with its end. */
static struct span next_line(struct span *rest)
{
    const char *end = memchr(rest->at, '\n', rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->at) + 1 : rest->len;
    struct span line = span_of(rest->at, len);

    *rest = span_of(rest->at + len, rest->len - len);
    return line;
}

static struct span without_end(struct span line)
{
    if (line.len > 0 && line.at[line.len - 1] == '\n')
        line.len--;
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

struct span header_of(struct span message)
{
    struct span rest = message;

    while (rest.len > 0) {
        const char *here = rest.at;
        if (without_end(next_line(&rest)).len == 0)
            return span_of(message.at, (size_t)(here - message.at));
    }
    return message;
}

static bool is_fold(struct span rest)
{
    return rest.len > 0 && (rest.at[0] == ' ' || rest.at[0] == '\t');
}

/* ftext of RFC 5322 section 3.6.8. */
static bool is_name(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] <= ' ' || name.at[i] == 0x7f)
            return false;
    return name.len > 0;
}

bool header_next(struct span *rest, struct header_field *field)
{
    while (rest->len > 0) {
        struct span line = next_line(rest);
        const char *start = line.at, *colon = memchr(line.at, ':', line.len);
        while (is_fold(*rest))
            next_line(rest);
        if (colon == NULL || is_fold(line))
            continue;
        field->name = span_trim(span_of(start, (size_t)(colon - start)));
        field->value = without_end(span_of(colon + 1, (size_t)(rest->at - colon) - 1));
        if (is_name(field->name))
            return true;
    }
    return false;
}

bool header_find(struct span header, const char *name, struct span *value)
{
    struct header_field field;

    while (header_next(&header, &field)) {
        if (field.name.len == strlen(name) &&
            strncasecmp(field.name.at, name, field.name.len) == 0) {
            *value = field.value;
            return true;
        }
    }
    return false;
}

void header_unfold(struct buf *out, struct span value, size_t most)
{
    struct span text = span_trim(value);

    if (text.len > most)
        text.len = most;
    buf_text(out, "");
    while (text.len > 0) {
        struct span line = next_line(&text), bare = without_end(line);
        buf_append(out, bare.at, bare.len);
        if (text.len > 0 && !is_fold(text))
            buf_text(out, " "); /* a bare LF that was no fold */
    }
}
