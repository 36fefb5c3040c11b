/*
 * visit - one request on its way: what came, who asks, what is shown
 *
 *     visit_begin (route, session) -> visit_body … -> visit_run (form token, handler) -> the answer
 *
 * Knows no HTTP library: http.c fills what came and sends what is answered.
 */
#ifndef ROLLCALL_PANEL_VISIT_H
#define ROLLCALL_PANEL_VISIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/network.h"
#include "lib/pool.h"
#include "lib/secret.h"
#include "lib/str.h"
#include "panel/data.h"
#include "panel/form.h"
#include "panel/session.h"
#include "panel/template.h"

struct route;
struct views;
struct jobs;

/* What all requests share; nothing of it changes while requests run, but the counters. */
struct panel {
    const struct conf *conf;
    struct pool *pool;
    struct views *views;
    struct jobs *jobs;
    struct network_list proxies;
    unsigned char key[SECRET_KEY]; /* seals second factors and directory passwords */
    bool has_key;
    unsigned char link_key[SECRET_KEY]; /* of the links in reports (lib/link) */
    bool has_link_key;
    bool secure; /* panel_url is https */
    atomic_ullong requests, by_class[6], refused_tokens, sign_in_failures, microseconds;
};

enum { VISIT_PARAMETERS = 2, VISIT_COOKIES = 4 };

struct visit {
    struct panel *panel;
    /* what came */
    const char *method;
    char *uri, *path; /* the URI as sent; the path of it, not decoded */
    const char *cookie, *content_type, *languages; /* headers, or NULL; valid for the request */
    char client[64];
    const char *agent;
    int64_t begun_us;
    int64_t length; /* of the body; -1: not told */
    struct form query, form;
    const struct route *route;
    char *parameters[VISIT_PARAMETERS]; /* what stood for each '*' of the route, decoded */
    struct session session;
    bool cookie_known; /* the browser has the cookie of this session */
    /* the body */
    enum form_outcome body_outcome;
    int64_t received;
    int spool;                               /* descriptor of the file of the form, -1: none */
    char spool_name[48];                     /* of the file in panel_spool_directory */
    bool spool_taken;                        /* it outlives the visit */
    bool spool_full;                         /* it could not be made, or not be written */
    char file_name[FORM_FILE_NAME_MOST + 1]; /* as the browser calls it */
    /* while the page is made */
    struct db *db;
    bool in_transaction;
    struct arena *arena;
    struct data *data; /* what the template shows */
    /* the answer */
    int status;
    struct buf body;
    int body_file;         /* a descriptor instead of a body; -1: none */
    const char *type;      /* NULL: HTML */
    char *location, *note; /* where to go; what to say there */
    char *attachment;      /* file name of a download */
    char *cookies[VISIT_COOKIES];
    size_t cookie_count;
    bool lasting;    /* may be kept for good */
    bool for_others; /* pages and mails of others show it */
    bool styled;     /* ours, with styles of its own in it: a report; sandboxed too */
    bool sandboxed;  /* a stranger's: shown in a frame of ours, where it loads and runs nothing */
};

struct visit *visit_new(struct panel *panel, const char *uri);
void visit_free(struct visit **visit);

/* Headers are there. False: the answer is ready, the body is not wanted. */
bool visit_begin(struct visit *visit) MUST_CHECK;
void visit_body(struct visit *visit, struct span bytes);
void visit_run(struct visit *visit);

/* ---- for pages ---- */

/* A page's function: fills visit->data and calls visit_show, or visit_go. False: err becomes a page
 * of its own: ERR_DATA 404, ERR_TEMPORARY 503. */
typedef bool page_fn(struct visit *visit, struct err *err);

bool visit_show(struct visit *visit, const char *template, struct err *err) MUST_CHECK;
/* The same with 422: a form that has to be looked at again. */
bool visit_show_again(struct visit *visit, const char *template, struct err *err) MUST_CHECK;
/* To another page (303). `note` (may be NULL) is shown there, once. */
bool visit_go(struct visit *visit, const char *note, const char *format, ...) PRINTF_LIKE(3, 4);
/* A transaction that ends with the visit, unless committed. */
bool visit_transaction(struct visit *visit, struct err *err) MUST_CHECK;
bool visit_commit(struct visit *visit, struct err *err) MUST_CHECK;
bool visit_is(const struct visit *visit, enum role role);
/* By what the own customer says, or setting release_virus. */
bool visit_may_release_virus(struct visit *visit, bool *may, struct err *err) MUST_CHECK;

/* What stood for the first and the second '*'. */
#define visit_id(visit) ((visit)->parameters[0])
/* Whole positive numbers only; "0" for anything else, which names nothing. */
const char *visit_number(struct visit *visit, const char *text);

/* Puts a text into the spool as if it had been uploaded. */
bool visit_spool(struct visit *visit, struct span text, struct err *err) MUST_CHECK;

/* Adds to the file that is the answer; it lies in the spool, and goes with the visit. */
bool visit_add_file(struct visit *visit, struct span bytes, struct err *err) MUST_CHECK;

/* A field's complaint, ours or lib's: the template shows it beside the field ({{errors.NAME}}) and
 * above the form.
 */
void visit_complain(struct visit *visit, const char *field, const char *complaint);
bool visit_has_complaints(const struct visit *visit);
/* What lib refuses (ERR_DATA, ERR_USAGE; "next-hop: …") beside the field of the form that it names,
 * else beside `otherwise`. False: it is no complaint, but trouble. */
bool visit_complain_of(struct visit *visit, const struct err *err,
                       const char *otherwise) MUST_CHECK;
/* The same, and what was typed is kept. */
bool visit_refused(struct visit *visit, const struct err *err, const char *otherwise) MUST_CHECK;
/* The numbers in the boxes of that name as an array of PostgreSQL, "{1,2}"; how many. */
size_t visit_chosen(const struct visit *visit, const char *name, size_t most, struct buf *array);
/* What was typed, under {{form.NAME}}. */
void visit_keep_form(struct visit *visit);
/* Words of a table, which go through visit_words when they are shown. */
#define N_(text) text
/* Words in the reader's language. */
const char *visit_words(const struct visit *visit, const char *text);
/* The same of what lib says, which is worded for the command line (say.h). */
const char *visit_say(struct visit *visit, const char *text);

/* An error page of that status; `why` for people, may be NULL. */
void visit_fail(struct visit *visit, int status, const char *why);
/* The session's cookie goes to the browser again: it has another token. */
void visit_send_session(struct visit *visit);

#endif
