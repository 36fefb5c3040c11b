/* postfix - see postfix.h */
#include "cli/postfix.h"

#include <string.h>

static const struct span nothing = {NULL, 0};

/* "name = value" or "name=value"; at == NULL when it is another name. */
static struct span value_of(struct span line, const char *name)
{
    struct span key, rest = line;

    if (!span_next(&rest, '=', &key) || rest.at == NULL || !span_equals(span_trim(key), name))
        return nothing;
    return span_trim(rest);
}

struct span postfix_value(struct span main_cf, const char *name)
{
    struct span line, value;

    while (span_next(&main_cf, '\n', &line)) {
        value = value_of(line, name);
        if (value.at != NULL)
            return value;
    }
    return nothing;
}

static bool separates(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool postfix_next(struct span *rest, struct span *element)
{
    size_t begin = 0, depth = 0;

    while (begin < rest->len && separates(rest->at[begin]))
        begin++;
    size_t end = begin;
    for (; end < rest->len && (depth > 0 || !separates(rest->at[end])); end++) {
        if (rest->at[end] == '{')
            depth++;
        else if (rest->at[end] == '}' && depth > 0)
            depth--;
    }
    *element = span_of(rest->at + begin, end - begin);
    *rest = span_of(rest->at + end, rest->len - end);
    return element->len > 0;
}

bool postfix_has(struct span list, const char *element)
{
    struct span one;

    while (list.at != NULL && postfix_next(&list, &one))
        if (span_equals(one, element))
            return true;
    return false;
}

struct span postfix_unbraced(struct span element)
{
    if (element.len >= 2 && element.at[0] == '{' && element.at[element.len - 1] == '}')
        return span_trim(span_of(element.at + 1, element.len - 2));
    return element;
}

/* "{ unix:path, timeout=10s, { default_action = 451 4.3.5 later } }" */
struct postfix_policy postfix_policy(struct span element)
{
    struct postfix_policy policy = {element, nothing, nothing};
    struct span rest = postfix_unbraced(element), piece;

    if (element.len == 0 || element.at[0] != '{')
        return policy;
    policy.endpoint = nothing;
    while (postfix_next(&rest, &piece)) {
        piece = postfix_unbraced(piece);
        struct span timeout = value_of(piece, "timeout");
        struct span action = value_of(piece, "default_action");
        if (timeout.at != NULL)
            policy.timeout = timeout;
        else if (action.at != NULL)
            policy.default_action = action;
        else if (policy.endpoint.at == NULL)
            policy.endpoint = piece;
    }
    return policy;
}

bool postfix_next_service(struct span *master_cf, struct postfix_service *service)
{
    struct span line, field[8];
    size_t n;

    while (span_next(master_cf, '\n', &line)) {
        for (n = 0; n < 8 && postfix_next(&line, &field[n]);)
            n++;
        if (n < 8)
            continue;
        *service = (struct postfix_service){.name = field[0],
                                            .type = field[1],
                                            .chroot = span_equals(field[4], "y"),
                                            .command = field[7],
                                            .arguments = line};
        return true;
    }
    return false;
}

struct span postfix_override(const struct postfix_service *service, const char *name)
{
    struct span rest = service->arguments, word, found = nothing;

    while (postfix_next(&rest, &word)) {
        if (!span_equals(word, "-o") || !postfix_next(&rest, &word))
            continue;
        struct span value = value_of(postfix_unbraced(word), name);
        if (value.at != NULL)
            found = value; /* the last one counts */
    }
    return found;
}
