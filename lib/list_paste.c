/*
 * list_paste - the addresses of a line that anybody wrote (pure); see list_private.h
 *
 * Made for what people copy: `Name <addr>`, `"Last, First" <addr>; …`, mailto: links, rows of a
 * table on a web page, prose. What separates addresses is white space, commas, semicolons, bars and
 * brackets. Words are kept back until it is known whether they are the name in front of a '<'.
 */
#include <string.h>

#include "list_private.h"

struct scan {
    const struct paste_sink *sink;
    struct span s;
    size_t i;
    size_t from;        /* where the words that may become a name begin; NONE */
    struct span beside; /* the name that a table's row has beside a bare address */
    struct buf name, address;
    bool inside; /* of double quotes: no further descent */
};

enum { NONE = -1 };
#define NO_NAME ((size_t)NONE)

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_alnum(char c)
{
    char l = str_lower(c);

    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static bool has(struct span s, char c)
{
    return s.len > 0 && memchr(s.at, c, s.len) != NULL;
}

static bool has_letter(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_alnum(s.at[i]) && !(s.at[i] >= '0' && s.at[i] <= '9'))
            return true;
    return false;
}

static bool has_alnum(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (is_alnum(s.at[i]))
            return true;
    return false;
}

static struct span part(const struct scan *scan, size_t from, size_t to)
{
    return span_of(scan->s.at + from, to - from);
}

/* Without separators and stray marks at both ends. */
static struct span trim_marks(struct span s)
{
    while (s.len > 0 && strchr(" \t,;:*-", s.at[0]) != NULL && s.at[0] != '\0')
        s = span_of(s.at + 1, s.len - 1);
    while (s.len > 0 && strchr(" \t,;:*-", s.at[s.len - 1]) != NULL && s.at[s.len - 1] != '\0')
        s.len--;
    return s;
}

static struct span unquote_single(struct span s)
{
    return s.len > 1 && s.at[0] == '\'' && s.at[s.len - 1] == '\'' ? span_of(s.at + 1, s.len - 2)
                                                                   : s;
}

/* The name as it is meant: without quotes around it and backslashes in it. One that is itself an
 * address says nothing. */
static struct span name_meant(struct span raw, struct buf *room)
{
    struct span s = unquote_single(trim_marks(raw));

    buf_clear(room);
    buf_text(room, "");
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\\' && i + 1 < s.len)
            i++;
        else if (s.at[i] == '"')
            continue;
        buf_append(room, s.at + i, 1);
    }
    struct span name = trim_marks(span_of(room->at, room->len));
    return has(name, '@') || !has_letter(name) ? span_of("", 0) : name;
}

static void tell_words(struct scan *scan, struct span s)
{
    size_t from = 0;

    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && strchr(" \t,;\"()[]<>", s.at[i]) == NULL)
            continue;
        if (i > from && has_alnum(span_of(s.at + from, i - from)))
            scan->sink->word(scan->sink->context, span_of(s.at + from, i - from));
        from = i + 1;
    }
}

/* The words that were kept back are no name after all. */
static void drop_name(struct scan *scan)
{
    if (scan->from != NO_NAME)
        tell_words(scan, part(scan, scan->from, scan->i));
    scan->from = NO_NAME;
}

static void keep_for_name(struct scan *scan, size_t to)
{
    if (scan->from == NO_NAME)
        scan->from = scan->i;
    scan->i = to;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* RFC 6068: what follows '?' are header fields, %40 is '@'. */
static struct span mailto_meant(struct span s, struct buf *room)
{
    const char *query = memchr(s.at, '?', s.len);

    if (query != NULL)
        s.len = (size_t)(query - s.at);
    buf_clear(room);
    buf_text(room, "");
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '%' && i + 2 < s.len && hex_digit(s.at[i + 1]) >= 0 &&
            hex_digit(s.at[i + 2]) >= 0) {
            c = (char)(hex_digit(s.at[i + 1]) << 4 | hex_digit(s.at[i + 2]));
            i += 2;
        }
        buf_append(room, &c, 1);
    }
    return span_of(room->at, room->len);
}

/* Address types of directories that are none of ours, and links. */
static bool foreign_type(struct span label)
{
    static const char *const types[] = {
        "sip:", "x400:", "x500:", "eum:", "spo:", "notes:", "im:", "xmpp:"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (span_starts(label, types[i]))
            return true;
    return false;
}

/* Cuts off "mailto:", "SMTP:", "E-Mail:"; false when it is no mail address at all. */
static bool cut_label(struct span *s, struct buf *room)
{
    const char *at = memchr(s->at, '@', s->len);
    struct span front = span_of(s->at, at == NULL ? s->len : (size_t)(at - s->at));
    const char *colon =
        front.len > 0 && front.at[0] != '"' ? memrchr(front.at, ':', front.len) : NULL;

    if (colon == NULL)
        return true;
    if (foreign_type(*s) || (colon + 2 < s->at + s->len && colon[1] == '/' && colon[2] == '/'))
        return false;
    struct span label = span_of(front.at, (size_t)(colon + 1 - front.at));
    bool mailto = label.len >= 7 && span_starts(span_of(colon - 6, 7), "mailto:");
    *s = span_of(colon + 1, s->len - label.len);
    if (mailto)
        *s = mailto_meant(*s, room);
    return true;
}

/* Takes marks off both ends that cannot belong to an address there. */
static struct span trim_address(struct span s)
{
    while (s.len > 0 && (s.at[0] == '\'' || s.at[0] == '*' || s.at[0] == ' '))
        s = span_of(s.at + 1, s.len - 1);
    while (s.len > 0 && !is_alnum(s.at[s.len - 1]) && s.at[s.len - 1] != ']' &&
           s.at[s.len - 1] != '@')
        s.len--;
    return s;
}

static void emit(struct scan *scan, struct span address, struct span name)
{
    struct span meant = name_meant(name.len > 0 ? name : scan->beside, &scan->name);

    address = trim_address(address);
    if (!cut_label(&address, &scan->address))
        tell_words(scan, address);
    else
        scan->sink->address(scan->sink->context, trim_address(address), meant);
}

static size_t skip_blanks(const struct scan *scan, size_t i)
{
    while (i < scan->s.len && is_blank(scan->s.at[i]))
        i++;
    return i;
}

/* The place of the double quote that closes the one at `i`; 0 if there is none. */
static size_t closing_quote(struct span s, size_t i)
{
    for (i++; i < s.len; i++) {
        if (s.at[i] == '"')
            return i;
        if (s.at[i] == '\\')
            i++;
    }
    return 0;
}

/* The place of the '>' that closes the '<' at `i`; 0 if there is none. */
static size_t closing_angle(struct span s, size_t i)
{
    for (; i < s.len; i++) {
        if (s.at[i] == '>')
            return i;
        if (s.at[i] == '"' && closing_quote(s, i) > 0)
            i = closing_quote(s, i);
    }
    return 0;
}

/* Whether an address in angle brackets stands at `i`, behind blanks. */
static bool angle_follows(const struct scan *scan, size_t i)
{
    i = skip_blanks(scan, i);
    if (i >= scan->s.len || scan->s.at[i] != '<')
        return false;
    size_t close = closing_angle(scan->s, i);
    return close > 0 && has(part(scan, i, close), '@');
}

/* Where the word at `i` ends. Brackets behind an '@' belong to it. */
static size_t word_end(struct span s, size_t i)
{
    for (; i < s.len; i++) {
        if (s.at[i] == '[' && i > 0 && s.at[i - 1] == '@' && has(span_of(s.at + i, s.len - i), ']'))
            i = (size_t)((const char *)memchr(s.at + i, ']', s.len - i) - s.at);
        else if (strchr(" \t,;\"()[]<>", s.at[i]) != NULL)
            break;
    }
    return i;
}

/* Where "a@x.org/b@x.org" parts: people separate with signs that a local part may have, too. */
static size_t address_end(struct span word)
{
    const char *at = memchr(word.at, '@', word.len);

    for (size_t i = (size_t)(at - word.at); i < word.len; i++)
        if (strchr("/&+'", word.at[i]) != NULL && word.at[i] != '\0' &&
            has(span_of(word.at + i, word.len - i), '@'))
            return i;
    return word.len;
}

/* "(Name)" behind a bare address. */
static struct span comment_at(const struct scan *scan, size_t *i)
{
    size_t open = skip_blanks(scan, *i);

    if (open >= scan->s.len || scan->s.at[open] != '(')
        return span_of("", 0);
    const char *close = memchr(scan->s.at + open, ')', scan->s.len - open);
    struct span inside =
        close == NULL ? span_of("", 0) : part(scan, open + 1, (size_t)(close - scan->s.at));
    if (has(inside, '@') || !has_letter(inside))
        return span_of("", 0);
    *i = (size_t)(close - scan->s.at) + 1;
    return inside;
}

static void take_word(struct scan *scan)
{
    size_t end = word_end(scan->s, scan->i);
    struct span word = part(scan, scan->i, end);

    if (!has(word, '@') || !has_alnum(word) || angle_follows(scan, end)) {
        keep_for_name(scan, end);
        return;
    }
    drop_name(scan);
    size_t len = address_end(word);
    bool cut = len < word.len; /* the sign between two addresses belongs to neither */
    word.len = len;
    end = scan->i + len + (cut ? 1 : 0);
    struct span name = cut ? span_of("", 0) : comment_at(scan, &end);
    emit(scan, word, name);
    scan->i = end;
}

static void scan_cell(const struct paste_sink *sink, struct span cell, struct span beside,
                      bool inside);

static void take_quoted(struct scan *scan)
{
    size_t close = closing_quote(scan->s, scan->i);

    if (close == 0) {
        scan->i++;
        return;
    }
    struct span within = part(scan, scan->i + 1, close);
    if (close + 1 < scan->s.len && scan->s.at[close + 1] == '@') {
        size_t end = word_end(scan->s, close + 1);
        drop_name(scan);
        emit(scan, part(scan, scan->i, end), span_of("", 0));
        scan->i = end;
    } else if (has(within, '@') && !scan->inside && !angle_follows(scan, close + 1)) {
        drop_name(scan);
        scan_cell(scan->sink, within, scan->beside, true);
        scan->i = close + 1;
    } else
        keep_for_name(scan, close + 1);
}

static void take_angle(struct scan *scan)
{
    size_t close = closing_angle(scan->s, scan->i);

    if (close == 0) {
        scan->i++;
        return;
    }
    struct span within = part(scan, scan->i + 1, close);
    if (has(within, '@')) {
        struct span name = span_of("", 0);
        if (scan->from != NO_NAME)
            name = part(scan, scan->from, scan->i);
        scan->from = NO_NAME;
        emit(scan, within, name);
    }
    scan->i = close + 1;
}

static void take_bracket(struct scan *scan)
{
    const char *close = memchr(scan->s.at + scan->i, ')', scan->s.len - scan->i);

    if (close == NULL || has(part(scan, scan->i, (size_t)(close - scan->s.at)), '@'))
        scan->i++;
    else
        keep_for_name(scan, (size_t)(close - scan->s.at) + 1);
}

static void scan_cell(const struct paste_sink *sink, struct span cell, struct span beside,
                      bool inside)
{
    struct scan scan = {
        .sink = sink, .s = cell, .from = NO_NAME, .beside = beside, .inside = inside};

    while (scan.i < cell.len) {
        switch (cell.at[scan.i]) {
        case ';':
            drop_name(&scan);
            scan.i++;
            break;
        case ' ':
        case '\t':
        case ',':
        case ')':
        case '[':
        case ']':
        case '>':
            scan.i++;
            break;
        case '"':
            take_quoted(&scan);
            break;
        case '<':
            take_angle(&scan);
            break;
        case '(':
            take_bracket(&scan);
            break;
        default:
            take_word(&scan);
        }
    }
    drop_name(&scan);
    buf_free(&scan.name);
    buf_free(&scan.address);
}

/* Splits off a cell of a row. Without a tab or a bar the row is one cell. */
static bool next_cell(struct span *rest, struct span *cell)
{
    size_t i = 0;

    if (rest->at == NULL)
        return false;
    while (i < rest->len && rest->at[i] != '\t' && rest->at[i] != '|')
        i++;
    *cell = span_trim(span_of(rest->at, i));
    *rest = i == rest->len ? (struct span){NULL, 0} : span_of(rest->at + i + 1, rest->len - i - 1);
    return true;
}

static bool like_full_name(struct span s)
{
    return has_letter(s) && (has(s, ' ') || has(s, ','));
}

/*
 * The cell that names the one address of a row: the nearest to the left, or else, if it reads like
 * a full name, the one to the right. Empty when the row has several addresses, or none.
 */
static struct span row_name(struct span row)
{
    struct span cell, left = span_of("", 0), right = span_of("", 0);
    size_t addresses = 0;

    while (next_cell(&row, &cell)) {
        if (has(cell, '@')) {
            addresses++;
        } else if (addresses == 0 && has_letter(cell)) {
            left = cell;
        } else if (addresses == 1 && right.len == 0) {
            right = cell;
        }
    }
    if (addresses != 1)
        return span_of("", 0);
    return left.len > 0 || !like_full_name(right) ? left : right;
}

void paste_line(struct span clean, const struct paste_sink *sink)
{
    struct span name = row_name(clean), cell;

    while (next_cell(&clean, &cell))
        if (cell.len > 0 && cell.at != name.at)
            scan_cell(sink, cell, name, false);
}

/* ="text", with which spreadsheets keep a text from being a formula. */
static struct span unwrap_formula(struct span s)
{
    return s.len > 3 && s.at[0] == '=' && s.at[1] == '"' && s.at[s.len - 1] == '"'
               ? span_of(s.at + 2, s.len - 3)
               : s;
}

struct span paste_unwrap(struct span clean, struct buf *room, struct span *name)
{
    struct span s = unquote_single(unwrap_formula(span_trim(clean)));

    *name = span_of("", 0);
    if (s.len > 0 && s.at[s.len - 1] == '>' && has(s, '<')) {
        size_t open = (size_t)((const char *)memrchr(s.at, '<', s.len) - s.at);
        *name = trim_marks(span_of(s.at, open));
        s = span_of(s.at + open + 1, s.len - open - 2);
    }
    if (s.len > 1 && s.at[0] == '"' && s.at[s.len - 1] == '"')
        s = span_of(s.at + 1, s.len - 2);
    s = span_trim(s);
    if (!cut_label(&s, room))
        return span_trim(clean);
    return span_trim(s);
}
