/*
 * doctor - what the checks of `rollcall doctor` share
 *
 * A check is a row of the table in cmd_doctor.c. It tells any number of findings; what is not ok
 * says what to put where. Checks run in the order of the table, and later ones use what earlier
 * ones found.
 */
#ifndef ROLLCALL_DOCTOR_H
#define ROLLCALL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/cli.h"
#include "cli/postfix.h"
#include "lib/spawn.h"

enum finding_level { FINDING_OK, FINDING_SKIPPED, FINDING_WARNING, FINDING_BAD };

struct finding {
    const char *check;
    enum finding_level level;
    char text[512];
    char remedy[768]; /* "" when ok or skipped */
};
enum { FINDINGS_MAX = 300, SOCKETS_MAX = 32 };

struct doctor {
    struct cli *cli;
    const char *check; /* the row that runs */
    struct finding findings[FINDINGS_MAX];
    size_t count;

    bool database;                            /* reachable, with this program's tables */
    struct buf served;                        /* names of served domains, one a line, sorted */
    int64_t asking;                           /* how many of them ask the customer's server */
    struct conf_address sockets[SOCKETS_MAX]; /* policy_listen */
    size_t socket_count;
    struct spawn_output main_cf, master_cf;
    bool postfix;                     /* both could be read */
    bool quarantine;                  /* there is one on this host */
    struct span endpoint;             /* of check_policy_service in main.cf, once found */
    const struct conf_address *asked; /* which of the sockets that is; NULL: none */
    uid_t mail_user;
    gid_t mail_groups[64];
    int mail_group_count; /* 0: the user is not known */
};

void doctor_ok(struct doctor *d, const char *format, ...) PRINTF_LIKE(2, 3);
void doctor_skip(struct doctor *d, const char *format, ...) PRINTF_LIKE(2, 3);
void doctor_warn(struct doctor *d, const char *remedy, const char *format, ...) PRINTF_LIKE(3, 4);
void doctor_bad(struct doctor *d, const char *remedy, const char *format, ...) PRINTF_LIKE(3, 4);

/* doctor_database.c */
void check_database(struct doctor *d);
void check_schema(struct doctor *d);
void check_rights(struct doctor *d);
void check_gateway(struct doctor *d);
void check_observation(struct doctor *d);
/* doctor_daemon.c */
void check_replica(struct doctor *d);
void check_sockets(struct doctor *d);
/* doctor_postfix.c */
void check_postfix(struct doctor *d);
void check_policy_service(struct doctor *d);
void check_permissions(struct doctor *d);
void check_services(struct doctor *d);
/* doctor_quarantine.c */
void check_quarantine(struct doctor *d);
void check_filing(struct doctor *d);
void check_release(struct doctor *d);
/* doctor_relay.c */
void check_parent_domains(struct doctor *d);
void check_verification(struct doctor *d);
void check_relay_domains(struct doctor *d);

/* What this gateway is called in the database: gateway_name, or the host's name. */
void doctor_gateway_name(const struct doctor *d, char *name, size_t room);

/* A connection, which the caller closes; -1 with errno. */
int doctor_connect(const struct conf_address *address);
void doctor_address_text(const struct conf_address *address, char *out, size_t room);
/* Whether `theirs`, as somebody names it, is where `ours` listens. */
bool doctor_same_address(const struct conf_address *ours, const struct conf_address *theirs);
/* Tells whether a directory of ours is there, and the user's alone; `settings`: what names the two,
 * with a comma. */
struct doctor_directory {
    const char *path, *user, *path_setting, *user_setting;
    uint64_t room_least; /* free bytes */
    const char *room;    /* what to do about too few */
};
void doctor_check_directory(struct doctor *d, const struct doctor_directory *directory);

/* A value of main.cf; empty when postconf does not know it. */
struct span doctor_main_cf(const struct doctor *d, const char *name);
/* A span as printf's %.*s takes it. */
#define SPAN_ARGS(s) (int)(s).len, (s).at

#endif
