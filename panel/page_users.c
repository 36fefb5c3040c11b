/* page_users - the users of a domain: found, added, changed, disabled, removed, one by one */
#include <stdio.h>
#include <string.h>

#include "panel/change.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

/* Without a domain chosen: the first there is. */
bool page_users_domain(struct visit *visit, struct err *err)
{
    char id[16];
    const char *asked = form_value(&visit->query, "domain");

    if (asked[0] != '\0')
        return visit_go(visit, NULL, "/domains/%s/users", visit_number(visit, asked));
    if (!model_first_domain(visit->db, id, err))
        return false;
    if (strcmp(id, "0") != 0)
        return visit_go(visit, NULL, "/domains/%s/users", id);
    return model_domains(visit->db, "", visit->data, err) && visit_show(visit, "domains", err);
}

static bool is_state(const char *text)
{
    return strcmp(text, "active") == 0 || strcmp(text, "disabled") == 0 ||
           strcmp(text, "retired") == 0;
}

bool page_users(struct visit *visit, struct err *err)
{
    const char *state = form_value(&visit->query, "state");
    struct model_search search = {
        .domain = visit_number(visit, visit_id(visit)),
        .fragment = form_value(&visit->query, "q"),
        .after = form_value(&visit->query, "after"),
        .state = is_state(state) ? state : "",
    };

    if (strlen(search.fragment) > 100)
        return visit_go(visit, NULL, "/domains/%s/users", search.domain);
    data_text(visit->data, "q", search.fragment);
    data_text(visit->data, "state", search.state);
    data_flag(visit->data, "later", search.after[0] != '\0');
    if (!model_domain(visit->db, search.domain, visit->data, err) ||
        !model_domains(visit->db, "", visit->data, err) ||
        !model_users(visit->db, &search, visit->data, err))
        return false;
    view_choose(visit->data, "domains", "id", search.domain);
    return visit_show(visit, "users", err);
}

bool page_user_add(struct visit *visit, struct err *err)
{
    return model_domain(visit->db, visit_number(visit, visit_id(visit)), visit->data, err) &&
           visit_show(visit, "user-add", err);
}

/* The address that was typed, with the domain behind it when only its name was. */
static void whole_address(struct visit *visit, const char *typed, const char *domain,
                          struct buf *out)
{
    struct span text = span_trim(span_text(typed));

    (void)visit;
    buf_append(out, text.at, text.len);
    if (text.len > 0 && memchr(text.at, '@', text.len) == NULL)
        buf_printf(out, "@%s", domain);
}

bool do_user_add(struct visit *visit, struct err *err)
{
    const char *id = visit_number(visit, visit_id(visit));
    BUF_AUTO addresses = {0};
    BUF_AUTO note = {0};
    char domain[254];
    bool done;

    if (!model_domain_name(visit->db, id, domain, err))
        return false;
    buf_text(&addresses, "");
    whole_address(visit, form_value(&visit->form, "address"), domain, &addresses);
    if (addresses.len > 0)
        buf_printf(&addresses, " %s", form_value(&visit->form, "aliases"));
    struct change_job job = {.mode = ROLL_ADD,
                             .addresses = addresses.at,
                             .name = form_value(&visit->form, "name"),
                             .together = true,
                             .group = form_has(&visit->form, "group"),
                             .field = "address"};
    if (!change_run(visit, &job, &done, &note, err))
        return false;
    if (done)
        return visit_go(visit, note.at, "/domains/%s/users", id);
    visit_keep_form(visit);
    visit->status = 422;
    return page_user_add(visit, err);
}

/* ---- one user ---- */

static bool show_user(struct visit *visit, struct err *err)
{
    return model_user(visit->db, visit_number(visit, visit_id(visit)), visit->data, err) &&
           visit_show(visit, "user", err);
}

bool page_user(struct visit *visit, struct err *err)
{
    return show_user(visit, err);
}

static const char *user_text(const struct visit *visit, const char *key)
{
    const struct data *user = data_get(visit->data, span_text("user"));
    const struct data *text = user != NULL ? data_get(user, span_text(key)) : NULL;

    return text != NULL ? text->text.at : "";
}

/* More aliases, another name. */
bool do_user_edit(struct visit *visit, struct err *err)
{
    BUF_AUTO addresses = {0};
    BUF_AUTO note = {0};
    bool done;

    if (!model_user(visit->db, visit_number(visit, visit_id(visit)), visit->data, err))
        return false;
    buf_printf(&addresses, "%s %s", user_text(visit, "address"),
               form_value(&visit->form, "aliases"));
    struct change_job job = {.mode = ROLL_ADD,
                             .addresses = addresses.at,
                             .name = form_value(&visit->form, "name"),
                             .together = true,
                             .field = "aliases"};
    if (!change_run(visit, &job, &done, &note, err))
        return false;
    if (done)
        return visit_go(visit, note.at, "/recipients/%s", visit_id(visit));
    visit_keep_form(visit);
    return visit_show_again(visit, "user", err);
}

/* The named address, or a user by the primary one, is disabled, enabled or taken off the roll. */
bool do_user_state(struct visit *visit, struct err *err)
{
    static const struct {
        const char *name;
        enum roll_mode mode;
    } acts[] = {{"disable", ROLL_DISABLE}, {"enable", ROLL_ENABLE}, {"remove", ROLL_REMOVE}};
    const char *what = form_value(&visit->form, "do");
    struct change_job job = {
        .addresses = form_value(&visit->form, "address"), .name = "", .field = "state"};
    BUF_AUTO note = {0};
    bool known = false, done;

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(what, acts[i].name) == 0) {
            job.mode = acts[i].mode;
            known = true;
        }
    if (!model_user(visit->db, visit_number(visit, visit_id(visit)), visit->data, err))
        return false;
    if (!known)
        return err_set(err, ERR_DATA, "There is no such page.");
    char domain[16];
    snprintf(domain, sizeof domain, "%s", user_text(visit, "domain_id"));
    bool whole = strcmp(job.addresses, user_text(visit, "address")) == 0;
    if (!change_run(visit, &job, &done, &note, err))
        return false;
    if (!done)
        return visit_show_again(visit, "user", err);
    if (job.mode == ROLL_REMOVE && whole)
        return visit_go(visit, note.at, "/domains/%s/users", domain);
    return visit_go(visit, note.at, "/recipients/%s", user_text(visit, "primary_id"));
}
