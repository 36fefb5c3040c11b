/* visit - see visit.h */
#include "panel/visit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/domain.h"
#include "lib/log.h"
#include "panel/route.h"
#include "panel/view.h"
#include "panel/visit_file.h"

enum { NOTE_MOST = 900, NOTE_DIGEST = 16 };

struct visit *visit_new(struct panel *panel, const char *uri)
{
    struct visit *visit = mem_zero(1, sizeof *visit);
    struct span rest = span_text(uri), path = {0};

    visit->panel = panel;
    visit->begun_us = clock_elapsed_us();
    visit->uri = mem_text(uri);
    span_next(&rest, '?', &path);
    visit->path = mem_span(path);
    visit->spool = visit->body_file = -1;
    visit->arena = arena_new();
    visit->data = data_map(visit->arena);
    visit->agent = "";
    return visit;
}

static void give_back(struct visit *visit)
{
    if (visit->db == NULL)
        return;
    if (visit->in_transaction && db_alive(visit->db))
        db_rollback(visit->db);
    visit->in_transaction = false;
    pool_give(visit->panel->pool, &visit->db);
}

void visit_free(struct visit **visit)
{
    struct visit *v = *visit;

    if (v == NULL)
        return;
    give_back(v);
    form_free(&v->query);
    form_free(&v->form);
    for (size_t i = 0; i < VISIT_PARAMETERS; i++)
        free(v->parameters[i]);
    for (size_t i = 0; i < v->cookie_count; i++)
        free(v->cookies[i]);
    visit_file_drop(v);
    if (v->body_file >= 0)
        close(v->body_file);
    arena_free(&v->arena);
    buf_free(&v->body);
    free(v->uri);
    free(v->path);
    free(v->location);
    free(v->note);
    free(v->attachment);
    secret_forget(&v->session, sizeof v->session);
    free(v);
    *visit = NULL;
}

/* ---- cookies ---- */

static const char *cookie_name(const struct visit *visit)
{
    return visit->panel->secure ? "__Host-rollcall" : "rollcall";
}

/* The value of a cookie, in the header that the browser sent. */
static bool find_cookie(const struct visit *visit, const char *name, struct span *value)
{
    struct span rest = span_text(visit->cookie != NULL ? visit->cookie : ""), one, key;

    while (span_next(&rest, ';', &one)) {
        struct span pair = span_trim(one);
        if (span_next(&pair, '=', &key) && span_equals(key, name) && pair.at != NULL) {
            *value = pair;
            return true;
        }
    }
    return false;
}

static void send_cookie(struct visit *visit, const char *name, const char *value, const char *more)
{
    if (visit->cookie_count < VISIT_COOKIES)
        visit->cookies[visit->cookie_count++] =
            mem_printf("%s=%s; Path=/; HttpOnly; SameSite=Lax%s%s", name, value,
                       visit->panel->secure ? "; Secure" : "", more);
}

void visit_send_session(struct visit *visit)
{
    visit->cookie_known = true;
    send_cookie(visit, cookie_name(visit), visit->session.token, "");
}

static void note_digest(const struct visit *visit, struct span text, char out[2 * NOTE_DIGEST + 1])
{
    BUF_AUTO whole = {0};
    uint8_t digest[NOTE_DIGEST];

    buf_printf(&whole, "note %s ", visit->session.token);
    buf_append(&whole, text.at, text.len);
    secret_digest(whole.at, whole.len, digest, sizeof digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* What to say on the next page goes there by a cookie that only we can have written. */
static void send_note(struct visit *visit)
{
    char digest[2 * NOTE_DIGEST + 1];
    BUF_AUTO value = {0};
    struct span text = span_text(visit->note);

    if (text.len > NOTE_MOST)
        text.len = NOTE_MOST;
    while (text.len > 0 && !str_utf8_valid(text))
        text.len--;
    note_digest(visit, text, digest);
    buf_printf(&value, "%s.", digest);
    template_escape(&value, PLACE_URL_PART, text);
    send_cookie(visit, "note", value.at, "; Max-Age=60");
}

static void take_note(struct visit *visit)
{
    struct span value, digest;
    char wanted[2 * NOTE_DIGEST + 1];

    if (!find_cookie(visit, "note", &value) || !span_next(&value, '.', &digest) || value.at == NULL)
        return;
    STR_AUTO text = mem_span(value);
    size_t len = value.len;
    if (form_decode(text, &len, false)) {
        note_digest(visit, span_of(text, len), wanted);
        if (span_equals(digest, wanted))
            data_text(visit->data, "note", text);
    }
    send_cookie(visit, "note", "", "; Max-Age=0");
}

/* ---- the begin ---- */

static bool open_database(struct visit *visit, struct err *err)
{
    return visit->db != NULL || pool_take(visit->panel->pool, &visit->db, err);
}

static bool load_from(struct visit *visit, struct err *err)
{
    return session_load(&visit->session, visit->db, visit->panel->conf->panel_idle_limit,
                        visit->client, err);
}

/* A browser without our cookie is nobody, and is not asked after. */
static bool load_session(struct visit *visit, struct err *err)
{
    struct span token;

    visit->cookie_known = find_cookie(visit, cookie_name(visit), &token) &&
                          session_take_token(&visit->session, token);
    if (!visit->cookie_known)
        session_fresh(&visit->session);
    return !visit->cookie_known || (open_database(visit, err) && load_from(visit, err));
}

static void log_refusal(const struct visit *visit, const char *why)
{
    bool known = visit->session.role != ROLE_NOBODY;

    log_write(LOG_REQUEST_REFUSED, "%s %s%s%s from %s: %s", visit->method, visit->path,
              known ? " of " : "", known ? visit->session.login : "", visit->client, why);
}

static bool refuse(struct visit *visit, int status, const char *why)
{
    log_refusal(visit, why != NULL     ? why
                       : status == 404 ? "there is no such page"
                       : status == 405 ? "the page does not take this method"
                                       : "the address is not understood");
    visit_fail(visit, status, why);
    return false;
}

/* Whoever has to have a second factor by the settings, and has none yet. */
static bool lacks_second(const struct visit *visit)
{
    const int64_t wanted = visit->panel->conf->panel_second_factor;
    const struct session *session = &visit->session;

    return !session->second_factor &&
           (session->role == ROLE_OPERATOR
                ? wanted >= SECOND_FACTOR_OPERATORS
                : session->role == ROLE_ADMIN && wanted == SECOND_FACTOR_ACCOUNTS);
}

/* Only what is ours to know: a session that is not signed in is asked to. */
static bool may_enter(struct visit *visit)
{
    const struct route *route = visit->route;
    const struct session *session = &visit->session;

    if (route->who & WHO_NOBODY)
        return true;
    if (session->role == ROLE_NOBODY || session->pending) {
        visit_go(visit, NULL, session->pending ? "/sign-in/code" : "/sign-in");
        return false;
    }
    if ((route->who & (1U << session->role)) == 0)
        return refuse(visit, 403, "This page is not for you.");
    if (session->must_change && !(route->flags & ROUTE_BEFORE_PASSWORD)) {
        visit_go(visit, NULL, "/password");
        return false;
    }
    if (lacks_second(visit) && !(route->flags & (ROUTE_BEFORE_PASSWORD | ROUTE_BEFORE_SECOND))) {
        visit_go(visit, NULL, "/me/second");
        return false;
    }
    return true;
}

static bool is_post(const struct visit *visit)
{
    return strcmp(visit->method, "POST") == 0;
}

static int64_t body_most(const struct visit *visit)
{
    return visit->route->flags & ROUTE_UPLOAD ? visit->panel->conf->panel_upload_most
                                              : 3 * (int64_t)FORM_BYTES_MOST;
}

/* ---- the body ---- */

static bool begin_body(struct visit *visit)
{
    struct form_sink sink = {visit, visit_file_begin, visit_file_take};
    bool upload = (visit->route->flags & ROUTE_UPLOAD) != 0;

    if (visit->length > body_most(visit))
        return refuse(visit, 413, "That is more than is taken here.");
    if (form_open(&visit->form, visit->content_type, upload ? &sink : NULL) != FORM_FINE)
        return refuse(visit, 415, "What came is no form.");
    return true;
}

bool visit_begin(struct visit *visit)
{
    struct err err;
    const char *question = strchr(visit->uri, '?');
    int status = route_find(visit);

    if (strcmp(visit->method, "HEAD") == 0)
        visit->method = "GET";
    if (question != NULL && form_query(&visit->query, span_text(question + 1)) != FORM_FINE)
        return refuse(visit, 400, "The address is not understood.");
    if (status != 200)
        return refuse(visit, status, NULL);
    if (!(visit->route->flags & ROUTE_STATIC)) {
        if (!load_session(visit, &err)) {
            log_write(LOG_PANEL_TROUBLE, "%s: %s", visit->path, err.text);
            visit_fail(visit, 503, NULL);
            return false;
        }
        if (!may_enter(visit))
            return false;
    }
    if (!is_post(visit))
        return true;
    give_back(visit); /* nothing is held while a body comes in */
    return begin_body(visit);
}

void visit_body(struct visit *visit, struct span bytes)
{
    visit->received += (int64_t)bytes.len;
    if (visit->body_outcome != FORM_FINE)
        return;
    if (visit->received > body_most(visit))
        visit->body_outcome = FORM_TOO_LARGE;
    else
        visit->body_outcome = form_feed(&visit->form, bytes);
}

/* ---- the answer ---- */

static bool body_is_fine(struct visit *visit)
{
    static const int statuses[] = {
        [FORM_MALFORMED] = 400, [FORM_TOO_LARGE] = 413, [FORM_REFUSED] = 403};

    if (visit->body_outcome == FORM_FINE)
        visit->body_outcome = form_end(&visit->form);
    if (visit->spool_full)
        return refuse(visit, 503,
                      "There is no room for the list now. Nothing was changed; try again later.");
    if (visit->body_outcome != FORM_FINE) {
        return refuse(visit, statuses[visit->body_outcome], visit->form.why);
    }
    if (visit->route->flags & ROUTE_NO_TOKEN ||
        session_form_token_is(&visit->session, form_value(&visit->form, "token")))
        return true;
    atomic_fetch_add(&visit->panel->refused_tokens, 1);
    log_refusal(visit, "the form's token is wrong");
    visit_fail(visit, 403,
               "This form was opened in another session, or cookies are off. Go back, load the "
               "page again and send it once more.");
    return false;
}

/* A connection for the page, which sees what its session may see. */
static bool connect_page(struct visit *visit, struct err *err)
{
    if (visit->db != NULL)
        return true; /* a GET: it is the one that loaded the session */
    return open_database(visit, err) && (!visit->cookie_known || load_from(visit, err));
}

static void fail_by(struct visit *visit, const struct err *err)
{
    static const char denied[] = "42501"; /* SQLSTATE insufficient_privilege */
    bool lost = err->class == ERR_TEMPORARY || (visit->db != NULL && !db_alive(visit->db));

    if (!lost && visit->db != NULL && strcmp(db_sqlstate(visit->db), denied) == 0) {
        log_refusal(visit, err->text);
        visit_fail(visit, 403, "Only an operator of the gateway may do that.");
    } else if (err->class == ERR_DATA) {
        log_refusal(visit, err->text);
        visit_fail(visit, 404, err->text);
    } else {
        log_write(LOG_PANEL_TROUBLE, "%s %s: %s", visit->method, visit->path, err->text);
        visit_fail(visit, lost ? 503 : 500, NULL);
    }
}

static void run_page(struct visit *visit)
{
    struct err err = {0};
    bool needs_database = !(visit->route->flags & (ROUTE_STATIC | ROUTE_NO_DATABASE));

    if ((needs_database || is_post(visit)) && !connect_page(visit, &err)) {
        fail_by(visit, &err);
        return;
    }
    if (is_post(visit) && !may_enter(visit)) /* the session may have ended meanwhile */
        return;
    arena_speak(visit->arena, view_language(visit));
    if (!visit->route->run(visit, &err))
        fail_by(visit, &err);
}

void visit_run(struct visit *visit)
{
    if (is_post(visit) && !body_is_fine(visit))
        return;
    run_page(visit);
    give_back(visit);
    if (visit->note != NULL)
        send_note(visit);
}

/* ---- for pages ---- */

static void offer_session(struct visit *visit)
{
    char token[SESSION_FORM_TOKEN + 1];

    if (!visit->cookie_known)
        visit_send_session(visit);
    session_form_token(&visit->session, token);
    data_text(visit->data, "token", token);
}

bool visit_show(struct visit *visit, const char *template, struct err *err)
{
    offer_session(visit);
    take_note(visit);
    if (visit->status == 0)
        visit->status = 200;
    return view_render(visit, template, err);
}

bool visit_show_again(struct visit *visit, const char *template, struct err *err)
{
    visit->status = 422;
    return visit_show(visit, template, err);
}

bool visit_go(struct visit *visit, const char *note, const char *format, ...)
{
    va_list args;
    char where[2048];

    va_start(args, format);
    vsnprintf(where, sizeof where, format, args);
    va_end(args);
    visit->status = 303;
    visit->location = mem_text(where);
    if (note != NULL)
        visit->note = mem_text(note);
    return true;
}

bool visit_transaction(struct visit *visit, struct err *err)
{
    visit->in_transaction = db_script(visit->db, "begin", err);
    return visit->in_transaction;
}

bool visit_commit(struct visit *visit, struct err *err)
{
    if (!db_script(visit->db, "commit", err))
        return false;
    visit->in_transaction = false;
    return true;
}

bool visit_is(const struct visit *visit, enum role role)
{
    return visit->session.role == role;
}

bool visit_may_release_virus(struct visit *visit, bool *may, struct err *err)
{
    static const enum role least[] = {[RELEASE_VIRUS_OPERATORS] = ROLE_OPERATOR,
                                      [RELEASE_VIRUS_ADMINS] = ROLE_ADMIN,
                                      [RELEASE_VIRUS_USERS] = ROLE_NOBODY};

    enum conf_release_virus who = (enum conf_release_virus)visit->panel->conf->release_virus;
    bool own;

    if (!visit_is(visit, ROLE_OPERATOR) &&
        !customer_release_virus(visit->db, visit->session.customer_name, who, &who, &own, err))
        return false;
    *may = visit->session.role >= least[who];
    return true;
}

const char *visit_number(struct visit *visit, const char *text)
{
    int64_t number;

    (void)visit;
    return str_int64(span_text(text), &number) && number > 0 ? text : "0";
}

void visit_fail(struct visit *visit, int status, const char *why)
{
    struct err err;

    if (visit->in_transaction && visit->db != NULL && db_alive(visit->db))
        db_rollback(visit->db);
    visit->in_transaction = false;
    visit->status = status;
    buf_clear(&visit->body);
    data_int(visit->data, "status", status);
    data_text(visit->data, "why", why != NULL ? visit_say(visit, why) : "");
    if (!view_render(visit, "error", &err))
        log_write(LOG_PANEL_TROUBLE, "%s", err.text);
}
