/* request - see request.h */
#include "policyd/request.h"

#include <stddef.h>
#include <string.h>

struct attribute {
    const char *name;
    size_t len;
    size_t offset; /* of the span in struct request */
};

#define ATTRIBUTE(field)                                                                           \
    {                                                                                              \
#field, sizeof #field - 1, offsetof(struct request, field)                                 \
    }

static const struct attribute attributes[] = {
    ATTRIBUTE(request),        ATTRIBUTE(protocol_state), ATTRIBUTE(recipient), ATTRIBUTE(sender),
    ATTRIBUTE(client_address), ATTRIBUTE(queue_id),       ATTRIBUTE(instance),
};

/* First letters that an attribute of ours has: most lines are dismissed by their first byte. */
static bool may_be_ours(char c)
{
    return c == 'r' || c == 'p' || c == 's' || c == 'c' || c == 'q' || c == 'i';
}

static void take_attribute(struct request *request, struct span name, struct span value)
{
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        const struct attribute *a = &attributes[i];
        if (a->len != name.len || memcmp(a->name, name.at, name.len) != 0)
            continue;
        struct span *field = (struct span *)(void *)((char *)request + a->offset);
        if (field->at == NULL)
            *field = value;
        return;
    }
}

static bool take_line(struct request *request, struct span line, const char **why)
{
    const char *equals = memchr(line.at, '=', line.len);

    if (equals == NULL || equals == line.at) {
        *why = "a line without name=value";
        return false;
    }
    if (may_be_ours(line.at[0])) {
        struct span name = span_of(line.at, (size_t)(equals - line.at));
        take_attribute(request, name, span_of(equals + 1, line.len - name.len - 1));
    }
    return true;
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

enum request_outcome request_parse(struct span bytes, size_t seen, struct request *request,
                                   size_t *used, const char **why)
{
    size_t at = 0;

    *request = (struct request){0};
    if (seen > 0 && !has_end(bytes, seen))
        return partial(bytes.len, why);
    for (int lines = 0;; lines++) {
        const char *end = at < bytes.len ? memchr(bytes.at + at, '\n', bytes.len - at) : NULL;
        if (end == NULL)
            return partial(bytes.len, why);
        struct span line = span_of(bytes.at + at, (size_t)(end - (bytes.at + at)));
        at += line.len + 1;
        if (at > REQUEST_MAX)
            return partial(at, why);
        if (line.len == 0) {
            *used = at;
            return finish(request, why);
        }
        if (lines == REQUEST_ATTRIBUTES_MAX) {
            *why = "more than 256 attributes";
            return REQUEST_MALFORMED;
        }
        if (!take_line(request, line, why))
            return REQUEST_MALFORMED;
    }
}
