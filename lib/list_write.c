/*
 * list_write - entries into CSV (pure); see list.h
 *
 * The cells are those of list_columns' own header. A spreadsheet takes what begins with = + - @ for
 * a formula: such an address is written with its local part quoted, such a name gets an apostrophe,
 * and the reader takes it off again.
 */
#include <string.h>

#include "list_private.h"

/* A formula, a comment, quoted by a person, two addresses. */
static bool misread(const struct addr *addr)
{
    return strchr("=+-#", addr->local[0]) != NULL || strpbrk(addr->local, "'|") != NULL;
}

static void write_cell(struct buf *out, struct span s)
{
    bool plain = true;

    for (size_t i = 0; i < s.len && plain; i++)
        plain = s.at[i] == '\0' || strchr(",\"\r\n; \t|", s.at[i]) == NULL;
    if (plain) {
        buf_append(out, s.at, s.len);
        return;
    }
    buf_append(out, "\"", 1);
    for (size_t i = 0; i < s.len; i++)
        buf_append(out, s.at[i] == '"' ? "\"\"" : s.at + i, s.at[i] == '"' ? 2 : 1);
    buf_append(out, "\"", 1);
}

/* A local part that could be taken for something else stands in quotes. */
static void write_address(struct buf *out, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX + 1];
    size_t len = addr_format(addr, text);

    if (text[0] != '"' && misread(addr)) /* a dot-atom has nothing to escape */
        buf_printf(out, "\"%s\"@%s", addr->local, addr->domain);
    else
        buf_append(out, text, len);
}

static void write_name(struct buf *out, struct span name)
{
    BUF_AUTO guarded = {0};
    size_t quotes = 0;

    while (quotes < name.len && name.at[quotes] == '\'')
        quotes++;
    if (quotes < name.len && strchr("=+-@", name.at[quotes]) != NULL)
        buf_append(&guarded, "'", 1);
    buf_append(&guarded, name.at, name.len);
    write_cell(out, span_of(guarded.at, guarded.len));
}

void list_write_text(struct buf *out, struct span text)
{
    char shown[1024];
    size_t len = str_printable(shown, sizeof shown, text.at, text.len);

    write_name(out, span_of(shown, len));
}

void list_write_header(struct buf *out)
{
    buf_text(out, "address,name,aliases,kind,disabled\n");
}

static bool is_disabled(const struct roll_entry *entry, size_t i)
{
    return entry->disabled_each != NULL ? entry->disabled_each[i] : entry->disabled;
}

/* The cell of the addresses from `first` on: all, or only those that are disabled. */
static void write_addresses(struct buf *out, const struct roll_entry *entry, size_t first,
                            bool only_disabled)
{
    BUF_AUTO cell = {0};
    size_t count = 0;

    buf_text(&cell, "");
    for (size_t i = first; i < entry->address_count; i++) {
        if (only_disabled && !is_disabled(entry, i))
            continue;
        buf_text(&cell, count++ > 0 ? "," : "");
        write_address(&cell, &entry->addresses[i]);
    }
    write_cell(out, span_of(cell.at, cell.len));
}

static bool all_disabled(const struct roll_entry *entry)
{
    for (size_t i = 0; i < entry->address_count; i++)
        if (!is_disabled(entry, i))
            return false;
    return true;
}

void list_write_entry(struct buf *out, const struct roll_entry *entry)
{
    BUF_AUTO cell = {0};

    write_address(&cell, &entry->addresses[0]);
    write_cell(out, span_of(cell.at, cell.len));
    buf_text(out, ",");
    write_name(out, entry->name);
    buf_text(out, ",");
    write_addresses(out, entry, 1, false);
    buf_text(out, entry->kind == ENTRY_GROUP ? ",group," : ",user,");
    if (all_disabled(entry))
        buf_text(out, "yes");
    else
        write_addresses(out, entry, 0, true);
    buf_text(out, "\n");
}
