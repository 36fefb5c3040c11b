/* verdict - see verdict.h */
#include "verdict.h"

#include <stdio.h>
#include <string.h>

const char *const relay_check_names[] = {"panel", "smtp", "either", "off", NULL};
const char *const verdict_action_names[] = {"accept", "reject", "reject", "ask", "reject", "defer"};

const struct verdict_rule_row verdict_rules[RULES] = {
    [RULE_NOT_ASKED] = {"not-asked",
                        "The request is not about one recipient (only RCPT and VRFY decide)."},
    [RULE_NO_LIST] = {"no-list",
                      "This gateway has never loaded the roll; nobody can be told from nobody."},
    [RULE_FOREIGN] = {"foreign",
                      "The domain is not served here; Postfix's own relay control decides."},
    [RULE_BELOW_SERVED] =
        {"subdomain",
         "The domain is an unserved subdomain of a served one; Postfix might relay it unchecked."},
    [RULE_DOMAIN_REMOVED] = {"domain-removed", "The domain was removed from Rollcall but Postfix "
                                               "still asks; is it left in relay_domains?"},
    [RULE_POSTMASTER] =
        {"postmaster",
         "postmaster@ of a served domain is always accepted (RFC 5321 section 4.5.1)."},
    [RULE_ABUSE] = {"abuse", "abuse@ of a served domain is accepted (setting accept_abuse)."},
    [RULE_DISABLED] = {"disabled",
                       "The recipient is on the roll but disabled by a person or the directory."},
    [RULE_OFF] = {"off", "The domain's relay check is off: every recipient is accepted."},
    [RULE_LISTED] = {"listed", "The recipient is on the roll."},
    [RULE_VERIFIED] =
        {"verified", "The recipient is on the roll and the customer's server accepted it lately."},
    [RULE_ASK_LISTED] =
        {"ask-listed",
         "On the roll, but the customer's server has not accepted it lately: it is asked."},
    [RULE_ASK_UNLISTED] = {"ask-unlisted", "Not on the roll: the customer's server is asked."},
    [RULE_REFUSED_LATELY] = {"refused", "The customer's server refused this recipient lately."},
    [RULE_HARVEST] = {"harvest", "The client has asked for too many unknown recipients "
                                 "(harvest_limit): it is put off for a while."},
    [RULE_PROBE_LIMIT] = {"probe-limit", "The customer's server is asked for too many unknown "
                                         "recipients in this minute (probe_limit)."},
    [RULE_SENDER_BLOCKED_BY_USER] =
        {"sender-blocked", "The recipient has blocked the sender (reject_blocked_senders)."},
    [RULE_SENDER_BLOCKED_BY_DOMAIN] =
        {"sender-blocked-domain",
         "The recipient's domain has blocked the sender (reject_blocked_senders)."},
    [RULE_UNLISTED] = {"unlisted",
                       "The recipient is not on the roll, and the list is complete and fresh."},
    [RULE_LOOKUP_FAILED] = {"lookup-failed", "The replica could not be read."},
    [RULE_LIST_STALE] =
        {"list-stale",
         "The replica was not confirmed by PostgreSQL within the domain's stale limit."},
    [RULE_SOURCE_STALE] =
        {"source-stale",
         "The domain's directory was not synchronised completely within source_stale_limit."},
    [RULE_NOT_LOADED] =
        {"not-loaded",
         "The domain's list was never loaded; see 'rollcall domain set NAME --loaded'."},
};

enum relay_check relay_check_by_name(struct span name)
{
    for (int i = 0; i < CHECK_NONE; i++)
        if (span_equals(name, relay_check_names[i]))
            return (enum relay_check)i;
    return CHECK_NONE;
}

static struct verdict say(enum verdict_action action, enum verdict_rule rule)
{
    return (struct verdict){.action = action, .rule = rule};
}

/* A local part that RFC 5321 compares without case, whatever the domain's case rule. */
static bool is_role(struct span local, const char *role)
{
    if (local.len != strlen(role))
        return false;
    for (size_t i = 0; i < local.len; i++)
        if (str_lower(local.at[i]) != role[i])
            return false;
    return true;
}

/* A 550 needs a fresh replica; its caller adds what else must be fresh. */
static bool list_fresh(const struct verdict_question *q)
{
    return q->list_age_us >= 0 && q->list_age_us <= q->domain.stale_limit_us;
}

/* Every 550 about a recipient goes through here: it is said only when it is known to be right. */
static struct verdict reject_if_known(const struct verdict_question *q, enum verdict_rule rule)
{
    const struct domain_facts *d = &q->domain;

    if (!list_fresh(q))
        return say(ACTION_DEFER, RULE_LIST_STALE);
    if (d->follows_directory &&
        (d->source_age_us < 0 || d->source_age_us > d->source_stale_limit_us))
        return say(ACTION_DEFER, RULE_SOURCE_STALE);
    return say(ACTION_REJECT, rule);
}

static struct verdict of_panel(const struct verdict_question *q)
{
    if (q->recipient.lookup == LOOKUP_FOUND)
        return say(ACTION_DUNNO, RULE_LISTED);
    if (!q->domain.loaded)
        return say(ACTION_DEFER, RULE_NOT_LOADED);
    return reject_if_known(q, RULE_UNLISTED);
}

/* Not accepted on our own word: ask, unless the answer is known from lately. */
static struct verdict ask(const struct verdict_question *q, enum verdict_rule rule)
{
    const struct recipient_facts *r = &q->recipient;
    bool refused = r->refused_age_us >= 0 && r->refused_age_us <= q->refused_for_us;

    return refused && list_fresh(q) ? say(ACTION_REJECT, RULE_REFUSED_LATELY)
                                    : say(ACTION_ASK_SERVER, rule);
}

static struct verdict of_smtp(const struct verdict_question *q)
{
    const struct recipient_facts *r = &q->recipient;

    if (r->lookup != LOOKUP_FOUND)
        return ask(q, RULE_ASK_UNLISTED);
    if (r->verified_age_us >= 0 && r->verified_age_us <= q->verified_for_us)
        return say(ACTION_DUNNO, RULE_VERIFIED);
    return ask(q, RULE_ASK_LISTED);
}

static struct verdict of_either(const struct verdict_question *q)
{
    return q->recipient.lookup == LOOKUP_FOUND ? say(ACTION_DUNNO, RULE_LISTED)
                                               : ask(q, RULE_ASK_UNLISTED);
}

static struct verdict of_off(const struct verdict_question *q)
{
    (void)q;
    return say(ACTION_DUNNO, RULE_OFF);
}

static struct verdict of_mode(const struct verdict_question *q, enum relay_check mode)
{
    static struct verdict (*const modes[])(const struct verdict_question *) = {of_panel, of_smtp,
                                                                               of_either, of_off};

    return modes[mode](q);
}

/* The standings other than served. */
static struct verdict of_unserved(const struct verdict_question *q)
{
    switch (q->domain.standing) {
    case DOMAIN_REMOVED:
        return say(ACTION_DEFER, RULE_DOMAIN_REMOVED);
    case DOMAIN_BELOW_SERVED:
        return list_fresh(q) ? say(ACTION_REJECT_POLICY, RULE_BELOW_SERVED)
                             : say(ACTION_DEFER, RULE_LIST_STALE);
    default:
        return say(ACTION_DUNNO, RULE_FOREIGN);
    }
}

/* What holds for a recipient of a served domain in every mode; false when the mode decides. */
static bool of_every_mode(const struct verdict_question *q, struct verdict *out)
{
    if (is_role(q->local, "postmaster"))
        *out = say(ACTION_DUNNO, RULE_POSTMASTER);
    else if (q->accept_abuse && is_role(q->local, "abuse"))
        *out = say(ACTION_DUNNO, RULE_ABUSE);
    else if (q->recipient.lookup == LOOKUP_FAILED)
        *out = say(ACTION_DEFER, RULE_LOOKUP_FAILED);
    else if (q->recipient.lookup == LOOKUP_FOUND && q->recipient.state == STATE_DISABLED)
        *out = reject_if_known(q, RULE_DISABLED);
    else
        return false;
    return true;
}

/* Whoever would be let in, or asked about, may not be wanted from this sender; a rule that may be
 * over by now refuses nobody. */
static struct verdict for_sender(const struct verdict_question *q, struct verdict v)
{
    bool blocked = q->sender == SENDER_BLOCKED_BY_USER || q->sender == SENDER_BLOCKED_BY_DOMAIN;

    if (!blocked || !list_fresh(q) || (v.action != ACTION_DUNNO && v.action != ACTION_ASK_SERVER))
        return v;
    return say(ACTION_REJECT_SENDER, q->sender == SENDER_BLOCKED_BY_USER
                                         ? RULE_SENDER_BLOCKED_BY_USER
                                         : RULE_SENDER_BLOCKED_BY_DOMAIN);
}

struct verdict verdict(const struct verdict_question *q)
{
    struct verdict v;

    if (!q->decides)
        return say(ACTION_DUNNO, RULE_NOT_ASKED);
    if (!q->list_present)
        return say(ACTION_DEFER, RULE_NO_LIST);
    if (q->domain.standing != DOMAIN_SERVED)
        return of_unserved(q);
    if (of_every_mode(q, &v))
        return v;
    v = for_sender(q, of_mode(q, q->domain.check));
    if (q->domain.shadow != CHECK_NONE) {
        struct verdict shadow = for_sender(q, of_mode(q, q->domain.shadow));
        v.shadowed = shadow.action != v.action;
        v.shadow_action = shadow.action;
        v.shadow_rule = shadow.rule;
    }
    return v;
}

struct verdict verdict_held_off(const struct verdict *v, enum verdict_rule why)
{
    struct verdict held = *v;

    held.action = ACTION_DEFER;
    held.rule = why;
    return held;
}

size_t verdict_write(const struct verdict *v, const struct verdict_texts *texts, char *out,
                     size_t room)
{
    const char *code = verdict_rules[v->rule].code;
    int n = 0;

    switch (v->action) {
    case ACTION_DUNNO:
        n = snprintf(out, room, "action=DUNNO\n\n");
        break;
    case ACTION_ASK_SERVER:
        n = snprintf(out, room, "action=reject_unverified_recipient\n\n");
        break;
    case ACTION_REJECT:
        n = snprintf(out, room, "action=550 5.1.1 %s (%s)\n\n", texts->unknown, code);
        break;
    case ACTION_REJECT_POLICY:
        n = snprintf(out, room, "action=550 5.7.1 %s (%s)\n\n", texts->subdomain, code);
        break;
    case ACTION_REJECT_SENDER:
        n = snprintf(out, room, "action=550 5.7.1 %s (%s)\n\n", texts->blocked, code);
        break;
    case ACTION_DEFER:
        n = snprintf(out, room, "action=DEFER_IF_PERMIT 4.3.0 %s (%s)\n\n", texts->unsure, code);
        break;
    }
    return n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}
