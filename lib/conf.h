/*
 * conf - the settings: one table parses, bounds, documents and prints them
 *
 * The file has `name = value` lines, `#` comments, and continuation lines that start with white
 * space, as Postfix's main.cf. Every program reads the same file (-c FILE) and takes -o name=value
 * after it. Nothing here acts on a setting. The rows live in conf_table.c.
 */
#ifndef ROLLCALL_CONF_H
#define ROLLCALL_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

#define CONF_DEFAULT_FILE "/etc/rollcall/rollcall.conf"

/* Values in force. Strings are owned by the struct, never NULL. Times are microseconds, sizes
 * bytes. */
struct conf {
    /* the truth */
    char *database;
    int64_t database_timeout;
    /* policyd */
    char *policy_listen;
    int64_t policy_socket_mode;
    char *policy_socket_owner;
    int64_t policy_workers;
    int64_t policy_max_connections;
    int64_t policy_idle_limit;
    int64_t policy_request_limit;
    char *policy_user;
    int64_t log_answers; /* enum conf_log_answers */
    char *metrics_listen;
    /* replica */
    char *replica_directory;
    int64_t replica_cache;
    int64_t poll_interval;
    char *gateway_name;
    int64_t gateway_interval;
    int64_t gateway_live_limit;
    /* the verdict */
    int64_t stale_limit;
    int64_t source_stale_limit;
    int64_t accept_abuse;
    int64_t verified_for;
    int64_t refused_for;
    int64_t probe_limit;
    int64_t harvest_limit;
    int64_t harvest_window;
    char *unknown_text;
    char *unsure_text;
    char *subdomain_text;
    int64_t reject_blocked_senders;
    char *blocked_text;
    /* the one door */
    int64_t guard_least;
    int64_t guard_percent;
    int64_t tombstone_life;
    /* logging */
    int64_t log_to; /* enum conf_log_to */
    int64_t log_format;
    int64_t log_level; /* enum log_level */
    /* surroundings */
    int64_t sandbox;
    char *sandbox_read;
    char *postfix_config_directory;
    /* observation */
    char *observe_sources;
    char *observe_instances;
    char *observe_directory;
    char *observe_time_zone;
    int64_t observe_step;
    char *inside_networks;
    char *spam_headers;
    char *spam_verdicts;
    int64_t catch_all_probe;
    int64_t catch_all_interval;
    int64_t create_least;
    int64_t create_percent;
    int64_t create_first_limited;
    int64_t create_alert;
    int64_t disk_least;
    int64_t veto_for;
    int64_t retire_after;
    int64_t observation_life;
    int64_t audit_life;
    /* quarantine */
    char *quarantine_listen;
    int64_t quarantine_socket_mode;
    char *quarantine_socket_owner;
    char *quarantine_user;
    char *quarantine_directory;
    int64_t quarantine_max_connections;
    int64_t quarantine_size_limit;
    int64_t quarantine_idle_limit;
    int64_t quarantine_database_connections;
    char *quarantine_rules;
    char *quarantine_reasons;
    char *release_to;
    char *quarantine_metrics_file;
    int64_t release_for;
    int64_t keep_spam, keep_bulk, keep_virus, keep_content;
    /* directories */
    int64_t ldap_parallel;
    char *ldap_denied_networks;
    char *ldap_metrics_file;
    char *secret_key_file;
    /* mails to users */
    char *panel_url;
    char *link_key_file;
    int64_t link_life;
    int64_t token_life;
    int64_t release_virus; /* enum conf_release_virus */
    int64_t password_mail; /* enum conf_password_mail */
    int64_t password_requests_address;
    int64_t password_requests_client;
    char *mail_from;
    char *notice_contact;
    char *report_metrics_file;
    char *outbox_metrics_file;
    char *mail_server;
    int64_t mail_connections;
    int64_t mail_timeout;
    int64_t mail_give_up;
    int64_t mail_keep;
    char *report_zone;
    int64_t report_language; /* enum conf_language */
    /* the panel */
    char *panel_listen;
    char *panel_user;
    int64_t panel_connections;
    int64_t panel_silence_limit;
    int64_t panel_request_limit;
    int64_t panel_database_connections;
    char *panel_spool_directory;
    int64_t panel_upload_most;
    int64_t panel_idle_limit;
    int64_t panel_second_factor; /* enum conf_second_factor */
    int64_t panel_session_life;
    char *panel_proxies;
    char *panel_metrics_listen;
};

enum conf_log_answers { LOG_ANSWERS_NONE, LOG_ANSWERS_REFUSED, LOG_ANSWERS_ALL };
enum conf_log_to { LOG_TO_STDERR, LOG_TO_SYSLOG };
enum conf_release_virus { RELEASE_VIRUS_OPERATORS, RELEASE_VIRUS_ADMINS, RELEASE_VIRUS_USERS };
extern const char *const conf_release_virus_words[]; /* in that order, NULL ends */
/* What a word says; false: it is none of them, and *who stays as it is. */
bool conf_release_virus_find(const char *word, enum conf_release_virus *who);
enum conf_password_mail { PASSWORD_MAIL_LINK, PASSWORD_MAIL_PASSWORD };
/* In the order of text_languages (text.h). */
enum conf_language { LANGUAGE_EN, LANGUAGE_DE, LANGUAGE_FR, LANGUAGE_ES };
enum conf_second_factor { SECOND_FACTOR_OFFERED, SECOND_FACTOR_OPERATORS, SECOND_FACTOR_ACCOUNTS };
enum conf_log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum conf_type { CONF_TEXT, CONF_NUMBER, CONF_MODE, CONF_BOOL, CONF_TIME, CONF_SIZE, CONF_CHOICE };

struct conf_row {
    const char *name;
    enum conf_type type;
    size_t offset;              /* of the field in struct conf */
    const char *fallback;       /* the default, written as in the file */
    int64_t least, most;        /* bounds (for CONF_TEXT: of the length) */
    const char *const *choices; /* CONF_CHOICE: names, NULL at the end; the value is the index */
    bool (*check)(const char *value, struct err *err); /* further rule for CONF_TEXT, or NULL */
    bool reloadable;                                   /* takes effect on SIGHUP */
    const char *doc;                                   /* for the manual and `rollcall config` */
};

extern const struct conf_row conf_rows[];
extern const size_t conf_row_count;

/* Where a value came from, per row: NULL default, else "FILE:LINE" or "-o". */
struct conf_origin {
    char *text;
};

struct conf_set {
    struct conf value;
    struct conf_origin *origins; /* conf_row_count of them */
};

/*
 * Reads defaults, then `file` (NULL: CONF_DEFAULT_FILE, which may be absent), then the `name=value`
 * overrides. On error fills err (ERR_CONFIG, naming file, line and the nearest known name) and
 * leaves *set empty. Release with conf_free.
 */
bool conf_load(struct conf_set *set, const char *file, const char *const *overrides,
               size_t override_count, struct err *err) MUST_CHECK;
void conf_free(struct conf_set *set);

/* The row of that name, or NULL; then *nearest is the known name that resembles it most, or NULL.
 */
const struct conf_row *conf_find(const char *name, const char **nearest);
/* The value of a row, written as in the file. */
void conf_write_value(struct buf *out, const struct conf_row *row, const struct conf *conf);

/* "10s", "5m", "3h", "7d", "200ms", or bare seconds, as microseconds. */
bool conf_parse_time(struct span text, int64_t *microseconds) MUST_CHECK;
/* "64M" and bare bytes (K, M, G are powers of 1024). */
bool conf_parse_size(struct span text, int64_t *bytes) MUST_CHECK;

/* One element of policy_listen or metrics_listen. */
struct conf_address {
    bool is_unix;
    char path[108]; /* unix: sun_path's room */
    char host[256]; /* inet: name or literal, without brackets; empty means every address */
    char port[16];
};
/* Takes "unix:/path" or "inet:host:port" ("inet:[::1]:port"). */
bool conf_parse_address(struct span text, struct conf_address *address, struct err *err) MUST_CHECK;

#endif
