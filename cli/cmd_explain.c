/* cmd_explain - the verdict about an address: the daemon's code on the facts in PostgreSQL */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "lib/facts.h"
#include "lib/str.h"

static const char *const standing_names[] = {
    [DOMAIN_FOREIGN] = "not served",
    [DOMAIN_SERVED] = "served",
    [DOMAIN_REMOVED] = "removed",
    [DOMAIN_BELOW_SERVED] = "unserved subdomain of a served domain",
};

/* clang-format off */
static const char observed_sql[] =
    "select day, accepted, deliverable, refused, late, " SQL_TIME("last_yes") ", "
    SQL_TIME("last_no") " from observation where domain_id = $1::integer and local_part = $2"
    " order by day desc limit 30";
/* clang-format on */

/* The word at the end of a refusal. */
static const struct verdict_rule_row *find_code(const char *text)
{
    size_t len = strlen(text);

    if (len > 2 && text[0] == '(' && text[len - 1] == ')') {
        text++;
        len -= 2;
    }
    for (size_t i = 0; i < RULES; i++)
        if (span_equals(span_of(text, len), verdict_rules[i].code))
            return &verdict_rules[i];
    return NULL;
}

static void explain_code(struct cli *cli, const struct verdict_rule_row *rule)
{
    static const char *const columns[] = {"rule", "meaning", NULL};

    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    out_text(cli->out, rule->code);
    out_text(cli->out, rule->meaning);
}

/* What Postfix is told, without "action=" and the line ends. */
static void reply_text(const struct cli *cli, const struct verdict *v, char *out, size_t room)
{
    char raw[512];
    const struct conf *conf = &cli->conf.value;
    struct verdict_texts texts = {conf->unknown_text, conf->unsure_text, conf->subdomain_text,
                                  conf->blocked_text};

    verdict_write(v, &texts, raw, sizeof raw);
    const char *start = strchr(raw, '=') + 1;
    snprintf(out, room, "%.*s", (int)strcspn(start, "\n"), start);
}

static void put_shadow(struct out *out, const struct facts *facts, const struct verdict *v)
{
    if (facts->question.domain.shadow == CHECK_NONE) {
        out_null(out);
        return;
    }
    const char *mode = relay_check_names[facts->question.domain.shadow];
    bool decided = v->shadow_rule != RULE_NOT_ASKED; /* else a rule that holds in every mode */
    STR_AUTO text =
        decided ? mem_printf("%s: would %s (%s)", mode, verdict_action_names[v->shadow_action],
                             verdict_rules[v->shadow_rule].code)
                : mem_printf("%s: would do the same", mode);
    out_text(out, text);
}

/* A yes or no of the list's completeness means nothing where no list is looked at. */
static void put_domain_facts(struct out *out, const struct facts *facts)
{
    const struct domain_facts *d = &facts->question.domain;

    out_text(out, standing_names[d->standing]);
    if (d->standing != DOMAIN_SERVED) {
        out_null(out);
        out_null(out);
        return;
    }
    out_bool(out, d->loaded);
    if (d->follows_directory)
        out_age(out, d->source_age_us);
    else
        out_null(out);
}

static void put_verdict(struct cli *cli, const struct facts *facts, const struct verdict *v,
                        const char *address)
{
    static const char *const columns[] = {"address",  "verdict",       "reply",       "mode",
                                          "shadow",   "rule",          "meaning",     "domain",
                                          "complete", "directory_age", "without_tag", NULL};
    char reply[512];

    reply_text(cli, v, reply, sizeof reply);
    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    out_text(cli->out, address);
    out_text(cli->out, verdict_action_names[v->action]);
    out_text(cli->out, reply);
    out_text(cli->out, facts->question.domain.standing == DOMAIN_SERVED
                           ? relay_check_names[facts->question.domain.check]
                           : "none");
    put_shadow(cli->out, facts, v);
    out_text(cli->out, verdict_rules[v->rule].code);
    out_text(cli->out, verdict_rules[v->rule].meaning);
    put_domain_facts(cli->out, facts);
    if (facts->question.recipient.without_tag || cli->json)
        out_bool(cli->out, facts->question.recipient.without_tag);
    else
        out_null(cli->out);
}

static void put_origin(struct out *out, const struct db_result *row, int origin)
{
    out_int(out, db_int(row, 0, origin + ORIGIN_CHANGESET));
    out_int(out, db_int(row, 0, origin + ORIGIN_VERSION));
    out_text(out, db_text(row, 0, origin + ORIGIN_ACTOR));
    out_text(out, db_text(row, 0, origin + ORIGIN_PROGRAM));
    out_text(out, db_text(row, 0, origin + ORIGIN_AT));
}

static void put_domain_row(struct out *out, const char *what, const struct db_result *row)
{
    const char *target = db_text(row, 0, FACTS_ALIAS_OF);
    STR_AUTO kind = target[0] != '\0' ? mem_printf("alias of %s", target)
                                      : mem_text(db_text(row, 0, FACTS_CHECK));

    out_text(out, what);
    out_text(out, db_text(row, 0, FACTS_NAME));
    out_text(out, db_text(row, 0, FACTS_STATE));
    out_text(out, kind);
    out_null(out);
    out_null(out);
    out_list(out, "");
    put_origin(out, row, FACTS_DOMAIN_ORIGIN);
}

static void put_recipient_row(struct out *out, const struct db_result *row)
{
    out_text(out, "recipient");
    out_text(out, db_text(row, 0, FACTS_ADDRESS));
    out_text(out, db_text(row, 0, FACTS_RECIPIENT_STATE));
    out_text(out, db_text(row, 0, FACTS_KIND));
    out_text(out, db_text(row, 0, FACTS_USER)[0] != '\0' ? db_text(row, 0, FACTS_USER) : NULL);
    out_text(out,
             db_text(row, 0, FACTS_USER_NAME)[0] != '\0' ? db_text(row, 0, FACTS_USER_NAME) : NULL);
    out_list(out, db_text(row, 0, FACTS_SOURCES));
    put_origin(out, row, FACTS_RECIPIENT_ORIGIN);
}

/* The rows that decided, and who made them so. */
static void put_rows(struct cli *cli, const struct facts *facts)
{
    static const char *const columns[] = {"row",       "name",    "state",     "kind",    "user",
                                          "user_name", "sources", "changeset", "version", "actor",
                                          "program",   "changed", NULL};

    out_section(cli->out, "rows", NULL, OUT_TABLE, columns);
    if (db_rows(facts->domain) > 0)
        put_domain_row(cli->out,
                       facts->question.domain.standing == DOMAIN_BELOW_SERVED ? "parent" : "domain",
                       facts->domain);
    if (facts->target != NULL)
        put_domain_row(cli->out, "target", facts->target);
    if (facts->recipient != NULL)
        put_recipient_row(cli->out, facts->recipient);
}

/* What the customer's server did with it, day by day. */
static bool put_observed(struct cli *cli, const struct facts *facts, struct err *err)
{
    static const char *const columns[] = {"day",  "accepted", "deliverable", "refused",
                                          "late", "last_yes", "last_no",     NULL};
    DB_RESULT_AUTO rows = NULL;
    char id[16];

    if (!facts->observed)
        return true;
    snprintf(id, sizeof id, "%d", (int)facts->domain_id);
    if (!db_query(cli->db, &rows, observed_sql, DB_VALUES(id, facts->local), err))
        return false;
    out_section(cli->out, "observed", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        for (int c = 1; c < 5; c++)
            out_int(cli->out, db_int(rows, i, c));
        for (int c = 5; c < 7; c++)
            out_text(cli->out, db_null(rows, i, c) ? NULL : db_text(rows, i, c));
    }
    return true;
}

/* Rules that match the sender, the deciding one first. */
static void put_rules(struct cli *cli, const struct facts *facts)
{
    static const char *const columns[] = {"of", "action", "pattern", "actor", "changed", NULL};

    if (facts->rules == NULL)
        return;
    out_section(cli->out, "senders", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(facts->rules); i++)
        for (int c = FACTS_RULE_OF; c <= FACTS_RULE_AT; c++)
            out_text(cli->out, db_text(facts->rules, i, c));
    if (db_rows(facts->rules) > 0 && !cli->conf.value.reject_blocked_senders)
        cli_say(cli, "senders: these decide about what the filter caught; nobody is refused for "
                     "his sender (reject_blocked_senders = no)");
}

/* What the gateway says, given its own age; unknown while it has older rows than these. */
static void put_gateway(struct cli *cli, const struct facts *facts, const struct db_result *rows,
                        size_t row)
{
    struct verdict_question question = facts->question;
    bool has_it = db_int(rows, row, 1) >= facts->version;
    int64_t seen_us = db_int(rows, row, 3) > 0 ? db_int(rows, row, 3) : 0;

    question.list_present = !db_null(rows, row, 2);
    question.list_age_us = question.list_present ? db_int(rows, row, 2) * 1000 + seen_us : -1;
    struct verdict v = verdict(&question);
    out_text(cli->out, db_text(rows, row, 0));
    out_int(cli->out, db_int(rows, row, 1));
    out_bool(cli->out, has_it);
    out_age(cli->out, question.list_age_us);
    out_age(cli->out, seen_us);
    if (has_it || !question.list_present) {
        out_text(cli->out, verdict_action_names[v.action]);
        out_text(cli->out, verdict_rules[v.rule].code);
    } else {
        out_text(cli->out, cli->json ? NULL : "as before");
        out_null(cli->out);
    }
}

static bool put_gateways(struct cli *cli, const struct facts *facts, struct err *err)
{
    static const char *const columns[] = {"gateway", "version", "has_it", "data_age",
                                          "seen",    "verdict", "rule",   NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows,
                  "select name, version, age_ms, " SQL_AGE("seen_at") " from gateway order by name",
                  DB_NO_VALUES, err))
        return false;
    out_section(cli->out, "gateways", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        put_gateway(cli, facts, rows, i);
    if (db_rows(rows) == 0)
        cli_say(cli, "gateways: none has told its data age yet; does rollcall-policyd run?");
    return true;
}

static bool explain_address(struct cli *cli, const struct addr *addr, struct err *err)
{
    char address[ADDR_TEXT_MAX + 1];
    struct facts facts = {0};

    const char *sender = cli_value(cli, "sender");
    bool fine = facts_gather(&facts, cli->db, &cli->conf.value, addr, err) &&
                (sender == NULL || facts_sender(&facts, cli->db, &cli->conf.value, sender, err));
    if (fine) {
        struct verdict v = verdict(&facts.question);
        addr_format(addr, address);
        put_verdict(cli, &facts, &v, address);
        put_rows(cli, &facts);
        put_rules(cli, &facts);
        fine = put_observed(cli, &facts, err) && put_gateways(cli, &facts, err);
    }
    facts_free(&facts);
    return fine;
}

bool cmd_explain(struct cli *cli, struct err *err)
{
    const struct verdict_rule_row *rule = find_code(cli->operands[0]);
    struct addr addr;

    if (rule != NULL) {
        explain_code(cli, rule);
        return true;
    }
    return addr_parse(span_text(cli->operands[0]), false, &addr, err) && cli_read(cli, err) &&
           db_script(cli->db, "begin isolation level repeatable read read only", err) &&
           explain_address(cli, &addr, err) && db_script(cli->db, "commit", err);
}
