/*
 * cmd_domain_preflight - what another relay check would mean for a domain, before it is set: for
 * those on the roll, and for those who got mail without being on it
 */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "lib/domain.h"
#include "lib/str.h"

/* clang-format off */
static const char counts_sql[] =
    "select count(*) filter (where r.state = 'active'), count(*) filter (where r.state = 'disabled'),"
    " count(*) filter (where r.state = 'retired'),"
    " count(*) filter (where r.state = 'active' and r.verified_on is not null),"
    " " SQL_TIME("max(c.created_at)")
    " from recipient r join changeset c on c.id = r.changed_by"
    " where r.domain_id = $1::integer and r.state <> 'removed'";
static const char sources_sql[] =
    "select s.source || case when s.source_id <> 0 then ':' || s.source_id else '' end, count(*),"
    " " SQL_TIME("max(c.created_at)")
    " from recipient_source s join recipient r on r.id = s.recipient_id"
    " join changeset c on c.id = r.changed_by"
    " where r.domain_id = $1::integer and r.state in ('active', 'disabled')"
    " group by s.source, s.source_id order by s.source, s.source_id";
/* Who got clean mail that the customer's server took, within 30 days, and is not on the roll. */
#define UNLISTED                                                                                   \
    " from observation o where o.domain_id = $1::integer and o.day > current_date - 30"            \
    " and o.accepted > 0 and not exists (select from recipient r where r.domain_id = o.domain_id"  \
    "   and r.local_part = o.local_part and r.state in ('active', 'disabled'))"
static const char unlisted_counts_sql[] =
    "select count(distinct o.local_part), coalesce(sum(o.accepted), 0)," 
    " (select count(distinct day) from observation where domain_id = $1::integer"
    "   and day > current_date - 30)" UNLISTED;
static const char unlisted_sql[] =
    "select " SQL_ADDRESS("o.local_part", "(select name from domain where id = $1::integer)") ","
    " sum(o.accepted), max(o.day)" UNLISTED
    " group by o.local_part order by 2 desc, 1 limit 1000";
/* clang-format on */

/* What is known of the domain and its roll. */
struct outlook {
    const struct domain_row *domain; /* whose recipients count: the target of an alias domain */
    enum relay_check asked;
    int64_t active, disabled, retired, verified;
    int64_t unlisted, messages, days; /* observed: addresses not on the roll; on how many days */
    const char *changed;
};

static void say_unlisted(const struct outlook *o, struct out *out)
{
    switch (o->asked) {
    case CHECK_PANEL:
        out_text(out, o->domain->loaded_at_us != 0
                          ? "everybody else is refused with 550"
                          : "everybody else gets 450: the list does not count as complete yet");
        break;
    case CHECK_SMTP:
    case CHECK_EITHER:
        out_text(out, "of everybody else the customer's server is asked; without its answer 450");
        break;
    default:
        out_text(out, "everybody else is accepted, too");
    }
}

static void say_listed(const struct outlook *o, struct out *out)
{
    char text[160];

    if (o->asked == CHECK_SMTP)
        snprintf(text, sizeof text,
                 "of %lld recipients on the roll the customer's server is asked, but for those it "
                 "accepted lately (%lld were ever accepted)",
                 (long long)o->active, (long long)o->verified);
    else
        snprintf(text, sizeof text, "%lld recipients on the roll are accepted",
                 (long long)o->active);
    out_text(out, text);
}

static void say_observed(const struct outlook *o, struct out *out)
{
    static const char *const fates[] = {
        [CHECK_PANEL] = "would be refused",
        [CHECK_SMTP] = "depend on the server's answer",
        [CHECK_EITHER] = "depend on the server's answer",
        [CHECK_OFF] = "would be accepted",
    };
    char text[200];

    if (o->days == 0)
        snprintf(text, sizeof text,
                 "nothing was observed in 30 days: rollcall-observe reads no log of this domain's "
                 "mail");
    else if (o->unlisted == 0)
        snprintf(text, sizeof text,
                 "all who got clean mail on the %lld days observed of 30 are on the roll",
                 (long long)o->days);
    else
        snprintf(text, sizeof text,
                 "%lld addresses that are not on the roll got %lld clean messages on the %lld days "
                 "observed of 30; they %s",
                 (long long)o->unlisted, (long long)o->messages, (long long)o->days,
                 fates[o->asked]);
    out_text(out, text);
}

static void say_rest(const struct outlook *o, struct out *out)
{
    bool asks = o->asked == CHECK_SMTP || o->asked == CHECK_EITHER;
    char text[120];

    if (o->disabled > 0) {
        snprintf(text, sizeof text, "%lld disabled recipients are refused, as in every relay check",
                 (long long)o->disabled);
        out_text(out, text);
    }
    if (o->active == 0 && o->asked == CHECK_PANEL)
        out_text(out, "nobody is on the roll: put the users on it first");
    if (asks && o->domain->next_hop[0] == '\0')
        out_text(out, "no next hop is set: which server is asked is Postfix's own affair");
    if (o->asked == o->domain->check)
        out_text(out, "this is the relay check there is: nothing changes");
}

static void put_outlook(struct cli *cli, const struct outlook *o, const char *name)
{
    static const char *const head[] = {"domain",  "relay_check", "asked",   "active",   "disabled",
                                       "retired", "verified",    "changed", "unlisted", NULL};
    static const char *const texts[] = {"consequence", NULL};

    out_section(cli->out, NULL, NULL, OUT_HEAD, head);
    out_text(cli->out, name);
    out_text(cli->out, relay_check_names[o->domain->check]);
    out_text(cli->out, relay_check_names[o->asked]);
    out_int(cli->out, o->active);
    out_int(cli->out, o->disabled);
    out_int(cli->out, o->retired);
    out_int(cli->out, o->verified);
    out_text(cli->out, o->changed);
    out_int(cli->out, o->unlisted);
    out_section(cli->out, "consequences", NULL, OUT_TABLE, texts);
    say_listed(o, cli->out);
    say_unlisted(o, cli->out);
    say_observed(o, cli->out);
    say_rest(o, cli->out);
}

static bool put_sources(struct cli *cli, const char *id, struct err *err)
{
    static const char *const columns[] = {"source", "recipients", "last", NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, sources_sql, DB_VALUES(id), err))
        return false;
    out_section(cli->out, "sources", NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        out_int(cli->out, db_int(rows, i, 1));
        out_text(cli->out, db_text(rows, i, 2));
    }
    return true;
}

static bool put_unlisted(struct cli *cli, const char *id, struct err *err)
{
    static const char *const columns[] = {"unlisted", "messages", "last", NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, unlisted_sql, DB_VALUES(id), err))
        return false;
    out_section(cli->out, "not_on_the_roll",
                db_rows(rows) > 0 ? "not on the roll, though clean mail for them was taken" : NULL,
                OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        out_int(cli->out, db_int(rows, i, 1));
        out_text(cli->out, db_text(rows, i, 2));
    }
    return true;
}

static bool read_asked(const struct cli *cli, enum relay_check *asked, struct err *err)
{
    const char *text = cli_value(cli, "relay-check");

    if (text == NULL)
        return err_set(err, ERR_USAGE, "say what is thought of: --relay-check MODE");
    *asked = relay_check_by_name(span_text(text));
    return *asked != CHECK_NONE ||
           err_set(err, ERR_USAGE, "--relay-check %s: not one of panel, smtp, either, off", text);
}

bool cmd_domain_preflight(struct cli *cli, struct err *err)
{
    struct domain_row row, target;
    struct outlook outlook = {.domain = &row};
    DB_RESULT_AUTO counts = NULL;
    DB_RESULT_AUTO unlisted = NULL;
    char id[16];

    if (!read_asked(cli, &outlook.asked, err) || !cli_read(cli, err) ||
        !domain_get(cli->db, cli->operands[0], false, &row, err))
        return false;
    if (row.alias_of[0] != '\0') { /* it has the target's settings and recipients */
        if (!domain_get(cli->db, row.alias_of, false, &target, err))
            return false;
        outlook.domain = &target;
    }
    snprintf(id, sizeof id, "%d", (int)outlook.domain->id);
    if (!db_query(cli->db, &counts, counts_sql, DB_VALUES(id), err) ||
        !db_query(cli->db, &unlisted, unlisted_counts_sql, DB_VALUES(id), err))
        return false;
    outlook.unlisted = db_int(unlisted, 0, 0);
    outlook.messages = db_int(unlisted, 0, 1);
    outlook.days = db_int(unlisted, 0, 2);
    outlook.active = db_int(counts, 0, 0);
    outlook.disabled = db_int(counts, 0, 1);
    outlook.retired = db_int(counts, 0, 2);
    outlook.verified = db_int(counts, 0, 3);
    outlook.changed = db_null(counts, 0, 4) ? NULL : db_text(counts, 0, 4);
    put_outlook(cli, &outlook, row.name);
    return put_sources(cli, id, err) && put_unlisted(cli, id, err);
}
