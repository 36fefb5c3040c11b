/*
 * ldap_settings - see ldap_source.h; here: the table of settings, their presets and their checks
 *
 * What a preset takes as a user, and what it calls disabled, can be read below; nothing else in the
 * program knows a product.
 */
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "ldap_source.h"

static const char *const preset_names[PRESETS] = {
    [PRESET_AD] = "ad",
    [PRESET_SAMBA] = "samba",
    [PRESET_OPENLDAP] = "openldap",
    [PRESET_CUSTOM] = "custom",
};

/* ---- checks of one value ---- */

static bool is_one_of(const char *value, const char *choices, struct err *err)
{
    struct span rest = span_text(choices), one;

    while (span_next(&rest, '|', &one))
        if (span_equals(one, value))
            return true;
    return err_set(err, ERR_USAGE, "'%s' is not one of %s", value, choices);
}

static bool check_preset(const char *value, struct err *err)
{
    return is_one_of(value, "ad|samba|openldap|custom", err);
}

static bool check_tls(const char *value, struct err *err)
{
    return is_one_of(value, "ldaps|starttls|none", err);
}

static bool check_switch(const char *value, struct err *err)
{
    return is_one_of(value, "yes|no", err);
}

static bool check_sasl(const char *value, struct err *err)
{
    return is_one_of(value, "none|external|gssapi", err);
}

static bool check_scope(const char *value, struct err *err)
{
    return is_one_of(value, "sub|one|base", err);
}

static bool check_use(const char *value, struct err *err)
{
    return is_one_of(value, "always|alone", err);
}

/* "ldaps://dc1.example.com:636", "dc1.example.com", "dc1:3269", "ldapi://%2frun%2fslapd". */
static bool check_server(const char *value, struct err *err)
{
    const char *scheme = strstr(value, "://"), *at = scheme != NULL ? scheme + 3 : value;

    if (scheme != NULL && strncmp(value, "ldap://", 7) != 0 && strncmp(value, "ldaps://", 8) != 0 &&
        strncmp(value, "ldapi://", 8) != 0)
        return err_set(err, ERR_USAGE, "'%s': a server is ldaps://HOST[:PORT], ldap://… or HOST",
                       value);
    size_t len = strcspn(at, "/ \t?");
    bool rest = at[len] != '\0' && strcmp(at + len, "/") != 0;
    if (len == 0 || len > 300 || rest)
        return err_set(err, ERR_USAGE, "'%s': a server is ldaps://HOST[:PORT], nothing behind it",
                       value);
    return true;
}

static bool check_path(const char *value, struct err *err)
{
    return value[0] == '\0' || value[0] == '/' ||
           err_set(err, ERR_USAGE, "'%s': not an absolute path", value);
}

/* One line of what directory_ca_take makes. */
static bool check_pem(const char *value, struct err *err)
{
    static const char base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

    return value[strspn(value, base64)] == '\0' ||
           strcmp(value, "-----BEGIN CERTIFICATE-----") == 0 ||
           strcmp(value, "-----END CERTIFICATE-----") == 0 ||
           err_set(err, ERR_USAGE, "'%s': no line of a certificate in PEM", value);
}

/* RFC 4512 section 1.4: a descriptor or a numeric OID. */
static bool check_attribute(const char *value, struct err *err)
{
    size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.");

    return (len > 0 && value[len] == '\0' && len < 100) ||
           err_set(err, ERR_USAGE, "'%s' is no attribute", value);
}

static bool check_disabled(const char *value, struct err *err)
{
    size_t len = strcspn(value, "=&@");
    STR_AUTO name = mem_span(span_of(value, len));

    if (value[len] == '\0' || value[len + 1] == '\0')
        return err_set(err, ERR_USAGE,
                       "'%s' is none of ATTRIBUTE=VALUE, ATTRIBUTE&BITS, ATTRIBUTE@filetime, "
                       "ATTRIBUTE@days, ATTRIBUTE@time",
                       value);
    if (value[len] == '@')
        return check_attribute(name, err) && is_one_of(value + len + 1, "filetime|days|time", err);
    int64_t bits;
    if (value[len] == '&' && !(str_int64(span_text(value + len + 1), &bits) && bits > 0))
        return err_set(err, ERR_USAGE, "'%s': behind & stands a number above 0", value);
    return check_attribute(name, err);
}

static bool check_number(const char *value, int64_t least, int64_t most, struct err *err)
{
    int64_t number;

    return (str_int64(span_text(value), &number) && number >= least && number <= most) ||
           err_set(err, ERR_USAGE, "'%s' is not a number from %lld to %lld", value,
                   (long long)least, (long long)most);
}

static bool check_page(const char *value, struct err *err)
{
    return check_number(value, 1, 10000, err);
}

static bool check_entries(const char *value, struct err *err)
{
    return check_number(value, 1, 10000000, err);
}

static bool check_time(const char *value, int64_t least_s, struct err *err)
{
    int64_t us;

    return (conf_parse_time(span_text(value), &us) && us >= least_s * 1000000 &&
            us <= INT64_C(30) * 86400 * 1000000) ||
           err_set(err, ERR_USAGE, "'%s' is not a time from %lld seconds to 30 days (5min is 5m)",
                   value, (long long)least_s);
}

static bool check_limit(const char *value, struct err *err)
{
    return check_time(value, 1, err);
}

static bool check_interval(const char *value, struct err *err)
{
    return check_time(value, 60, err);
}

/* ---- the table ---- */

#define AD_MAIL   "(|(mail=*)(proxyAddresses=*))"
#define OPEN_MAIL "(|(mail=*)(mailLocalAddress=*)(mailAlternateAddress=*)(proxyAddresses=*))"
#define OPEN_GROUPS                                                                                \
    "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)"         \
    "(objectClass=mailGroup)(objectClass=groupOfMembers))"
#define OPEN_DISABLED                                                                              \
    "nsAccountLock=true\npwdAccountLockedTime=000001010000Z\npwdEndTime@time\nshadowExpire@days"   \
    "\nloginDisabled=true\ninetUserStatus=inactive\ninetUserStatus=deleted"                        \
    "\nmailUserStatus=inactive\nmailUserStatus=disabled\nmailUserStatus=deleted"                   \
    "\naccountStatus=disabled\naccountStatus=deleted\naccountStatus=nologin"
#define AD_DISABLED "userAccountControl&2\naccountExpires@filetime"

#define SAME(text)                                                                                 \
    {                                                                                              \
        text, text, text, text                                                                     \
    }
#define BOTH(ad, other)                                                                            \
    {                                                                                              \
        ad, ad, other, other                                                                       \
    }
#define EACH(ad, smb, open, custom)                                                                \
    {                                                                                              \
        ad, smb, open, custom                                                                      \
    }
#define AT(field) offsetof(struct ldap_settings, field)

const struct ldap_setting_row ldap_setting_rows[] = {
    {"preset", "ad|samba|openldap|custom", false, AT(preset), SAME("ad"), check_preset,
     "which product it is: the values of what is not set follow from it"},
    {"server", "URI", true, AT(server), SAME(""), check_server,
     "ldaps://HOST[:PORT] or HOST; several are tried in order"},
    {"tls", "ldaps|starttls|none", false, AT(tls), SAME("ldaps"), check_tls,
     "how the connection is protected"},
    {"allow-cleartext", "yes|no", false, AT(allow_cleartext), SAME("no"), check_switch,
     "needed for tls none: password and directory travel readable"},
    {"ca", "FILE", true, AT(ca), SAME(""), check_pem,
     "certificates that the server's must descend from (PEM), kept with the connection; empty: "
     "ca-file"},
    {"ca-file", "FILE", false, AT(ca_file), SAME(""), check_path,
     "certificates that the server's must descend from; empty: those of the system"},
    {"client-certificate", "FILE", false, AT(client_certificate), SAME(""), check_path,
     "proves who reads (PEM); with sasl external instead of a password"},
    {"client-key", "FILE", false, AT(client_key), SAME(""), check_path,
     "the key of client-certificate (PEM)"},
    {"bind-dn", "NAME", false, AT(bind_dn), SAME(""), NULL,
     "who reads: a DN, with AD also user@realm; empty: anonymous"},
    {"sasl", "none|external|gssapi", false, AT(sasl), SAME("none"), check_sasl,
     "prove who reads by a certificate or the local socket (external), or by Kerberos (gssapi)"},
    {"password-file", "FILE", false, AT(password_file), SAME(""), check_path,
     "read the password from there at each run; empty: the sealed one"},
    {"base", "DN", true, AT(base), SAME(""), NULL, "where to search"},
    {"scope", "sub|one|base", false, AT(scope), SAME("sub"), check_scope, "how deep"},
    {"filter", "FILTER", false, AT(filter),
     EACH("(&(objectCategory=person)(objectClass=user)" AD_MAIL ")",
          "(&(objectCategory=person)(objectClass=user)" AD_MAIL ")",
          "(&(objectClass=person)" OPEN_MAIL ")", "(mail=*)"),
     ldap_filter_check, "which entries are users"},
    {"member-of", "DN", true, AT(member_of), SAME(""), NULL,
     "only members of one of these groups, nested groups included"},
    {"groups", "yes|no", false, AT(groups), SAME("no"), check_switch,
     "take groups with an address too, as recipients without a spam report"},
    {"group-filter", "FILTER", false, AT(group_filter),
     BOTH("(&(objectCategory=group)" AD_MAIL ")", "(&" OPEN_GROUPS OPEN_MAIL ")"),
     ldap_filter_check, "which entries are groups"},
    {"contacts", "yes|no", false, AT(contacts), SAME("no"), check_switch,
     "take contacts and public folders too, as recipients without a spam report"},
    {"contact-filter", "FILTER", false, AT(contact_filter),
     BOTH("(&(|(objectClass=contact)(objectClass=publicFolder))" AD_MAIL ")",
          "(&(|(objectClass=nisMailAlias)(objectClass=mailAlias))" OPEN_MAIL ")"),
     ldap_filter_check, "which entries are contacts"},
    {"address-attribute", "NAME", true, AT(address_attribute), SAME("mail"), check_attribute,
     "holds the primary address (its first value); the other values are aliases"},
    {"address-use", "always|alone", false, AT(address_use),
     EACH("alone", "always", "always", "always"), check_use,
     "alone: address-attribute counts only where proxyAddresses names no primary (SMTP:)"},
    {"alias-attribute", "NAME", true, AT(alias_attribute),
     EACH("proxyAddresses", "proxyAddresses",
          "proxyAddresses\nmailAlternateAddress\nmailLocalAddress\nmailAlias"
          "\ngosaMailAlternateAddress",
          ""),
     check_attribute, "hold aliases; in proxyAddresses SMTP: marks the primary address"},
    {"name-attribute", "NAME", true, AT(name_attribute), SAME("displayName\ncn"), check_attribute,
     "the user's name: the first that has a value"},
    {"identity-attribute", "NAME", false, AT(identity_attribute), BOTH("objectGUID", "entryUUID"),
     check_attribute, "what stays when the entry is moved or renamed"},
    {"disabled", "RULE", true, AT(disabled), EACH(AD_DISABLED, AD_DISABLED, OPEN_DISABLED, ""),
     check_disabled,
     "ATTRIBUTE=VALUE, ATTRIBUTE&BITS, ATTRIBUTE@filetime|days|time (that time has passed)"},
    {"page-size", "NUMBER", false, AT(page_size), SAME("1000"), check_page,
     "entries asked for at a time"},
    {"entry-limit", "NUMBER", false, AT(entry_limit), SAME("1000000"), check_entries,
     "more entries than that end the run"},
    {"time-limit", "TIME", false, AT(time_limit), SAME("10m"), check_limit,
     "how long reading the directory may take"},
    {"interval", "TIME", false, AT(interval), SAME("3h"), check_interval,
     "how often it is read, counted from 07:30 GMT"},
    {"enabled", "yes|no", false, AT(enabled), SAME("yes"), check_switch,
     "whether it is read by itself"},
};
const size_t ldap_setting_count = sizeof ldap_setting_rows / sizeof ldap_setting_rows[0];

const struct ldap_setting_row *ldap_setting_find(const char *name)
{
    for (size_t i = 0; i < ldap_setting_count; i++)
        if (strcmp(ldap_setting_rows[i].name, name) == 0)
            return &ldap_setting_rows[i];
    return NULL;
}

char **ldap_setting_field(struct ldap_settings *settings, const struct ldap_setting_row *row)
{
    return (char **)((char *)settings + row->offset);
}

/* ---- filling ---- */

static bool has_control(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
            return true;
    return false;
}

static bool check_element(const struct ldap_setting_row *row, struct span value, struct err *err)
{
    STR_AUTO text = mem_span(value);

    if (has_control(value) || !str_utf8_valid(value))
        return err_set(err, ERR_USAGE, "%s: '%s': not plain text", row->name, text);
    return row->check == NULL || row->check(text, err) || err_prefix(err, "%s", row->name);
}

static bool check_value(const struct ldap_setting_row *row, const char *value, struct err *err)
{
    struct span rest = span_text(value), element;

    if (rest.len > LDAP_SETTING_MOST)
        return err_set(err, ERR_USAGE, "%s: longer than %d bytes", row->name, LDAP_SETTING_MOST);
    if (!row->list)
        return check_element(row, rest, err);
    while (rest.len > 0 && span_next(&rest, '\n', &element))
        if (element.len > 0 && !check_element(row, element, err))
            return false;
    return true;
}

static const char *given_value(const char *name, const struct ldap_given *given, size_t count)
{
    const char *value = NULL;

    for (size_t i = 0; i < count; i++)
        if (strcmp(given[i].name, name) == 0)
            value = given[i].value;
    return value;
}

static bool known_names(const struct ldap_given *given, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (ldap_setting_find(given[i].name) == NULL)
            return err_set(err, ERR_USAGE, "there is no setting '%s'", given[i].name);
    return true;
}

static enum ldap_preset preset_of(const char *name)
{
    int preset = 0;

    while (preset < PRESETS - 1 && strcmp(preset_names[preset], name) != 0)
        preset++;
    return (enum ldap_preset)preset;
}

bool ldap_settings_fill(struct ldap_settings *settings, const struct ldap_given *given,
                        size_t count, struct err *err)
{
    const char *asked = given_value("preset", given, count);

    ldap_settings_free(settings);
    if (!known_names(given, count, err) ||
        (asked != NULL && !check_preset(asked, err) && !err_prefix(err, "preset")))
        return false;
    enum ldap_preset preset = preset_of(asked != NULL ? asked : "ad");
    for (size_t i = 0; i < ldap_setting_count; i++) {
        const struct ldap_setting_row *row = &ldap_setting_rows[i];
        const char *value = given_value(row->name, given, count);
        if (value != NULL && !check_value(row, value, err)) {
            ldap_settings_free(settings);
            return false;
        }
        *ldap_setting_field(settings, row) =
            mem_text(value != NULL ? value : row->fallback[preset]);
    }
    return true;
}

void ldap_settings_free(struct ldap_settings *settings)
{
    for (size_t i = 0; i < ldap_setting_count; i++)
        str_free(ldap_setting_field(settings, &ldap_setting_rows[i]));
}

enum ldap_preset ldap_settings_preset(const struct ldap_settings *settings)
{
    return preset_of(settings->preset);
}

bool ldap_setting_yes(const char *value)
{
    return strcmp(value, "yes") == 0;
}

int64_t ldap_setting_number(const char *value)
{
    int64_t number = 0;

    return str_int64(span_text(value), &number) ? number : 0;
}

int64_t ldap_setting_time_us(const char *value)
{
    int64_t us = 0;

    return conf_parse_time(span_text(value), &us) ? us : 0;
}

/* ---- filters ---- */

enum { FILTER_DEPTH = 50 };

static bool bad_filter(const char *filter, const char *at, const char *what, struct err *err)
{
    return err_set(err, ERR_USAGE, "filter '%s': %s at character %zu", filter, what,
                   (size_t)(at - filter) + 1);
}

/* attribute[:rule:]=value, up to the closing parenthesis. */
static bool filter_item(const char *filter, const char **at, struct err *err)
{
    const char *start = *at;
    size_t name = strcspn(start, "=()");

    if (name == 0 || start[name] != '=')
        return bad_filter(filter, start, "ATTRIBUTE=VALUE is missing", err);
    *at = start + name + 1;
    while (**at != ')' && **at != '\0') {
        if (**at == '(')
            return bad_filter(filter, *at, "'(' inside a value (write \\28)", err);
        if (**at == '\\' && !(strspn(*at + 1, "0123456789abcdefABCDEF") >= 2))
            return bad_filter(filter, *at, "'\\' without two hexadecimal digits", err);
        (*at)++;
    }
    return true;
}

static bool filter_one(const char *filter, const char **at, int depth, struct err *err)
{
    if (depth > FILTER_DEPTH)
        return bad_filter(filter, *at, "too deep", err);
    if (**at != '(')
        return bad_filter(filter, *at, "'(' is missing", err);
    (*at)++;
    if (**at == '&' || **at == '|' || **at == '!') {
        bool once = **at == '!';
        (*at)++;
        do {
            if (!filter_one(filter, at, depth + 1, err))
                return false;
        } while (!once && **at == '(');
    } else if (!filter_item(filter, at, err))
        return false;
    if (**at != ')')
        return bad_filter(filter, *at, "')' is missing", err);
    (*at)++;
    return true;
}

bool ldap_filter_check(const char *filter, struct err *err)
{
    const char *at = filter;

    return filter_one(filter, &at, 0, err) &&
           (*at == '\0' || bad_filter(filter, at, "something stands behind the end", err));
}

void ldap_filter_value(struct buf *out, struct span value)
{
    buf_text(out, "");
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];
        if (c < 0x20 || c >= 0x7f || strchr("*()\\", c) != NULL)
            buf_printf(out, "\\%02x", c);
        else
            buf_append(out, &value.at[i], 1);
    }
}
