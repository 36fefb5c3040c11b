/* page_domains - domains: what they have, their settings, and the relay check with its preflight */
#include <stdio.h>
#include <string.h>

#include "lib/domain.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

enum { SETTINGS_MOST = 16 };

bool page_domains(struct visit *visit, struct err *err)
{
    const char *like = form_value(&visit->query, "q");

    data_text(visit->data, "q", like);
    return model_domains(visit->db, like, visit->data, err) && visit_show(visit, "domains", err);
}

/* ---- adding ---- */

bool page_domain_add(struct visit *visit, struct err *err)
{
    if (!model_customers(visit->db, visit->data, err))
        return false;
    view_choose(visit->data, "customers", "name", form_value(&visit->query, "customer"));
    return visit_show(visit, "domain-add", err);
}

bool do_domain_add(struct visit *visit, struct err *err)
{
    const char *name = form_value(&visit->form, "name");
    const char *customer = form_value(&visit->form, "customer");
    struct domain_setting settings[] = {
        {"relay-check", form_value(&visit->form, "relay_check")},
        {"next-hop", form_value(&visit->form, "next_hop")},
    };
    int64_t version;

    if (domain_add(visit->db, &name, 1, customer, settings, sizeof settings / sizeof settings[0],
                   visit->session.login, &version, err))
        return visit_go(visit,
                        visit_words(visit, "The domain is added. Put its users on the roll next."),
                        "/domains?q=%s", name);
    if (!visit_refused(visit, err, "name") || !model_customers(visit->db, visit->data, err))
        return false;
    view_choose(visit->data, "customers", "name", customer);
    return visit_show_again(visit, "domain-add", err);
}

/* ---- one domain ---- */

static const char *domain_id(struct visit *visit)
{
    return visit_number(visit, visit_id(visit));
}

bool page_domain(struct visit *visit, struct err *err)
{
    return model_domain(visit->db, domain_id(visit), visit->data, err) &&
           model_domain_figures(visit->db, domain_id(visit), visit->data, err) &&
           visit_show(visit, "domain", err);
}

bool page_domain_settings(struct visit *visit, struct err *err)
{
    return model_domain(visit->db, domain_id(visit), visit->data, err) &&
           visit_show(visit, "domain-settings", err);
}

/* The fields that the form had, as settings. A box that is not ticked sends nothing. */
static size_t take_settings(const struct visit *visit, struct domain_setting *settings)
{
    static const struct {
        const char *field, *setting;
        bool box, hop;
    } fields[] = {{"next_hop", "next-hop", false, true},
                  {"delimiter", "delimiter", false, false},
                  {"threshold", "threshold", false, false},
                  {"stale_limit", "stale-limit", false, false},
                  {"source_stale_limit", "source-stale-limit", false, false},
                  {"guard_percent", "guard-percent", false, false},
                  {"loaded", "loaded", true, false}};
    size_t count = 0;

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        bool given = form_has(&visit->form, fields[i].field);
        if (fields[i].hop && !visit_is(visit, ROLE_OPERATOR))
            continue;
        if (fields[i].box)
            settings[count++] = (struct domain_setting){fields[i].setting, given ? "yes" : "no"};
        else if (given)
            settings[count++] = (struct domain_setting){fields[i].setting,
                                                        form_value(&visit->form, fields[i].field)};
    }
    return count;
}

bool do_domain_settings(struct visit *visit, struct err *err)
{
    struct domain_setting settings[SETTINGS_MOST];
    char name[254];
    const char *names[] = {name};
    int64_t version;

    if (!model_domain_name(visit->db, domain_id(visit), name, err))
        return false;
    size_t count = take_settings(visit, settings);
    if (domain_set(visit->db, names, 1, settings, count, visit->session.login, &version, err))
        return visit_go(visit, visit_words(visit, "Saved; every gateway has it within a second."),
                        "/domains/%s", domain_id(visit));
    return visit_refused(visit, err, "name") &&
           model_domain(visit->db, domain_id(visit), visit->data, err) &&
           visit_show(visit, "domain-settings", err);
}

/* ---- the relay check ---- */

static bool is_check(const char *text)
{
    return relay_check_by_name(span_text(text)) != CHECK_NONE;
}

bool page_relay_check(struct visit *visit, struct err *err)
{
    const char *asked = form_value(&visit->query, "check");

    if (is_check(asked))
        return model_preflight(visit->db, domain_id(visit), asked, visit->data, err) &&
               visit_show(visit, "preflight", err);
    return model_domain(visit->db, domain_id(visit), visit->data, err) &&
           visit_show(visit, "relay-check", err);
}

bool do_relay_check(struct visit *visit, struct err *err)
{
    const char *asked = form_value(&visit->form, "check");
    bool shadow = strcmp(form_value(&visit->form, "how"), "shadow") == 0;
    bool end_shadow = strcmp(form_value(&visit->form, "how"), "end-shadow") == 0;
    struct domain_setting settings[2] = {{"relay-check", asked}, {"shadow", "none"}};
    char name[254];
    const char *names[] = {name};
    int64_t version;

    if (shadow)
        settings[0] = (struct domain_setting){"shadow", asked};
    if (end_shadow)
        settings[0] = settings[1];
    if (!model_domain_name(visit->db, domain_id(visit), name, err))
        return false;
    if (domain_set(visit->db, names, 1, settings, shadow || end_shadow ? 1 : 2,
                   visit->session.login, &version, err))
        return visit_go(visit,
                        shadow ? visit_words(visit, "The gateways log what it would do; nobody is "
                                                    "answered by it.")
                               : visit_words(visit, "Saved; every gateway has it within a second."),
                        "/domains/%s", domain_id(visit));
    return visit_refused(visit, err, "name") &&
           model_domain(visit->db, domain_id(visit), visit->data, err) &&
           visit_show(visit, "relay-check", err);
}

bool do_domain_remove(struct visit *visit, struct err *err)
{
    char name[254];
    const char *names[] = {name};
    int64_t version;

    if (!model_domain_name(visit->db, domain_id(visit), name, err))
        return false;
    if (strcmp(form_value(&visit->form, "confirm"), name) != 0)
        err_set(err, ERR_DATA, "confirm: %s",
                visit_words(visit, "type the name of the domain to remove it"));
    else if (domain_remove(visit->db, names, 1, form_has(&visit->form, "with_users"),
                           visit->session.login, &version, err))
        return visit_go(visit, visit_words(visit, "The domain is served no longer."), "/domains");
    return visit_refused(visit, err, "name") &&
           model_domain(visit->db, domain_id(visit), visit->data, err) &&
           model_domain_figures(visit->db, domain_id(visit), visit->data, err) &&
           visit_show(visit, "domain", err);
}
