/* create_tell - see create.h; here: the evidence about an address, and how far everything is */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/addr.h"
#include "sync/create_parts.h"

/* ---- one address ---- */

static const char domain_sql[] =
    "select t.id, t.name, t.relay_check, t.threshold,"
    "   coalesce(to_char(o.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), ''),"
    "   coalesce(o.worked_to::text, ''), o.accepts_everything, o.bounces_late, o.held,"
    "   t.case_sensitive from domain d join domain t on t.id = coalesce(d.alias_of, d.id)"
    " left join domain_observation o on o.domain_id = t.id where d.name = $1 and d.state = "
    "'active'";
static const char recipient_sql[] =
    "select r.state, (select string_agg(s.source::text, ' ' order by s.source)"
    "     from recipient_source s where s.recipient_id = r.id), coalesce(r.verified_on::text, ''),"
    "   coalesce(to_char(r.refused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), '')"
    " from recipient r where r.domain_id = $1::int and r.local_part = $2";
static const char days_sql[] =
    "select day, accepted, deliverable, refused, unknown, late,"
    "   coalesce(to_char(last_yes at time zone 'UTC', 'HH24:MI'), '-'),"
    "   coalesce(to_char(last_no at time zone 'UTC', 'HH24:MI'), '-'),"
    "   last_yes > coalesce(last_no, '-infinity')"
    " from observation where domain_id = $1::int and local_part = $2 order by day desc limit 40";
static const char veto_sql[] =
    "select to_char(max(s.created_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from change h"
    " join changeset s on s.id = h.changeset_id where s.removed > 0 and h.domain_id = $1::int"
    "   and h.local_part = $2 and h.before_kind is not null and h.after_kind is null"
    "   and s.created_at > $4::timestamptz - make_interval(secs => $3::float8)";

static void tell_domain(const struct db_result *d)
{
    printf("domain %s: relay check %s, more than %s clean messages a day are wanted\n",
           db_text(d, 0, 1), db_text(d, 0, 2), db_text(d, 0, 3));
    if (db_text(d, 0, 4)[0] == '\0')
        printf("  not observed: observation adds users in relay check smtp and either\n");
    else
        printf("  observed since %s GMT; worked to %s\n", db_text(d, 0, 4),
               db_text(d, 0, 5)[0] != '\0' ? db_text(d, 0, 5) : "(not yet)");
    if (db_text(d, 0, 8)[0] != '\0')
        printf("  %s\n", db_text(d, 0, 8));
}

static void tell_recipient(const struct db_result *r)
{
    if (db_rows(r) == 0 || strcmp(db_text(r, 0, 0), "removed") == 0) {
        printf("not on the roll\n");
        return;
    }
    printf("on the roll: %s, from %s", db_text(r, 0, 0), db_text(r, 0, 1));
    if (db_text(r, 0, 2)[0] != '\0')
        printf("; the server took mail for it on %s", db_text(r, 0, 2));
    if (db_text(r, 0, 3)[0] != '\0')
        printf("; the server refused it at %s GMT", db_text(r, 0, 3));
    printf("\n");
}

/* What keeps a day's evidence from making a user. */
static void tell_missing(const struct db_result *days, size_t row, int64_t threshold)
{
    int64_t accepted = db_int(days, row, 1);

    if (db_int(days, row, 2) == 0)
        printf("  its server never said yes");
    else if (accepted <= threshold)
        printf("  %" PRId64 " more clean message%s wanted", threshold + 1 - accepted,
               threshold == accepted ? "" : "s");
    else if (db_int(days, row, 5) > 0)
        printf("  its server refused it after taking the message");
    else if (!db_bool(days, row, 8))
        printf("  its server's last word was no");
    else
        printf("  enough for a user");
}

static void tell_days(const struct db_result *days, int64_t threshold)
{
    if (db_rows(days) == 0) {
        printf("nothing was observed\n");
        return;
    }
    printf("day         accepted  deliverable  refused  last yes  last no\n");
    for (size_t i = 0; i < db_rows(days); i++) {
        printf("%s  %8s  %11s  %7s  %8s  %7s", db_text(days, i, 0), db_text(days, i, 1),
               db_text(days, i, 2), db_text(days, i, 3), db_text(days, i, 6), db_text(days, i, 7));
        tell_missing(days, i, threshold);
        printf("\n");
    }
}

static bool find_domain(struct db *db, const char *name, struct db_result **d, struct err *err)
{
    if (!db_query(db, d, domain_sql, DB_VALUES(name), err))
        return false;
    return db_rows(*d) == 1 || err_set(err, ERR_DATA, "%s: is not served here", name);
}

static bool tell_address(struct db *db, const struct create_options *o, const struct db_result *d,
                         const char *local, struct err *err)
{
    DB_RESULT_AUTO recipient = NULL;
    DB_RESULT_AUTO days = NULL;
    DB_RESULT_AUTO veto = NULL;
    const char *id = db_text(d, 0, 0);
    char seconds[NUMBER_TEXT], now[TIME_TEXT];

    clock_rfc3339(now, sizeof now, o->now_us);
    if (!db_query(db, &recipient, recipient_sql, DB_VALUES(id, local), err) ||
        !db_query(db, &days, days_sql, DB_VALUES(id, local), err) ||
        !db_query(db, &veto, veto_sql,
                  DB_VALUES(id, local, number_text(o->conf->veto_for / CLOCK_SECOND, seconds), now),
                  err))
        return false;
    tell_domain(d);
    tell_recipient(recipient);
    if (!db_null(veto, 0, 0))
        printf("it was removed at %s GMT, and is not created again for veto_for\n",
               db_text(veto, 0, 0));
    tell_days(days, db_int(d, 0, 3));
    return true;
}

bool create_explain(const struct create_options *o, const char *address, struct err *err)
{
    DB_RESULT_AUTO d = NULL;
    struct addr addr;
    struct db *db;
    bool fine;

    if (!addr_parse(span_text(address), false, &addr, err) || !create_connect(o->conf, &db, err))
        return false;
    fine = find_domain(db, addr.domain, &d, err);
    if (fine && !db_bool(d, 0, 9))
        fine = addr_parse(span_text(address), true, &addr, err);
    fine = fine && tell_address(db, o, d, addr.local, err);
    db_close(&db);
    return fine;
}

/* ---- how far ---- */

static const char positions_sql[] =
    "select coalesce(p.gateway, g.name), coalesce(to_char(p.read_to at time zone 'UTC',"
    "   'YYYY-MM-DD HH24:MI:SS'), 'never read'), to_char(p.updated_at at time zone 'UTC',"
    "   'YYYY-MM-DD HH24:MI:SS') from log_position p full join gateway g on g.name = p.gateway"
    " order by 1";
static const char domains_sql[] =
    "select d.name, d.relay_check, to_char(o.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),"
    "   coalesce(o.worked_to::text, '-'), case when o.accepts_everything then 'yes'"
    "     when o.probe_answered_at is null then '?' else 'no' end, o.held"
    " from domain_observation o join domain d on d.id = o.domain_id where o.since is not null"
    " order by d.name";

bool create_status(const struct create_options *o, struct err *err)
{
    DB_RESULT_AUTO positions = NULL;
    DB_RESULT_AUTO domains = NULL;
    struct db *db;
    bool fine;

    if (!create_connect(o->conf, &db, err))
        return false;
    fine = db_query(db, &positions, positions_sql, DB_NO_VALUES, err) &&
           db_query(db, &domains, domains_sql, DB_NO_VALUES, err);
    db_close(&db);
    if (!fine)
        return false;
    printf("%-30s %-20s %s\n", "gateway", "read to (GMT)", "at");
    for (size_t i = 0; i < db_rows(positions); i++)
        printf("%-30s %-20s %s\n", db_text(positions, i, 0), db_text(positions, i, 1),
               db_text(positions, i, 2));
    printf("\n%-30s %-7s %-17s %-11s %-10s %s\n", "domain", "check", "observed since", "worked to",
           "catch-all", "");
    for (size_t i = 0; i < db_rows(domains); i++)
        printf("%-30s %-7s %-17s %-11s %-10s %s\n", db_text(domains, i, 0), db_text(domains, i, 1),
               db_text(domains, i, 2), db_text(domains, i, 3), db_text(domains, i, 4),
               db_text(domains, i, 5));
    return true;
}
