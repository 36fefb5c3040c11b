/* verdict: every question of t/data/verdict gets its answer. Catches any change of who is accepted.
 */
#include "lib/verdict.h"

#include "lib/clock.h"
#include "tap.h"

/* "90s", "-" for never */
static int64_t seconds(const char *text)
{
    return strcmp(text, "-") == 0 ? -1 : strtoll(text, NULL, 10) * CLOCK_SECOND;
}

static void set_fact(struct verdict_question *q, char *fact)
{
    char *value = strchr(fact, '=');
    if (value == NULL) {
        ok(false, "fact '%s' has no '='", fact);
        return;
    }
    *value++ = '\0';
    if (strcmp(fact, "decides") == 0)
        q->decides = strcmp(value, "yes") == 0;
    else if (strcmp(fact, "local") == 0)
        q->local = span_text(value);
    else if (strcmp(fact, "domain") == 0)
        q->domain.standing = strcmp(value, "served") == 0    ? DOMAIN_SERVED
                             : strcmp(value, "removed") == 0 ? DOMAIN_REMOVED
                             : strcmp(value, "below") == 0   ? DOMAIN_BELOW_SERVED
                                                             : DOMAIN_FOREIGN;
    else if (strcmp(fact, "check") == 0)
        q->domain.check = relay_check_by_name(span_text(value));
    else if (strcmp(fact, "shadow") == 0)
        q->domain.shadow = relay_check_by_name(span_text(value));
    else if (strcmp(fact, "loaded") == 0)
        q->domain.loaded = strcmp(value, "yes") == 0;
    else if (strcmp(fact, "source-age") == 0) {
        q->domain.follows_directory = true;
        q->domain.source_age_us = seconds(value);
    } else if (strcmp(fact, "rcpt") == 0) {
        q->recipient.lookup = strcmp(value, "absent") == 0   ? LOOKUP_ABSENT
                              : strcmp(value, "failed") == 0 ? LOOKUP_FAILED
                                                             : LOOKUP_FOUND;
        q->recipient.state = strcmp(value, "disabled") == 0 ? STATE_DISABLED : STATE_ACTIVE;
    } else if (strcmp(fact, "verified") == 0)
        q->recipient.verified_age_us = seconds(value);
    else if (strcmp(fact, "refused") == 0)
        q->recipient.refused_age_us = seconds(value);
    else if (strcmp(fact, "list") == 0)
        q->list_present = strcmp(value, "present") == 0;
    else if (strcmp(fact, "age") == 0)
        q->list_age_us = seconds(value);
    else if (strcmp(fact, "sender") == 0)
        q->sender = strcmp(value, "blocked") == 0             ? SENDER_BLOCKED_BY_USER
                    : strcmp(value, "blocked-by-domain") == 0 ? SENDER_BLOCKED_BY_DOMAIN
                    : strcmp(value, "allowed") == 0           ? SENDER_ALLOWED
                                                              : SENDER_UNLISTED;
    else if (strcmp(fact, "abuse") == 0)
        q->accept_abuse = strcmp(value, "yes") == 0;
    else
        ok(false, "unknown fact '%s'", fact);
}

/* facts <tab> action <tab> rule [<tab> shadow action or -] */
static void check_row(int line, char **field, int fields)
{
    struct verdict_question q = {
        .decides = true,
        .local = span_text("bob"),
        .domain = {.standing = DOMAIN_SERVED,
                   .check = CHECK_PANEL,
                   .shadow = CHECK_NONE,
                   .loaded = true,
                   .stale_limit_us = 3600 * CLOCK_SECOND,
                   .source_stale_limit_us = 86400 * CLOCK_SECOND},
        .recipient = {.lookup = LOOKUP_ABSENT, .verified_age_us = -1, .refused_age_us = -1},
        .list_present = true,
        .accept_abuse = true,
        .verified_for_us = 7 * 86400 * CLOCK_SECOND,
        .refused_for_us = 3 * 3600 * CLOCK_SECOND,
    };

    if (fields < 3) {
        ok(false, "line %d has %d fields", line, fields);
        return;
    }
    for (char *at = field[0], *fact; (fact = strsep(&at, " ")) != NULL;)
        if (fact[0] != '\0')
            set_fact(&q, fact);
    struct verdict v = verdict(&q);
    is_text(verdict_action_names[v.action], field[1], "line %d: action", line);
    is_text(verdict_rules[v.rule].code, field[2], "line %d: rule", line);
    if (fields > 3)
        is_text(v.shadowed ? verdict_action_names[v.shadow_action] : "-", field[3],
                "line %d: shadow", line);
}

static void check_wording(void)
{
    static const struct verdict_texts texts = {"User unknown", "Try later", "Not here", "Not you"};
    char out[512];
    struct verdict v = {.action = ACTION_REJECT, .rule = RULE_UNLISTED};

    verdict_write(&v, &texts, out, sizeof out);
    is_text(out, "action=550 5.1.1 User unknown (unlisted)\n\n", "wording of a refusal");
    v = (struct verdict){.action = ACTION_DEFER, .rule = RULE_LIST_STALE};
    verdict_write(&v, &texts, out, sizeof out);
    is_text(out, "action=DEFER_IF_PERMIT 4.3.0 Try later (list-stale)\n\n",
            "wording of a deferral");
    v = (struct verdict){.action = ACTION_ASK_SERVER, .rule = RULE_ASK_UNLISTED};
    verdict_write(&v, &texts, out, sizeof out);
    is_text(out, "action=reject_unverified_recipient\n\n", "wording of a question to the server");
    v = (struct verdict){.action = ACTION_REJECT_SENDER, .rule = RULE_SENDER_BLOCKED_BY_USER};
    verdict_write(&v, &texts, out, sizeof out);
    is_text(out, "action=550 5.7.1 Not you (sender-blocked)\n\n", "wording for a blocked sender");
    for (int i = 0; i < RULES; i++)
        ok(verdict_rules[i].code != NULL && verdict_rules[i].meaning != NULL,
           "rule %d has a code and a meaning", i);
}

int main(void)
{
    tap_rows(TEST_DATA "/verdict/relay-check.txt", check_row);
    tap_rows(TEST_DATA "/verdict/trouble.txt", check_row);
    tap_rows(TEST_DATA "/verdict/senders.txt", check_row);
    check_wording();
    return tap_done();
}
