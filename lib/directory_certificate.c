/*
 * directory_certificate - see directory_private.h; here: what is wrong with a server's certificate
 *
 * libldap tells that a certificate was refused, not why. So it is fetched once more over a
 * connection that carries nothing, and looked at: the only use of GnuTLS.
 */
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "directory_private.h"

enum { DIRECTORY_CA_TEXT_MOST = 256 * 1024 };

/* The certificate that the server shows, whatever it is worth. */
static bool fetch(struct directory *d, struct berval *der)
{
    const int version = LDAP_VERSION3;
    int never = LDAP_OPT_X_TLS_NEVER, client = 0;
    struct timeval wait = directory_time_left(d, DIRECTORY_CONNECT_S * CLOCK_SECOND);
    LDAP *ld = NULL;

    if (ldap_initialize(&ld, d->server) != LDAP_SUCCESS)
        return false;
    ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &wait);
    ldap_set_option(ld, LDAP_OPT_TIMEOUT, &wait);
    ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &d->cb);
    ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &never);
    ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
    int code =
        strncmp(d->server, "ldaps:", 6) == 0 ? ldap_connect(ld) : ldap_start_tls_s(ld, NULL, NULL);
    bool got = code == LDAP_SUCCESS &&
               ldap_get_option(ld, LDAP_OPT_X_TLS_PEERCERT, der) == LDAP_OPT_SUCCESS &&
               der->bv_val != NULL;
    directory_watch_end(&d->watch);
    ldap_unbind_ext(ld, NULL, NULL);
    return got;
}

static void day_of(time_t when, char day[16])
{
    struct tm parts;

    if (gmtime_r(&when, &parts) == NULL || strftime(day, 16, "%Y-%m-%d", &parts) == 0)
        snprintf(day, 16, "an odd day");
}

/* The names that it is for. */
static void names_of(gnutls_x509_crt_t crt, struct buf *out)
{
    char name[256];

    buf_text(out, "");
    for (unsigned i = 0; i < 5; i++) {
        size_t room = sizeof name - 1;
        int kind = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &room, NULL);
        if (kind == GNUTLS_SAN_DNSNAME)
            buf_printf(out, "%s%.*s", out->len > 0 ? ", " : "", (int)room, name);
        else if (kind < 0)
            break;
    }
    size_t room = sizeof name;
    if (out->len == 0 && gnutls_x509_crt_get_dn(crt, name, &room) == GNUTLS_E_SUCCESS)
        buf_text(out, name);
}

static bool judge(struct err *err, const struct directory *d, gnutls_x509_crt_t crt)
{
    time_t now = (time_t)(clock_wall_us() / CLOCK_SECOND);
    time_t from = gnutls_x509_crt_get_activation_time(crt);
    time_t until = gnutls_x509_crt_get_expiration_time(crt);
    bool kept = d->login->settings->ca[0] != '\0';
    const char *ca = kept ? "the certificates that are kept" : d->login->settings->ca_file;
    char day[16], issuer[256] = "?";
    size_t room = sizeof issuer;

    if (until < now) {
        day_of(until, day);
        return err_set(err, ERR_CONFIG, "%s: its certificate has expired on %s; renew it there",
                       d->server, day);
    }
    if (from > now) {
        day_of(from, day);
        return err_set(err, ERR_CONFIG,
                       "%s: its certificate is valid only from %s on; check the "
                       "clocks",
                       d->server, day);
    }
    if (gnutls_x509_crt_check_hostname(crt, d->host) == 0) {
        BUF_AUTO names = {0};
        names_of(crt, &names);
        return err_set(err, ERR_CONFIG,
                       "%s: its certificate is for another name: '%s', expected was '%s'; name the "
                       "server as its certificate does",
                       d->server, names.at, d->host);
    }
    if (gnutls_x509_crt_get_issuer_dn(crt, issuer, &room) != GNUTLS_E_SUCCESS)
        snprintf(issuer, sizeof issuer, "?");
    return err_set(err, ERR_CONFIG,
                   "%s: its certificate is signed by '%s', which %s%s; give the certificate "
                   "of who signed it with --ca",
                   d->server, issuer, ca[0] != '\0' ? "is not in " : "is unknown to this system",
                   ca);
}

bool directory_say_certificate(struct err *err, struct directory *d, bool *said)
{
    struct berval der = {0};
    gnutls_x509_crt_t crt;

    *said = false;
    if (!fetch(d, &der))
        return false;
    gnutls_datum_t data = {.data = (unsigned char *)der.bv_val, .size = (unsigned)der.bv_len};
    if (gnutls_x509_crt_init(&crt) == GNUTLS_E_SUCCESS) {
        *said = gnutls_x509_crt_import(crt, &data, GNUTLS_X509_FMT_DER) == GNUTLS_E_SUCCESS;
        if (*said)
            judge(err, d, crt);
        gnutls_x509_crt_deinit(crt);
    }
    ber_memfree(der.bv_val);
    return false;
}

/* ---- certificates that somebody gives ---- */

static bool put_certificate(gnutls_x509_crt_t crt, struct buf *out)
{
    gnutls_datum_t pem = {0};
    bool fine = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem) == GNUTLS_E_SUCCESS;

    if (fine)
        buf_append(out, (const char *)pem.data, pem.size);
    gnutls_free(pem.data);
    return fine;
}

bool directory_ca_take(struct span text, struct buf *out, struct err *err)
{
    gnutls_datum_t data = {(unsigned char *)(uintptr_t)text.at, (unsigned)text.len};
    gnutls_x509_crt_t *list = NULL;
    unsigned count = 0;

    int code = text.len > DIRECTORY_CA_TEXT_MOST
                   ? GNUTLS_E_SHORT_MEMORY_BUFFER
                   : gnutls_x509_crt_list_import2(&list, &count, &data, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0)
        return err_set(err, ERR_DATA, "no certificates in PEM: %s", gnutls_strerror(code));
    bool fine = count <= DIRECTORY_CA_MOST;
    if (!fine)
        err_set(err, ERR_DATA, "%u certificates: give the %d at most that sign the server's", count,
                DIRECTORY_CA_MOST);
    for (unsigned i = 0; i < count; i++) {
        fine = fine && (put_certificate(list[i], out) ||
                        err_set(err, ERR_DATA, "certificate %u cannot be read", i + 1));
        gnutls_x509_crt_deinit(list[i]);
    }
    gnutls_free(list);
    while (out->len > 0 && out->at[out->len - 1] == '\n')
        out->at[--out->len] = '\0';
    return fine;
}
