/* Directory entries by the table t/data/ldap/entries, and what a table cannot hold. */
#include "lib/secret.h"
#include "sync/entry.h"
#include "t/unit/table.h"
#include "t/unit/tap.h"

enum { NOW = 1795478400 }; /* 2026-11-24 00:00 GMT */

static const struct ldap_domain domains[] = {
    {"a.test", false, true}, {"b.test", false, true}, {"case.test", true, true}};

static struct entry entry;
static struct buf notes;

static void on_note(void *context, const struct entry_note *note)
{
    (void)context;
    static const char *const names[] = {"value", "foreign", "many"};
    buf_printf(&notes, "%s%s%s%s", notes.len > 0 ? ";" : "", names[note->kind],
               note->kind == ENTRY_NOTE_FOREIGN ? " " : "", note->domain);
}

/* Attributes of one entry: values of the same name stand together only if they came so. */
struct given {
    struct directory_attribute attributes[16];
    struct span values[16];
    struct buf names[16], bytes[16];
    size_t count;
};

static void give(struct given *given, const char *text)
{
    STR_AUTO copy = mem_text(text);
    char *rest = copy;

    for (char *one; (one = strsep(&rest, ";")) != NULL && given->count < 16; given->count++) {
        size_t n = given->count;
        char *value = strchr(one, '=');
        *value++ = '\0';
        table_bytes(one, &given->names[n]);
        given->values[n] = table_bytes(value, &given->bytes[n]);
        given->attributes[n] =
            (struct directory_attribute){given->names[n].at, &given->values[n], 1};
    }
}

static void give_identity(struct given *given, const char *name)
{
    for (size_t i = 0; i < given->count; i++)
        if (strcasecmp(given->attributes[i].name, name) == 0)
            return;
    given->values[given->count] = span_text("0123456789abcdef");
    given->attributes[given->count] =
        (struct directory_attribute){name, &given->values[given->count], 1};
    given->count++;
}

static void given_free(struct given *given)
{
    for (size_t i = 0; i < given->count; i++) {
        buf_free(&given->names[i]);
        buf_free(&given->bytes[i]);
    }
}

static void describe(enum entry_result result, struct buf *out)
{
    static const char *const words[] = {"", "no identity", "no address", "elsewhere", "bad"};
    char text[ADDR_TEXT_MAX + 1];

    buf_text(out, words[result]);
    if (result != ENTRY_TAKEN)
        return;
    if (entry.disabled)
        buf_printf(out, "disabled(%s)", entry.because->attribute);
    else
        buf_text(out, "taken");
    for (size_t i = 0; i < entry.address_count; i++) {
        addr_format(&entry.addresses[i], text);
        buf_printf(out, " %s", text);
    }
    buf_printf(out, " '%s'", entry.name);
}

static bool make(struct entry_rules *rules, const char *preset)
{
    struct ldap_settings settings = {0};
    struct err err;
    bool fine = ldap_settings_fill(&settings, &(struct ldap_given){"preset", preset}, 1, &err) &&
                entry_rules_make(rules, &settings, domains, 3, NOW, &err);

    ldap_settings_free(&settings);
    if (!fine) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return fine;
}

static void row(int line, char **field, int fields)
{
    struct entry_rules rules;
    struct given given = {0};
    BUF_AUTO got = {0};
    BUF_AUTO want = {0};

    if (!ok(fields == 4, "line %d has four fields", line))
        return;
    make(&rules, field[0]);
    give(&given, field[1]);
    give_identity(&given, rules.identity.at[0]);
    buf_clear(&notes);
    buf_text(&notes, "");
    describe(entry_take(&rules, given.attributes, given.count, &entry, on_note, NULL), &got);
    table_bytes(field[2], &want);
    is_text(got.at, want.at, "line %d: %s", line, field[0]);
    is_text(notes.len > 0 ? notes.at : "-", field[3], "line %d: its notes", line);
    given_free(&given);
    entry_rules_free(&rules);
}

static void identities(void)
{
    struct entry_rules rules;
    uint8_t first[ENTRY_IDENTITY];
    struct span mail = span_text("x@a.test"),
                ids[] = {span_text("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
                         span_text("6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
                         span_text("employee 4711"), span_text("")};
    struct directory_attribute attributes[] = {{"mail", &mail, 1}, {"entryUUID", &ids[0], 1}};

    make(&rules, "openldap");
    entry_take(&rules, attributes, 2, &entry, NULL, NULL);
    memcpy(first, entry.identity, sizeof first);
    ok(first[0] == 0x6b && first[4] == 0x9d && first[15] == 0xc8, "entryUUID is parsed");
    attributes[1].values = &ids[1];
    entry_take(&rules, attributes, 2, &entry, NULL, NULL);
    ok(memcmp(first, entry.identity, sizeof first) == 0, "whatever its case");
    attributes[1].values = &ids[2];
    ok(entry_take(&rules, attributes, 2, &entry, NULL, NULL) == ENTRY_TAKEN &&
           memcmp(first, entry.identity, sizeof first) != 0,
       "any other value is hashed");
    attributes[1].values = &ids[3];
    ok(entry_take(&rules, attributes, 2, &entry, NULL, NULL) == ENTRY_NO_IDENTITY, "none is none");
    ok(entry_take(&rules, attributes, 1, &entry, NULL, NULL) == ENTRY_NO_IDENTITY, "nor is absent");
    entry_rules_free(&rules);
}

/* 10,000 proxyAddresses, the primary one last. */
static void many(void)
{
    enum { COUNT = 10000 };
    struct entry_rules rules;
    char(*texts)[32] = mem_alloc(COUNT * sizeof *texts);
    struct span *values = mem_alloc(COUNT * sizeof *values), id = span_text("0123456789abcdef");

    for (int i = 0; i < COUNT; i++) {
        snprintf(texts[i], sizeof texts[i], "%s:u%d@a.test", i == COUNT - 1 ? "SMTP" : "smtp", i);
        values[i] = span_text(texts[i]);
    }
    struct directory_attribute attributes[] = {{"proxyAddresses", values, COUNT},
                                               {"objectGUID", &id, 1}};
    make(&rules, "ad");
    buf_clear(&notes);
    ok(entry_take(&rules, attributes, 2, &entry, on_note, NULL) == ENTRY_TAKEN &&
           entry.address_count == ROLL_ADDRESSES_MAX,
       "of 10,000 addresses as many are taken as a user may have");
    is_text(entry.addresses[0].local, "u9999", "the primary one first, wherever it stood");
    is_text(entry.addresses[1].local, "u0", "then the others as they came");
    is_text(notes.at, "many", "told once");
    entry_rules_free(&rules);
    free(values);
    free(texts);
}

int main(void)
{
    secret_init();
    tap_rows(TEST_DATA "/ldap/entries", row);
    identities();
    many();
    buf_free(&notes);
    return tap_done();
}
