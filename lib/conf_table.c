/* conf_table - every setting there is: name, type, default, bounds, meaning. See conf.h */
#include <stddef.h>
#include <string.h>

#include "addr.h"
#include "clock.h"
#include "conf.h"
#include "network.h"

#define S      CLOCK_SECOND
#define MINUTE (60 * S)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MIB    (INT64_C(1) << 20)

static const char *const answers[] = {"none", "refused", "all", NULL};
static const char *const log_to[] = {"stderr", "syslog", NULL};
static const char *const log_format[] = {"text", "json", NULL};
static const char *const log_level[] = {"debug", "info", "warning", "error", NULL};

const char *const conf_release_virus_words[] = {"operators", "admins", "users", NULL};
static const char *const password_mail[] = {"link", "password", NULL};
static const char *const second_factor[] = {"offered", "operators", "accounts", NULL};
static const char *const languages[] = {"en", "de", "fr", "es", NULL};

static bool check_listen(const char *value, struct err *err)
{
    struct span rest = span_text(value), piece;
    struct conf_address address;

    while (span_next(&rest, ',', &piece)) {
        piece = span_trim(piece);
        if (piece.len > 0 && !conf_parse_address(piece, &address, err))
            return false;
    }
    return true;
}

static bool check_absolute(const char *value, struct err *err)
{
    return value[0] == '/' || err_set(err, ERR_CONFIG, "'%s' is not an absolute path", value);
}

/* What is sent to Postfix is one line of printable ASCII (RFC 5321 section 4.2: textstring). */
static bool check_reply(const char *value, struct err *err)
{
    for (const char *p = value; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            return err_set(err, ERR_CONFIG, "a reply text may hold printable ASCII only");
    return true;
}

static bool check_path_or_none(const char *value, struct err *err)
{
    return value[0] == '\0' || check_absolute(value, err);
}

/* Stands in mails as it is: nothing that would have to be escaped there. */
static bool check_paths(const char *value, struct err *err)
{
    struct span rest = span_text(value), piece;

    while (span_next(&rest, ',', &piece)) {
        piece = span_trim(piece);
        if (piece.len > 0 && piece.at[0] != '/')
            return err_set(err, ERR_CONFIG, "'%.*s' is not an absolute path", (int)piece.len,
                           piece.at);
    }
    return true;
}

static bool check_url(const char *value, struct err *err)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:[]";
    const char *host = strncmp(value, "https://", 8) == 0  ? value + 8
                       : strncmp(value, "http://", 7) == 0 ? value + 7
                                                           : NULL;

    if (value[0] == '\0')
        return true;
    return (host != NULL && host[0] != '\0' && host[strspn(host, plain)] == '\0' &&
            host[strlen(host) - 1] != '/') ||
           err_set(err, ERR_CONFIG, "'%s' is not like https://panel.example.com", value);
}

static bool check_mail_address(const char *value, struct err *err)
{
    struct addr addr;

    return value[0] == '\0' || addr_parse(span_text(value), false, &addr, err);
}

static bool check_server(const char *value, struct err *err)
{
    struct conf_address address;

    return conf_parse_address(span_text(value), &address, err);
}

static bool check_networks(const char *value, struct err *err)
{
    struct network_list list;

    return network_list_parse(span_text(value), &list, err);
}

static bool check_filters(const char *value, struct err *err)
{
    struct span rest = span_text(value), name;

    while (span_next(&rest, ',', &name)) {
        name = span_trim(name);
        if (name.len > 0 && !span_equals(name, "rspamd") && !span_equals(name, "amavis") &&
            !span_equals(name, "spamd"))
            return err_set(err, ERR_CONFIG, "'%.*s' is no filter: rspamd, amavis, spamd",
                           (int)name.len, name.at);
    }
    return true;
}

#define ROW(kind, name, ...)                                                                       \
    {                                                                                              \
#name, kind, offsetof(struct conf, name), __VA_ARGS__                                      \
    }

const struct conf_row conf_rows[] = {
    ROW(CONF_TEXT, database, "dbname=rollcall", 1, 4096, NULL, NULL, false,
        "libpq connection string or URI of PostgreSQL. Several hosts may be given (host=a,b); the "
        "follower takes any, "
        "writers the primary. Put a password into ~/.pgpass or passfile=, never here."),
    ROW(CONF_TIME, database_timeout, "10s", S / 10, 10 * MINUTE, NULL, NULL, false,
        "How long a connection or a statement of the daemon may take before it counts as failed. "
        "Long imports are not bound by it."),
    ROW(CONF_TEXT, policy_listen, "unix:/run/rollcall/policy", 0, 4096, NULL, check_listen, false,
        "Where rollcall-policyd listens for Postfix, comma-separated: unix:/path or "
        "inet:host:port. For a chrooted smtpd put "
        "the socket below the queue directory."),
    ROW(CONF_MODE, policy_socket_mode, "0660", 0, 0777, NULL, NULL, false,
        "Mode of the unix policy sockets."),
    ROW(CONF_TEXT, policy_socket_owner, "", 0, 128, NULL, NULL, false,
        "Owner of the unix policy sockets, user:group; empty leaves what the daemon has. Set "
        "before privileges are dropped."),
    ROW(CONF_NUMBER, policy_workers, "0", 0, 256, NULL, NULL, false,
        "Threads that answer; 0 takes one for each processor."),
    ROW(CONF_NUMBER, policy_max_connections, "10000", 1, 1000000, NULL, NULL, false,
        "Connections held at once; beyond it new ones wait in the listen queue."),
    ROW(CONF_TIME, policy_idle_limit, "1000s", S, DAY, NULL, NULL, true,
        "How long a connection may stay without a request (Postfix itself closes after "
        "smtpd_policy_service_max_idle, 300 s)."),
    ROW(CONF_TIME, policy_request_limit, "10s", S / 10, HOUR, NULL, NULL, true,
        "How long a request may take from its first byte to its last, and an answer until it is "
        "taken."),
    ROW(CONF_TEXT, policy_user, "rollcall", 1, 64, NULL, NULL, false,
        "The user that rollcall-policyd becomes when it is started as root."),
    ROW(CONF_CHOICE, log_answers, "none", 0, 0, answers, NULL, true,
        "Which policy answers are logged: none (Postfix logs what it refuses, with our reason "
        "code), refused, all."),
    ROW(CONF_TEXT, metrics_listen, "inet:127.0.0.1:9564", 0, 512, NULL, check_listen, false,
        "Where /metrics and /healthz are served, inet:host:port; empty: nowhere."),
    ROW(CONF_TEXT, replica_directory, "/var/lib/rollcall/replica", 1, 1024, NULL, check_absolute,
        false, "Directory of the local replica. It belongs to one rollcall-policyd alone."),
    ROW(CONF_SIZE, replica_cache, "64M", MIB, 1024 * 1024 * MIB, NULL, NULL, false,
        "Memory for the replica's page cache (Berkeley DB)."),
    ROW(CONF_TIME, poll_interval, "1s", S / 20, HOUR, NULL, NULL, true,
        "How often the follower asks PostgreSQL when no notification comes."),
    ROW(CONF_TEXT, gateway_name, "", 0, 255, NULL, NULL, false,
        "The name of this gateway in 'rollcall status'; empty takes the host name."),
    ROW(CONF_TIME, gateway_interval, "5s", S / 10, HOUR, NULL, NULL, true,
        "How often a gateway writes its row when nothing changes; after each change it does so at "
        "once."),
    ROW(CONF_TIME, gateway_live_limit, "1m", S, DAY, NULL, NULL, true,
        "A gateway whose row is older does not count as live: 'user add --wait' does not wait for "
        "it."),
    ROW(CONF_TIME, stale_limit, "1h", S, 365 * DAY, NULL, NULL, true,
        "A replica that was not confirmed by PostgreSQL for longer never leads to a 550: unknown "
        "recipients get 450. "
        "A domain may have its own."),
    ROW(CONF_TIME, source_stale_limit, "24h", MINUTE, 365 * DAY, NULL, NULL, true,
        "The same for domains fed by a directory, counted from its last complete synchronisation."),
    ROW(CONF_BOOL, accept_abuse, "yes", 0, 1, NULL, NULL, true,
        "Accept abuse@ of every served domain, as postmaster@ always is (RFC 2142, RFC 5321 "
        "section 4.5.1)."),
    ROW(CONF_TIME, verified_for, "7d", HOUR, 365 * DAY, NULL, NULL, true,
        "Relay check smtp: how long after the customer's server accepted an address it is accepted "
        "without asking again."),
    ROW(CONF_TIME, refused_for, "3h", MINUTE, 30 * DAY, NULL, NULL, true,
        "Relay check smtp: how long after the customer's server refused an address it is refused "
        "without asking again, on every gateway. Counted in whole hours."),
    ROW(CONF_NUMBER, probe_limit, "120", 0, 60000, NULL, NULL, true,
        "Relay check smtp and either: for how many recipients that are not on the roll a gateway "
        "has a domain's server asked in a minute; the rest gets 450. Whom Postfix knows lately "
        "does not count. 0: no limit."),
    ROW(CONF_NUMBER, harvest_limit, "50", 0, 60000, NULL, NULL, true,
        "A client that asks for more recipients that are not on the roll than this within "
        "harvest_window gets 450 for new ones, unless it is in inside_networks. 0: no limit."),
    ROW(CONF_TIME, harvest_window, "10m", S, DAY, NULL, NULL, true,
        "How long a client's unknown recipients are counted together, see harvest_limit."),
    ROW(CONF_TEXT, unknown_text, "User unknown", 1, 200, NULL, check_reply, true,
        "Text after '550 5.1.1'. Never name an internal host here."),
    ROW(CONF_TEXT, unsure_text, "Recipient cannot be verified now, try again later", 1, 200, NULL,
        check_reply, true,
        "Text after '4.3.0' when a recipient is neither known nor known to be unknown."),
    ROW(CONF_TEXT, subdomain_text, "Domain not served here", 1, 200, NULL, check_reply, true,
        "Text after '550 5.7.1' for an unserved subdomain of a served domain."),
    ROW(CONF_BOOL, reject_blocked_senders, "no", 0, 1, NULL, NULL, true,
        "Whether the gateway refuses, for each recipient, envelope senders that the user or the "
        "domain has blocked ('rollcall sender'). An allow rule of the same list beats a block; "
        "postmaster and abuse are never refused."),
    ROW(CONF_TEXT, blocked_text, "Sender not accepted by this recipient", 1, 200, NULL, check_reply,
        true, "Text after '550 5.7.1' for a blocked sender, see reject_blocked_senders."),
    ROW(CONF_NUMBER, guard_least, "3", 0, 1000000000, NULL, NULL, true,
        "A change that takes away at most this many recipients of a domain is never held for its "
        "size (unless it is half of them)."),
    ROW(CONF_NUMBER, guard_percent, "20", 0, 100, NULL, NULL, true,
        "A change that takes away more than this share of a domain's recipients is held until "
        "'rollcall change approve'."),
    ROW(CONF_TIME, tombstone_life, "30d", HOUR, 3650 * DAY, NULL, NULL, true,
        "How long removed domains and recipients are remembered, and changesets of evidence that no "
        "recipient stands by any more; a removed domain answers 450 for that time. A gateway that "
        "was away for longer may have to read the whole roll anew."),
    ROW(CONF_CHOICE, log_to, "stderr", 0, 0, log_to, NULL, true,
        "Where log lines go: stderr (journald takes it), syslog (facility mail)."),
    ROW(CONF_CHOICE, log_format, "text", 0, 0, log_format, NULL, true,
        "How log lines look: text, json."),
    ROW(CONF_CHOICE, log_level, "info", 0, 0, log_level, NULL, true,
        "The least level that is logged: debug, info, warning, error."),
    ROW(CONF_BOOL, sandbox, "yes", 0, 1, NULL, NULL, false,
        "Once started, the daemons give up the system calls (seccomp) and files (Landlock) that "
        "they do not need. The log says when the kernel lacks one of them."),
    ROW(CONF_TEXT, sandbox_read, "", 0, 4096, NULL, check_paths, false,
        "What they may read besides the system's libraries, certificates and settings, the "
        "directory of this file and what database names: files and directories with all below, "
        "comma-separated. For instance a directory's ca_file elsewhere."),
    ROW(CONF_TEXT, postfix_config_directory, "/etc/postfix", 1, 1024, NULL, check_absolute, false,
        "The Postfix configuration that 'rollcall doctor' looks at."),
    ROW(CONF_TEXT, observe_sources, "/var/log/mail.log", 0, 4096, NULL, NULL, false,
        "The logs that rollcall-observe reads, comma-separated: a path (what it is rotated to "
        "belongs to it), journal, or journal:/directory. The log of a spam filter stands in front "
        "of Postfix's."),
    ROW(CONF_TEXT, observe_instances, "postfix*", 1, 1024, NULL, NULL, false,
        "Whose lines are Postfix's, comma-separated: what stands in front of the first '/' of the "
        "program's name (syslog_name), '*' at the end for any rest."),
    ROW(CONF_TEXT, observe_directory, "/var/lib/rollcall/observe", 1, 1024, NULL, check_absolute,
        false, "Where rollcall-observe keeps what is in flight between two runs."),
    ROW(CONF_TEXT, observe_time_zone, "", 0, 64, NULL, NULL, false,
        "The time zone of stamps that name none, such as Europe/Berlin; empty: this machine's."),
    ROW(CONF_SIZE, observe_step, "2G", 4096, 1024 * 1024 * MIB, NULL, NULL, false,
        "How much of a log is read between two commits, at most."),
    ROW(CONF_TEXT, inside_networks, "127.0.0.0/8, ::1", 0, 4096, NULL, check_networks, false,
        "Clients that are our own: their messages do not count for a recipient, unless a content "
        "filter there hands back what came from outside. Filters and quarantines belong here."),
    ROW(CONF_TEXT, spam_headers, "X-Spam-Flag: YES, X-Spam: Yes, X-Spam-Status: Yes", 0, 1024, NULL,
        NULL, false,
        "Headers that mark spam, comma-separated, as header_checks or milter_header_checks log "
        "them: such a message does not count."),
    ROW(CONF_TEXT, spam_verdicts, "", 0, 64, NULL, check_filters, false,
        "Spam filters whose log must call a message clean before it counts, comma-separated: "
        "rspamd, amavis, spamd."),
    ROW(CONF_BOOL, catch_all_probe, "yes", 0, 1, NULL, NULL, false,
        "Ask each observed domain's server for an address that nobody has; who accepts that gets "
        "no users by observation."),
    ROW(CONF_TIME, catch_all_interval, "1d", HOUR, 30 * DAY, NULL, NULL, false,
        "How often that is asked."),
    ROW(CONF_NUMBER, create_least, "25", 0, 1000000000, NULL, NULL, false,
        "A run of creation that would add more users to a domain than this, and more than "
        "create_percent of those it has, is held."),
    ROW(CONF_NUMBER, create_percent, "20", 0, 1000, NULL, NULL, false,
        "The share of its users beyond which a run of creation is held, in percent, see "
        "create_least."),
    ROW(CONF_BOOL, create_first_limited, "no", 0, 1, NULL, NULL, false,
        "Whether that holds for a domain's first creation too."),
    ROW(CONF_TIME, create_alert, "1h", MINUTE, 7 * DAY, NULL, NULL, false,
        "How long after the end of a day a gateway's log may be behind before it is told."),
    ROW(CONF_NUMBER, disk_least, "10", 0, 99, NULL, NULL, false,
        "'rollcall status' tells when less than this share of a disk is free, in percent of its "
        "bytes or of its inodes. 0: never."),
    ROW(CONF_TIME, veto_for, "30d", 0, 365 * DAY, NULL, NULL, false,
        "How long a removed recipient is not created again by observation."),
    ROW(CONF_NUMBER, retire_after, "2", 1, 30, NULL, NULL, false,
        "On how many different days a customer's server must say that there is no such mailbox, "
        "with nothing accepted between, before an observed recipient is retired."),
    ROW(CONF_TIME, observation_life, "40d", 7 * DAY, 3650 * DAY, NULL, NULL, false,
        "How long observations are kept."),
    ROW(CONF_TIME, audit_life, "730d", 0, 3650 * DAY, NULL, NULL, false,
        "How long the audit (who did what) is kept, before 'rollcall db purge' forgets it. 0: for "
        "ever. Changesets stay, so that they can be undone."),
    ROW(CONF_TEXT, quarantine_listen, "inet:127.0.0.1:2424", 0, 4096, NULL, check_listen, false,
        "Where rollcall-quarantine takes messages by LMTP, comma-separated: unix:/path or "
        "inet:host:port. Whoever can connect can put messages there: loopback or a socket."),
    ROW(CONF_MODE, quarantine_socket_mode, "0660", 0, 0777, NULL, NULL, false,
        "Mode of its unix sockets."),
    ROW(CONF_TEXT, quarantine_socket_owner, "", 0, 128, NULL, NULL, false,
        "Owner of its unix sockets, user:group; empty leaves what the daemon has."),
    ROW(CONF_TEXT, quarantine_user, "rollcall", 1, 64, NULL, NULL, false,
        "The user that rollcall-quarantine becomes when it is started as root."),
    ROW(CONF_TEXT, quarantine_directory, "/var/lib/rollcall/quarantine", 1, 1024, NULL,
        check_absolute, false,
        "Where the messages lie, a file each. It belongs to one rollcall-quarantine alone; "
        "back it up together with the database."),
    ROW(CONF_NUMBER, quarantine_max_connections, "100", 1, 10000, NULL, NULL, false,
        "LMTP sessions at once; beyond it clients are told to come again."),
    ROW(CONF_SIZE, quarantine_size_limit, "100M", 64 * 1024, 4096 * MIB, NULL, NULL, false,
        "The largest message that is taken; not less than Postfix's message_size_limit."),
    ROW(CONF_TIME, quarantine_idle_limit, "5m", S, HOUR, NULL, NULL, false,
        "How long an LMTP client may be silent."),
    ROW(CONF_NUMBER, quarantine_database_connections, "8", 1, 64, NULL, NULL, false,
        "Connections to PostgreSQL that the sessions share."),
    ROW(CONF_TEXT, quarantine_rules,
        "virus X-Virus-Status: Infected, virus X-Amavis-Alert: INFECTED, virus X-Spamd-Result: "
        "*_VIRUS, content X-Amavis-Alert: BANNED, bulk X-Spam-Bulk: Yes, bulk Precedence: bulk",
        0, 4096, NULL, NULL, false,
        "How a message's category is told by the headers that the filter put, comma-separated: "
        "spam, bulk, virus or content, the header, and perhaps a colon and how its value begins, "
        "or *what is in it. The first that fits decides; where none does it is spam."),
    ROW(CONF_TEXT, quarantine_reasons,
        "X-Amavis-Alert, X-Virus-Status, X-Spamd-Result, X-Spam-Status, X-Spam-Report", 0, 1024,
        NULL, NULL, false,
        "Headers that tell why the filter caught it, comma-separated; the first that is there is "
        "shown, with the score in it."),
    ROW(CONF_TEXT, quarantine_metrics_file, "", 0, 1024, NULL, check_path_or_none, false,
        "Where rollcall-quarantine writes its metrics every 15 seconds, for the textfile collector "
        "of the Prometheus node exporter (a name that ends in .prom); empty: nowhere."),
    ROW(CONF_TEXT, release_to, "inet:127.0.0.1:10025", 1, 256, NULL, check_listen, false,
        "The Postfix listener that takes what is released, by SMTP: one without filters, see "
        "master.cf.example."),
    ROW(CONF_TIME, release_for, "2d", MINUTE, 30 * DAY, NULL, NULL, false,
        "How long a release is tried again when that listener does not take it now."),
    ROW(CONF_CHOICE, release_virus, "admins", 0, 0, conf_release_virus_words, NULL, false,
        "Who may release a message with a virus in the panel: operators, admins (of the customer, "
        "and operators) or users (everybody, also by a report's link). Reports offer no link to "
        "what is refused. 'rollcall quarantine release' may. A customer may have its own, see "
        "'rollcall quarantine viruses'."),
    ROW(CONF_TIME, keep_spam, "30d", DAY, 3650 * DAY, NULL, NULL, false,
        "How long spam stays in quarantine, in whole days. A customer may have its own, see "
        "'rollcall quarantine keep'."),
    ROW(CONF_TIME, keep_bulk, "30d", DAY, 3650 * DAY, NULL, NULL, false,
        "The same for bulk and info mail."),
    ROW(CONF_TIME, keep_virus, "14d", DAY, 3650 * DAY, NULL, NULL, false, "The same for viruses."),
    ROW(CONF_TIME, keep_content, "30d", DAY, 3650 * DAY, NULL, NULL, false,
        "The same for what was caught for its content."),
    ROW(CONF_NUMBER, ldap_parallel, "25", 1, 200, NULL, NULL, false,
        "Directories that rollcall-ldapsync reads at the same time."),
    ROW(CONF_TEXT, ldap_denied_networks,
        "127.0.0.0/8, ::1, 169.254.0.0/16, fe80::/10, 0.0.0.0/8, ::/128", 0, 4096, NULL,
        check_networks, false,
        "Where no LDAP server that a customer named may be, whatever its name resolves to. Servers "
        "named by an operator may be anywhere."),
    ROW(CONF_TEXT, ldap_metrics_file, "", 0, 1024, NULL, check_path_or_none, false,
        "Where rollcall-ldapsync writes its metrics after each run, for the textfile collector of "
        "the Prometheus node exporter (a name that ends in .prom); empty: nowhere."),
    ROW(CONF_TEXT, secret_key_file, "/etc/rollcall/secret.key", 1, 1024, NULL, check_absolute,
        false,
        "The key that seals passwords kept in PostgreSQL; made when the first one is set. Keep a "
        "copy of it where no database dump is kept."),
    ROW(CONF_TEXT, panel_url, "", 0, 512, NULL, check_url, false,
        "Where users reach the panel, such as https://panel.example.com (with the port, if it is "
        "another than the usual one): the links of reports and mails begin so. Empty: reports have "
        "no links, and no password mails are sent."),
    ROW(CONF_TEXT, link_key_file, "/etc/rollcall/link.key", 1, 1024, NULL, check_absolute, false,
        "The key that signs the links of reports; made when the first report is. The panel reads "
        "the same file. With another key all links of earlier reports are void."),
    ROW(CONF_TIME, link_life, "30d", HOUR, 365 * DAY, NULL, NULL, false,
        "How long a report's links work."),
    ROW(CONF_TIME, token_life, "24h", 10 * MINUTE, 30 * DAY, NULL, NULL, false,
        "How long the links of confirmation and password mails work; they work once."),
    ROW(CONF_CHOICE, password_mail, "link", 0, 0, password_mail, NULL, false,
        "What a password mail brings: link (to set one's own password), or password (a generated "
        "one, which must be changed at the first sign-in)."),
    ROW(CONF_NUMBER, password_requests_address, "5", 1, 1000, NULL, NULL, false,
        "How many confirmation and password mails may be asked for one address within an hour."),
    ROW(CONF_NUMBER, password_requests_client, "30", 1, 100000, NULL, NULL, false,
        "The same for one client: an IPv4 address, or an IPv6 network of 64 bits."),
    ROW(CONF_TEXT, mail_from, "", 0, 320, NULL, check_mail_address, false,
        "The sender of reports and password mails; empty: rollcall@ and the host name. Bounces go "
        "there too."),
    ROW(CONF_TEXT, notice_contact, "", 0, 320, NULL, check_mail_address, false,
        "Who is mailed when a customer's directory fails or is held and neither the customer nor "
        "the domain has a contact for it ('rollcall report set'), and when the password or second "
        "factor of an account was changed whose login is no address and whose customer has none; "
        "empty: nobody, it is logged."),
    ROW(CONF_TEXT, report_metrics_file, "", 0, 1024, NULL, check_path_or_none, false,
        "Where 'rollcall-report spam' writes its metrics after each run, likewise."),
    ROW(CONF_TEXT, outbox_metrics_file, "", 0, 1024, NULL, check_path_or_none, false,
        "Where 'rollcall-report send' writes those of the outbox, at its end, with --follow every "
        "30 "
        "seconds or less, likewise."),
    ROW(CONF_TEXT, mail_server, "inet:127.0.0.1:25", 1, 512, NULL, check_server, false,
        "The SMTP server that takes them, inet:host:port or unix:/path. It must not filter them: a "
        "report quotes the subjects of spam."),
    ROW(CONF_NUMBER, mail_connections, "4", 1, 50, NULL, NULL, false,
        "How many connections rollcall-report opens to it."),
    ROW(CONF_TIME, mail_timeout, "5m", S, HOUR, NULL, NULL, false,
        "How long it may take over each answer (RFC 5321 section 4.5.3.2)."),
    ROW(CONF_TIME, mail_give_up, "5d", MINUTE, 30 * DAY, NULL, NULL, false,
        "How long a mail that it does not take is tried again. What is given up, or refused for "
        "good, is shown by 'rollcall status'; the messages of such a report come with the next "
        "one."),
    ROW(CONF_TIME, mail_keep, "30d", HOUR, 3650 * DAY, NULL, NULL, false,
        "How long it is remembered which mails were sent or given up, without what stood in them."),
    ROW(CONF_TEXT, report_zone, "UTC", 1, 64, NULL, NULL, false,
        "The time zone of reports where none is set for the customer, domain or user, such as "
        "Europe/Berlin."),
    ROW(CONF_CHOICE, report_language, "en", 0, 0, languages, NULL, false,
        "Their language, likewise: en, de, fr, es."),
    ROW(CONF_TEXT, panel_listen, "inet:127.0.0.1:8025", 1, 512, NULL, check_listen, false,
        "Where rollcall-panel listens, unix:/path or inet:host:port; a reverse proxy in front of "
        "it adds TLS."),
    ROW(CONF_TEXT, panel_user, "rollcall", 1, 64, NULL, NULL, false,
        "The user that rollcall-panel becomes when it is started as root."),
    ROW(CONF_NUMBER, panel_connections, "500", 1, 10000, NULL, NULL, false,
        "Browsers that rollcall-panel serves at once; each has a thread."),
    ROW(CONF_TIME, panel_silence_limit, "30s", S, HOUR, NULL, NULL, false,
        "How long a browser may be silent, within a request or between two."),
    ROW(CONF_TIME, panel_request_limit, "15m", S, DAY, NULL, NULL, false,
        "How long a request may take to come in, an upload included."),
    ROW(CONF_NUMBER, panel_database_connections, "8", 1, 1000, NULL, NULL, false,
        "Connections to PostgreSQL that its requests share; imports have their own."),
    ROW(CONF_TEXT, panel_spool_directory, "/var/spool/rollcall-panel", 1, 1024, NULL,
        check_absolute, false,
        "Where uploaded lists wait between preview and import; not needed after a restart."),
    ROW(CONF_SIZE, panel_upload_most, "256M", MIB, 64 * 1024 * MIB, NULL, NULL, false,
        "The longest list that may be uploaded."),
    ROW(CONF_CHOICE, panel_second_factor, "offered", 0, 0, second_factor, NULL, false,
        "Who has to turn a second factor on before anything else: offered (nobody), operators, or "
        "accounts (operators and customers' administrators)."),
    ROW(CONF_TIME, panel_idle_limit, "30m", MINUTE, 30 * DAY, NULL, NULL, false,
        "How long a session may rest before signing in is asked for again."),
    ROW(CONF_TIME, panel_session_life, "12h", MINUTE, 30 * DAY, NULL, NULL, false,
        "How long a session lasts at most."),
    ROW(CONF_TEXT, panel_proxies, "127.0.0.0/8, ::1", 0, 4096, NULL, check_networks, false,
        "Reverse proxies whose X-Forwarded-For is believed."),
    ROW(CONF_TEXT, panel_metrics_listen, "inet:127.0.0.1:9565", 0, 512, NULL, check_listen, false,
        "Where rollcall-panel serves /metrics and /healthz, inet:host:port; empty: nowhere."),
};

const size_t conf_row_count = sizeof conf_rows / sizeof conf_rows[0];

bool conf_release_virus_find(const char *word, enum conf_release_virus *who)
{
    for (size_t i = 0; conf_release_virus_words[i] != NULL; i++)
        if (strcmp(word, conf_release_virus_words[i]) == 0) {
            *who = (enum conf_release_virus)i;
            return true;
        }
    return false;
}
