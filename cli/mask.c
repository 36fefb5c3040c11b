/* mask - see mask.h */
#include "cli/mask.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char stars[] = "***";

static bool is_secret(struct span name)
{
    static const char *const names[] = {"password", "sslpassword"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name.len == strlen(names[i]) && strncasecmp(name.at, names[i], name.len) == 0)
            return true;
    return false;
}

static bool is_blank(char c)
{
    return isspace((unsigned char)c) != 0;
}

/* The end of a value of the form key=value: quoted, or up to white space; a backslash escapes. */
static size_t value_end(const char *text, size_t at)
{
    bool quoted = text[at] == '\'';

    for (at += quoted; text[at] != '\0'; at++) {
        if (text[at] == '\\' && text[at + 1] != '\0')
            at++;
        else if (quoted && text[at] == '\'')
            return at + 1;
        else if (!quoted && is_blank(text[at]))
            return at;
    }
    return at;
}

static bool mask_pairs(const char *text, struct buf *out)
{
    bool found = false;

    for (size_t at = 0; text[at] != '\0';) {
        size_t begin = at;
        while (is_blank(text[at]))
            at++;
        size_t name = at;
        while (text[at] != '\0' && text[at] != '=' && !is_blank(text[at]))
            at++;
        bool secret = is_secret(span_of(text + name, at - name));
        while (is_blank(text[at]))
            at++;
        bool has_value = text[at] == '=';
        at += has_value;
        while (is_blank(text[at]))
            at++;
        buf_append(out, text + begin, at - begin);
        size_t end = has_value ? value_end(text, at) : at;
        if (secret && end > at) {
            buf_text(out, stars);
            found = true;
        } else
            buf_append(out, text + at, end - at);
        at = end;
    }
    return found;
}

/* scheme://user:password@hosts/name?key=value&… */
static bool mask_uri(const char *text, struct buf *out)
{
    const char *user = strstr(text, "://") + 3;
    const char *at = user + strcspn(user, "/?"), *question = strchr(user, '?');
    const char *sign = memrchr(user, '@', (size_t)(at - user));
    const char *colon = sign != NULL ? memchr(user, ':', (size_t)(sign - user)) : NULL;
    const char *rest = colon != NULL ? sign : text;
    bool found = colon != NULL;

    if (found) {
        buf_append(out, text, (size_t)(colon + 1 - text));
        buf_text(out, stars);
    }
    if (question == NULL) {
        buf_text(out, rest);
        return found;
    }
    buf_append(out, rest, (size_t)(question - rest));
    struct span pairs = span_text(question + 1), pair;
    for (char before = '?'; span_next(&pairs, '&', &pair); before = '&') {
        struct span value = pair, name;
        bool secret = span_next(&value, '=', &name) && value.at != NULL && is_secret(name);
        buf_printf(out, "%c%.*s%s", before, (int)(secret ? name.len + 1 : pair.len), pair.at,
                   secret ? stars : "");
        found = found || secret;
    }
    return found;
}

bool mask_password(struct buf *conninfo)
{
    struct buf masked = {0};
    bool uri = conninfo->len > 0 && (strncmp(conninfo->at, "postgres://", 11) == 0 ||
                                     strncmp(conninfo->at, "postgresql://", 13) == 0);

    buf_text(&masked, "");
    bool found = uri                 ? mask_uri(conninfo->at, &masked)
                 : conninfo->len > 0 ? mask_pairs(conninfo->at, &masked)
                                     : false;
    buf_free(conninfo);
    *conninfo = masked;
    return found;
}
