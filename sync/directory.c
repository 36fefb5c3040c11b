/*
 * directory - see directory.h; here: the connection and the bind, pages, and an answer's end
 *
 * DIAGNOSTICS. Words for result codes stand in `result_words`, for Active Directory's codes inside
 * the diagnostic text of a refused bind in `ad_words`.
 */
#include "sync/directory.h"

#include <arpa/inet.h>
#include <ldap.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/clock.h"

struct directory {
    LDAP *ld;
    const struct directory_login *login;
    char server[320];      /* URI */
    char host[320];        /* of it, for messages */
    char refused[128];     /* why the address of the server is not allowed; "": it is */
    struct ldap_conncb cb; /* looks at each connection's address */
    bool active_directory; /* its references to its own other parts are no gaps */
    int64_t page_size;     /* what the server turned out to allow; 0: what is asked for */
};

/* ---- words ---- */

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
static bool say(struct err *err, const struct directory *d, int code, const char *diagnostic,
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

static void diagnostic_of(const struct directory *d, char *out, size_t room)
{
    char *text = NULL;

    out[0] = '\0';
    if (d->ld != NULL &&
        ldap_get_option(d->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text) == LDAP_OPT_SUCCESS &&
        text != NULL)
        str_printable(out, room, text, strlen(text));
    ldap_memfree(text);
}

/* ---- time ---- */

static struct timeval time_left(const struct directory *d, int64_t most_us)
{
    int64_t left = d->login->deadline_us - clock_elapsed_us();

    left = left < 1 ? 1 : left > most_us ? most_us : left;
    return (struct timeval){.tv_sec = left / CLOCK_SECOND, .tv_usec = left % CLOCK_SECOND};
}

static bool too_late(const struct directory *d)
{
    return clock_elapsed_us() >= d->login->deadline_us;
}

static bool say_late(struct err *err, const struct directory *d)
{
    return err_set(err, ERR_TEMPORARY, "%s: the answer took longer than time-limit (%s)", d->server,
                   d->login->settings->time_limit);
}

/* ---- the connection ---- */

/* A connection stands, nothing has been sent: may it be to there? */
static int on_connection(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *address,
                         struct ldap_conncb *cb)
{
    struct directory *d = cb->lc_arg;
    char text[INET6_ADDRSTRLEN] = "a local socket";
    struct network_address where;

    (void)ld, (void)sb, (void)url;
    if (d->login->denied == NULL || d->login->denied->count == 0)
        return 0;
    if (address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)address)->sin_addr, text, sizeof text);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)address)->sin6_addr, text, sizeof text);
    if (network_address_parse(span_text(text), &where) &&
        !network_list_has(d->login->denied, &where))
        return 0;
    snprintf(d->refused, sizeof d->refused, "%s is in ldap_denied_networks", text);
    return -1;
}

static void on_disconnection(LDAP *ld, Sockbuf *sb, struct ldap_conncb *cb)
{
    (void)ld, (void)sb, (void)cb;
}

/* "dc1.example.com:3269" with tls ldaps: "ldaps://dc1.example.com:3269". */
static void make_uri(struct directory *d, struct span server)
{
    STR_AUTO text = mem_span(server);
    const char *tls = d->login->settings->tls;
    const char *scheme = strcmp(tls, "ldaps") == 0 ? "ldaps://" : "ldap://";

    if (strstr(text, "://") != NULL)
        scheme = "";
    snprintf(d->server, sizeof d->server, "%s%s", scheme, text);
    snprintf(d->host, sizeof d->host, "%s", strstr(d->server, "://") + 3);
    d->host[strcspn(d->host, d->host[0] == '[' ? "]/" : ":/")] = '\0';
}

static bool set_tls(struct directory *d, struct err *err)
{
    const char *ca = d->login->settings->ca_file;
    int demand = LDAP_OPT_X_TLS_DEMAND, client = 0;

    if (ca[0] == '\0')
        ca = "/etc/ssl/certs/ca-certificates.crt";
    if (ldap_set_option(d->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == LDAP_OPT_SUCCESS &&
        ldap_set_option(d->ld, LDAP_OPT_X_TLS_CACERTFILE, ca) == LDAP_OPT_SUCCESS &&
        ldap_set_option(d->ld, LDAP_OPT_X_TLS_NEWCTX, &client) == LDAP_OPT_SUCCESS)
        return true;
    return err_set(err, ERR_CONFIG, "%s: cannot use the certificates in %s; check ca-file",
                   d->server, ca);
}

static bool set_options(struct directory *d, struct err *err)
{
    const int version = LDAP_VERSION3;
    struct timeval connect = time_left(d, DIRECTORY_CONNECT_S * CLOCK_SECOND);
    Sockbuf *socket = NULL;
    ber_len_t most = DIRECTORY_MESSAGE_MOST;

    d->cb = (struct ldap_conncb){on_connection, on_disconnection, d};
    if (ldap_set_option(d->ld, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_OPT_SUCCESS ||
        ldap_set_option(d->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) != LDAP_OPT_SUCCESS ||
        ldap_set_option(d->ld, LDAP_OPT_NETWORK_TIMEOUT, &connect) != LDAP_OPT_SUCCESS ||
        ldap_set_option(d->ld, LDAP_OPT_CONNECT_CB, &d->cb) != LDAP_OPT_SUCCESS ||
        ldap_get_option(d->ld, LDAP_OPT_SOCKBUF, &socket) != LDAP_OPT_SUCCESS)
        return err_set(err, ERR_OTHER, "%s: libldap takes no options", d->server);
    ber_sockbuf_ctrl(socket, LBER_SB_OPT_SET_MAX_INCOMING, &most);
    return set_tls(d, err);
}

/* Why no protected connection came about. GnuTLS's texts are matched; the raw one follows. */
static bool say_no_connection(struct err *err, const struct directory *d, int code)
{
    char text[256];
    static const struct {
        const char *part, *words;
    } known[] = {
        {"hostname does not match", "its certificate is for another name than the one asked for"},
        {"has expired", "its certificate has expired"},
        {"expired", "its certificate has expired"},
        {"not yet activated", "its certificate is not valid yet (check the clocks)"},
        {"issuer is unknown", "its certificate was signed by nobody known here; set ca-file"},
        {"NOT trusted", "its certificate is not trusted; set ca-file to its issuer's"},
        {"handshake failed", "TLS could not be agreed on"},
    };

    if (d->refused[0] != '\0')
        return err_set(err, ERR_CONFIG, "%s: not allowed: %s", d->server, d->refused);
    diagnostic_of(d, text, sizeof text);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(text, known[i].part) != NULL)
            return err_set(err, ERR_CONFIG, "%s: %s; expected was '%s' [%s]", d->server,
                           known[i].words, d->host, text);
    if (code == LDAP_TIMEOUT)
        return err_set(err, ERR_TEMPORARY, "%s: no answer within %d s", d->server,
                       DIRECTORY_CONNECT_S);
    return err_set(err, ERR_TEMPORARY, "%s: cannot connect: %s%s%s%s", d->server,
                   code == LDAP_SERVER_DOWN || code == LDAP_CONNECT_ERROR
                       ? "nobody answers there, or not in this way"
                       : ldap_err2string(code),
                   text[0] != '\0' ? " [" : "", text, text[0] != '\0' ? "]" : "");
}

/* Waits for the one answer to an operation and gives its result code. */
static bool wait_result(struct directory *d, int message, int *code, char *diagnostic, size_t room,
                        struct err *err)
{
    struct timeval left = time_left(d, DIRECTORY_CONNECT_S * CLOCK_SECOND);
    LDAPMessage *answer = NULL;
    char *text = NULL;
    int kind = ldap_result(d->ld, message, LDAP_MSG_ALL, &left, &answer);

    diagnostic[0] = '\0';
    if (kind <= 0) {
        int why = kind == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN;
        if (kind < 0)
            ldap_get_option(d->ld, LDAP_OPT_RESULT_CODE, &why);
        return say_no_connection(err, d, why);
    }
    int parsed = ldap_parse_result(d->ld, answer, code, NULL, &text, NULL, NULL, 1);
    if (parsed != LDAP_SUCCESS)
        *code = parsed;
    if (text != NULL)
        str_printable(diagnostic, room, text, strlen(text));
    ldap_memfree(text);
    return true;
}

static bool start_tls(struct directory *d, struct err *err)
{
    char diagnostic[256];
    int message, code;
    int sent = ldap_start_tls(d->ld, NULL, NULL, &message);

    if (sent != LDAP_SUCCESS)
        return say_no_connection(err, d, sent);
    if (!wait_result(d, message, &code, diagnostic, sizeof diagnostic, err))
        return false;
    if (code != LDAP_SUCCESS)
        return say(err, d, code, diagnostic, "StartTLS");
    int made = ldap_install_tls(d->ld);
    return made == LDAP_SUCCESS || say_no_connection(err, d, made);
}

static int no_questions(LDAP *ld, unsigned flags, void *defaults, void *interact)
{
    (void)ld, (void)flags, (void)defaults, (void)interact;
    return LDAP_SUCCESS;
}

/* Sends the bind and gives its result; false when there is no connection. */
static bool bind_as(struct directory *d, const char *dn, const char *mechanism,
                    const char *password, int *code, char *diagnostic, size_t room, struct err *err)
{
    struct berval credentials = {.bv_val = (char *)(uintptr_t)password, .bv_len = strlen(password)};
    int message;

    if (mechanism != NULL && strcmp(mechanism, "GSSAPI") == 0) {
        *code = ldap_sasl_interactive_bind_s(d->ld, NULL, mechanism, NULL, NULL, LDAP_SASL_QUIET,
                                             no_questions, NULL);
        diagnostic_of(d, diagnostic, room);
        return *code != LDAP_SERVER_DOWN || say_no_connection(err, d, *code);
    }
    int sent = ldap_sasl_bind(d->ld, dn[0] != '\0' ? dn : NULL, mechanism, &credentials, NULL, NULL,
                              &message);
    if (sent != LDAP_SUCCESS)
        return say_no_connection(err, d, sent);
    return wait_result(d, message, code, diagnostic, room, err);
}

static bool connect_to(struct directory *d, struct span server, struct err *err)
{
    const struct ldap_settings *s = d->login->settings;

    make_uri(d, server);
    d->refused[0] = '\0';
    bool local = strncmp(d->server, "ldapi:", 6) == 0, tls = strncmp(d->server, "ldaps:", 6) == 0;
    if (!local && !tls && strcmp(s->tls, "starttls") != 0 &&
        !(strcmp(s->tls, "none") == 0 && ldap_setting_yes(s->allow_cleartext)))
        return err_set(err, ERR_CONFIG,
                       "%s: would not be protected; use ldaps://, --tls starttls, or --tls none "
                       "with --allow-cleartext yes",
                       d->server);
    int made = ldap_initialize(&d->ld, d->server);
    if (made != LDAP_SUCCESS) {
        d->ld = NULL;
        return err_set(err, ERR_CONFIG, "%s: is no server's address", d->server);
    }
    return set_options(d, err) &&
           (local || tls || strcmp(s->tls, "starttls") != 0 || start_tls(d, err));
}

static void disconnect(struct directory *d)
{
    if (d->ld != NULL)
        ldap_unbind_ext(d->ld, NULL, NULL);
    d->ld = NULL;
}

static bool login_name(const struct directory_login *login, const char **mechanism)
{
    *mechanism = NULL;
    if (strcmp(login->settings->sasl, "external") == 0)
        *mechanism = "EXTERNAL";
    else if (strcmp(login->settings->sasl, "gssapi") == 0)
        *mechanism = "GSSAPI";
    return *mechanism != NULL;
}

/* One server: false with *over set when the next one need not be asked. */
static bool open_at(struct directory *d, struct span server, bool *over, struct err *err)
{
    const struct directory_login *login = d->login;
    const char *mechanism, *dn = login_name(login, &mechanism) ? "" : login->settings->bind_dn;
    char diagnostic[256];
    int code;

    *over = false;
    if (!connect_to(d, server, err) ||
        !bind_as(d, dn, mechanism, login->password, &code, diagnostic, sizeof diagnostic, err))
        return false;
    if (code == LDAP_SUCCESS)
        return true;
    *over = code != LDAP_BUSY && code != LDAP_UNAVAILABLE;
    STR_AUTO who = mem_printf("bind as %s", mechanism != NULL ? mechanism
                                            : dn[0] != '\0'   ? dn
                                                              : "nobody (anonymous)");
    return say(err, d, code, diagnostic, who);
}

/* libldap reads ldap.conf and LDAP* at its first use unless told not to. */
static void forget_surroundings(void)
{
    setenv("LDAPNOINIT", "1", 1);
}

static struct directory *directory_new(const struct directory_login *login)
{
    struct directory *d = mem_zero(1, sizeof *d);
    enum ldap_preset preset = ldap_settings_preset(login->settings);

    forget_surroundings();
    d->login = login;
    d->active_directory = preset == PRESET_AD || preset == PRESET_SAMBA;
    return d;
}

bool directory_open(struct directory **out, const struct directory_login *login, struct err *err)
{
    struct directory *d = directory_new(login);
    struct span rest = span_text(login->settings->server), server;
    BUF_AUTO tried = {0};
    bool over = false;

    *out = d;
    err_set(err, ERR_CONFIG, "no server is set; --server ldaps://HOST");
    if (login->password[0] == '\0' && login->settings->bind_dn[0] != '\0' &&
        strcmp(login->settings->sasl, "none") == 0) {
        directory_close(out);
        return err_set(err, ERR_CONFIG, "bind-dn is set, but no password");
    }
    while (!over && span_next(&rest, '\n', &server)) {
        if (server.len == 0)
            continue;
        if (open_at(d, server, &over, err))
            return true;
        disconnect(d);
        buf_printf(&tried, "%s%s", tried.len > 0 ? "; " : "", err->text);
        over = over || too_late(d);
    }
    enum err_class class = err->class;
    if (tried.len > 0)
        err_set(err, class, "%s", tried.at);
    directory_close(out);
    return false;
}

void directory_close(struct directory **directory)
{
    if (*directory == NULL)
        return;
    disconnect(*directory);
    free(*directory);
    *directory = NULL;
}

const char *directory_server(const struct directory *directory)
{
    return directory->server;
}

/* ---- entries ---- */

struct reading {
    struct directory *d;
    const struct directory_query *query;
    directory_entry_fn *take;
    void *context;
    struct directory_count *count;
    struct entry_attribute attributes[DIRECTORY_ATTRIBUTES_MOST];
    BerVarray held[DIRECTORY_ATTRIBUTES_MOST]; /* their values, to be freed */
    size_t attribute_count;
    struct span *values; /* of all attributes of one entry */
    size_t value_count, value_room;
    struct berval cookie; /* empty: there is no further page */
    char **attribute_names;
    int code; /* of the page's end */
};

static void drop_attributes(struct reading *r)
{
    for (size_t i = 0; i < r->attribute_count; i++)
        ber_memfree(r->held[i]);
    r->attribute_count = 0;
    r->value_count = 0;
}

static bool keep_values(struct reading *r, const char *name, BerVarray values, struct err *err)
{
    size_t count = 0;

    while (values != NULL && values[count].bv_val != NULL)
        count++;
    if (r->attribute_count == DIRECTORY_ATTRIBUTES_MOST ||
        r->value_count + count > DIRECTORY_VALUES_MOST) {
        ber_memfree(values);
        return err_set(err, ERR_DATA, "%s: an entry has more than %d values", r->d->server,
                       DIRECTORY_VALUES_MOST);
    }
    if (r->value_count + count > r->value_room) {
        r->value_room = (r->value_count + count) * 2;
        r->values = mem_grow(r->values, r->value_room * sizeof *r->values);
    }
    for (size_t i = 0; i < count; i++)
        r->values[r->value_count + i] = span_of(values[i].bv_val, values[i].bv_len);
    r->held[r->attribute_count] = values;
    /* the values may move while the entry is read: first only how many */
    r->attributes[r->attribute_count++] = (struct entry_attribute){name, NULL, count};
    r->value_count += count;
    return true;
}

static bool read_attributes(struct reading *r, LDAPMessage *entry, BerElement *ber, struct err *err)
{
    struct berval name;
    BerVarray values;

    for (;;) {
        int code = ldap_get_attribute_ber(r->d->ld, entry, ber, &name, &values);
        if (code != LDAP_SUCCESS)
            return say(err, r->d, LDAP_DECODING_ERROR, "", "an entry");
        if (name.bv_val == NULL)
            break;
        if (!keep_values(r, name.bv_val, values, err))
            return false;
    }
    for (size_t i = 0, at = 0; i < r->attribute_count; i++) {
        r->attributes[i].values = r->values + at;
        at += r->attributes[i].count;
    }
    return true;
}

static bool take_entry(struct reading *r, LDAPMessage *entry, struct err *err)
{
    BerElement *ber = NULL;
    struct berval dn;
    bool fine = false;

    if (++r->count->entries > r->query->entry_limit)
        return err_set(err, ERR_DATA, "%s: has more than %lld entries; raise entry-limit",
                       r->d->server, (long long)r->query->entry_limit);
    if (ldap_get_dn_ber(r->d->ld, entry, &ber, &dn) != LDAP_SUCCESS)
        return say(err, r->d, LDAP_DECODING_ERROR, "", "an entry");
    if (read_attributes(r, entry, ber, err))
        fine =
            r->take(r->context,
                    &(struct directory_entry){dn.bv_val, r->attributes, r->attribute_count}, err);
    drop_attributes(r);
    ber_free(ber, 0);
    return fine;
}

/* Active Directory names its own other partitions below the base; they hold no users. */
static bool harmless_reference(const struct directory *d, const char *url)
{
    static const char *const parts[] = {"/CN=Configuration,", "/DC=DomainDnsZones,",
                                        "/DC=ForestDnsZones,"};

    for (size_t i = 0; d->active_directory && i < sizeof parts / sizeof parts[0]; i++)
        if (strcasestr(url, parts[i]) != NULL)
            return true;
    return false;
}

static bool take_reference(struct reading *r, LDAPMessage *message, struct err *err)
{
    char **urls = NULL;
    char text[256];
    bool fine = true;

    if (ldap_parse_reference(r->d->ld, message, &urls, NULL, 0) != LDAP_SUCCESS)
        return say(err, r->d, LDAP_DECODING_ERROR, "", "a reference");
    for (size_t i = 0; fine && urls != NULL && urls[i] != NULL; i++) {
        fine = harmless_reference(r->d, urls[i]);
        str_printable(text, sizeof text, urls[i], strlen(urls[i]));
    }
    ber_memvfree((void **)urls);
    return fine || err_set(err, ERR_DATA,
                           "%s: a part of the answer is elsewhere, at %s, which is not followed; "
                           "make that another source, or choose another --base",
                           r->d->server, text);
}

/* ---- pages ---- */

static void forget_cookie(struct reading *r)
{
    ber_memfree(r->cookie.bv_val);
    r->cookie = (struct berval){0};
}

static bool take_end(struct reading *r, LDAPMessage *message, struct err *err)
{
    LDAPControl **controls = NULL, *page;
    char *text = NULL, diagnostic[256] = "";
    ber_int_t estimate;

    forget_cookie(r);
    int parsed = ldap_parse_result(r->d->ld, message, &r->code, NULL, &text, NULL, &controls, 0);
    if (text != NULL)
        str_printable(diagnostic, sizeof diagnostic, text, strlen(text));
    ldap_memfree(text);
    if (parsed == LDAP_SUCCESS && r->code == LDAP_SUCCESS &&
        (page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL)) != NULL)
        parsed = ldap_parse_pageresponse_control(r->d->ld, page, &estimate, &r->cookie);
    ldap_controls_free(controls);
    if (parsed != LDAP_SUCCESS)
        return say(err, r->d, LDAP_DECODING_ERROR, "", "the end of a page");
    return r->code == LDAP_SUCCESS || say(err, r->d, r->code, diagnostic, r->query->base);
}

/* The messages of one page, each as it arrives. */
static bool read_page(struct reading *r, int message, struct err *err)
{
    for (;;) {
        struct timeval left = time_left(r->d, INT64_MAX);
        LDAPMessage *answer = NULL;
        int kind = ldap_result(r->d->ld, message, LDAP_MSG_ONE, &left, &answer);
        bool fine = true, end = false;
        if (kind == 0 || (kind > 0 && too_late(r->d))) {
            ldap_msgfree(answer);
            return say_late(err, r->d);
        }
        if (kind < 0)
            return say(err, r->d, LDAP_SERVER_DOWN, "", "in the middle of the answer");
        if (kind == LDAP_RES_SEARCH_ENTRY)
            fine = take_entry(r, answer, err);
        else if (kind == LDAP_RES_SEARCH_REFERENCE)
            fine = take_reference(r, answer, err);
        else if (kind == LDAP_RES_SEARCH_RESULT) {
            fine = take_end(r, answer, err);
            end = true;
        }
        ldap_msgfree(answer);
        if (!fine || end)
            return fine;
    }
}

static int scope_of(const char *name)
{
    return strcmp(name, "base") == 0  ? LDAP_SCOPE_BASE
           : strcmp(name, "one") == 0 ? LDAP_SCOPE_ONELEVEL
                                      : LDAP_SCOPE_SUBTREE;
}

static bool ask_page(struct reading *r, struct err *err)
{
    struct directory *d = r->d;
    LDAPControl *paged = NULL;
    int message = 0;
    int64_t size = d->page_size > 0 ? d->page_size : r->query->page_size;

    if (too_late(d))
        return say_late(err, d);
    if (ldap_create_page_control(d->ld, (ber_int_t)size, &r->cookie, 1, &paged) != LDAP_SUCCESS)
        return err_set(err, ERR_OTHER, "%s: out of memory", d->server);
    LDAPControl *controls[] = {paged, NULL};
    int sent =
        ldap_search_ext(d->ld, r->query->base, scope_of(r->query->scope), r->query->filter,
                        r->attribute_names, 0, controls, NULL, NULL, LDAP_NO_LIMIT, &message);
    ldap_control_free(paged);
    if (sent != LDAP_SUCCESS)
        return say(err, d, sent, "", r->query->base);
    r->count->pages++;
    return read_page(r, message, err);
}

/* A page of this size is more than the server gives: smaller ones, from the start. */
static bool may_reduce(struct reading *r)
{
    static const int64_t sizes[] = {500, 100, 10};
    int64_t asked = r->d->page_size > 0 ? r->d->page_size : r->query->page_size;

    if (r->code != LDAP_ADMINLIMIT_EXCEEDED && r->code != LDAP_UNWILLING_TO_PERFORM &&
        r->code != LDAP_SIZELIMIT_EXCEEDED)
        return false;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] < asked) {
            r->d->page_size = sizes[i];
            return true;
        }
    return false;
}

static char **split_names(const char *list)
{
    struct span rest = span_text(list != NULL ? list : LDAP_NO_ATTRS), name;
    char **names = mem_zero(DIRECTORY_ATTRIBUTES_MOST * 4 + 1, sizeof *names);
    size_t count = 0;

    while (count < DIRECTORY_ATTRIBUTES_MOST * 4 && span_next(&rest, '\n', &name))
        if (name.len > 0)
            names[count++] = mem_span(name);
    return names;
}

static void reading_free(struct reading *r)
{
    forget_cookie(r);
    for (size_t i = 0; r->attribute_names[i] != NULL; i++)
        free(r->attribute_names[i]);
    free(r->attribute_names);
    free(r->values);
    free(r);
}

/* Pages until there is no more, or only the first. */
static bool read_pages(struct reading *r, bool one, bool *more, struct err *err)
{
    const int64_t before = r->count->entries;

    do {
        r->code = LDAP_SUCCESS;
        if (!ask_page(r, err)) {
            /* a first page that was refused, not one that broke off: entries may have come */
            if (r->count->entries != before || !may_reduce(r))
                return false;
            r->count->pages--;
            *more = true;
            continue;
        }
        *more = r->cookie.bv_len > 0;
        if (one)
            return true;
    } while (*more);
    return true;
}

static bool search(struct directory *d, const struct directory_query *query,
                   directory_entry_fn *take, void *context, struct directory_count *count, bool one,
                   bool *more, struct err *err)
{
    struct reading *r = mem_zero(1, sizeof *r);

    r->d = d;
    r->query = query;
    r->take = take;
    r->context = context;
    r->count = count;
    r->attribute_names = split_names(query->attributes);
    bool fine = read_pages(r, one, more, err);
    reading_free(r);
    return fine;
}

bool directory_search(struct directory *d, const struct directory_query *query,
                      directory_entry_fn *take, void *context, struct directory_count *count,
                      struct err *err)
{
    bool more;

    return search(d, query, take, context, count, false, &more, err);
}

bool directory_look(struct directory *d, const struct directory_query *query,
                    directory_entry_fn *take, void *context, struct directory_count *count,
                    bool *more, struct err *err)
{
    return search(d, query, take, context, count, true, more, err);
}

/* ---- names ---- */

bool directory_normal_dn(const char *dn, struct buf *out)
{
    LDAPDN parsed = NULL;
    char *text = NULL;

    buf_clear(out);
    buf_text(out, "");
    if (ldap_str2dn(dn, &parsed, LDAP_DN_FORMAT_LDAPV3) != LDAP_SUCCESS)
        return false;
    bool fine = ldap_dn2str(parsed, &text, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
    if (fine)
        buf_text(out, text);
    for (size_t i = 0; i < out->len; i++)
        out->at[i] = str_lower(out->at[i]);
    ldap_memfree(text);
    ldap_dnfree(parsed);
    return fine;
}

/* ---- sign-in ---- */

enum directory_answer directory_check_password(const struct directory_login *login, const char *dn,
                                               const char *password, struct err *err)
{
    struct span rest = span_text(login->settings->server), server;
    enum directory_answer answer = DIRECTORY_UNSURE;
    char diagnostic[256];
    int code;

    if (dn[0] == '\0' || password[0] == '\0') {
        err_set(err, ERR_DATA, "an empty password is nobody's");
        return DIRECTORY_NO;
    }
    struct directory *d = directory_new(login);
    err_set(err, ERR_CONFIG, "no server is set");
    while (span_next(&rest, '\n', &server)) {
        bool connected = server.len > 0 && connect_to(d, server, err) &&
                         bind_as(d, dn, NULL, password, &code, diagnostic, sizeof diagnostic, err);
        if (connected && code == LDAP_SUCCESS)
            answer = DIRECTORY_YES;
        else if (connected) {
            say(err, d, code, diagnostic, dn);
            answer = code == LDAP_INVALID_CREDENTIALS || code == LDAP_NO_SUCH_OBJECT ||
                             code == LDAP_INAPPROPRIATE_AUTH || code == LDAP_INVALID_DN_SYNTAX
                         ? DIRECTORY_NO
                         : DIRECTORY_UNSURE;
        }
        disconnect(d);
        if (connected || too_late(d))
            break;
    }
    directory_close(&d);
    return answer;
}
