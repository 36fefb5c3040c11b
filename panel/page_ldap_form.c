/*
 * page_ldap_form - the settings of an LDAP connection as a form
 *
 * A field for each row of ldap_setting_rows, filled with what is set or what the preset has. What
 * is sent back like the preset has it is not set, so that a later preset may differ. The password
 * only goes in.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/directory.h"
#include "lib/ldap_source.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

enum { GIVEN_MOST = 64, DOMAINS_MOST = 256, NAME_MOST = 253 };

/* ---- the fields ---- */

struct field {
    const char *setting;
    const char *group; /* the list of the page that it is in */
    const char *label, *hint;
    bool operators; /* files and tickets of the gateway: only its operators name them */
};

static const struct field fields[] = {
    {"server", "connection", N_("Servers"),
     N_("ldaps://dc1.example.com, one a line; they are tried in order"), false},
    {"tls", "connection", N_("Protection"), "", false},
    {"allow-cleartext", "connection", N_("Without protection is meant"),
     N_("password and directory travel readable then"), false},
    {"ca", "connection", N_("Certificates of the authority"),
     N_("that signed the server's, in PEM; empty: those of the system"), false},
    {"ca-file", "more", N_("File of certificates"),
     N_("of the gateway, instead of certificates that are kept here"), true},
    {"client-certificate", "more", N_("File of our certificate"),
     N_("that proves who reads; with SASL external instead of a password"), true},
    {"client-key", "more", N_("File of its key"), "", true},
    {"bind-dn", "connection", N_("Who reads"),
     N_("a DN, with Active Directory also user@realm; empty: anonymous"), false},
    {"sasl", "more", N_("SASL instead of a password"), "", true},
    {"password-file", "more", N_("Password from a file"), N_("of the gateway"), true},
    {"base", "what", N_("Where to search"), N_("such as dc=example,dc=com, one a line"), false},
    {"scope", "what", N_("How deep"), "", false},
    {"filter", "what", N_("Which entries are users"), "", false},
    {"member-of", "what", N_("Only members of these groups"),
     N_("DNs, one a line; groups within them count; empty: everybody"), false},
    {"groups", "what", N_("Groups with an address too"), N_("as recipients without a report"),
     false},
    {"contacts", "what", N_("Contacts and public folders too"),
     N_("as recipients without a report"), false},
    {"interval", "when", N_("How often"), N_("such as 3h or 30m, counted from 07:30 GMT"), false},
    {"enabled", "when", N_("Read by itself"), "", false},
    {"group-filter", "more", N_("Which entries are groups"), "", false},
    {"contact-filter", "more", N_("Which entries are contacts"), "", false},
    {"address-attribute", "more", N_("Attributes of the address"),
     N_("the first value is the primary address"), false},
    {"address-use", "more", N_("When they count"),
     N_("alone: only where proxyAddresses names no primary address"), false},
    {"alias-attribute", "more", N_("Attributes of aliases"), N_("one a line"), false},
    {"name-attribute", "more", N_("Attributes of the name"), N_("the first that has a value"),
     false},
    {"identity-attribute", "more", N_("Attribute that stays"),
     N_("when an entry is moved or renamed"), false},
    {"disabled", "more", N_("What makes an account disabled"),
     N_("ATTRIBUTE=VALUE, ATTRIBUTE&BITS, ATTRIBUTE@filetime|days|time, one a line"), false},
    {"page-size", "more", N_("Entries at a time"), "", false},
    {"entry-limit", "more", N_("At most so many entries"), "", false},
    {"time-limit", "more", N_("At most so long"), "", false},
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

/* "bind-dn" is bind_dn in forms. */
static char *field_name(struct visit *visit, const char *setting)
{
    char *name = arena_text(visit->arena, span_text(setting));

    for (char *c = name; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c;
    return name;
}

static bool is_switch(const struct ldap_setting_row *row)
{
    return strcmp(row->value, "yes|no") == 0;
}

static bool is_ca(const struct ldap_setting_row *row)
{
    return row->offset == offsetof(struct ldap_settings, ca);
}

/* Without a CR, blank lines, and what stands around. */
static char *tidy(struct visit *visit, const char *typed)
{
    struct span rest = span_text(typed), line;
    BUF_AUTO out = {0};

    buf_text(&out, "");
    while (span_next(&rest, '\n', &line)) {
        line = span_trim(line);
        if (line.len > 0 && out.len > 0)
            buf_text(&out, "\n");
        buf_append(&out, line.at, line.len);
    }
    return arena_text(visit->arena, span_of(out.at, out.len));
}

/* What the form says of a setting; NULL: it has no such field. */
static const char *typed_value(struct visit *visit, const struct ldap_setting_row *row)
{
    const char *name = field_name(visit, row->name);

    if (is_switch(row))
        return form_has(&visit->form, name) ? "yes" : "no";
    return form_has(&visit->form, name) ? tidy(visit, form_value(&visit->form, name)) : NULL;
}

/* ---- from the database to the form ---- */

static const char *given_value(const struct ldap_source *source, const char *name)
{
    for (size_t i = 0; i < source->given_count; i++)
        if (strcmp(source->given[i].name, name) == 0)
            return source->given[i].value;
    return NULL;
}

static enum ldap_preset preset_of(const char *name)
{
    struct ldap_settings settings = {.preset = (char *)(uintptr_t)name};

    return ldap_settings_preset(&settings);
}

static void put_choices(struct data *one, const char *choices, const char *value)
{
    struct data *list = data_list(one, "choices");
    struct span rest = span_text(choices), choice;

    while (span_next(&rest, '|', &choice)) {
        struct data *option = data_item(list);
        data_span(option, "value", choice);
        data_flag(option, "is_chosen", span_equals(choice, value));
    }
}

static void put_field(struct visit *visit, const struct field *field, const char *value)
{
    const struct ldap_setting_row *row = ldap_setting_find(field->setting);
    const char *name = field_name(visit, row->name);
    const struct data *errors = data_get(visit->data, span_text("errors"));
    const struct data *why = errors != NULL ? data_get(errors, span_text(name)) : NULL;
    struct data *list = NULL;

    for (struct data *d = visit->data->first; d != NULL; d = d->next)
        if (strcmp(d->key, field->group) == 0)
            list = d;
    struct data *one = data_item(list != NULL ? list : data_list(visit->data, field->group));
    data_text(one, "name", name);
    data_text(one, "label", visit_words(visit, field->label));
    data_text(one, "hint", visit_words(visit, field->hint));
    data_text(one, "value", value);
    data_flag(one, "is_file", is_ca(row));
    data_text(one, "kind",
              row->list                         ? "lines"
              : is_switch(row)                  ? "switch"
              : strchr(row->value, '|') != NULL ? "choice"
                                                : "line");
    data_flag(one, "on", strcmp(value, "yes") == 0);
    put_choices(one, row->value, value);
    if (why != NULL)
        data_span(one, "why", why->text);
}

/* `source` is zeroed for a new one. What was typed counts before what is kept. */
static void put_fields(struct visit *visit, const struct ldap_source *source, const char *preset)
{
    bool typed = visit->form.count > 0;

    for (size_t i = 0; i < FIELDS; i++) {
        const struct ldap_setting_row *row = ldap_setting_find(fields[i].setting);
        const char *value = typed ? typed_value(visit, row) : given_value(source, row->name);
        if (fields[i].operators && !visit_is(visit, ROLE_OPERATOR))
            continue;
        put_field(visit, &fields[i], value != NULL ? value : row->fallback[preset_of(preset)]);
    }
    data_text(visit->data, "preset", preset);
    data_flag(visit->data, "has_password", source->has_password);
    data_flag(visit->data, "has_key", visit->panel->has_key);
}

/* ---- from the form to the database ---- */

struct taken {
    struct ldap_given given[GIVEN_MOST];
    const char *domains[DOMAINS_MOST];
};

/* The certificates in what was typed, as they are kept. */
static const char *take_ca(struct visit *visit, const char *typed)
{
    BUF_AUTO out = {0};
    struct err why;

    if (!directory_ca_take(span_text(typed), &out, &why))
        visit_complain(visit, "ca", why.text);
    return arena_text(visit->arena, span_of(out.at, out.len));
}

/* What differs from what is kept; what is as the preset has it is not set. */
static void take_settings(struct visit *visit, const struct ldap_source *source, const char *preset,
                          struct taken *taken, struct ldap_change *change)
{
    const char *before = given_value(source, "preset");

    if (before == NULL || strcmp(before, preset) != 0)
        taken->given[change->given_count++] = (struct ldap_given){"preset", preset};
    for (size_t i = 0; i < FIELDS; i++) {
        const struct ldap_setting_row *row = ldap_setting_find(fields[i].setting);
        const char *value = typed_value(visit, row), *kept = given_value(source, row->name);
        if (value == NULL || (fields[i].operators && !visit_is(visit, ROLE_OPERATOR)))
            continue;
        if (is_ca(row) && value[0] != '\0')
            value = take_ca(visit, value);
        bool usual = strcmp(value, row->fallback[preset_of(preset)]) == 0;
        if (usual ? kept == NULL : kept != NULL && strcmp(kept, value) == 0)
            continue;
        taken->given[change->given_count++] = (struct ldap_given){row->name, usual ? NULL : value};
    }
    change->given = taken->given;
}

/* Names of the domains that are ticked; those that may not be seen are left out. */
static bool take_domains(struct visit *visit, struct taken *taken, struct ldap_change *change,
                         struct err *err)
{
    char name[254];

    for (size_t i = 0; i < visit->form.count && change->domain_count < DOMAINS_MOST; i++) {
        if (strcmp(visit->form.fields[i].name, "domain") != 0)
            continue;
        if (!model_domain_name(visit->db, visit_number(visit, visit->form.fields[i].value), name,
                               err))
            return false;
        taken->domains[change->domain_count++] = arena_text(visit->arena, span_text(name));
    }
    change->domains = taken->domains;
    if (change->domain_count == 0)
        visit_complain(visit, "domains", visit_words(visit, "Choose at least one domain."));
    return true;
}

static void take_password(struct visit *visit, struct ldap_change *change)
{
    const char *password = form_value(&visit->form, "password");

    if (form_has(&visit->form, "forget"))
        change->password = "";
    if (password[0] == '\0')
        return;
    if (!visit->panel->has_key)
        visit_complain(visit, "password",
                       visit_words(visit, "This host has no key to keep a password under: see "
                                          "secret_key_file in the settings."));
    change->password = password;
    change->key = visit->panel->key;
}

static const char *preset_from(const struct form *form, const char *otherwise)
{
    static const char *const known[] = {"ad", "samba", "openldap", "custom"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(form_value(form, "preset"), known[i]) == 0)
            return known[i];
    return otherwise;
}

/* True with *saved false: something has to be looked at again. */
static bool save(struct visit *visit, const char *name, const struct ldap_source *source,
                 const char *preset, bool *saved, struct err *err)
{
    struct taken taken;
    struct ldap_change change = {.name = name,
                                 .actor = visit->session.login,
                                 .by_customer = !visit_is(visit, ROLE_OPERATOR)};
    bool made;

    *saved = false;
    take_settings(visit, source, preset, &taken, &change);
    take_password(visit, &change);
    if (!take_domains(visit, &taken, &change, err))
        return false;
    if (visit_has_complaints(visit))
        return true;
    *saved = ldap_source_set(visit->db, &change, &made, err);
    return *saved || visit_complain_of(visit, err, "domains");
}

/* Saved: to the answer of what was asked for with it, or to the page. */
static bool go_on(struct visit *visit, const char *id, struct err *err)
{
    char request[24];

    if (strcmp(form_value(&visit->form, "do"), "test") != 0)
        return visit_go(visit, visit_words(visit, "Saved."), "/ldap/%s", id);
    return model_ldap_ask(visit->db, id, "test", visit->session.login, request, err) &&
           visit_go(visit, visit_words(visit, "Saved."), "/ldap/%s/asked/%s", id, request);
}

/* ---- a new one ---- */

static bool show_new(struct visit *visit, const char *name, const char *domain, const char *preset,
                     struct err *err)
{
    static const struct ldap_source none;

    if (!model_ldap_domains(visit->db, NULL, domain, visit->data, err))
        return false;
    put_fields(visit, &none, preset);
    data_text(visit->data, "name", name);
    data_text(visit->data, "for_domain", domain);
    data_flag(visit->data, "is_new", true);
    return visit_show(visit, "ldap-form", err);
}

bool page_ldap_add(struct visit *visit, struct err *err)
{
    char name[254], first[16] = "0";
    const char *domain = form_value(&visit->query, "domain");

    if (domain[0] == '\0' && !model_first_domain(visit->db, first, err))
        return false;
    domain = domain[0] != '\0' ? visit_number(visit, domain) : first;
    return model_domain_name(visit->db, domain, name, err) &&
           show_new(visit, name, domain, preset_from(&visit->query, "ad"), err);
}

bool do_ldap_add(struct visit *visit, struct err *err)
{
    static const struct ldap_source none;
    const char *preset = preset_from(&visit->form, "ad");
    const char *name = tidy(visit, form_value(&visit->form, "name"));
    char id[24] = "0";
    bool saved, exists;

    if (!ldap_source_exists(visit->db, name, &exists, err))
        return false;
    if (exists || name[0] == '\0' || strlen(name) > NAME_MOST)
        visit_complain(visit, "name",
                       exists ? visit_words(visit, "There is one of that name already.")
                              : visit_words(visit, "Give it a name."));
    if (!save(visit, name, &none, preset, &saved, err) ||
        (saved && !model_ldap_id(visit->db, name, id, err)))
        return false;
    if (saved)
        return go_on(visit, id, err);
    visit->status = 422;
    return show_new(visit, name, visit_number(visit, form_value(&visit->form, "for_domain")),
                    preset, err);
}

/* ---- one there is ---- */

static bool show_old(struct visit *visit, const struct ldap_source *source, const char *preset,
                     struct err *err)
{
    const char *id = visit_number(visit, visit_id(visit));

    if (!model_ldap_domains(visit->db, id, NULL, visit->data, err))
        return false;
    put_fields(visit, source, preset);
    data_text(visit->data, "name", source->name);
    data_text(visit->data, "id", id);
    return visit_show(visit, "ldap-form", err);
}

static bool get_source(struct visit *visit, struct ldap_source *source, struct err *err)
{
    char name[254];

    *source = (struct ldap_source){0};
    return model_ldap_name(visit->db, visit_number(visit, visit_id(visit)), name, err) &&
           ldap_source_get(visit->db, name, false, source, err);
}

bool page_ldap_settings(struct visit *visit, struct err *err)
{
    struct ldap_source source;
    bool fine = get_source(visit, &source, err) &&
                show_old(visit, &source, preset_from(&visit->query, source.settings.preset), err);

    ldap_source_free(&source);
    return fine;
}

static bool change_source(struct visit *visit, const struct ldap_source *source, struct err *err)
{
    const char *preset = preset_from(&visit->form, source->settings.preset);
    bool saved;

    if (!save(visit, source->name, source, preset, &saved, err))
        return false;
    if (saved)
        return go_on(visit, visit_number(visit, visit_id(visit)), err);
    visit->status = 422;
    return show_old(visit, source, preset, err);
}

bool do_ldap_settings(struct visit *visit, struct err *err)
{
    struct ldap_source source;
    bool fine = get_source(visit, &source, err) && change_source(visit, &source, err);

    ldap_source_free(&source);
    return fine;
}
