/* page_home - the overview, gateways, the audit, and why an address is accepted or refused */
#include <stdio.h>
#include <string.h>

#include "lib/facts.h"
#include "lib/sender.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/view.h"

bool page_home(struct visit *visit, struct err *err)
{
    if (visit_is(visit, ROLE_USER))
        return visit_go(visit, NULL, "/quarantine");
    if (visit_is(visit, ROLE_OPERATOR) &&
        (!model_chart(visit->db, visit->data, err) ||
         !model_gateways(visit->db, visit->panel->conf, visit->data, err)))
        return false;
    return model_overview(visit->db, visit->data, err) && visit_show(visit, "overview", err);
}

bool page_gateways(struct visit *visit, struct err *err)
{
    return model_gateways(visit->db, visit->panel->conf, visit->data, err) &&
           visit_show(visit, "gateways", err);
}

/* A number from the query, or NULL. */
static const char *query_number(const struct visit *visit, const char *name)
{
    const char *text = form_value(&visit->query, name);
    int64_t number;

    return str_int64(span_text(text), &number) && number > 0 ? text : NULL;
}

bool page_audit(struct visit *visit, struct err *err)
{
    return model_audit(visit->db, query_number(visit, "before"), visit->data, err) &&
           visit_show(visit, "audit", err);
}

/* ---- explain ---- */

static void put_reply(struct visit *visit, const struct verdict *v)
{
    const struct conf *conf = visit->panel->conf;
    struct verdict_texts texts = {conf->unknown_text, conf->unsure_text, conf->subdomain_text,
                                  conf->blocked_text};
    char reply[512];

    size_t len = verdict_write(v, &texts, reply, sizeof reply);
    while (len > 0 && reply[len - 1] == '\n')
        reply[--len] = '\0';
    const char *text = strchr(reply, '=');
    data_text(visit->data, "reply", text != NULL ? text + 1 : reply);
}

static void put_facts(struct visit *visit, const struct facts *facts, const struct verdict *v)
{
    static const char *const outcomes[] = {
        [ACTION_DUNNO] = "accept",         [ACTION_REJECT] = "reject",
        [ACTION_REJECT_POLICY] = "reject", [ACTION_REJECT_SENDER] = "reject",
        [ACTION_ASK_SERVER] = "ask",       [ACTION_DEFER] = "defer"};
    const struct domain_facts *d = &facts->question.domain;
    bool served = d->standing == DOMAIN_SERVED;

    data_text(visit->data, "outcome", v->rule == RULE_FOREIGN ? "foreign" : outcomes[v->action]);
    data_text(visit->data, "rule", verdict_rules[v->rule].code);
    data_text(visit->data, "meaning", visit_say(visit, verdict_rules[v->rule].meaning));
    put_reply(visit, v);
    data_flag(visit->data, "served", served);
    if (served) {
        data_text(visit->data, "check", relay_check_names[d->check]);
        data_flag(visit->data, "complete", d->loaded);
        if (v->shadowed)
            data_text(visit->data, "shadow", verdict_action_names[v->shadow_action]);
        if (facts->domain != NULL && db_rows(facts->domain) > 0)
            data_text(visit->data, "domain_id", db_text(facts->domain, 0, FACTS_ID));
    }
    if (facts->recipient != NULL && db_rows(facts->recipient) > 0) {
        struct data *row = data_child(visit->data, "recipient");
        data_text(row, "address", db_text(facts->recipient, 0, FACTS_ADDRESS));
        data_text(row, "state", db_text(facts->recipient, 0, FACTS_RECIPIENT_STATE));
        data_text(row, "kind", db_text(facts->recipient, 0, FACTS_KIND));
        data_text(row, "user", db_text(facts->recipient, 0, FACTS_USER));
        data_text(row, "name", db_text(facts->recipient, 0, FACTS_USER_NAME));
        data_text(row, "sources", db_text(facts->recipient, 0, FACTS_SOURCES));
        data_text(row, "changeset",
                  db_text(facts->recipient, 0, FACTS_RECIPIENT_ORIGIN + ORIGIN_CHANGESET));
        data_text(row, "actor",
                  db_text(facts->recipient, 0, FACTS_RECIPIENT_ORIGIN + ORIGIN_ACTOR));
    }
    data_flag(visit->data, "without_tag", facts->question.recipient.without_tag);
}

/* Rules that match the sender, the deciding one first. */
static void put_rules(struct visit *visit, const struct facts *facts)
{
    struct data *list = data_list(visit->data, "rules");

    data_flag(visit->data, "refuses_senders", visit->panel->conf->reject_blocked_senders);
    for (size_t i = 0; i < db_rows(facts->rules); i++) {
        struct data *one = data_item(list);
        data_text(one, "of", db_text(facts->rules, i, FACTS_RULE_OF));
        data_text(one, "action", db_text(facts->rules, i, FACTS_RULE_ACTION));
        data_text(one, "pattern", db_text(facts->rules, i, FACTS_RULE_PATTERN));
        data_text(one, "actor", db_text(facts->rules, i, FACTS_RULE_ACTOR));
        view_time(one, "at_made", db_span(facts->rules, i, FACTS_RULE_HERE));
    }
}

/* `sender` NULL: none is asked about. */
static bool explain(struct visit *visit, const struct addr *addr, const char *sender,
                    struct err *err)
{
    const struct conf *conf = visit->panel->conf;
    struct facts facts = {0};

    bool fine = facts_gather(&facts, visit->db, conf, addr, err) &&
                (sender == NULL || facts_sender(&facts, visit->db, conf, sender, err));
    if (fine) {
        struct verdict v = verdict(&facts.question);
        put_facts(visit, &facts, &v);
        if (facts.rules != NULL)
            put_rules(visit, &facts);
    }
    facts_free(&facts);
    return fine;
}

bool page_explain(struct visit *visit, struct err *err)
{
    const char *text = form_value(&visit->query, "address");
    const char *from = form_value(&visit->query, "sender");
    char sender[SENDER_PATTERN_MOST + 1];
    bool asked = from[0] != '\0';
    struct addr addr;
    struct err why;

    data_text(visit->data, "address", text);
    data_text(visit->data, "sender", from);
    if (text[0] == '\0')
        return visit_show(visit, "explain", err);
    if (!addr_parse(span_trim(span_text(text)), false, &addr, &why))
        visit_complain(visit, "address", why.text);
    if (asked && strchr(from, '@') == NULL)
        visit_complain(visit, "sender", N_("A whole mail address, please."));
    else if (asked && !sender_pattern_parse(span_text(from), sender, &why))
        visit_complain(visit, "sender", why.text);
    if (visit_has_complaints(visit))
        return visit_show_again(visit, "explain", err);
    return visit_transaction(visit, err) && explain(visit, &addr, asked ? sender : NULL, err) &&
           visit_commit(visit, err) && visit_show(visit, "explain", err);
}
