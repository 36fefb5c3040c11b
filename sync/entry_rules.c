/* entry_rules - see entry.h; here: the settings of a source made into rules */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sync/entry.h"

static bool names_make(struct entry_names *names, const char *list, struct err *err)
{
    struct span rest = span_text(list), name;

    while (span_next(&rest, '\n', &name)) {
        name = span_trim(name);
        if (name.len == 0)
            continue;
        if (names->count == ENTRY_RULES_MOST)
            return err_set(err, ERR_CONFIG, "more than %d attributes", ENTRY_RULES_MOST);
        names->at[names->count++] = mem_span(name);
    }
    return true;
}

static void names_free(struct entry_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->at[i]);
    names->count = 0;
}

static const struct {
    const char *name;
    enum entry_test test;
} times[] = {
    {"filetime", ENTRY_FILETIME},
    {"days", ENTRY_DAYS},
    {"time", ENTRY_TIME},
};

/* What stands behind the attribute's name: its first character tells the test. */
static bool test_of(const char *rest, struct entry_disabling *rule)
{
    const char *value = rest + 1;

    rule->test = ENTRY_EQUALS;
    if (rest[0] == '=')
        return value[0] != '\0';
    rule->test = ENTRY_BITS;
    if (rest[0] == '&')
        return str_int64(span_text(value), &rule->number) && rule->number > 0;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (strcmp(value, times[i].name) == 0) {
            rule->test = times[i].test;
            return true;
        }
    return false;
}

static bool disabling_parse(const char *text, struct entry_disabling *rule, struct err *err)
{
    size_t len = strcspn(text, "=&@");

    *rule = (struct entry_disabling){0};
    if (len == 0 || text[len] == '\0' || !test_of(text + len, rule))
        return err_set(err, ERR_USAGE,
                       "'%s' is none of ATTRIBUTE=VALUE, ATTRIBUTE&BITS, ATTRIBUTE@filetime, "
                       "ATTRIBUTE@days, ATTRIBUTE@time",
                       text);
    rule->attribute = mem_span(span_of(text, len));
    rule->value = mem_text(text + len + 1);
    return true;
}

static void disabling_free(struct entry_disabling *rule)
{
    str_free(&rule->attribute);
    str_free(&rule->value);
}

static bool disabling_make(struct entry_rules *rules, const char *list, struct err *err)
{
    struct span rest = span_text(list), line;

    while (span_next(&rest, '\n', &line)) {
        STR_AUTO text = mem_span(span_trim(line));
        if (text[0] == '\0')
            continue;
        if (rules->disabling_count == ENTRY_RULES_MOST)
            return err_set(err, ERR_CONFIG, "more than %d rules for disabled", ENTRY_RULES_MOST);
        if (!disabling_parse(text, &rules->disabling[rules->disabling_count], err))
            return false;
        rules->disabling_count++;
    }
    return true;
}

bool entry_rules_make(struct entry_rules *rules, const struct ldap_settings *s,
                      const struct ldap_domain *domains, size_t domain_count, int64_t now_s,
                      struct err *err)
{
    *rules = (struct entry_rules){.domains = domains, .domain_count = domain_count, .now_s = now_s};
    rules->address_alone = strcmp(s->address_use, "alone") == 0;
    if (names_make(&rules->address, s->address_attribute, err) &&
        names_make(&rules->alias, s->alias_attribute, err) &&
        names_make(&rules->name, s->name_attribute, err) &&
        names_make(&rules->identity, s->identity_attribute, err) &&
        disabling_make(rules, s->disabled, err))
        return true;
    entry_rules_free(rules);
    return false;
}

void entry_rules_free(struct entry_rules *rules)
{
    names_free(&rules->address);
    names_free(&rules->alias);
    names_free(&rules->name);
    names_free(&rules->identity);
    for (size_t i = 0; i < rules->disabling_count; i++)
        disabling_free(&rules->disabling[i]);
    rules->disabling_count = 0;
}

void entry_rules_attributes(const struct entry_rules *rules, struct buf *out)
{
    const struct entry_names *all[] = {&rules->address, &rules->alias, &rules->name,
                                       &rules->identity};

    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        for (size_t i = 0; i < all[k]->count; i++)
            buf_printf(out, "%s%s", out->len > 0 ? "\n" : "", all[k]->at[i]);
    for (size_t i = 0; i < rules->disabling_count; i++)
        buf_printf(out, "%s%s", out->len > 0 ? "\n" : "", rules->disabling[i].attribute);
}
