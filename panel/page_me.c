/* page_me - one's own account: password, second factor, time zone */
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/password.h"
#include "lib/password_request.h"
#include "lib/text.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/second.h"

/* Whose password is the directory's has none here to change. */
static bool look_for_directory(struct visit *visit, bool *of_directory, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char user[24];

    *of_directory = false;
    if (!visit_is(visit, ROLE_USER))
        return true;
    snprintf(user, sizeof user, "%lld", (long long)visit->session.user);
    if (!db_query(visit->db, &row, "select from ldap_login($1::bigint)", DB_VALUES(user), err))
        return false;
    *of_directory = db_rows(row) > 0;
    data_flag(visit->data, "of_directory", *of_directory);
    return true;
}

static bool show_sessions(struct visit *visit, struct err *err)
{
    return model_sessions(visit->db, &visit->session, visit->panel->conf->panel_idle_limit,
                          visit->data, err);
}

bool page_password(struct visit *visit, struct err *err)
{
    bool of_directory;

    data_flag(visit->data, "must_change", visit->session.must_change);
    return look_for_directory(visit, &of_directory, err) &&
           (!visit_is(visit, ROLE_USER) || show_sessions(visit, err)) &&
           visit_show(visit, "password", err);
}

/* The present password is asked for again: a browser that was left open is not enough. */
static bool check_present(struct visit *visit, bool *right, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    bool must_change;

    if (visit_is(visit, ROLE_USER))
        return password_sign_in(visit->db, visit->session.user,
                                span_text(form_value(&visit->form, "password")), right,
                                &must_change, err);
    if (!db_query(visit->db, &row, "select password from panel_account($1)",
                  DB_VALUES(visit->session.login), err))
        return false;
    *right = db_rows(row) > 0 &&
             password_fits(span_text(form_value(&visit->form, "password")), db_text(row, 0, 0));
    return true;
}

bool do_password(struct visit *visit, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    const char *fresh = form_value(&visit->form, "new_password");
    char digest[SESSION_DIGEST_TEXT + 1], hash[PASSWORD_HASH_ROOM];
    struct err why;
    bool right, of_directory;

    if (!look_for_directory(visit, &of_directory, err))
        return false;
    if (of_directory)
        return visit_show_again(visit, "password", err);
    if (!check_present(visit, &right, err))
        return false;
    if (!right)
        visit_complain(visit, "password", visit_words(visit, "This is not your present password."));
    if (!password_check_rules(span_text(fresh), visit->session.login, &why))
        visit_complain(visit, "new_password", why.text);
    else if (strcmp(fresh, form_value(&visit->form, "new_password_again")) != 0)
        visit_complain(visit, "new_password_again",
                       visit_words(visit, "The two new passwords differ."));
    if (visit_has_complaints(visit)) {
        data_flag(visit->data, "must_change", visit->session.must_change);
        return visit_show_again(visit, "password", err);
    }
    if (visit_is(visit, ROLE_USER))
        return password_change(visit->db, visit->session.user, visit->session.login,
                               span_text(fresh), err) == PASSWORD_DONE &&
               visit_go(visit, visit_words(visit, "Your password is changed."), "/");
    session_digest(visit->session.token, digest);
    return password_hash(span_text(fresh), hash, err) &&
           db_query(visit->db, &row, "select panel_set_password($1::bytea, $2)",
                    DB_VALUES(digest, hash), err) &&
           visit_go(visit, visit_words(visit, "Your password is changed."), "/");
}

bool page_me(struct visit *visit, struct err *err)
{
    data_text(visit->data, "time_zone",
              visit->session.time_zone[0] != '\0' ? visit->session.time_zone : "UTC");
    data_text(visit->data, "taste", visit->session.language);
    data_flag(visit->data, "has_key", visit->panel->has_key);
    return show_sessions(visit, err) && visit_show(visit, "me", err);
}

bool do_taste(struct visit *visit, struct err *err)
{
    DB_RESULT_AUTO known = NULL;
    DB_RESULT_AUTO row = NULL;
    const char *zone = form_value(&visit->form, "time_zone");
    const char *language = form_value(&visit->form, "language");
    enum text_language ours;
    char digest[SESSION_DIGEST_TEXT + 1];

    if (!db_query(visit->db, &known, "select from pg_timezone_names where name = $1",
                  DB_VALUES(zone), err))
        return false;
    if (db_rows(known) == 0) {
        visit_complain(visit, "time_zone",
                       visit_words(visit, "No such time zone; write it like Europe/Berlin."));
        visit_keep_form(visit);
        visit->status = 422;
        return page_me(visit, err);
    }
    if (!text_language_find(language, &ours))
        language = ""; /* as the browser wishes */
    session_digest(visit->session.token, digest);
    return db_query(visit->db, &row, "select panel_set_taste($1::bytea, $3, $2)",
                    DB_VALUES(digest, zone, language), err) &&
           visit_go(visit, visit_words(visit, "Saved."), "/me");
}

/* ---- the second factor ---- */

static void show_secret(struct visit *visit, const uint8_t secret[TOTP_SECRET])
{
    char text[TOTP_SECRET_TEXT + 1];
    BUF_AUTO sealed = {0};
    BUF_AUTO link = {0};

    totp_secret_text(secret, text);
    second_seal_for_form(&visit->session, secret, visit->panel->key, &sealed);
    buf_text(&link, "otpauth://totp/Rollcall:");
    template_escape(&link, PLACE_URL_PART, span_text(visit->session.login));
    buf_printf(&link, "?secret=%s&issuer=Rollcall", text);
    data_text(visit->data, "secret", text);
    data_text(visit->data, "sealed", sealed.at);
    data_text(visit->data, "link", link.at);
}

bool page_second(struct visit *visit, struct err *err)
{
    uint8_t secret[TOTP_SECRET];

    if (!visit->panel->has_key)
        return err_set(err, ERR_DATA,
                       "There is no key on this host to keep a second factor under.");
    data_flag(visit->data, "has_to",
              visit->panel->conf->panel_second_factor != SECOND_FACTOR_OFFERED &&
                  !visit->session.second_factor);
    secret_random(secret, sizeof secret);
    show_secret(visit, secret);
    secret_forget(secret, sizeof secret);
    return visit_show(visit, "second", err);
}

static bool show_codes(struct visit *visit, char codes[SECOND_CODES][SECOND_CODE + 1],
                       struct err *err)
{
    struct data *list = data_list(visit->data, "codes");

    for (size_t i = 0; i < SECOND_CODES; i++)
        data_item_text(list, span_text(codes[i]));
    return visit_show(visit, "second-codes", err);
}

bool do_second(struct visit *visit, struct err *err)
{
    uint8_t secret[TOTP_SECRET];
    char codes[SECOND_CODES][SECOND_CODE + 1];

    if (!visit->panel->has_key ||
        !second_open_from_form(&visit->session, form_value(&visit->form, "sealed"),
                               visit->panel->key, secret))
        return visit_go(visit, NULL, "/me/second");
    bool right;
    if (!check_present(visit, &right, err))
        return false;
    int64_t step = totp_match(secret, span_text(form_value(&visit->form, "code")),
                              clock_wall_us() / CLOCK_SECOND, 0);
    if (step >= 0 && right)
        return second_keep(visit->db, &visit->session, secret, step, visit->panel->key, codes,
                           err) &&
               show_codes(visit, codes, err);
    if (!right)
        visit_complain(visit, "password", visit_words(visit, "This is not your present password."));
    else
        visit_complain(visit, "code",
                       visit_words(visit, "That is not the code the app shows now. Is the clock of "
                                          "this telephone right?"));
    show_secret(visit, secret);
    return visit_show_again(visit, "second", err);
}

bool do_second_drop(struct visit *visit, struct err *err)
{
    bool right;

    if (!check_present(visit, &right, err))
        return false;
    if (right)
        return second_drop(visit->db, &visit->session, err) &&
               visit_go(visit, visit_words(visit, "The second factor is gone."), "/me");
    visit_complain(visit, "password", visit_words(visit, "This is not your present password."));
    visit->status = 422;
    return page_me(visit, err);
}

/* ---- where one is signed in ---- */

bool do_session_end(struct visit *visit, struct err *err)
{
    bool ended;

    return model_session_end(visit->db, &visit->session, form_value(&visit->form, "session"),
                             &ended, err) &&
           visit_go(visit,
                    ended ? visit_words(visit, "That session is ended.")
                          : visit_words(visit, "That session had ended already."),
                    visit_is(visit, ROLE_USER) ? "/password" : "/me");
}
