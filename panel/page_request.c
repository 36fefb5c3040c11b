/*
 * page_request - a user comes to a password: asks, confirms, asks for it, sets it
 *
 * What is said never tells whether an address exists. A GET acts on nothing: whatever follows links
 * in mails sees a page with a button.
 */
#include <string.h>

#include "lib/log.h"
#include "lib/password_request.h"
#include "panel/page.h"

bool page_request(struct visit *visit, struct err *err)
{
    data_text(visit->data, "address", form_value(&visit->query, "address"));
    return visit_show(visit, "request-password", err);
}

static bool ask_again(struct visit *visit, const char *why, struct err *err)
{
    data_text(visit->data, "address", form_value(&visit->form, "address"));
    visit_complain(visit, "address", why);
    return visit_show_again(visit, "request-password", err);
}

/* The two steps are two buttons of one form. */
bool do_request(struct visit *visit, struct err *err)
{
    const char *address = form_value(&visit->form, "address");
    bool second = strcmp(form_value(&visit->form, "step"), "password") == 0;
    enum password_asked asked = (second ? password_send : password_request)(
        visit->db, visit->panel->conf, address, visit->client, err);

    switch (asked) {
    case PASSWORD_NO_ADDRESS:
        return ask_again(visit, err->text, err);
    case PASSWORD_TOO_MANY:
        return ask_again(
            visit, visit_words(visit, "That was asked for often of late. Try again in an hour."),
            err);
    case PASSWORD_UNSURE:
        return false;
    default:
        data_text(visit->data, "asked", second ? "password" : "registration");
        data_text(visit->data, "address", address);
        return visit_show(visit, "request-password", err);
    }
}

/* Every link that is not good gets the same page. */
static bool show_bad(struct visit *visit, struct err *err)
{
    visit->status = 410;
    data_flag(visit->data, "bad", true);
    return visit_show(visit, "confirm", err);
}

static bool show_link(struct visit *visit, enum token_purpose purpose, const char *template,
                      struct err *err)
{
    const char *text = form_value(&visit->query, "t");
    int64_t subject;
    enum token_answer answer = token_look(visit->db, purpose, span_text(text), &subject, err);

    if (answer == TOKEN_UNSURE)
        return false;
    if (answer == TOKEN_BAD)
        return show_bad(visit, err);
    data_text(visit->data, "t", text);
    return visit_show(visit, template, err);
}

bool page_confirm(struct visit *visit, struct err *err)
{
    return show_link(visit, TOKEN_CONFIRM, "confirm", err);
}

bool do_confirm(struct visit *visit, struct err *err)
{
    int64_t user;
    enum token_answer answer =
        password_confirm(visit->db, span_text(form_value(&visit->form, "t")), &user, err);

    if (answer == TOKEN_UNSURE)
        return false;
    if (answer == TOKEN_BAD)
        return show_bad(visit, err);
    data_flag(visit->data, "confirmed", true);
    return visit_show(visit, "confirm", err);
}

bool page_set_password(struct visit *visit, struct err *err)
{
    return show_link(visit, TOKEN_PASSWORD, "set-password", err);
}

bool do_set_password(struct visit *visit, struct err *err)
{
    const char *text = form_value(&visit->form, "t");
    const char *fresh = form_value(&visit->form, "new_password");
    int64_t user;

    data_text(visit->data, "t", text);
    if (strcmp(fresh, form_value(&visit->form, "new_password_again")) != 0) {
        visit_complain(visit, "new_password_again",
                       visit_words(visit, "The two passwords differ."));
        return visit_show_again(visit, "set-password", err);
    }
    switch (password_set(visit->db, span_text(text), span_text(fresh), &user, err)) {
    case PASSWORD_DONE:
        return visit_go(visit, visit_words(visit, "Your password is set. Sign in with it."),
                        "/sign-in");
    case PASSWORD_REFUSED:
        visit_complain(visit, "new_password", err->text);
        return visit_show_again(visit, "set-password", err);
    case PASSWORD_BAD_TOKEN:
        return show_bad(visit, err);
    default:
        return false;
    }
}
