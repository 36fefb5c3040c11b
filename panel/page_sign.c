/* page_sign - signing in, the second factor, signing out; and the files that never change */
#include <string.h>

#include "lib/secret.h"
#include "panel/page.h"
#include "panel/view.h"

bool page_static(struct visit *visit, struct err *err)
{
    static const struct {
        const char *ending, *type;
    } types[] = {{".css", "text/css; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".svg", "image/svg+xml"}};
    const char *name = visit->parameters[0], *dot = strrchr(name, '.');
    const struct panel_file *file = view_file("static", span_text(name));

    if (file == NULL || dot == NULL)
        return err_set(err, ERR_DATA, "There is no such file.");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(dot, types[i].ending) == 0)
            visit->type = types[i].type;
    visit->status = 200;
    visit->lasting = visit->query.count > 0; /* asked for by its version */
    buf_append(&visit->body, file->bytes, file->len);
    return true;
}

bool page_sign_in(struct visit *visit, struct err *err)
{
    if (visit->session.role != ROLE_NOBODY && !visit->session.pending)
        return visit_go(visit, NULL, "/");
    data_text(data_child(visit->data, "form"), "login", form_value(&visit->query, "address"));
    return visit_show(visit, "sign-in", err);
}

/* What is said beside the field of an attempt that failed. */
static void complain(struct visit *visit, const char *field, enum sign_in outcome, int wait,
                     const char *wrong)
{
    struct data *values = data_map(visit->arena);
    BUF_AUTO text = {0};

    atomic_fetch_add(&visit->panel->sign_in_failures, 1);
    data_int(values, "seconds", wait);
    template_fill(&text,
                  outcome == SIGN_IN_WAIT
                      ? visit_words(visit, "Too many attempts. Try again in {seconds} seconds.")
                      : wrong,
                  values);
    visit_complain(visit, field, text.at);
}

bool do_sign_in(struct visit *visit, struct err *err)
{
    int wait;
    struct sign_in_options options = {
        .conf = visit->panel->conf,
        .login = form_value(&visit->form, "login"),
        .password = form_value(&visit->form, "password"),
        .client = visit->client,
        .agent = visit->agent,
        .life_us = visit->panel->conf->panel_session_life,
    };

    enum sign_in outcome = session_sign_in(&visit->session, visit->db, &options, &wait, err);
    if (outcome == SIGN_IN_TROUBLE)
        return false;
    if (outcome == SIGN_IN_WRONG || outcome == SIGN_IN_WAIT) {
        visit_keep_form(visit);
        complain(visit, "login", outcome, wait,
                 visit_words(visit, "Name and password do not fit together."));
        return visit_show_again(visit, "sign-in", err);
    }
    visit_send_session(visit);
    return visit_go(visit, NULL,
                    outcome == SIGN_IN_SECOND   ? "/sign-in/code"
                    : outcome == SIGN_IN_CHANGE ? "/password"
                                                : "/");
}

bool page_code(struct visit *visit, struct err *err)
{
    if (!visit->session.pending)
        return visit_go(visit, NULL, "/");
    return visit_show(visit, "sign-in-code", err);
}

bool do_code(struct visit *visit, struct err *err)
{
    int wait;

    if (!visit->session.pending)
        return visit_go(visit, NULL, "/");
    enum sign_in outcome = session_second(
        &visit->session, visit->db, form_value(&visit->form, "code"), visit->panel->key,
        visit->client, visit->panel->conf->panel_session_life, &wait, err);
    if (outcome == SIGN_IN_TROUBLE)
        return false;
    if (outcome == SIGN_IN_DONE) {
        visit_send_session(visit);
        return visit_go(visit, NULL, "/");
    }
    complain(visit, "code", outcome, wait,
             visit_words(visit, "That code is not right, or was used before. Wait for the next "
                                "one."));
    return visit_show_again(visit, "sign-in-code", err);
}

static bool leave(struct visit *visit, const char *note)
{
    memset(&visit->session, 0, sizeof visit->session);
    session_fresh(&visit->session);
    visit_send_session(visit);
    return visit_go(visit, note, "/sign-in");
}

bool do_sign_out(struct visit *visit, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1];

    session_digest(visit->session.token, digest);
    return db_query(visit->db, &row, "select panel_sign_out($1::bytea)", DB_VALUES(digest), err) &&
           leave(visit, visit_words(visit, "You are signed out."));
}

bool do_sign_out_everywhere(struct visit *visit, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1];

    session_digest(visit->session.token, digest);
    return db_query(visit->db, &row, "select panel_sign_out_everywhere($1::bytea, false)",
                    DB_VALUES(digest), err) &&
           leave(visit, visit_words(visit, "You are signed out everywhere."));
}
