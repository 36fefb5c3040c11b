/* template_html - see template.h; here: following the HTML of a template, and escaping */
#include <stdio.h>
#include <string.h>

#include "panel/template.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static void take(char *name, size_t room, size_t *seen, char c)
{
    if (*seen + 1 < room) {
        name[*seen] = str_lower(c);
        name[*seen + 1] = '\0';
    }
    (*seen)++;
}

static bool is_raw(const char *name)
{
    return strcmp(name, "script") == 0 || strcmp(name, "style") == 0;
}

static void end_tag(struct template_html *html)
{
    html->state = is_raw(html->name) ? HTML_RAW : HTML_TEXT;
    html->seen = 0;
}

static void follow_open(struct template_html *html, char c)
{
    html->seen = 0;
    html->name[0] = '\0';
    html->state = c == '!' ? HTML_COMMENT : HTML_NAME;
    if (html->state == HTML_NAME)
        take(html->name, sizeof html->name, &html->seen, c);
}

static void follow_tag(struct template_html *html, char c)
{
    if (c == '>')
        end_tag(html);
    else if (!is_blank(c) && c != '/') {
        html->state = HTML_ATTRIBUTE;
        html->seen = 0;
        take(html->attribute, sizeof html->attribute, &html->seen, c);
    } else
        html->state = HTML_TAG;
}

static void follow_attribute(struct template_html *html, char c)
{
    if (c == '=')
        html->state = HTML_EQUALS;
    else if (c == '>' || is_blank(c) || c == '/')
        follow_tag(html, c);
    else
        take(html->attribute, sizeof html->attribute, &html->seen, c);
}

static void follow_equals(struct template_html *html, char c)
{
    if (c == '"' || c == '\'') {
        html->quote = c;
        html->state = HTML_VALUE;
    } else
        html->state = HTML_BARE;
    html->seen = 0;
}

static void follow_one(struct template_html *html, char c)
{
    switch (html->state) {
    case HTML_TEXT:
        if (c == '<')
            html->state = HTML_OPEN;
        break;
    case HTML_OPEN:
        follow_open(html, c);
        break;
    case HTML_NAME:
        if (c == '>' || is_blank(c))
            follow_tag(html, c);
        else
            take(html->name, sizeof html->name, &html->seen, c);
        break;
    case HTML_TAG:
        follow_tag(html, c);
        break;
    case HTML_ATTRIBUTE:
        follow_attribute(html, c);
        break;
    case HTML_EQUALS:
        follow_equals(html, c);
        break;
    case HTML_VALUE:
        if (c == html->quote)
            html->state = HTML_TAG;
        html->seen++;
        break;
    case HTML_BARE:
        if (c == '>' || is_blank(c))
            follow_tag(html, c);
        break;
    case HTML_COMMENT:
        if (c == '>')
            html->state = HTML_TEXT;
        break;
    case HTML_RAW: /* until "</" */
        if (c == '/' && html->seen == 1)
            follow_open(html, c);
        else
            html->seen = c == '<';
        break;
    }
}

void template_html_follow(struct template_html *html, struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        follow_one(html, text.at[i]);
}

void template_html_settle(struct template_html *html)
{
    if (html->state == HTML_NAME || html->state == HTML_ATTRIBUTE)
        html->state = HTML_TAG;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

static bool attribute_place(const struct template_html *html, enum template_place *place,
                            struct err *err)
{
    static const char *const urls[] = {"href", "src", "action", "formaction", "poster", NULL};
    static const char *const never[] = {"style", "srcdoc", "srcset", "http-equiv", NULL};

    if (strncmp(html->attribute, "on", 2) == 0 || is_one_of(html->attribute, never))
        return err_set(err, ERR_DATA, "a value in the attribute %s", html->attribute);
    *place = PLACE_ATTRIBUTE;
    if (is_one_of(html->attribute, urls))
        *place = html->seen == 0 ? PLACE_URL : PLACE_URL_PART;
    return true;
}

bool template_html_place(const struct template_html *html, enum template_place *place,
                         struct err *err)
{
    switch (html->state) {
    case HTML_TEXT:
        *place = PLACE_TEXT;
        return true;
    case HTML_VALUE:
        return attribute_place(html, place, err);
    case HTML_RAW:
        return err_set(err, ERR_DATA, "a value in a %s", html->name);
    case HTML_COMMENT:
        return err_set(err, ERR_DATA, "a value in a comment");
    default:
        return err_set(err, ERR_DATA, "a value inside of a tag, without quotes around it");
    }
}

bool template_html_join(struct template_html *html, const struct template_html *other)
{
    if (html->state != other->state)
        return false;
    if (html->seen < other->seen)
        html->seen = other->seen;
    return html->state != HTML_VALUE ||
           (html->quote == other->quote && strcmp(html->attribute, other->attribute) == 0);
}

/* ---- escaping ---- */

static void escape_html(struct buf *out, struct span value)
{
    static const char *const named[256] = {['&'] = "&amp;",  ['<'] = "&lt;",   ['>'] = "&gt;",
                                           ['"'] = "&quot;", ['\''] = "&#39;", ['\0'] = "\ufffd"};
    size_t from = 0;

    for (size_t i = 0; i < value.len; i++) {
        const char *name = named[(unsigned char)value.at[i]];
        if (name == NULL)
            continue;
        buf_append(out, value.at + from, i - from);
        buf_text(out, name);
        from = i + 1;
    }
    buf_append(out, value.at + from, value.len - from);
}

/* RFC 3986 section 2.3: what stands for itself everywhere. */
static void escape_part(struct buf *out, struct span value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            buf_append(out, &value.at[i], 1);
        else
            buf_printf(out, "%%%02X", c);
    }
}

static bool begins(struct span value, const char *with)
{
    return value.len >= strlen(with) && strncasecmp(value.at, with, strlen(with)) == 0;
}

/* Our own paths, and schemes that run nothing. "//" and "/\" would be another host. */
static bool is_safe_url(struct span value)
{
    static const char *const schemes[] = {"https://", "http://", "mailto:", "otpauth://"};

    if (value.len > 0 && (value.at[0] == '?' || value.at[0] == '#'))
        return true;
    if (value.len > 0 && value.at[0] == '/')
        return value.len == 1 || (value.at[1] != '/' && value.at[1] != '\\');
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (begins(value, schemes[i]))
            return true;
    return false;
}

void template_escape(struct buf *out, enum template_place place, struct span value)
{
    if (value.len == 0)
        return;
    if (place == PLACE_NOWHERE)
        buf_append(out, value.at, value.len);
    else if (place == PLACE_URL_PART)
        escape_part(out, value);
    else if (place == PLACE_URL && !is_safe_url(value))
        buf_text(out, "#");
    else
        escape_html(out, value);
}
