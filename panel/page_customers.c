/* page_customers - customers, and the accounts of those who manage */
#include <stdio.h>
#include <string.h>

#include "lib/account.h"
#include "lib/domain.h"
#include "lib/password.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

bool page_customers(struct visit *visit, struct err *err)
{
    return model_customers(visit->db, visit->data, err) && visit_show(visit, "customers", err);
}

bool do_customer_add(struct visit *visit, struct err *err)
{
    const char *name = form_value(&visit->form, "name");

    if (customer_add(visit->db, name, visit->session.login, err))
        return visit_go(visit, visit_words(visit, "The customer is added. Now add its domains."),
                        "/customers");
    return visit_refused(visit, err, "name") && page_customers(visit, err);
}

/* *name lives as long as the visit. */
static bool read_customer(struct visit *visit, const char **name, struct err *err)
{
    enum conf_release_virus preset = (enum conf_release_virus)visit->panel->conf->release_virus,
                            who;
    bool own;

    if (!model_customer(visit->db, visit_number(visit, visit_id(visit)), visit->data, err))
        return false;
    *name = data_get(data_get(visit->data, span_text("customer")), span_text("name"))->text.at;
    if (!customer_release_virus(visit->db, *name, preset, &who, &own, err))
        return false;
    data_text(visit->data, "viruses", own ? conf_release_virus_words[who] : "");
    data_text(visit->data, "viruses_above", conf_release_virus_words[preset]);
    return true;
}

bool page_customer(struct visit *visit, struct err *err)
{
    const char *name;

    return read_customer(visit, &name, err) && visit_show(visit, "customer", err);
}

bool do_customer_viruses(struct visit *visit, struct err *err)
{
    const char *name, *who = form_value(&visit->form, "viruses");

    if (!read_customer(visit, &name, err))
        return false;
    if (customer_set_release_virus(visit->db, name, who[0] != '\0' ? who : NULL,
                                   visit->session.login, err))
        return visit_go(visit, visit_words(visit, "Saved."), "/customers/%s", visit_id(visit));
    if (err->class == ERR_USAGE)
        err->class = ERR_DATA; /* no word of the form's: nobody's browser sends that */
    return false;
}

bool do_customer_remove(struct visit *visit, struct err *err)
{
    const char *name;

    if (!read_customer(visit, &name, err))
        return false;
    if (customer_remove(visit->db, name, visit->session.login, err))
        return visit_go(visit, visit_words(visit, "The customer is removed."), "/customers");
    return visit_refused(visit, err, "remove") && visit_show(visit, "customer", err);
}

/* ---- accounts ---- */

bool page_accounts(struct visit *visit, struct err *err)
{
    return model_accounts(visit->db, visit->data, err) && visit_show(visit, "accounts", err);
}

/* Shown once; the page is never kept. */
static bool show_password(struct visit *visit, const char *login, const char *password,
                          struct err *err)
{
    data_text(visit->data, "fresh_login", login);
    data_text(visit->data, "fresh_password", password);
    return page_accounts(visit, err);
}

/* An administrator makes administrators of the own customer. */
static const char *customer_of(const struct visit *visit)
{
    const char *named = form_value(&visit->form, "customer");

    if (!visit_is(visit, ROLE_OPERATOR))
        return visit->session.customer_name;
    return named[0] != '\0' ? named : NULL;
}

bool do_account_add(struct visit *visit, struct err *err)
{
    const char *login = form_value(&visit->form, "login");
    char password[PASSWORD_GENERATED + 1], hash[PASSWORD_HASH_ROOM];

    password_generate(password);
    if (!password_hash(span_text(password), hash, err))
        return false;
    bool fine = account_add(visit->db, login, customer_of(visit), hash, visit->session.login, err);
    fine = fine ? show_password(visit, login, password, err)
                : visit_refused(visit, err, "login") && page_accounts(visit, err);
    secret_forget(password, sizeof password);
    return fine;
}

static bool new_password(struct visit *visit, const char *login, struct err *err)
{
    char password[PASSWORD_GENERATED + 1], hash[PASSWORD_HASH_ROOM];

    password_generate(password);
    bool fine = password_hash(span_text(password), hash, err) &&
                account_do(visit->db, ACCOUNT_PASSWORD, login, hash, visit->session.login, err) &&
                show_password(visit, login, password, err);
    secret_forget(password, sizeof password);
    return fine;
}

bool do_account(struct visit *visit, struct err *err)
{
    static const struct {
        const char *name;
        enum account_act act;
    } acts[] = {{"remove", ACCOUNT_REMOVE},
                {"disable", ACCOUNT_DISABLE},
                {"enable", ACCOUNT_ENABLE},
                {"reset", ACCOUNT_RESET_SECOND}};
    const char *what = visit->parameters[1];
    char login[201];

    if (!model_account_login(visit->db, visit_number(visit, visit_id(visit)), login, err))
        return false;
    if (strcasecmp(login, visit->session.login) == 0) {
        visit_complain(visit, "account",
                       visit_words(visit, "This is yourself: somebody else has to do that."));
        visit->status = 422;
        return page_accounts(visit, err);
    }
    if (strcmp(what, "password") == 0)
        return new_password(visit, login, err);
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(what, acts[i].name) == 0)
            return account_do(visit->db, acts[i].act, login, NULL, visit->session.login, err) &&
                   visit_go(visit, visit_words(visit, "Done."), "/accounts");
    return err_set(err, ERR_DATA, "There is no such page.");
}
