/* directory_words - see directory.h; here: result codes and refused connections in words
 *
 * Active Directory's codes inside the diagnostic text of a refused bind stand in `ad_words`.
 */
#include <string.h>
#include <strings.h>

#include "directory_private.h"

static const struct {
    const char *code; /* behind "data " in the diagnostic text */
    const char *words;
} ad_words[] = {
    {"525", "there is no such user; check bind-dn (user@realm or the full DN)"},
    {"52e", "wrong user name or password"},
    {"52f", "restrictions on the account keep it from signing in"},
    {"530", "the account may not sign in at this hour"},
    {"531", "the account may not sign in from this computer"},
    {"532", "the password has expired"},
    {"533", "the account is disabled"},
    {"568", "too many security identifiers"},
    {"701", "the account has expired"},
    {"773", "the password must be changed at first"},
    {"775", "the account is locked out; wait or unlock it"},
};

static const struct {
    int code;
    enum err_class class;
    const char *words;
} result_words[] = {
    {LDAP_SIZELIMIT_EXCEEDED, ERR_TEMPORARY,
     "the server's size limit cut the answer; lower page-size, or let the account read without "
     "limit"},
    {LDAP_TIMELIMIT_EXCEEDED, ERR_TEMPORARY, "the server's time limit cut the answer"},
    {LDAP_ADMINLIMIT_EXCEEDED, ERR_TEMPORARY,
     "an administrative limit of the server cut the answer; lower page-size"},
    {LDAP_REFERRAL, ERR_DATA,
     "the server refers to another one, which is not followed; name that one as --server, or "
     "another --base"},
    {LDAP_NO_SUCH_OBJECT, ERR_DATA, "does not exist there (or may not be seen); check --base"},
    {LDAP_INVALID_DN_SYNTAX, ERR_DATA, "is no distinguished name"},
    {LDAP_INVALID_CREDENTIALS, ERR_DATA, "wrong user name or password"},
    {LDAP_STRONG_AUTH_REQUIRED, ERR_CONFIG,
     "the server wants the connection protected; use --tls ldaps or starttls"},
    {LDAP_CONFIDENTIALITY_REQUIRED, ERR_CONFIG,
     "the server wants the connection protected; use --tls ldaps or starttls"},
    {LDAP_INAPPROPRIATE_AUTH, ERR_DATA, "this account cannot bind with a password"},
    {LDAP_UNWILLING_TO_PERFORM, ERR_DATA, "the server is unwilling"},
    {LDAP_INSUFFICIENT_ACCESS, ERR_DATA, "the account may not read that"},
    {LDAP_OPERATIONS_ERROR, ERR_DATA,
     "operations error (Active Directory says so when nobody is signed in)"},
    {LDAP_BUSY, ERR_TEMPORARY, "the server is busy"},
    {LDAP_UNAVAILABLE, ERR_TEMPORARY, "the server is shutting down or not ready"},
    {LDAP_SERVER_DOWN, ERR_TEMPORARY, "the connection was lost"},
    {LDAP_TIMEOUT, ERR_TEMPORARY, "no answer in time"},
    {LDAP_AUTH_UNKNOWN, ERR_CONFIG,
     "this machine does not know that way to bind; for gssapi install libsasl2-modules-gssapi-mit"},
    {LDAP_LOCAL_ERROR, ERR_TEMPORARY,
     "no proof to show; for gssapi: is there a ticket or a keytab (KRB5_CLIENT_KTNAME), and does "
     "the server's name stand in Kerberos?"},
    {LDAP_AUTH_METHOD_NOT_SUPPORTED, ERR_CONFIG, "the server does not take that way to bind"},
    {LDAP_FILTER_ERROR, ERR_CONFIG, "the filter is not well-formed"},
    {LDAP_DECODING_ERROR, ERR_DATA, "the server sent what cannot be understood"},
    {LDAP_UNAVAILABLE_CRITICAL_EXTENSION, ERR_CONFIG, "the server has no paged results (RFC 2696)"},
};

static const char *find_ad_words(const char *diagnostic)
{
    const char *data = strstr(diagnostic, "data ");

    for (size_t i = 0; data != NULL && i < sizeof ad_words / sizeof ad_words[0]; i++) {
        size_t len = strlen(ad_words[i].code);
        if (strncasecmp(data + 5, ad_words[i].code, len) == 0 &&
            strspn(data + 5, "0123456789abcdefABCDEF") == len)
            return ad_words[i].words;
    }
    return NULL;
}

/* What a result code means; the diagnostic text, where there is one, in brackets. */
bool directory_say(struct err *err, const struct directory *d, int code, const char *diagnostic,
                   const char *object)
{
    const char *words = code == LDAP_INVALID_CREDENTIALS ? find_ad_words(diagnostic) : NULL;
    enum err_class class = ERR_DATA;

    for (size_t i = 0; i < sizeof result_words / sizeof result_words[0]; i++)
        if (result_words[i].code == code) {
            class = result_words[i].class;
            words = words != NULL ? words : result_words[i].words;
        }
    if (words == NULL) {
        class = code < 0 || LDAP_SERVICE_ERROR(code) ? ERR_TEMPORARY : ERR_OTHER;
        words = ldap_err2string(code);
    }
    bool known = diagnostic[0] == '\0' || find_ad_words(diagnostic) != NULL;
    return err_set(err, class, "%s: %s%s%s%s%s%s (LDAP %d)", d->server, object,
                   object[0] != '\0' ? ": " : "", words, known ? "" : " [", diagnostic,
                   known ? "" : "]", code);
}

void directory_diagnostic(const struct directory *d, char *out, size_t room)
{
    char *text = NULL;

    out[0] = '\0';
    if (d->ld != NULL &&
        ldap_get_option(d->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text) == LDAP_OPT_SUCCESS &&
        text != NULL)
        str_printable(out, room, text, strlen(text));
    ldap_memfree(text);
}

bool directory_say_no_connection(struct err *err, struct directory *d, int code)
{
    char text[256];
    bool said = false;

    if (d->refused[0] != '\0')
        return err_set(err, ERR_CONFIG, "%s: not allowed: %s", d->server, d->refused);
    if (!d->connected)
        return err_set(err, ERR_TEMPORARY,
                       "%s: nobody answers there; is the server up, are name and port right, is no "
                       "firewall between?",
                       d->server);
    if (directory_watch_fired(d->watch) || code == LDAP_TIMEOUT)
        return err_set(err, ERR_TEMPORARY, "%s: took the connection, but did not answer in time",
                       d->server);
    directory_diagnostic(d, text, sizeof text);
    if (d->securing && !directory_say_certificate(err, d, &said) && said)
        return false;
    return err_set(
        err, ERR_TEMPORARY, "%s: %s: %s%s%s%s", d->server,
        d->securing ? "TLS could not be agreed on (is it a port without TLS? --tls starttls is "
                      "for those)"
                    : "the connection was lost",
        ldap_err2string(code), text[0] != '\0' ? " [" : "", text, text[0] != '\0' ? "]" : "");
}

bool directory_say_late(struct err *err, const struct directory *d)
{
    return err_set(err, ERR_TEMPORARY, "%s: the answer took longer than time-limit (%s)", d->server,
                   d->login->settings->time_limit);
}
