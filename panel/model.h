/*
 * model - what the pages ask PostgreSQL, by file; row-level security decides what comes back
 *
 * Columns are named for the templates (view_rows): is_… flags, n_… numbers, at_… times.
 */
#ifndef ROLLCALL_PANEL_MODEL_H
#define ROLLCALL_PANEL_MODEL_H

#include "lib/addr.h"
#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/ldap_source.h"
#include "lib/link.h"
#include "lib/record.h"
#include "panel/data.h"
#include "panel/session.h"

/* ---- model_home.c ---- */

/* Figures, what needs attention, gateways, what came by which source. */
bool model_overview(struct db *db, struct data *page, struct err *err) MUST_CHECK;
/* Answers of the last 24 hours as the bars of a chart. */
bool model_chart(struct db *db, struct data *page, struct err *err) MUST_CHECK;
bool model_gateways(struct db *db, const struct conf *conf, struct data *page,
                    struct err *err) MUST_CHECK;
/* `before`: number of the oldest entry seen, or NULL. */
bool model_audit(struct db *db, const char *before, struct data *page, struct err *err) MUST_CHECK;

/* ---- model_customers.c ---- */

bool model_customers(struct db *db, struct data *page, struct err *err) MUST_CHECK;
/* ERR_DATA: there is none that may be seen. So below. */
bool model_customer(struct db *db, const char *id, struct data *page, struct err *err) MUST_CHECK;
bool model_accounts(struct db *db, struct data *page, struct err *err) MUST_CHECK;
/* The login of an account, for lib/account. */
bool model_account_login(struct db *db, const char *id, char login[201],
                         struct err *err) MUST_CHECK;

/* ---- model_domains.c ---- */

bool model_domains(struct db *db, const char *like, struct data *page, struct err *err) MUST_CHECK;
/* Its settings as text, by the names of the form. */
bool model_domain(struct db *db, const char *id, struct data *page, struct err *err) MUST_CHECK;
/* What is on its roll. */
bool model_domain_figures(struct db *db, const char *id, struct data *page,
                          struct err *err) MUST_CHECK;
/* What another relay check would mean: who gets clean mail and would be refused. */
bool model_preflight(struct db *db, const char *id, const char *check, struct data *page,
                     struct err *err) MUST_CHECK;
/* name of the domain, "" for one that may not be seen */
bool model_domain_name(struct db *db, const char *id, char name[254], struct err *err) MUST_CHECK;
/* id of the first domain there is, "0": none. */
bool model_first_domain(struct db *db, char id[16], struct err *err) MUST_CHECK;

/* ---- model_users.c ---- */

enum { MODEL_PAGE = 50 }; /* rows */

/* A picture that reports show, by the name that model_brand_add gave it. */
bool model_brand(struct db *db, const char *name, struct buf *bytes, bool *found,
                 struct err *err) MUST_CHECK;
/* Keeps one for a customer or a domain; its path of the panel into `logo`. */
bool model_brand_add(struct db *db, bool of_domain, const char *whose, const char *ending,
                     struct span bytes, char *logo, size_t room, struct err *err) MUST_CHECK;

/* Where the one of this session is signed in; and one of these, by its name, ended. */
bool model_sessions(struct db *db, const struct session *session, int64_t idle_us,
                    struct data *page, struct err *err) MUST_CHECK;
bool model_session_end(struct db *db, const struct session *session, const char *name, bool *ended,
                       struct err *err) MUST_CHECK;
struct model_search {
    const char *domain;   /* id */
    const char *fragment; /* "": all */
    const char *after;    /* the last address of the page before, "" */
    const char *state;    /* "": any */
};
bool model_users(struct db *db, const struct model_search *search, struct data *page,
                 struct err *err) MUST_CHECK;
/* Whose the recipient is, with all addresses. */
bool model_user(struct db *db, const char *recipient, struct data *page,
                struct err *err) MUST_CHECK;

/* ---- model_changes.c ---- */

bool model_changes(struct db *db, const char *state, const char *before, struct data *page,
                   struct err *err) MUST_CHECK;
bool model_change(struct db *db, const char *id, struct data *page, struct err *err) MUST_CHECK;

/* ---- model_ldap.c ---- */

/* Those that feed a domain, or all (NULL). */
bool model_ldap_sources(struct db *db, const char *domain, struct data *page,
                        struct err *err) MUST_CHECK;
bool model_ldap_name(struct db *db, const char *id, char name[254], struct err *err) MUST_CHECK;
bool model_ldap_id(struct db *db, const char *name, char id[24], struct err *err) MUST_CHECK;
/* Its state, its last runs, what was asked of it lately. */
bool model_ldap_source(struct db *db, const char *id, struct data *page,
                       struct err *err) MUST_CHECK;
/* What it may feed. `id` NULL: a new one, for that domain. */
bool model_ldap_domains(struct db *db, const char *id, const char *domain, struct data *page,
                        struct err *err) MUST_CHECK;
/* "test", "preview", "sync": leaves a request for rollcall-ldapsync, or finds the open one. */
bool model_ldap_ask(struct db *db, const char *id, const char *what, const char *actor,
                    char request[24], struct err *err) MUST_CHECK;
bool model_ldap_request(struct db *db, const char *source, const char *id, struct data *page,
                        struct err *err) MUST_CHECK;

/* ---- model_report.c ---- */

/* Domains, and what is in force there. */
bool model_report_domains(struct db *db, const char *like, struct data *page,
                          struct err *err) MUST_CHECK;
bool model_customer_of(struct db *db, const char *domain, char name[801],
                       struct err *err) MUST_CHECK;
bool model_customer_name(struct db *db, const char *id, char name[801], struct err *err) MUST_CHECK;
bool model_zone_known(struct db *db, const char *zone, bool *known, struct err *err) MUST_CHECK;
/* A report that is wanted in a mailbox; and those that were lately. */
bool model_report_ask(struct db *db, const char *domain, const char *address, const char *actor,
                      struct err *err) MUST_CHECK;
bool model_report_asked(struct db *db, const char *domain, struct data *page,
                        struct err *err) MUST_CHECK;
bool model_report_user(struct db *db, const char *domain, const struct addr *exact,
                       const struct addr *folded, bool *is_user, struct err *err) MUST_CHECK;
/* What is in force for the user who is signed in, and whether it may be changed. */
bool model_report_mine(struct db *db, struct data *page, bool *choose, struct err *err) MUST_CHECK;

/* ---- model_outbox.c ---- */

/* Mails in that state ("waiting", "dead", "sent"), and how many there are. `before`: as for
 * changes. */
bool model_outbox(struct db *db, const char *state, const char *fragment, const char *before,
                  struct data *page, struct err *err) MUST_CHECK;
/* "retry", "drop", "forget"; `mails` is an array of PostgreSQL. */
bool model_outbox_act(struct db *db, const char *mails, const char *what, const char *actor,
                      int64_t *done, struct err *err) MUST_CHECK;
bool model_jobs(struct db *db, struct data *page, struct err *err) MUST_CHECK;
/* What waits for somebody: directories that fail, changes that are held, mails that stay. */
bool model_attention(struct db *db, struct data *page, struct err *err) MUST_CHECK;

/* ---- model_quarantine.c ---- */

struct model_quarantine {
    const char *state;     /* "held", "released", "deleted" */
    const char *category;  /* "": any */
    const char *fragment;  /* of subject, sender, address; "": any */
    const char *from, *to; /* first and last day, as "2026-11-30"; "": any */
    const char *order;     /* one of model_orders */
    const char *before;    /* number of the last message of the page before, or "" */
    int64_t user;          /* whose; 0: anybody's */
    int32_t customer;      /* likewise */
};
extern const char *const model_orders[]; /* the first is the usual one; NULL at the end */
bool model_quarantine(struct db *db, const struct model_quarantine *search, struct data *page,
                      struct err *err) MUST_CHECK;
bool model_message(struct db *db, const char *id, struct data *page, struct err *err) MUST_CHECK;
/* Its HTML as it came. */
bool model_message_html(struct db *db, const char *id, struct buf *html,
                        struct err *err) MUST_CHECK;
/* The last request for its bytes: number ("" none), state ("waiting", "done", "failed"), answer,
 * gateway. */
bool model_message_raw(struct db *db, const char *id, struct data *raw, struct err *err) MUST_CHECK;
/* `messages` are arrays of PostgreSQL ("{1,2}"); those that may not be seen are left out. *done:
 * for how many it was done or is waiting; may be NULL. */
bool model_quarantine_ask(struct db *db, const char *messages, const char *what, const char *by,
                          bool viruses, size_t *done, struct err *err) MUST_CHECK;
/* Allows or blocks their senders. */
bool model_trust(struct db *db, const char *messages, const char *action, const char *by,
                 struct err *err) MUST_CHECK;
bool model_senders(struct db *db, struct data *page, struct err *err) MUST_CHECK;
/* Of a user or of a domain; the other is NULL. */
bool model_sender_add(struct db *db, const char *user, const char *domain, const char *action,
                      const char *pattern, const char *by, struct err *err) MUST_CHECK;
bool model_sender_remove(struct db *db, const char *id, struct err *err) MUST_CHECK;

/* ---- model_link.c: what a signed link names, for who is signed in to nothing ---- */

/* ERR_DATA: there is no such message, or no such user (any more). `zone`: for users without one. */
bool model_link_message(struct db *db, const struct link *link, const char *zone, struct data *page,
                        struct err *err) MUST_CHECK;
/* A page of what is held for the user; `sign` adds to each what leads to it. */
typedef void model_link_fn(void *context, int64_t recipient, struct data *message);
bool model_link_list(struct db *db, const struct link *link, const char *before, const char *zone,
                     model_link_fn *sign, void *context, struct data *page,
                     struct err *err) MUST_CHECK;
/* "" when it is not permitted (any more); else as link_act of sql/0008_link. */
bool model_link_act(struct db *db, const struct link *link, const char *act, char outcome[16],
                    struct err *err) MUST_CHECK;
/* Who may release viruses to that user; `preset` when the customer does not say. */
bool model_link_release_virus(struct db *db, const struct link *link,
                              enum conf_release_virus preset, enum conf_release_virus *who,
                              struct err *err) MUST_CHECK;
/* The user's address, and whether reports are on. */
bool model_link_user(struct db *db, const struct link *link, struct data *page,
                     struct err *err) MUST_CHECK;
bool model_link_reports(struct db *db, const struct link *link, bool wanted,
                        struct err *err) MUST_CHECK;

#endif
