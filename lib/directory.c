/* directory - see directory.h; here: the connection, the bind, signing in, names */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "directory_private.h"

/* ---- time ---- */

struct timeval directory_time_left(const struct directory *d, int64_t most_us)
{
    int64_t left = d->login->deadline_us - clock_elapsed_us();

    left = left < 1 ? 1 : left > most_us ? most_us : left;
    return (struct timeval){.tv_sec = left / CLOCK_SECOND, .tv_usec = left % CLOCK_SECOND};
}

bool directory_too_late(const struct directory *d)
{
    return clock_elapsed_us() >= d->login->deadline_us;
}

/* ---- the connection ---- */

/* From here on the watch limits the time; libldap's own limit would spin in the handshake. */
static void begin_watch(struct directory *d, LDAP *ld, Sockbuf *sb)
{
    struct timeval left = directory_time_left(d, DIRECTORY_CONNECT_S * CLOCK_SECOND);
    struct timeval none = {.tv_sec = -1};
    ber_socket_t fd = -1;

    directory_watch_end(&d->watch);
    if (ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) == 1)
        d->watch = directory_watch_begin(fd, left.tv_sec * CLOCK_SECOND + left.tv_usec);
    ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &none);
}

/* A connection stands, nothing has been sent: may it be to there? */
static int on_connection(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *address,
                         struct ldap_conncb *cb)
{
    struct directory *d = cb->lc_arg;
    char text[INET6_ADDRSTRLEN] = "a local socket";
    struct network_address where;

    (void)url;
    d->connected = true;
    begin_watch(d, ld, sb);
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

/* libldap takes certificates from a file alone: those of the settings come in one without a name.
 */
static int open_ca(const struct ldap_settings *s, char path[32])
{
    size_t len = strlen(s->ca);
    int fd = memfd_create("ca", MFD_CLOEXEC);

    if (fd >= 0 && (write(fd, s->ca, len) != (ssize_t)len || write(fd, "\n", 1) != 1)) {
        close(fd);
        return -1;
    }
    snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static bool use_tls(struct directory *d, const char *ca, struct err *err)
{
    const struct ldap_settings *s = d->login->settings;
    int demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
    bool proof = s->client_certificate[0] != '\0';

    if (ldap_set_option(d->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) == LDAP_OPT_SUCCESS &&
        ldap_set_option(d->ld, LDAP_OPT_X_TLS_CACERTFILE, ca) == LDAP_OPT_SUCCESS &&
        (!proof ||
         (ldap_set_option(d->ld, LDAP_OPT_X_TLS_CERTFILE, s->client_certificate) ==
              LDAP_OPT_SUCCESS &&
          ldap_set_option(d->ld, LDAP_OPT_X_TLS_KEYFILE, s->client_key) == LDAP_OPT_SUCCESS)) &&
        ldap_set_option(d->ld, LDAP_OPT_X_TLS_NEWCTX, &client) == LDAP_OPT_SUCCESS)
        return true;
    return err_set(err, ERR_CONFIG, "%s: cannot use the certificates in %s%s%s; check ca-file%s",
                   d->server, ca, proof ? ", or the one in " : "", s->client_certificate,
                   proof ? ", client-certificate and client-key" : "");
}

/* By opening it, since a sandbox may hide what the rights of files allow. */
static bool check_readable(const struct directory *d, const char *setting, const char *path,
                           struct err *err)
{
    if (path[0] == '\0')
        return true;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_CONFIG,
                       "%s: %s %s cannot be read: %s; it must be readable for this program's user, "
                       "and lie below /etc or where sandbox_read says (rollcall.conf)",
                       d->server, setting, path, strerror(errno));
    close(fd);
    return true;
}

static bool set_tls(struct directory *d, struct err *err)
{
    const struct ldap_settings *s = d->login->settings;
    const char *file = s->ca_file[0] != '\0' ? s->ca_file : "/etc/ssl/certs/ca-certificates.crt";
    char path[32];

    if (!check_readable(d, "client-certificate", s->client_certificate, err) ||
        !check_readable(d, "client-key", s->client_key, err))
        return false;
    if (s->ca[0] == '\0')
        return check_readable(d, "ca-file", file, err) && use_tls(d, file, err);
    int fd = open_ca(s, path);
    if (fd < 0)
        return err_set(err, ERR_OTHER, "%s: no memory for its certificates: %s", d->server,
                       strerror(errno));
    bool fine = use_tls(d, path, err);
    close(fd);
    return fine;
}

static bool set_options(struct directory *d, struct err *err)
{
    const int version = LDAP_VERSION3;
    struct timeval connect = directory_time_left(d, DIRECTORY_CONNECT_S * CLOCK_SECOND);
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
    return true;
}

/* Waits for the one answer to an operation and gives its result code. */
static bool wait_result(struct directory *d, int message, int *code, char *diagnostic, size_t room,
                        struct err *err)
{
    struct timeval left = directory_time_left(d, DIRECTORY_CONNECT_S * CLOCK_SECOND);
    LDAPMessage *answer = NULL;
    char *text = NULL;
    int kind = ldap_result(d->ld, message, LDAP_MSG_ALL, &left, &answer);

    diagnostic[0] = '\0';
    if (kind <= 0) {
        int why = kind == 0 ? LDAP_TIMEOUT : LDAP_SERVER_DOWN;
        if (kind < 0)
            ldap_get_option(d->ld, LDAP_OPT_RESULT_CODE, &why);
        return directory_say_no_connection(err, d, why);
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
        return directory_say_no_connection(err, d, sent);
    if (!wait_result(d, message, &code, diagnostic, sizeof diagnostic, err))
        return false;
    if (code != LDAP_SUCCESS)
        return directory_say(err, d, code, diagnostic, "StartTLS");
    d->securing = true;
    int made = ldap_install_tls(d->ld);
    return made == LDAP_SUCCESS || directory_say_no_connection(err, d, made);
}

/*
 * The ticket is for the server's name as it was set: nobody's reverse DNS says another. Inside TLS
 * a second encryption is refused by Active Directory, and not needed.
 */
static bool set_gssapi(struct directory *d, bool secured, struct err *err)
{
    return (ldap_set_option(d->ld, LDAP_OPT_X_SASL_NOCANON, LDAP_OPT_ON) == LDAP_OPT_SUCCESS &&
            (!secured || ldap_set_option(d->ld, LDAP_OPT_X_SASL_SECPROPS, "minssf=0,maxssf=0") ==
                             LDAP_OPT_SUCCESS)) ||
           err_set(err, ERR_OTHER, "%s: libldap was built without SASL", d->server);
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
        if (!set_gssapi(d, ldap_tls_inplace(d->ld) != 0, err))
            return false;
        *code = ldap_sasl_interactive_bind_s(d->ld, NULL, mechanism, NULL, NULL, LDAP_SASL_QUIET,
                                             no_questions, NULL);
        directory_diagnostic(d, diagnostic, room);
        return *code != LDAP_SERVER_DOWN || directory_say_no_connection(err, d, *code);
    }
    int sent = ldap_sasl_bind(d->ld, dn[0] != '\0' ? dn : NULL, mechanism, &credentials, NULL, NULL,
                              &message);
    if (sent != LDAP_SUCCESS)
        return directory_say_no_connection(err, d, sent);
    return wait_result(d, message, code, diagnostic, room, err);
}

static bool connect_to(struct directory *d, struct span server, struct err *err)
{
    const struct ldap_settings *s = d->login->settings;

    make_uri(d, server);
    d->refused[0] = '\0';
    d->connected = false;
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
    bool start = !local && !tls && strcmp(s->tls, "starttls") == 0;
    /* reading a system's hundreds of certificates costs more than a small directory */
    if (!set_options(d, err) || ((tls || start) && !set_tls(d, err)))
        return false;
    d->securing = tls;
    int connected = ldap_connect(d->ld);
    if (connected != LDAP_SUCCESS)
        return directory_say_no_connection(err, d, connected);
    bool fine = !start || start_tls(d, err);
    d->securing = false;
    return fine;
}

/*
 * Without TLS, whose records come whole, libldap waits for each entry, reads its length, and reads
 * the rest: three system calls, where many entries are there already. Security layers of SASL stay
 * above.
 */
static void read_ahead(struct directory *d)
{
    int bytes = DIRECTORY_READ_AHEAD;
    Sockbuf *socket = NULL;

    if (ldap_tls_inplace(d->ld) == 0 &&
        ldap_get_option(d->ld, LDAP_OPT_SOCKBUF, &socket) == LDAP_OPT_SUCCESS)
        ber_sockbuf_add_io(socket, &ber_sockbuf_io_readahead, LBER_SBIOD_LEVEL_TRANSPORT, &bytes);
}

static void disconnect(struct directory *d)
{
    directory_watch_end(&d->watch);
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
    directory_watch_end(&d->watch);
    if (code == LDAP_SUCCESS) {
        read_ahead(d);
        return true;
    }
    *over = code != LDAP_BUSY && code != LDAP_UNAVAILABLE;
    STR_AUTO who = mem_printf("bind as %s", mechanism != NULL ? mechanism
                                            : dn[0] != '\0'   ? dn
                                                              : "nobody (anonymous)");
    return directory_say(err, d, code, diagnostic, who);
}

/* libldap reads ldap.conf and LDAP* at its first use unless told not to. */
void directory_init(void)
{
    signal(SIGPIPE, SIG_IGN); /* a connection that is gone is an error, not the end */
    setenv("LDAPNOINIT", "1", 1);
}

static struct directory *directory_new(const struct directory_login *login)
{
    struct directory *d = mem_zero(1, sizeof *d);
    enum ldap_preset preset = ldap_settings_preset(login->settings);

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
        over = over || directory_too_late(d);
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
            directory_say(err, d, code, diagnostic, dn);
            answer = code == LDAP_INVALID_CREDENTIALS || code == LDAP_NO_SUCH_OBJECT ||
                             code == LDAP_INAPPROPRIATE_AUTH || code == LDAP_INVALID_DN_SYNTAX
                         ? DIRECTORY_NO
                         : DIRECTORY_UNSURE;
        }
        disconnect(d);
        if (connected || directory_too_late(d))
            break;
    }
    directory_close(&d);
    return answer;
}
