/* page_outbox - what an operator minds: mails on their way, and the jobs that run by themselves */
#include <stdio.h>
#include <string.h>

#include "panel/model.h"
#include "panel/page.h"

enum { CHOSEN_MOST = 200 };

static const char *state_of(const char *text)
{
    static const char *const known[] = {"waiting", "dead", "sent"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(text, known[i]) == 0)
            return known[i];
    return known[0];
}

bool page_outbox(struct visit *visit, struct err *err)
{
    const char *state = state_of(form_value(&visit->query, "state"));
    const char *fragment = form_value(&visit->query, "q");
    const char *before = visit_number(visit, form_value(&visit->query, "before"));

    data_text(visit->data, "state", state);
    data_text(visit->data, "q", fragment);
    return model_outbox(visit->db, state, fragment, strcmp(before, "0") == 0 ? NULL : before,
                        visit->data, err) &&
           visit_show(visit, "outbox", err);
}

bool do_outbox(struct visit *visit, struct err *err)
{
    static const struct {
        const char *name, *state, *note;
    } acts[] = {
        {"retry", "waiting", N_("They are tried now.")},
        {"drop", "dead", N_("Given up. What their reports told of comes with the next one.")},
        {"forget", "dead", N_("Forgotten.")},
    };
    const char *asked = form_value(&visit->form, "do");
    const char *state = state_of(form_value(&visit->form, "state"));
    BUF_AUTO array = {0};
    int64_t done;

    if (visit_chosen(visit, "mail", CHOSEN_MOST, &array) == 0)
        return visit_go(visit, visit_words(visit, "Choose mails first."), "/outbox?state=%s",
                        state);
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strcmp(asked, acts[i].name) == 0)
            return model_outbox_act(visit->db, array.at, asked, visit->session.login, &done, err) &&
                   visit_go(visit,
                            visit_words(visit,
                                        done > 0 ? acts[i].note : N_("They have left meanwhile.")),
                            "/outbox?state=%s", state);
    return err_set(err, ERR_DATA, "There is no such page.");
}

bool page_jobs(struct visit *visit, struct err *err)
{
    return model_jobs(visit->db, visit->data, err) &&
           model_attention(visit->db, visit->data, err) && visit_show(visit, "jobs", err);
}
