/* The settings of LDAP sources, filters, and how passwords are kept. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ldap_source.h"
#include "t/unit/tap.h"

static void settings(void)
{
    static const struct {
        const char *name, *value;
        const char *error; /* NULL: fine */
    } rows[] = {
        {"preset", "novell", "not one of ad|samba"},
        {"prset", "ad", "no setting 'prset'"},
        {"server", "ldaps://dc1.example.com:636\ndc2.example.com", NULL},
        {"server", "http://dc1.example.com", "ldaps://HOST"},
        {"server", "ldap://h/dc=x??sub", "nothing behind it"},
        {"server", "ldaps://", "nothing behind it"},
        {"tls", "maybe", "not one of ldaps"},
        {"bind-dn", "cn=a\x01", "not plain text"},
        {"bind-dn", "cn=\xff", "not plain text"},
        {"ca-file", "ca.pem", "not an absolute path"},
        {"filter", "(mail=*)", NULL},
        {"filter", "mail=*", "'(' is missing at character 1"},
        {"filter", "(&(a=b)(c=d)", "')' is missing at character 13"},
        {"filter", "(a=b))", "behind the end at character 6"},
        {"filter", "(a=b(c)", "inside a value"},
        {"filter", "(a=\\zz)", "two hexadecimal"},
        {"filter", "(&)", "'(' is missing"},
        {"filter", "()", "ATTRIBUTE=VALUE"},
        {"filter", "(!(a=b))", NULL},
        {"filter", "(memberOf:1.2.840.113556.1.4.1941:=cn=g \\28x\\29,dc=a)", NULL},
        {"disabled", "userAccountControl&2\nx=y", NULL},
        {"disabled", "userAccountControl", "none of ATTRIBUTE=VALUE"},
        {"disabled", "userAccountControl&two", "a number above 0"},
        {"disabled", "accountExpires@never", "not one of filetime"},
        {"identity-attribute", "object GUID", "is no attribute"},
        {"page-size", "0", "from 1 to 10000"},
        {"interval", "5m", NULL},
        {"interval", "5s", "not a time from 60 seconds"},
        {"enabled", "true", "not one of yes|no"},
    };
    struct err err;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ldap_settings s = {0};
        struct ldap_given given = {rows[i].name, rows[i].value};
        bool fine = ldap_settings_fill(&s, &given, 1, &err);
        if (rows[i].error == NULL)
            ok(fine, "row %zu: %s%s%s", i, rows[i].name, fine ? "" : ": ", fine ? "" : err.text);
        else if (ok(!fine, "row %zu: %s is refused", i, rows[i].name))
            ok(strstr(err.text, rows[i].error) != NULL, "saying '%s': %s", rows[i].error, err.text);
        ldap_settings_free(&s);
    }
}

static void presets(void)
{
    struct ldap_settings s = {0};
    struct err err;
    static const char *const names[] = {"ad", "samba", "openldap", "custom"};

    for (size_t i = 0; i < 4; i++) {
        struct ldap_given given = {"preset", names[i]};
        ok(ldap_settings_fill(&s, &given, 1, &err), "preset %s", names[i]);
        ok(ldap_filter_check(s.filter, &err) && ldap_filter_check(s.group_filter, &err) &&
               ldap_filter_check(s.contact_filter, &err),
           "its filters are well-formed: %s", s.filter);
        ldap_settings_free(&s);
        for (size_t k = 0; k < ldap_setting_count; k++) {
            const struct ldap_setting_row *row = &ldap_setting_rows[k];
            struct ldap_given own[] = {given, {row->name, row->fallback[i]}};
            ok(row == ldap_setting_rows || row->fallback[i][0] == '\0' ||
                   ldap_settings_fill(&s, own, 2, &err),
               "its %s passes its own check", row->name);
            ldap_settings_free(&s);
        }
    }
}

static void filter_values(void)
{
    BUF_AUTO out = {0};
    struct err err;

    ldap_filter_value(&out, span_of("a*(b)\\\0\xc3\xab", 9));
    is_text(out.at, "a\\2a\\28b\\29\\5c\\00\\c3\\ab", "whatever a value holds, it is only a value");
    buf_clear(&out);
    buf_text(&out, "(cn=");
    ldap_filter_value(&out, span_text("x)(objectClass=*"));
    buf_text(&out, ")");
    ok(ldap_filter_check(out.at, &err), "%s", out.at);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fchmod(fd, mode) == 0 &&
           close(fd) == 0,
       "a key file with mode %03o", (unsigned)mode);
}

static void keys(void)
{
    char dir[] = "/tmp/rollcall-key.XXXXXX", path[64];
    uint8_t key[SECRET_KEY], again[SECRET_KEY];
    struct err err;
    struct stat about;

    if (!ok(mkdtemp(dir) != NULL, "a directory"))
        return;
    snprintf(path, sizeof path, "%s/secret.key", dir);
    ok(!secret_key_load(path, false, key, &err) && strstr(err.text, path) != NULL,
       "no key, and none is to be made: %s", err.text);
    ok(secret_key_load(path, true, key, &err), "a key is made");
    ok(stat(path, &about) == 0 && (about.st_mode & 0777) == 0600, "for its owner only");
    ok(secret_key_load(path, true, again, &err) && memcmp(key, again, sizeof key) == 0,
       "and stays");
    ok(chmod(path, 0644) == 0 && !secret_key_load(path, true, again, &err) &&
           strstr(err.text, "chmod 600") != NULL,
       "others may read it: %s", err.text);
    write_file(path, "abc\n", 0600);
    ok(!secret_key_load(path, true, again, &err), "too short: %s", err.text);
    unlink(path);
    rmdir(dir);
}

static void sealing(void)
{
    uint8_t key[SECRET_KEY], other[SECRET_KEY];
    BUF_AUTO sealed = {0};
    BUF_AUTO opened = {0};

    secret_random(key, sizeof key);
    secret_random(other, sizeof other);
    secret_seal(&sealed, span_text("Passw0rd!x"), "ldap_source:7", key);
    struct span box = span_of(sealed.at, sealed.len);
    ok(memmem(sealed.at, sealed.len, "Passw0rd", 8) == NULL, "what is sealed cannot be read");
    ok(secret_open(&opened, box, "ldap_source:7", key), "it can be opened");
    is_text(opened.at, "Passw0rd!x", "and is what it was");
    buf_clear(&opened);
    ok(!secret_open(&opened, box, "ldap_source:8", key), "not as another row's");
    ok(!secret_open(&opened, box, "ldap_source:7", other), "not with another key");
    for (size_t i = 0; i < box.len; i++) {
        sealed.at[i] = (char)(sealed.at[i] ^ 1);
        if (secret_open(&opened, box, "ldap_source:7", key))
            ok(false, "not with byte %zu changed", i);
        sealed.at[i] = (char)(sealed.at[i] ^ 1);
    }
    for (size_t len = 0; len < box.len; len++)
        if (secret_open(&opened, span_of(box.at, len), "ldap_source:7", key))
            ok(false, "not cut at %zu", len);
    ok(opened.len == 0, "not damaged, not cut");
}

static void digests(void)
{
    uint8_t whole[SECRET_DIGEST], pieces[SECRET_DIGEST];
    struct secret_digesting *digesting = secret_digest_begin();

    secret_digest("abc", 3, whole, sizeof whole);
    secret_digest_add(digesting, "a", 1);
    secret_digest_add(digesting, "bc", 2);
    secret_digest_end(&digesting, pieces);
    ok(memcmp(whole, pieces, sizeof whole) == 0 && digesting == NULL, "a digest piece by piece");
}

int main(void)
{
    secret_init();
    settings();
    presets();
    filter_values();
    keys();
    sealing();
    digests();
    return tap_done();
}
