/* request - see request.h */
#include "policyd/request.h"

#include <string.h>

#include "policyd/marks.h"

static bool is(struct span name, const char *wanted, size_t len)
{
    return name.len == len && memcmp(name.at, wanted, len) == 0;
}

/* Where the attribute of that name goes; NULL: it is none of ours. Told apart by their first
 * letters, as two dozen names of each request are not ours. */
static struct span *field_of(struct request *r, struct span name)
{
#define IS(field) is(name, #field, sizeof #field - 1)
    switch (name.at[0]) {
    case 'r':
        return IS(recipient) ? &r->recipient : IS(request) ? &r->request : NULL;
    case 'p':
        return IS(protocol_state) ? &r->protocol_state : NULL;
    case 's':
        return IS(sender) ? &r->sender : NULL;
    case 'c':
        return IS(client_address) ? &r->client_address : NULL;
    default:
        return NULL;
    }
#undef IS
}

static void take_attribute(struct request *request, struct span name, struct span value)
{
    struct span *field = field_of(request, name);

    if (field != NULL && field->at == NULL)
        *field = value;
}

/* Whether an empty line ends behind the first `seen` bytes, of which there are some. */
static bool has_end(struct span bytes, size_t seen)
{
    return memmem(bytes.at + seen - 1, bytes.len - seen + 1, "\n\n", 2) != NULL;
}

static enum request_outcome finish(const struct request *request, const char **why)
{
    if (request->request.at == NULL) {
        *why = "no request= attribute";
        return REQUEST_MALFORMED;
    }
    return REQUEST_COMPLETE;
}

static enum request_outcome partial(size_t len, const char **why)
{
    if (len < REQUEST_MAX)
        return REQUEST_PARTIAL;
    *why = "longer than 64 KiB";
    return REQUEST_MALFORMED;
}

/* `equals`: the first '=' in front of the newline, or NULL. */
static bool take_line(struct request *request, const char *line, const char *equals,
                      const char *newline, const char **why)
{
    if (equals == NULL || equals == line) {
        *why = "a line without name=value";
        return false;
    }
    take_attribute(request, span_of(line, (size_t)(equals - line)),
                   span_of(equals + 1, (size_t)(newline - equals) - 1));
    return true;
}

enum request_outcome request_parse(struct span bytes, size_t seen, struct request *request,
                                   size_t *used, const char **why)
{
    struct marks marks = {.bytes = bytes};
    const char *line = bytes.at, *equals = NULL; /* of the line: its first byte, its first '=' */
    size_t at;

    *request = (struct request){0};
    if (seen > 0 && !has_end(bytes, seen))
        return partial(bytes.len, why);
    for (int lines = 0; marks_next(&marks, &at);) {
        const char *mark = bytes.at + at;
        if (*mark == '=') {
            equals = equals == NULL ? mark : equals;
            continue;
        }
        if (at >= REQUEST_MAX)
            return partial(at + 1, why);
        if (mark == line) {
            *used = at + 1;
            return finish(request, why);
        }
        if (lines++ == REQUEST_ATTRIBUTES_MAX) {
            *why = "more than 256 attributes";
            return REQUEST_MALFORMED;
        }
        if (!take_line(request, line, equals, mark, why))
            return REQUEST_MALFORMED;
        line = mark + 1;
        equals = NULL;
    }
    return partial(bytes.len, why);
}
