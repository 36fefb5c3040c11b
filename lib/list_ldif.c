/*
 * list_ldif - entries of a directory as text (RFC 2849); see list_private.h
 *
 * Read: mail, proxyAddresses and its like, the name, whether it is a group, whether it is disabled.
 * Everything else, pictures above all, is passed over without being kept.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "list_private.h"

enum { VALUES_MAX = ROLL_ADDRESSES_MAX };

enum attribute {
    OTHER,
    ADDRESS,
    ALIAS,
    DISPLAY_NAME,
    COMMON_NAME,
    OBJECT_CLASS,
    ACCOUNT_CONTROL,
    MAILBOX_TYPE,
    LOCKED,
    CHANGE_TYPE,
};

static const struct {
    const char *name;
    enum attribute attribute;
} attributes[] = {
    {"mail", ADDRESS},
    {"rfc822mailbox", ADDRESS},
    {"proxyaddresses", ALIAS},
    {"mailalternateaddress", ALIAS},
    {"maillocaladdress", ALIAS},
    {"displayname", DISPLAY_NAME},
    {"cn", COMMON_NAME},
    {"objectclass", OBJECT_CLASS},
    {"useraccountcontrol", ACCOUNT_CONTROL},
    {"msexchrecipienttypedetails", MAILBOX_TYPE},
    {"nsaccountlock", LOCKED},
    {"changetype", CHANGE_TYPE},
};

struct list_ldif {
    int64_t line; /* where the entry begins, 0 between entries */
    struct buf first;
    struct buf value; /* the attribute line in hand, unfolded */
    int64_t value_line;
    enum attribute attribute;
    struct buf values;
    size_t end[VALUES_MAX]; /* of each address in `values` */
    size_t count, addresses;
    struct buf primary, name, common_name;
    bool primary_said; /* by "SMTP:", which wins over mail */
    bool group, disabled, kept_alive, change, too_many;
};

void list_ldif_free(struct list_ldif **ldif)
{
    if (*ldif == NULL)
        return;
    buf_free(&(*ldif)->first);
    buf_free(&(*ldif)->value);
    buf_free(&(*ldif)->values);
    buf_free(&(*ldif)->primary);
    buf_free(&(*ldif)->name);
    buf_free(&(*ldif)->common_name);
    free(*ldif);
    *ldif = NULL;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;

    return found != NULL ? (int)(found - digits) : -1;
}

/* RFC 4648 section 4; false when it is not that. */
static bool decode_base64(struct span s, struct buf *out)
{
    unsigned bits = 0, have = 0;

    buf_clear(out);
    buf_text(out, "");
    while (s.len > 0 && s.at[s.len - 1] == '=')
        s.len--;
    for (size_t i = 0; i < s.len; i++) {
        int digit = base64_digit(s.at[i]);
        if (digit < 0)
            return false;
        bits = (bits << 6 | (unsigned)digit) & 0xffffff;
        have += 6;
        if (have >= 8) {
            char byte = (char)(bits >> (have -= 8) & 0xff);
            buf_append(out, &byte, 1);
        }
    }
    return true;
}

/* The attribute a line is about, without options ("cn;lang-de"); *rest is what follows the ':'. */
static enum attribute which(struct span line, struct span *rest)
{
    const char *colon = line.len > 0 ? memchr(line.at, ':', line.len) : NULL;
    struct span name, option;

    if (colon == NULL)
        return OTHER;
    struct span description = span_of(line.at, (size_t)(colon - line.at));
    *rest = span_of(colon + 1, line.len - description.len - 1);
    option = description;
    if (!span_next(&option, ';', &name))
        return OTHER;
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (name.len == strlen(attributes[i].name) && span_starts(name, attributes[i].name))
            return attributes[i].attribute;
    return OTHER;
}

static void keep_address(struct list_ldif *ldif, struct span value)
{
    if (ldif->count == VALUES_MAX) {
        ldif->too_many = true;
        return;
    }
    buf_append(&ldif->values, value.at, value.len);
    ldif->end[ldif->count++] = ldif->values.len;
}

static void set_text(struct buf *buf, struct span value)
{
    buf_clear(buf);
    buf_append(buf, value.at, value.len);
}

static void take_alias(struct list_ldif *ldif, struct span value)
{
    if (value.len > 5 && memcmp(value.at, "SMTP:", 5) == 0 && !ldif->primary_said) {
        if (ldif->primary.len > 0) /* what mail said is an address all the same */
            keep_address(ldif, span_of(ldif->primary.at, ldif->primary.len));
        set_text(&ldif->primary, span_of(value.at + 5, value.len - 5));
        ldif->primary_said = true;
        return;
    }
    const char *colon = memchr(value.at, ':', value.len);
    if (colon == NULL || memchr(value.at, '@', (size_t)(colon - value.at)) != NULL)
        keep_address(ldif, value);
    else if (span_starts(value, "smtp:"))
        keep_address(ldif, span_of(value.at + 5, value.len - 5));
}

static void take_class(struct list_ldif *ldif, struct span value)
{
    static const char *const groups[] = {"group",      "groupOfNames", "groupOfUniqueNames",
                                         "posixGroup", "mailGroup",    "groupOfMembers"};

    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (value.len == strlen(groups[i]) && span_starts(value, groups[i]))
            ldif->group = true;
}

/* The accounts behind linked, shared, room and equipment mailboxes are disabled, and get mail. */
static bool lives_without_account(struct span type)
{
    int64_t value;

    return str_int64(type, &value) && (value == 2 || value == 4 || value == 16 || value == 32);
}

static void take_value(struct list_ldif *ldif, enum attribute attribute, struct span value)
{
    int64_t number;

    switch (attribute) {
    case ADDRESS:
        if (ldif->primary.len == 0)
            set_text(&ldif->primary, value);
        else
            keep_address(ldif, value);
        break;
    case ALIAS:
        take_alias(ldif, value);
        break;
    case DISPLAY_NAME:
        set_text(&ldif->name, value);
        break;
    case COMMON_NAME:
        if (ldif->common_name.len == 0)
            set_text(&ldif->common_name, value);
        break;
    case OBJECT_CLASS:
        take_class(ldif, value);
        break;
    case ACCOUNT_CONTROL: /* ADS_UF_ACCOUNTDISABLE */
        ldif->disabled = ldif->disabled || (str_int64(value, &number) && (number & 2) != 0);
        break;
    case MAILBOX_TYPE:
        ldif->kept_alive = lives_without_account(value);
        break;
    case LOCKED:
        ldif->disabled = ldif->disabled || (value.len == 4 && span_starts(value, "true"));
        break;
    case CHANGE_TYPE:
        ldif->change = !(value.len == 3 && span_starts(value, "add"));
        break;
    case OTHER:
        break;
    }
}

/* The attribute line in hand is complete. */
static void end_value(struct list *list)
{
    struct list_ldif *ldif = list->ldif;
    BUF_AUTO decoded = {0};
    struct span rest = {NULL, 0};
    enum attribute attribute = which(span_of(ldif->value.at, ldif->value.len), &rest);

    if (ldif->attribute == OTHER)
        return;
    ldif->attribute = OTHER;
    if (ldif->value.len > LIST_VALUE_MAX)
        list_bad(list, ldif->value_line, span_of(ldif->value.at, 80), "the value is too long");
    else if (rest.len > 0 && rest.at[0] == '<')
        list_bad(list, ldif->value_line, span_of(ldif->value.at, ldif->value.len),
                 "the value lies in another file, which is not read");
    else if (rest.len > 0 && rest.at[0] == ':') {
        if (decode_base64(span_trim(span_of(rest.at + 1, rest.len - 1)), &decoded))
            take_value(ldif, attribute, span_of(decoded.at, decoded.len));
        else
            list_bad(list, ldif->value_line, span_of(ldif->value.at, ldif->value.len),
                     "the value is not base64");
    } else
        take_value(ldif, attribute, span_trim(rest));
}

static void forget_entry(struct list_ldif *ldif)
{
    buf_clear(&ldif->first);
    buf_clear(&ldif->values);
    buf_clear(&ldif->primary);
    buf_clear(&ldif->name);
    buf_clear(&ldif->common_name);
    ldif->line = 0;
    ldif->count = 0;
    ldif->primary_said = ldif->group = ldif->disabled = false;
    ldif->kept_alive = ldif->change = ldif->too_many = false;
}

static bool make_entry(struct list *list, struct err *err)
{
    struct list_ldif *ldif = list->ldif;
    struct span aliases[VALUES_MAX];
    const struct buf *name = ldif->name.len > 0 ? &ldif->name : &ldif->common_name;
    struct list_parts parts = {
        .line = ldif->line,
        .raw = span_of(ldif->first.at, ldif->first.len),
        .address = span_of(ldif->primary.at, ldif->primary.len),
        .name = span_of(name->at, name->len),
        .aliases = aliases,
        .kind = ldif->group ? ENTRY_GROUP : ENTRY_USER,
        .disabled = ldif->disabled && !ldif->kept_alive,
    };

    for (size_t i = 0, from = 0; i < ldif->count; from = ldif->end[i++]) {
        struct span value = span_of(ldif->values.at + from, ldif->end[i] - from);
        if (parts.address.len == 0) /* aliases alone: the first is as good as any */
            parts.address = value;
        else
            aliases[parts.alias_count++] = value;
    }
    if (ldif->change)
        list_bad(list, ldif->line, parts.raw, "a change of an entry; only whole entries are read");
    else if (ldif->too_many)
        list_bad(list, ldif->line, parts.raw, "more than 1000 addresses of one user");
    else if (parts.address.len > 0)
        return list_make_entry(list, &parts, err);
    return true;
}

static bool end_entry(struct list *list, struct err *err)
{
    if (list->ldif->line == 0)
        return true;
    end_value(list);
    bool fine = make_entry(list, err);
    forget_entry(list->ldif);
    return fine;
}

bool list_ldif_line(struct list *list, struct span line, struct err *err)
{
    struct list_ldif *ldif = list->ldif;
    struct span rest = {NULL, 0};

    if (ldif == NULL)
        ldif = list->ldif = mem_zero(1, sizeof *ldif);
    if (line.len == 0)
        return end_entry(list, err);
    if (line.at[0] == ' ' || line.at[0] == '\t') { /* folded: goes on with the value */
        if (ldif->attribute != OTHER && ldif->value.len <= LIST_VALUE_MAX)
            buf_append(&ldif->value, line.at + 1, line.len - 1);
        return true;
    }
    end_value(list);
    if (line.at[0] == '#')
        return true;
    if (ldif->line == 0) {
        ldif->line = list->lines.number;
        set_text(&ldif->first, line);
    }
    ldif->attribute = which(line, &rest);
    ldif->value_line = list->lines.number;
    if (ldif->attribute != OTHER)
        set_text(&ldif->value, line);
    else if (rest.at == NULL && !span_equals(line, "-"))
        list_bad(list, list->lines.number, line, "no LDIF: a line reads `attribute: value`");
    return true;
}

bool list_ldif_end(struct list *list, struct err *err)
{
    return list->ldif == NULL || end_entry(list, err);
}
