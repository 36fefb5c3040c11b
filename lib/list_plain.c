/*
 * list_plain - plain lists and pastes; see list_private.h
 *
 * A plain list is a file that somebody means to be read whole: a line with anything that is neither
 * an address nor a name is told and left out altogether. A paste is what a person copied: what is
 * no address is passed over.
 */
#include <stdio.h>

#include "list_private.h"

struct found {
    struct list *list;
    struct span line;
    size_t addresses, words;
    struct buf first_word;
    struct err *err;
    bool going; /* the sink has not stopped it */
};

static void count_address(void *context, struct span address, struct span name)
{
    struct found *found = context;

    (void)address;
    (void)name;
    found->addresses++;
}

static void count_word(void *context, struct span word)
{
    struct found *found = context;

    if (found->words++ == 0)
        buf_append(&found->first_word, word.at, word.len);
}

static void pass_word(void *context, struct span word)
{
    (void)context;
    (void)word;
}

static void take(void *context, struct span address, struct span name)
{
    struct found *found = context;
    struct list_parts parts = {.line = found->list->lines.number,
                               .raw = address,
                               .address = address,
                               .name = name,
                               .kind = ENTRY_USER};

    found->going = found->going && list_make_entry(found->list, &parts, found->err);
}

static bool take_all(struct found *found)
{
    struct paste_sink sink = {found, take, pass_word};

    paste_line(found->line, &sink);
    return found->going;
}

static bool take_whole(struct list *list, struct span line, struct span raw, struct err *err)
{
    struct list_parts parts = {
        .line = list->lines.number, .raw = raw, .address = line, .kind = ENTRY_USER};

    return list_make_entry(list, &parts, err);
}

/* A line of a plain list that is more than an address. */
static bool take_strictly(struct found *found, struct span raw)
{
    struct paste_sink counting = {found, count_address, count_word};
    struct list *list = found->list;
    char shown[60], text[160];

    paste_line(found->line, &counting);
    if (found->addresses == 0)
        return take_whole(list, found->line, raw, found->err);
    if (found->words == 0)
        return take_all(found);
    str_printable(shown, sizeof shown, found->first_word.at, found->first_word.len);
    snprintf(text, sizeof text, "more than addresses and names in it: '%s'", shown);
    list_bad(list, list->lines.number, raw, text);
    return true;
}

static bool take_freely(struct found *found, struct span raw)
{
    struct paste_sink counting = {found, count_address, count_word};
    struct list *list = found->list;

    paste_line(found->line, &counting);
    if (found->addresses > 0)
        return take_all(found);
    if (found->words > 0)
        list_pass_over(list, list->lines.number, raw, "no address in it");
    return true;
}

/* A comment has the line to itself, or a blank in front of its '#'. */
static struct span without_comment(struct span line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '#' && (i == 0 || line.at[i - 1] == ' ' || line.at[i - 1] == '\t'))
            return span_of(line.at, i);
    return line;
}

bool list_plain_line(struct list *list, struct span raw, struct err *err)
{
    BUF_AUTO room = {0};
    bool strict = list->guess.form == LIST_PLAIN;
    struct span line = span_trim(strict ? without_comment(raw) : raw);

    if (strict && list_looks_address(line))
        return take_whole(list, line, raw, err);
    line = span_trim(list_clean(line, &room));
    if (line.len == 0)
        return true;
    struct found found = {.list = list, .line = line, .err = err, .going = true};
    bool fine = strict ? take_strictly(&found, raw) : take_freely(&found, raw);
    buf_free(&found.first_word);
    return fine;
}
