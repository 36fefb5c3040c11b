/*
 * page_link - where the signed links of reports lead: a message, all that is held, turning reports
 * off
 *
 * The link is all the authority there is, whoever is signed in. A GET shows a page; only its forms
 * act, each by a signed link of its own that permits this one thing. Every link that is not good,
 * whatever is wrong with it, gets the same page.
 */
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/link.h"
#include "lib/log.h"
#include "panel/model.h"
#include "panel/page.h"

static const struct act {
    enum link_action action;
    const char *name; /* for link_act and the template */
    bool of_sender, releases;
} acts[] = {
    {LINK_RELEASE, "release", false, true},
    {LINK_ALLOW, "allow", true, true},
    {LINK_BLOCK, "block", true, false},
};
enum { ACTS = sizeof acts / sizeof acts[0] };

static bool show_bad(struct visit *visit, struct err *err)
{
    visit->status = 410;
    data_flag(visit->data, "bad", true);
    return visit_show(visit, "link", err);
}

/* What is not there any more is a link that is not good. */
static bool show_unless_gone(struct visit *visit, bool fine, const char *template, struct err *err)
{
    if (fine)
        return visit_show(visit, template, err);
    return err->class == ERR_DATA && show_bad(visit, err);
}

static bool open_link(const struct visit *visit, const char *text, struct link *link)
{
    if (!visit->panel->has_link_key)
        log_write(LOG_PANEL_TROUBLE, "%s: without a key no link can be opened: link_key_file",
                  visit->path);
    return visit->panel->has_link_key &&
           link_open(span_text(text), clock_wall_us() / CLOCK_SECOND, visit->panel->link_key, link);
}

/* The same link for something else that its page offers. */
static void sign_like(const struct visit *visit, const struct link *link, enum link_action action,
                      int64_t recipient, char text[LINK_TEXT + 1])
{
    const struct link other = {action, recipient, link->user, link->expires};

    link_sign(&other, visit->panel->link_key, text);
}

/* ---- a message ---- */

static bool is_true(const struct visit *visit, const char *key)
{
    const struct data *message = data_get(visit->data, span_text("message"));

    return data_true(data_get(message, span_text(key)));
}

/* By a link one is nobody's administrator. */
static bool look_for_bar(struct visit *visit, const struct link *link, bool *barred,
                         struct err *err)
{
    enum conf_release_virus who = (enum conf_release_virus)visit->panel->conf->release_virus;

    *barred = false;
    if (!page_is_virus(visit->data))
        return true;
    if (!model_link_release_virus(visit->db, link, who, &who, err))
        return false;
    *barred = who != RELEASE_VIRUS_USERS;
    return true;
}

/* The buttons of the page; the one that the link is about comes first. */
static void offer_acts(struct visit *visit, const struct link *link, bool barred)
{
    struct data *list = data_list(visit->data, "acts");
    char token[LINK_TEXT + 1];

    data_flag(visit->data, "is_barred", barred);
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < ACTS; i++) {
            bool first = link->action == acts[i].action;
            if (first == (turn == 1) || (barred && acts[i].releases) ||
                !is_true(visit, acts[i].of_sender ? "is_trusting" : "is_held"))
                continue;
            sign_like(visit, link, acts[i].action, link->recipient, token);
            struct data *act = data_item(list);
            data_text(act, "name", acts[i].name);
            data_text(act, "t", token);
            data_flag(act, "is_first", first);
        }
}

static bool show_message(struct visit *visit, const struct link *link, struct err *err)
{
    bool barred;
    bool fine =
        model_link_message(visit->db, link, visit->panel->conf->report_zone, visit->data, err) &&
        look_for_bar(visit, link, &barred, err);

    if (fine)
        offer_acts(visit, link, barred);
    return show_unless_gone(visit, fine, "link", err);
}

struct signing {
    const struct visit *visit;
    const struct link *link;
};

static void sign_message(void *context, int64_t recipient, struct data *message)
{
    const struct signing *signing = context;
    char token[LINK_TEXT + 1];

    sign_like(signing->visit, signing->link, LINK_SHOW, recipient, token);
    data_text(message, "t", token);
}

/* All that is held for the link's user, if there is one. */
static bool show_list(struct visit *visit, const struct link *link, struct err *err)
{
    struct signing signing = {visit, link};
    bool fine =
        model_link_user(visit->db, link, visit->data, err) &&
        model_link_list(visit->db, link, form_value(&visit->query, "before"),
                        visit->panel->conf->report_zone, sign_message, &signing, visit->data, err);

    return show_unless_gone(visit, fine, "link-list", err);
}

bool page_link(struct visit *visit, struct err *err)
{
    const char *text = form_value(&visit->query, "t");
    struct link link;

    if (!open_link(visit, text, &link) || link.action == LINK_UNSUBSCRIBE)
        return show_bad(visit, err);
    data_text(visit->data, "t", text);
    return link.action == LINK_LIST ? show_list(visit, &link, err)
                                    : show_message(visit, &link, err);
}

static const char *note_for(const char *act, const char *outcome)
{
    static const struct {
        const char *outcome, *act, *note;
    } notes[] = {
        {"asked", "allow", N_("The sender is allowed, the message is being released.")},
        {"asked", NULL, N_("Being released: it arrives within seconds.")},
        {"deleted", NULL, N_("The sender is blocked, the message is deleted.")},
        {"released", NULL, N_("It was released before.")},
        {"ruled", "allow", N_("The sender is allowed.")},
        {"ruled", NULL, N_("The sender is blocked.")},
        {"lost", NULL,
         N_("The file of this message is not there any more: it cannot be released.")},
        {"gone", NULL, N_("This message was deleted before.")},
        {"virus", NULL,
         N_("A virus was found in this message, so you cannot release it. If you need it, ask "
            "whoever "
            "looks after your mail.")},
    };

    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        if (strcmp(notes[i].outcome, outcome) == 0 &&
            (notes[i].act == NULL || strcmp(notes[i].act, act) == 0))
            return notes[i].note;
    return NULL;
}

bool do_link(struct visit *visit, struct err *err)
{
    char outcome[16], token[LINK_TEXT + 1];
    const struct act *act = NULL;
    struct link link;
    bool barred;

    if (!open_link(visit, form_value(&visit->form, "t"), &link))
        return show_bad(visit, err);
    for (size_t i = 0; i < ACTS; i++)
        if (acts[i].action == link.action)
            act = &acts[i];
    if (act == NULL)
        return show_bad(visit, err); /* a link to look with does nothing */
    if (!model_link_message(visit->db, &link, visit->panel->conf->report_zone, visit->data, err))
        return show_unless_gone(visit, false, "link", err);
    if (!look_for_bar(visit, &link, &barred, err))
        return false;
    if (act->releases && barred)
        snprintf(outcome, sizeof outcome, "virus");
    else if (!model_link_act(visit->db, &link, act->name, outcome, err))
        return false;
    const char *note = note_for(act->name, outcome);
    if (note == NULL)
        return show_bad(visit, err);
    sign_like(visit, &link, LINK_SHOW, link.recipient, token);
    return visit_go(visit, visit_words(visit, note), LINK_PAGE_MESSAGE "?t=%s", token);
}

/* ---- reports off (RFC 8058) ---- */

static bool open_unsubscribe(struct visit *visit, struct link *link)
{
    const char *text = form_value(&visit->query, "t");

    data_text(visit->data, "t", text);
    return open_link(visit, text, link) && link->action == LINK_UNSUBSCRIBE;
}

bool page_unsubscribe(struct visit *visit, struct err *err)
{
    struct link link;

    return open_unsubscribe(visit, &link)
               ? show_unless_gone(visit, model_link_user(visit->db, &link, visit->data, err),
                                  "unsubscribe", err)
               : show_bad(visit, err);
}

/* Mail programs POST "List-Unsubscribe=One-Click" without cookie or form; our page does the same,
 * and may take it back. */
bool do_unsubscribe(struct visit *visit, struct err *err)
{
    bool off = strcmp(form_value(&visit->form, "List-Unsubscribe"), "One-Click") == 0;
    bool on = strcmp(form_value(&visit->form, "reports"), "on") == 0;
    struct link link;

    if (!open_unsubscribe(visit, &link))
        return show_bad(visit, err);
    if (off == on) {
        visit_fail(visit, 400, NULL);
        return true;
    }
    data_flag(visit->data, off ? "turned_off" : "turned_on", true);
    bool fine = model_link_reports(visit->db, &link, on, err) &&
                model_link_user(visit->db, &link, visit->data, err);
    return show_unless_gone(visit, fine, "unsubscribe", err);
}
