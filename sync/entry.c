/* entry - see entry.h */
#include "sync/entry.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/secret.h"

/* ---- attributes ---- */

/* Whether that is the attribute's name, whatever options follow it (RFC 4512 section 2.5). */
static bool named(const struct directory_attribute *attribute, const char *name)
{
    size_t len = strlen(name);

    return strncasecmp(attribute->name, name, len) == 0 &&
           (attribute->name[len] == '\0' || attribute->name[len] == ';');
}

struct taking {
    const struct entry_rules *rules;
    const struct directory_attribute *attributes;
    size_t count;
    struct entry *entry;
    void (*note)(void *context, const struct entry_note *note);
    void *context;
    bool any;     /* some value looked like an address, or should have */
    bool foreign; /* an address elsewhere */
    bool many;    /* told already */
    bool primary; /* addresses[0] is what the directory calls primary */
    bool capital; /* there was an SMTP: address, here or elsewhere */
};

/* Calls `take` for each value of each attribute of that name; stops when it returns true. */
static bool each_value(struct taking *t, const char *name,
                       bool (*take)(struct taking *t, struct span value))
{
    for (size_t a = 0; a < t->count; a++)
        for (size_t v = 0; named(&t->attributes[a], name) && v < t->attributes[a].count; v++)
            if (take(t, t->attributes[a].values[v]))
                return true;
    return false;
}

static void tell(struct taking *t, enum entry_note_kind kind, struct span value, const char *domain,
                 const char *reason)
{
    if (t->note != NULL)
        t->note(t->context, &(struct entry_note){kind, value, domain, reason});
}

/* ---- the identity ---- */

static int hex_digit(char c)
{
    c = str_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1b671a64-40d5-491e-99b0-da01ff1f3341" (RFC 9562 section 4). */
static bool parse_uuid(struct span text, uint8_t out[ENTRY_IDENTITY])
{
    size_t n = 0;

    if (text.len != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text.at[i] != '-')
                return false;
            continue;
        }
        int digit = hex_digit(text.at[i]);
        if (digit < 0)
            return false;
        out[n / 2] = (uint8_t)(n % 2 == 0 ? digit << 4 : out[n / 2] | digit);
        n++;
    }
    return true;
}

static bool take_identity(struct taking *t, struct span value)
{
    if (value.len == 0)
        return false;
    if (value.len == ENTRY_IDENTITY)
        memcpy(t->entry->identity, value.at, ENTRY_IDENTITY);
    else if (!parse_uuid(value, t->entry->identity))
        secret_digest(value.at, value.len, t->entry->identity, ENTRY_IDENTITY);
    return true;
}

/* ---- the name ---- */

/* Without what no terminal and no mail header should get; cut between characters. */
static bool take_name(struct taking *t, struct span value)
{
    struct entry *entry = t->entry;

    value = span_trim(value);
    entry->name_len = 0;
    while (value.len > 0) {
        size_t len = str_utf8_sequence(value);
        if (len == 0 || entry->name_len + len > ENTRY_NAME_BYTES)
            break;
        bool control = (unsigned char)value.at[0] < 0x20 || value.at[0] == 0x7f ||
                       (len == 2 && (unsigned char)value.at[0] == 0xc2 &&
                        (unsigned char)value.at[1] < 0xa0); /* U+0080 to U+009F */
        if (control)
            entry->name[entry->name_len++] = ' ';
        else
            memcpy(entry->name + entry->name_len, value.at, len);
        entry->name_len += control ? 0 : len;
        value = span_of(value.at + len, value.len - len);
    }
    entry->name[entry->name_len] = '\0';
    return entry->name_len > 0;
}

/* ---- disabled ---- */

static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, in_era = year - era * 400;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

/* "20261124001645Z", with or without a fraction (RFC 4517 section 3.3.13); other zones are within a
 * day of it, which is near enough for none of ours: they do not count. */
static bool parse_generalized(struct span text, int64_t *seconds)
{
    int64_t part[6];
    static const size_t at[] = {0, 4, 6, 8, 10, 12, 14};

    if (text.len < 15 || text.at[text.len - 1] != 'Z')
        return false;
    for (size_t i = 0; i < 6; i++)
        if (!str_int64(span_of(text.at + at[i], at[i + 1] - at[i]), &part[i]) || part[i] < 0)
            return false;
    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31)
        return false;
    *seconds = days_from_civil(part[0], part[1], part[2]) * 86400 + part[3] * 3600 + part[4] * 60 +
               part[5];
    return true;
}

/* A FILETIME counts 100 ns since 1601. */
static bool filetime_passed(int64_t value, int64_t now_s)
{
    return value > 0 && value != INT64_MAX && value / 10000000 - INT64_C(11644473600) <= now_s;
}

static bool rule_holds(const struct entry_disabling *rule, struct span value, int64_t now_s)
{
    int64_t number;

    value = span_trim(value);
    switch (rule->test) {
    case ENTRY_EQUALS:
        return value.len == strlen(rule->value) &&
               strncasecmp(value.at, rule->value, value.len) == 0;
    case ENTRY_BITS:
        return str_int64(value, &number) && (number & rule->number) != 0;
    case ENTRY_FILETIME:
        return str_int64(value, &number) && filetime_passed(number, now_s);
    case ENTRY_DAYS:
        return str_int64(value, &number) && number >= 0 && number <= now_s / 86400;
    case ENTRY_TIME:
        return parse_generalized(value, &number) && number <= now_s;
    }
    return false;
}

static bool is_disabled(struct taking *t, const struct entry_disabling *rule)
{
    for (size_t a = 0; a < t->count; a++)
        for (size_t v = 0; named(&t->attributes[a], rule->attribute) && v < t->attributes[a].count;
             v++)
            if (rule_holds(rule, t->attributes[a].values[v], t->rules->now_s))
                return true;
    return false;
}

static void take_disabled(struct taking *t)
{
    for (size_t i = 0; i < t->rules->disabling_count && t->entry->because == NULL; i++)
        if (is_disabled(t, &t->rules->disabling[i]))
            t->entry->because = &t->rules->disabling[i];
    t->entry->disabled = t->entry->because != NULL;
}

/* ---- addresses ---- */

static const struct ldap_domain *find_domain(const struct entry_rules *rules, const char *name)
{
    size_t low = 0, high = rules->domain_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(rules->domains[middle].name, name);
        if (order == 0)
            return &rules->domains[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool same_address(const struct addr *a, const struct addr *b)
{
    return a->local_len == b->local_len && a->domain_len == b->domain_len &&
           memcmp(a->local, b->local, a->local_len) == 0 &&
           memcmp(a->domain, b->domain, a->domain_len) == 0;
}

/* A new address at the end, or, when it is the primary, at the front. */
static void keep(struct taking *t, const struct addr *addr, bool primary, struct span value)
{
    struct entry *entry = t->entry;
    size_t at = 0;

    primary = primary && !t->primary;
    while (at < entry->address_count && !same_address(&entry->addresses[at], addr))
        at++;
    if (at == entry->address_count && entry->address_count == ROLL_ADDRESSES_MAX) {
        if (!t->many)
            tell(t, ENTRY_NOTE_MANY, value, "", "more addresses than one user may have");
        t->many = true;
        if (!primary)
            return;
        at--; /* the primary one takes the place of the last */
    } else if (at == entry->address_count)
        entry->address_count++;
    else if (!primary)
        return;
    if (primary) {
        memmove(&entry->addresses[1], &entry->addresses[0], at * sizeof *addr);
        at = 0;
        t->primary = true;
    }
    entry->addresses[at] = *addr;
}

static void take_address(struct taking *t, struct span text, bool primary)
{
    struct addr addr;
    struct err why;

    text = span_trim(text);
    if (text.len == 0)
        return;
    t->any = true;
    if (text.len > ENTRY_VALUE_MOST) {
        tell(t, ENTRY_NOTE_VALUE, span_of(text.at, 64), "", "far too long for an address");
        return;
    }
    if (!addr_parse(text, true, &addr, &why)) {
        tell(t, ENTRY_NOTE_VALUE, text, "", why.text);
        return;
    }
    const struct ldap_domain *domain = find_domain(t->rules, addr.domain);
    if (domain == NULL) {
        t->foreign = true;
        tell(t, ENTRY_NOTE_FOREIGN, text, addr.domain, "its domain is not one of the source's");
        return;
    }
    if (domain->case_sensitive && !addr_parse(text, false, &addr, &why))
        return; /* it was fine a moment ago */
    keep(t, &addr, primary, text);
}

/*
 * proxyAddresses holds "SMTP:primary", "smtp:alias" and addresses of other kinds ("X500:", "sip:"),
 * which are nothing to us. Only capitals make a primary one.
 */
static bool take_proxy(struct taking *t, struct span value)
{
    const char *colon =
        value.len > 0 ? memchr(value.at, ':', value.len < 16 ? value.len : 16) : NULL;

    if (colon == NULL) {
        take_address(t, value, false);
        return false;
    }
    if (colon - value.at != 4 || strncasecmp(value.at, "smtp", 4) != 0)
        return false;
    bool primary = memcmp(value.at, "SMTP", 4) == 0;
    t->capital = t->capital || primary;
    take_address(t, span_of(colon + 1, value.len - 5), primary);
    return false;
}

static bool take_alias(struct taking *t, struct span value)
{
    take_address(t, value, false);
    return false;
}

static bool take_main(struct taking *t, struct span value)
{
    take_address(t, value, true);
    return false;
}

static bool is_proxy(const char *name)
{
    return strcasecmp(name, "proxyAddresses") == 0;
}

static void take_addresses(struct taking *t)
{
    const struct entry_rules *rules = t->rules;

    for (size_t i = 0; i < rules->alias.count; i++)
        if (is_proxy(rules->alias.at[i]))
            each_value(t, rules->alias.at[i], take_proxy);
    if (!(rules->address_alone && t->capital))
        for (size_t i = 0; i < rules->address.count; i++)
            each_value(t, rules->address.at[i], take_main);
    for (size_t i = 0; i < rules->alias.count; i++)
        if (!is_proxy(rules->alias.at[i]))
            each_value(t, rules->alias.at[i], take_alias);
}

/* ---- all of it ---- */

static bool first_of(struct taking *t, const struct entry_names *names,
                     bool (*take)(struct taking *t, struct span value))
{
    for (size_t i = 0; i < names->count; i++)
        if (each_value(t, names->at[i], take))
            return true;
    return false;
}

enum entry_result entry_take(const struct entry_rules *rules,
                             const struct directory_attribute *attributes, size_t count,
                             struct entry *entry,
                             void (*note)(void *context, const struct entry_note *note),
                             void *context)
{
    struct taking t = {.rules = rules,
                       .attributes = attributes,
                       .count = count,
                       .entry = entry,
                       .note = note,
                       .context = context};

    entry->address_count = entry->name_len = 0;
    entry->name[0] = '\0';
    entry->disabled = false;
    entry->because = NULL;
    if (!first_of(&t, &rules->identity, take_identity))
        return ENTRY_NO_IDENTITY;
    take_addresses(&t);
    first_of(&t, &rules->name, take_name);
    take_disabled(&t);
    if (entry->address_count > 0)
        return ENTRY_TAKEN;
    return t.foreign ? ENTRY_ELSEWHERE : t.any ? ENTRY_BAD : ENTRY_NO_ADDRESS;
}
