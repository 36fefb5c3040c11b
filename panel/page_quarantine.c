/* page_quarantine - messages that the filter caught: a user's own, or those of a customer's
 * domains; and whom they trust */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/sender.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

enum { CHOSEN_MOST = 200 };

static const char *one_of(const char *text, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(text, *known) == 0)
            return *known;
    return "";
}

static const char *const categories[] = {"spam", "bulk", "virus", "content", NULL};
static const char *const states[] = {"held", "released", "deleted", NULL};

/* "2026-11-30", a day that there is; "" for anything else. */
static const char *day_of(const char *text)
{
    struct tm day = {0};
    int used = 0;

    if (strlen(text) != strlen("2026-11-30") ||
        sscanf(text, "%4d-%2d-%2d%n", &day.tm_year, &day.tm_mon, &day.tm_mday, &used) != 3 ||
        text[used] != '\0' || text[4] != '-' || day.tm_year < 1970)
        return "";
    day.tm_year -= 1900;
    day.tm_mon -= 1;
    struct tm same = day;
    time_t seconds = timegm(&same);
    return seconds >= 0 && same.tm_mon == day.tm_mon && same.tm_mday == day.tm_mday ? text : "";
}

/* What is looked for, out of an address or out of a form that goes back to it. */
static struct model_quarantine search_of(const struct form *form)
{
    const char *state = one_of(form_value(form, "state"), states);

    return (struct model_quarantine){
        .category = one_of(form_value(form, "category"), categories),
        .state = state[0] != '\0' ? state : states[0],
        .fragment = form_value(form, "q"),
        .from = day_of(form_value(form, "from")),
        .to = day_of(form_value(form, "to")),
        .order = one_of(form_value(form, "order"), model_orders),
        .before = form_value(form, "before"),
    };
}

bool page_quarantine(struct visit *visit, struct err *err)
{
    struct model_quarantine search = search_of(&visit->query);

    search.user = visit->session.user;
    search.customer = visit_is(visit, ROLE_OPERATOR) ? 0 : visit->session.customer;
    data_text(visit->data, "category", search.category);
    data_text(visit->data, "state", search.state);
    data_text(visit->data, "q", search.fragment);
    data_text(visit->data, "from", search.from);
    data_text(visit->data, "to", search.to);
    data_text(visit->data, "order", search.order);
    return model_quarantine(visit->db, &search, visit->data, err) &&
           visit_show(visit, "quarantine", err);
}

static void put_part(struct buf *out, const char *name, const char *value)
{
    if (value[0] == '\0')
        return;
    buf_printf(out, "%s%s=", out->len == 0 ? "?" : "&", name);
    template_escape(out, PLACE_URL_PART, span_text(value));
}

/* To the list that the form was sent from. */
static bool go_back(struct visit *visit, const char *note)
{
    enum { FRAGMENT_MOST = 200 };
    struct model_quarantine search = search_of(&visit->form);
    BUF_AUTO query = {0};

    buf_text(&query, "");
    put_part(&query, "state", search.state == states[0] ? "" : search.state);
    put_part(&query, "category", search.category);
    put_part(&query, "from", search.from);
    put_part(&query, "to", search.to);
    put_part(&query, "order", search.order);
    if (strlen(search.fragment) <= FRAGMENT_MOST)
        put_part(&query, "q", search.fragment);
    return visit_go(visit, note, "/quarantine%s", query.at);
}

/* An allowed sender's messages are released, a blocked one's deleted. */
static const struct act {
    const char *name, *what, *rule, *note;
} acts[] = {
    {"release", "release", NULL, N_("Being released: they arrive within seconds.")},
    {"delete", "delete", NULL, N_("Deleted.")},
    {"allow", "release", "allow", N_("The sender is allowed, the message is being released.")},
    {"block", "delete", "block", N_("The sender is blocked, the message is deleted.")},
};

static bool tell(struct visit *visit, const struct act *act, bool viruses, size_t chosen,
                 size_t done)
{
    struct data *values = data_map(visit->arena);
    BUF_AUTO text = {0};

    if (done == chosen)
        return go_back(visit, visit_words(visit, act->note));
    data_int(values, "done", (int64_t)done);
    data_int(values, "chosen", (int64_t)chosen);
    template_fill(
        &text,
        strcmp(act->what, "release") == 0 && !viruses
            ? visit_words(visit, "Done for {done} of {chosen}: the others carry a virus, were "
                                 "released before, or are not there any more.")
            : visit_words(visit, "Done for {done} of {chosen}: the others were released before, "
                                 "or are not there any more."),
        values);
    return go_back(visit, text.at);
}

static bool do_act(struct visit *visit, const struct act *act, struct err *err)
{
    BUF_AUTO array = {0};
    size_t chosen = visit_chosen(visit, "message", CHOSEN_MOST, &array), done = 0;
    bool viruses;

    if (chosen == 0)
        return go_back(visit, visit_words(visit, "Choose messages first."));
    return visit_transaction(visit, err) && visit_may_release_virus(visit, &viruses, err) &&
           (act->rule == NULL ||
            model_trust(visit->db, array.at, act->rule, visit->session.login, err)) &&
           model_quarantine_ask(visit->db, array.at, act->what, visit->session.login, viruses,
                                &done, err) &&
           visit_commit(visit, err) && tell(visit, act, viruses, chosen, done);
}

bool do_quarantine(struct visit *visit, struct err *err)
{
    const char *asked = form_value(&visit->form, "do");

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(asked, acts[i].name) == 0)
            return do_act(visit, &acts[i], err);
    return err_set(err, ERR_DATA, "There is no such page.");
}

/* ---- whom they trust ---- */

bool page_senders(struct visit *visit, struct err *err)
{
    return model_senders(visit->db, visit->data, err) &&
           (visit_is(visit, ROLE_USER) || model_domains(visit->db, "", visit->data, err)) &&
           visit_show(visit, "senders", err);
}

bool do_sender_add(struct visit *visit, struct err *err)
{
    const char *action = form_value(&visit->form, "action");
    char pattern[SENDER_PATTERN_MOST + 1], user[24];
    const char *domain = form_value(&visit->form, "domain");
    struct err why;

    if (!sender_pattern_parse(span_text(form_value(&visit->form, "pattern")), pattern, &why)) {
        visit_complain(visit, "pattern", why.text);
        visit_keep_form(visit);
        visit->status = 422;
        return page_senders(visit, err);
    }
    snprintf(user, sizeof user, "%lld", (long long)visit->session.user);
    bool own = visit_is(visit, ROLE_USER);
    return model_sender_add(visit->db, own ? user : NULL, own ? NULL : visit_number(visit, domain),
                            strcmp(action, "allow") == 0 ? "allow" : "block", pattern,
                            visit->session.login, err) &&
           visit_go(visit, visit_words(visit, "Saved."), "/senders");
}

bool do_sender_remove(struct visit *visit, struct err *err)
{
    return model_sender_remove(visit->db, visit_number(visit, visit_id(visit)), err) &&
           visit_go(visit, visit_words(visit, "Removed."), "/senders");
}
