/*
 * cmd_domain_preflight - what another relay check would mean for a domain, before it is set
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
    " join changeset c on c.id = s.claimed_by"
    " where r.domain_id = $1::integer and r.state in ('active', 'disabled')"
    " group by s.source, s.source_id order by s.source, s.source_id";
/* clang-format on */

/* What is known of the domain and its roll. */
struct outlook {
    const struct domain_row *domain; /* whose recipients count: the target of an alias domain */
    enum relay_check asked;
    int64_t active, disabled, retired, verified;
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
    static const char *const head[] = {"domain",  "relay_check", "asked",   "active", "disabled",
                                       "retired", "verified",    "changed", NULL};
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
    out_section(cli->out, "consequences", NULL, OUT_TABLE, texts);
    say_listed(o, cli->out);
    say_unlisted(o, cli->out);
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
    if (!db_query(cli->db, &counts, counts_sql, DB_VALUES(id), err))
        return false;
    outlook.active = db_int(counts, 0, 0);
    outlook.disabled = db_int(counts, 0, 1);
    outlook.retired = db_int(counts, 0, 2);
    outlook.verified = db_int(counts, 0, 3);
    outlook.changed = db_null(counts, 0, 4) ? NULL : db_text(counts, 0, 4);
    put_outlook(cli, &outlook, row.name);
    return put_sources(cli, id, err);
}
