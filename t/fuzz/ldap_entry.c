/*
 * fuzz-ldap_entry: any attributes as a directory entry, under each preset; and any bytes as a value
 * within a filter. Asserts what holds whatever they are: addresses are in the source's domains,
 * each once, and read back as themselves; the name is text; an escaped value never ends its filter.
 */
#include <string.h>

#include "fuzz.h"
#include "lib/secret.h"
#include "sync/entry.h"

static const struct ldap_domain domains[] = {{"a.test", false, true}, {"b.test", true, true}};

static void check_filter(struct span value)
{
    BUF_AUTO filter = {0};
    struct err err;

    buf_text(&filter, "(mail=");
    ldap_filter_value(&filter, value);
    buf_text(&filter, ")");
    fuzz_must(ldap_filter_check(filter.at, &err));
}

static void check_taken(const struct entry *entry)
{
    char text[ADDR_TEXT_MAX + 1];
    struct addr again;
    struct err err;

    fuzz_must(entry->address_count >= 1 && entry->address_count <= ROLL_ADDRESSES_MAX);
    fuzz_must(entry->name_len <= ROLL_NAME_MAX);
    fuzz_must(str_utf8_valid(span_of(entry->name, entry->name_len)));
    for (size_t i = 0; i < entry->address_count; i++) {
        const struct addr *addr = &entry->addresses[i];
        bool second = strcmp(addr->domain, "b.test") == 0;
        fuzz_must(second || strcmp(addr->domain, "a.test") == 0);
        size_t len = addr_format(addr, text);
        fuzz_must(addr_parse(span_of(text, len), !second, &again, &err));
        fuzz_must(strcmp(again.local, addr->local) == 0);
        for (size_t k = 0; k < i; k++)
            fuzz_must(strcmp(entry->addresses[k].local, addr->local) != 0 ||
                      strcmp(entry->addresses[k].domain, addr->domain) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const presets[] = {"ad", "samba", "openldap", "custom"};
    static struct entry entry;
    enum { MOST = 64 };
    struct directory_attribute attributes[MOST];
    struct span values[MOST], rest, line;
    char *names[MOST];
    size_t count = 0;
    struct ldap_settings settings = {0};
    struct entry_rules rules;
    struct err err;

    if (size == 0)
        return 0;
    secret_init();
    rest = span_of((const char *)data + 1, size - 1);
    check_filter(rest);
    while (count < MOST && span_next(&rest, '\n', &line)) {
        const char *equals = memchr(line.at, '=', line.len);
        size_t len = equals != NULL ? (size_t)(equals - line.at) : line.len;
        names[count] = mem_span(span_of(line.at, len));
        values[count] = equals != NULL ? span_of(equals + 1, line.len - len - 1) : span_of("", 0);
        attributes[count] = (struct directory_attribute){names[count], &values[count], 1};
        count++;
    }
    fuzz_must(ldap_settings_fill(&settings, &(struct ldap_given){"preset", presets[data[0] % 4]}, 1,
                                 &err) &&
              entry_rules_make(&rules, &settings, domains, 2, 1795478400, &err));
    if (entry_take(&rules, attributes, count, &entry, NULL, NULL) == ENTRY_TAKEN)
        check_taken(&entry);
    entry_rules_free(&rules);
    ldap_settings_free(&settings);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    return 0;
}
