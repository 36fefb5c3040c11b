/*
 * list_entry - cells into entries; see list_private.h
 *
 * A bad alias is told and left out; the user stands, since to drop a user for it would, in a list
 * that replaces another, take their mail away. Without a good primary address there is no entry.
 */
#include <string.h>

#include "list_private.h"

static bool same_address(const struct addr *a, const struct addr *b)
{
    return a->local_len == b->local_len && a->domain_len == b->domain_len &&
           memcmp(a->local, b->local, a->local_len) == 0 &&
           memcmp(a->domain, b->domain, a->domain_len) == 0;
}

/* Local parts are compared as their domain says. */
static bool parse(const struct list *list, struct span text, struct addr *addr, struct err *why)
{
    const struct list_sink *sink = list->sink;

    if (text.len == 0 || memchr(text.at, '@', text.len) == NULL)
        return err_set(why, ERR_DATA, "no '@' in it");
    if (!addr_parse(text, true, addr, why))
        return false;
    return sink->folds_case == NULL ||
           sink->folds_case(sink->context, span_of(addr->domain, addr->domain_len)) ||
           addr_parse(text, false, addr, why);
}

/* Most cells hold just an address; the rest is cleaned and unwrapped first. */
static bool parse_cell(struct list *list, struct span cell, struct addr *addr, struct span *name,
                       struct err *why)
{
    struct list_maker *maker = &list->maker;
    bool ascii = true;

    *name = span_of("", 0);
    cell = span_trim(cell);
    for (size_t i = 0; i < cell.len && ascii; i++)
        ascii = (unsigned char)cell.at[i] < 0x80;
    if (ascii && parse(list, cell, addr, why))
        return true;
    struct span clean = list_clean(cell, &maker->clean);
    return parse(list, paste_unwrap(clean, &maker->unwrapped, name), addr, why);
}

/* Reads one more address of the entry; what is there already is not there twice. False: `why` it
 * is none. */
static bool add(struct list *list, struct span cell, struct span *name, struct err *why)
{
    struct list_maker *maker = &list->maker;

    if (maker->count == ROLL_ADDRESSES_MAX)
        return err_set(why, ERR_DATA, "more than %d addresses of one user", ROLL_ADDRESSES_MAX);
    struct addr *addr = &maker->addresses[maker->count];
    if (!parse_cell(list, cell, addr, name, why))
        return false;
    for (size_t i = 0; i < maker->count; i++)
        if (same_address(addr, &maker->addresses[i]))
            return true;
    maker->count++;
    return true;
}

static bool is_separator(char c)
{
    return c == ',' || c == ';' || c == '|' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The length of "smtp:" and its like at the start of `s`, 0 if there is none. */
static size_t type_length(struct span s)
{
    size_t i = 0;

    while (i < s.len && i < 16 &&
           ((str_lower(s.at[i]) >= 'a' && str_lower(s.at[i]) <= 'z') ||
            (s.at[i] >= '0' && s.at[i] <= '9')))
        i++;
    return i > 0 && i < s.len && s.at[i] == ':' ? i + 1 : 0;
}

/*
 * Where the address at the start of `s` ends. Behind a separator always; but addresses of other
 * types (X500) have blanks inside: they reach to a hard separator or the next type. The admin
 * centre of Microsoft 365 joins them by '+'.
 */
static size_t address_length(struct span s)
{
    bool mail = type_length(s) == 0 || span_starts(s, "smtp:");
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '"' && mail)
            quoted = !quoted;
        else if (c == '\\' && quoted)
            i++;
        if (quoted)
            continue;
        bool typed = i + 1 < s.len && type_length(span_of(s.at + i + 1, s.len - i - 1)) > 0;
        bool soft = c == ' ' || c == '\t' || c == '+';
        if (c == '+' ? typed : is_separator(c) && (!soft || mail || typed))
            return i;
    }
    return s.len;
}

/* Takes separators off the front. */
static struct span skip_separators(struct span s)
{
    while (s.len > 0 && (is_separator(s.at[0]) ||
                         (s.at[0] == '+' && type_length(span_of(s.at + 1, s.len - 1)) > 0)))
        s = span_of(s.at + 1, s.len - 1);
    return s;
}

/* Which addresses of the cells are taken, and what for. */
enum taking { TAKE_PRIMARY, TAKE_OTHERS, TAKE_ALL, TAKE_DISABLED };

/* Marks that one of the entry's addresses as disabled. */
static bool mark_disabled(struct list *list, struct span cell, struct err *why)
{
    struct list_maker *maker = &list->maker;
    struct span name;
    struct addr addr;

    if (!parse_cell(list, cell, &addr, &name, why))
        return false;
    for (size_t i = 0; i < maker->count; i++)
        if (same_address(&addr, &maker->addresses[i])) {
            maker->disabled[i] = true;
            return true;
        }
    return err_set(why, ERR_DATA, "disabled, but none of the user's addresses");
}

static void take_address(struct list *list, const struct list_parts *parts, struct span address,
                         enum taking taking)
{
    struct span name;
    struct err why;

    if (taking == TAKE_DISABLED ? !mark_disabled(list, address, &why)
                                : !add(list, address, &name, &why))
        list_bad(list, parts->line, address, why.text);
}

/* Splits a cell of addresses, with or without "SMTP:" (the primary one) or "smtp:" in front. */
static void take_cell(struct list *list, const struct list_parts *parts, struct span cell,
                      enum taking taking)
{
    bool typed = false;

    if (cell.len > 1 && cell.at[0] == '{' && cell.at[cell.len - 1] == '}')
        cell = span_of(cell.at + 1, cell.len - 2); /* PowerShell's braces around a list */
    for (cell = skip_separators(cell); cell.len > 0; cell = skip_separators(cell)) {
        struct span piece = span_of(cell.at, address_length(cell));
        size_t type = type_length(piece);
        bool mail = span_starts(piece, "smtp:"), other = type > 0 && !mail;
        bool primary = mail && memcmp(piece.at, "SMTP:", 5) == 0;

        cell = span_of(cell.at + piece.len, cell.len - piece.len);
        /* in a list of typed addresses what has neither a type nor an '@' is a rest of one */
        bool rest = typed && memchr(piece.at, '@', piece.len) == NULL;
        typed = typed || type > 0;
        if ((other && !span_starts(piece, "mailto:")) || rest)
            continue;
        if (taking >= TAKE_ALL || primary == (taking == TAKE_PRIMARY))
            take_address(list, parts, mail ? span_of(piece.at + 5, piece.len - 5) : piece, taking);
    }
}

static void take_aliases(struct list *list, const struct list_parts *parts, enum taking taking)
{
    for (size_t i = 0; i < parts->alias_count; i++)
        take_cell(list, parts, parts->aliases[i], taking);
}

/* list_write_entry puts an apostrophe before what a spreadsheet would calculate. */
static struct span without_guard(struct span name)
{
    size_t quotes = 0;

    while (quotes < name.len && name.at[quotes] == '\'')
        quotes++;
    bool guarded = quotes > 0 && quotes < name.len && strchr("=+-@", name.at[quotes]) != NULL;
    return guarded ? span_of(name.at + 1, name.len - 1) : name;
}

/* Puts the name together. One that cannot stay is told and left out, as a bad alias is. */
static void make_name(struct list *list, const struct list_parts *parts, struct span beside)
{
    struct buf *made = &list->maker.name;
    BUF_AUTO raw = {0};
    struct span name = parts->name.len > 0 ? parts->name : beside;

    if (parts->name.len == 0 && parts->first.len + parts->last.len > 0) {
        buf_append(&raw, parts->first.at, parts->first.len);
        buf_append(&raw, " ", 1);
        buf_append(&raw, parts->last.at, parts->last.len);
        name = span_of(raw.at, raw.len);
    }
    if (list_clean_name(without_guard(name), made))
        return;
    list_bad(list, parts->line, name,
             str_utf8_valid(name) ? "the name is too long" : "the name is not UTF-8");
    buf_clear(made);
}

static bool hand_over(struct list *list, const struct list_parts *parts, struct err *err)
{
    struct list_maker *maker = &list->maker;
    struct roll_entry entry = {
        .line = parts->line,
        .kind = parts->kind,
        .addresses = maker->addresses,
        .address_count = maker->count,
        .name = span_of(maker->name.at, maker->name.len),
        .disabled = parts->disabled || list->options->disabled,
    };
    size_t entries = 1;
    bool each = parts->disabled_addresses.len > 0 && !entry.disabled;

    if (parts->kind == ENTRY_GROUP) { /* each address of a group stands for itself */
        entries = maker->count;
        entry.address_count = 1;
    }
    for (size_t i = 0; i < entries; i++) {
        entry.addresses = maker->addresses + i;
        entry.disabled_each = each ? maker->disabled + i : NULL;
        list->counts.entries++;
        if (!list->sink->entry(list->sink->context, &entry, err))
            return false;
    }
    return true;
}

/* Finds the primary address; false: `why` there is none. */
static bool take_primary(struct list *list, const struct list_parts *parts, struct buf *beside,
                         struct err *why)
{
    struct span name = span_of("", 0);

    list->maker.count = 0;
    if (parts->address.len > 0 && !add(list, parts->address, &name, why))
        return false;
    buf_append(beside, name.at, name.len);
    if (parts->address.len == 0)
        take_aliases(list, parts, TAKE_PRIMARY);
    if (list->maker.count == 0)
        return err_set(why, ERR_DATA, "the address is missing");
    return true;
}

bool list_make_entry(struct list *list, const struct list_parts *parts, struct err *err)
{
    BUF_AUTO beside = {0};
    struct err why;

    if (!take_primary(list, parts, &beside, &why)) {
        list_bad(list, parts->line, parts->raw, why.text);
        return true;
    }
    take_aliases(list, parts, parts->address.len > 0 ? TAKE_ALL : TAKE_OTHERS);
    make_name(list, parts, span_of(beside.at, beside.len));
    memset(list->maker.disabled, 0, list->maker.count * sizeof *list->maker.disabled);
    take_cell(list, parts, parts->disabled_addresses, TAKE_DISABLED);
    return hand_over(list, parts, err);
}
