/* page_quarantine - messages that the filter caught: a user's own, or those of a customer's
 * domains; and whom they trust */
#include <stdio.h>
#include <string.h>

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

bool page_quarantine(struct visit *visit, struct err *err)
{
    static const char *const categories[] = {"spam", "bulk", "virus", "content", NULL};
    static const char *const states[] = {"held", "released", "deleted", NULL};
    const char *state = one_of(form_value(&visit->query, "state"), states);
    struct model_quarantine search = {
        .category = one_of(form_value(&visit->query, "category"), categories),
        .state = state[0] != '\0' ? state : "held",
        .fragment = form_value(&visit->query, "q"),
        .before = form_value(&visit->query, "before"),
    };

    data_text(visit->data, "category", search.category);
    data_text(visit->data, "state", search.state);
    data_text(visit->data, "q", search.fragment);
    return model_quarantine(visit->db, &search, visit->data, err) &&
           visit_show(visit, "quarantine", err);
}

bool page_message(struct visit *visit, struct err *err)
{
    return model_message(visit->db, visit_number(visit, visit_id(visit)), visit->data, err) &&
           visit_show(visit, "message", err);
}

/* The numbers of the chosen messages as an array of PostgreSQL. */
static size_t take_chosen(const struct visit *visit, struct buf *array)
{
    size_t count = 0;
    int64_t number;

    buf_text(array, "{");
    for (size_t i = 0; i < visit->form.count && count < CHOSEN_MOST; i++) {
        const struct form_field *field = &visit->form.fields[i];
        if (strcmp(field->name, "message") == 0 && str_int64(span_text(field->value), &number) &&
            number > 0)
            buf_printf(array, "%s%lld", count++ > 0 ? "," : "", (long long)number);
    }
    buf_text(array, "}");
    return count;
}

/* An allowed sender's messages are released, a blocked one's deleted. */
bool do_quarantine(struct visit *visit, struct err *err)
{
    static const struct {
        const char *name, *what, *rule, *note;
    } acts[] = {
        {"release", "release", NULL, "Being released: they arrive within seconds."},
        {"delete", "delete", NULL, "Deleted."},
        {"allow", "release", "allow", "The sender is allowed, the message is being released."},
        {"block", "delete", "block", "The sender is blocked, the message is deleted."},
    };
    const char *asked = form_value(&visit->form, "do");
    BUF_AUTO array = {0};

    if (take_chosen(visit, &array) == 0)
        return visit_go(visit, visit_words(visit, "Choose messages first."), "/quarantine");
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(asked, acts[i].name) == 0)
            return visit_transaction(visit, err) &&
                   (acts[i].rule == NULL ||
                    model_trust(visit->db, array.at, acts[i].rule, visit->session.login, err)) &&
                   model_quarantine_ask(visit->db, array.at, acts[i].what, visit->session.login,
                                        err) &&
                   visit_commit(visit, err) &&
                   visit_go(visit, visit_words(visit, acts[i].note), "/quarantine");
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
