/* model_ldap - see model.h; here: directories, what reading them came to, and what is asked of them
 */
#include <stdio.h>
#include <string.h>

#include "lib/ldap_source.h"
#include "lib/record.h"
#include "panel/model.h"
#include "panel/view.h"

#define FED(from)                                                                                  \
    "(select string_agg(d.name, ', ' order by d.name) from ldap_source_domain f"                   \
    " join domain d on d.id = f.domain_id where f.source_id = " from ")"

/* $1: a domain that it feeds, or null; $2: its id, or null. */
static const char sources_sql[] = "select s.id, s.name, k.name as customer, coalesce(" FED(
    "s.id") ", '') as domains,"
            " coalesce(s.settings ->> 'preset', 'ad') as preset,"
            " replace(coalesce(s.settings ->> 'server', ''), e'\\n', ', ') as server,"
            " coalesce(s.settings ->> 'enabled', 'yes') = 'yes' as is_enabled, s.has_secret as "
            "is_kept,"
            " s.by_customer as is_by_customer, s.synced_at as at_synced, s.entries as n_entries,"
            " s.failing_since as at_failing, s.failing_since is not null as is_failing,"
            " s.held, coalesce(s.settings ->> 'interval', $3) as interval,"
            " coalesce(r.outcome, '') as outcome, r.started_at as at_started, coalesce(r.why, '') "
            "as why"
            " from ldap_source s join customer k on k.id = s.customer_id"
            " left join lateral (select * from ldap_run where source_id = s.id order by id desc "
            "limit 1) r"
            "   on true"
            " where ($1::int is null or exists (select from ldap_source_domain f"
            "     where f.source_id = s.id and f.domain_id = $1::int))"
            "   and ($2::int is null or s.id = $2::int) order by s.name limit 501";

/* What every preset has it at. */
static const char *usual(const char *setting)
{
    return ldap_setting_find(setting)->fallback[PRESET_CUSTOM];
}

bool model_ldap_sources(struct db *db, const char *domain, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, sources_sql, DB_VALUES(domain, NULL, usual("interval")), err))
        return false;
    view_rows(page, "sources", rows);
    return true;
}

bool model_ldap_name(struct db *db, const char *id, char name[254], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select name from ldap_source where id = $1", DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such directory.");
    snprintf(name, 254, "%s", db_text(row, 0, 0));
    return true;
}

bool model_ldap_id(struct db *db, const char *name, char id[24], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select id from ldap_source where lower(name) = lower($1)",
                  DB_VALUES(name), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such directory.");
    snprintf(id, 24, "%s", db_text(row, 0, 0));
    return true;
}

static const char runs_sql[] =
    "select started_at as at_started, round(extract(epoch from ended_at - started_at)::numeric, 1)"
    "   as seconds, outcome, why, server, entries as n_entries, users as n_users,"
    " groups as n_groups, left_out as n_left, added as n_added, removed as n_removed,"
    " changed as n_changed, problems as n_problems, changeset_id as changeset"
    " from ldap_run where source_id = $1 order by id desc limit 15";
/* That nobody works on it is told when it should have begun. */
static const char requests_sql[] = "select id, what, actor, state, asked_at as at_asked, why,"
                                   " state in ('waiting', 'running') as is_open from ldap_request"
                                   " where source_id = $1 order by id desc limit 5";

bool model_ldap_source(struct db *db, const char *id, struct data *page, struct err *err)
{
    DB_RESULT_AUTO source = NULL;
    DB_RESULT_AUTO runs = NULL;
    DB_RESULT_AUTO requests = NULL;

    if (!db_query(db, &source, sources_sql, DB_VALUES(NULL, id, usual("interval")), err))
        return false;
    if (db_rows(source) == 0)
        return err_set(err, ERR_DATA, "There is no such directory.");
    if (!db_query(db, &runs, runs_sql, DB_VALUES(id), err) ||
        !db_query(db, &requests, requests_sql, DB_VALUES(id), err))
        return false;
    view_row(data_child(page, "source"), source, 0);
    view_rows(page, "runs", runs);
    view_rows(page, "requests", requests);
    for (size_t i = 0; i < db_rows(requests); i++)
        if (db_bool(requests, i, 6))
            data_text(page, "open_request", db_text(requests, i, 0));
    return true;
}

/* Domains that it feeds or may feed: those of its customer; of a new one those of the customer of
 * `domain`. */
static const char domains_sql[] =
    "select d.id, d.name, exists (select from ldap_source_domain f where f.domain_id = d.id"
    "   and f.source_id = $1::int) or d.id = $2::int as is_fed"
    " from domain d where d.state = 'active' and d.alias_of is null and d.customer_id = coalesce("
    "   (select customer_id from ldap_source where id = $1::int),"
    "   (select customer_id from domain where id = $2::int)) order by d.name limit 1000";

bool model_ldap_domains(struct db *db, const char *id, const char *domain, struct data *page,
                        struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, domains_sql, DB_VALUES(id, domain), err))
        return false;
    view_rows(page, "domains", rows);
    return true;
}

bool model_ldap_ask(struct db *db, const char *id, const char *what, const char *actor,
                    char request[24], struct err *err)
{
    DB_RESULT_AUTO made = NULL;
    DB_RESULT_AUTO open = NULL;

    if (!db_query(db, &made,
                  "insert into ldap_request (source_id, what, actor) values ($1, $2, $3)"
                  " on conflict (source_id) where state in ('waiting', 'running') do nothing"
                  " returning id",
                  DB_VALUES(id, what, actor), err))
        return false;
    if (db_rows(made) == 0 &&
        !db_query(db, &open, "select max(id) from ldap_request where source_id = $1", DB_VALUES(id),
                  err))
        return false;
    snprintf(request, 24, "%s", db_text(made != NULL && db_rows(made) > 0 ? made : open, 0, 0));
    return true;
}

/* ---- one request ---- */

static const char request_sql[] =
    "select q.id, q.what, q.state, q.actor, q.asked_at as at_asked, q.ended_at as at_ended, q.step,"
    " q.entries as n_entries, q.why, q.state in ('waiting', 'running') as is_running,"
    " q.state = 'waiting' and q.asked_at < now() - interval '15 seconds' as is_forgotten,"
    " q.records, coalesce(s.entries, 0) as before"
    " from ldap_request q join ldap_source s on s.id = q.source_id where q.id = $2"
    " and q.source_id = $1";
enum { REQUEST_RECORDS = 11, REQUEST_BEFORE };

/* The fields of each kind of record, in their order behind the source; see rollcall-ldapsync. */
static const struct {
    const char *kind, *list;
    const char *fields[7];
} kinds[] = {
    {"user", "users", {"kind", "state", "address", "aliases", "name", "dn"}},
    {"left", "left", {"dn", "why"}},
    {"note", "notes", {"dn", "value", "why"}},
    {"foreign", "foreign", {"domain", "count"}},
    {"difference", "differences", {"sign", "what", "before", "after"}},
    {"problem", "problems", {"kind", "address", "dn", "why"}},
};

static void put_records(struct data *page, struct span records, size_t k)
{
    struct data *list = data_list(page, kinds[k].list);
    struct record record;

    for (struct span rest = records; record_next(&rest, &record);) {
        if (!record_is(&record, kinds[k].kind))
            continue;
        struct data *one = data_item(list);
        for (size_t f = 0; f < 7 && kinds[k].fields[f] != NULL; f++)
            data_span(one, kinds[k].fields[f], record_field(&record, f + 2));
    }
}

static void put_done(struct data *page, struct span records)
{
    static const struct {
        const char *key;
        size_t at;
    } counts[] = {
        {"n_entries", RECORD_DONE_ENTRIES},       {"n_users", RECORD_DONE_USERS},
        {"n_groups", RECORD_DONE_GROUPS},         {"n_left", RECORD_DONE_LEFT_OUT},
        {"n_added", RECORD_DONE_ADDED},           {"n_removed", RECORD_DONE_REMOVED},
        {"n_changed", RECORD_DONE_CHANGED},       {"n_problems", RECORD_DONE_PROBLEMS},
        {"n_bad_values", RECORD_DONE_BAD_VALUES},
    };
    struct record record;

    for (struct span rest = records; record_next(&rest, &record);) {
        if (!record_is(&record, "done"))
            continue;
        struct data *done = data_child(page, "done");
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            data_count(done, counts[i].key, record_number(&record, counts[i].at));
        data_span(done, "outcome", record_field(&record, RECORD_DONE_WHAT));
        data_span(done, "server", record_field(&record, RECORD_DONE_SERVER));
        data_span(done, "why", record_field(&record, RECORD_DONE_WHY));
        data_flag(done, "more", record_number(&record, RECORD_DONE_MORE) != 0);
        if (record_number(&record, RECORD_DONE_CHANGESET) != 0)
            data_span(done, "changeset", record_field(&record, RECORD_DONE_CHANGESET));
        data_flag(done, "nothing",
                  record_number(&record, RECORD_DONE_ADDED) +
                          record_number(&record, RECORD_DONE_REMOVED) +
                          record_number(&record, RECORD_DONE_CHANGED) ==
                      0);
    }
}

/* As far as the last complete answer tells how much there is to read. */
static int64_t percent(int64_t entries, int64_t before)
{
    if (before <= 0)
        return entries > 0 ? 50 : 0;
    return entries >= before ? 95 : entries * 95 / before;
}

bool model_ldap_request(struct db *db, const char *source, const char *id, struct data *page,
                        struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, request_sql, DB_VALUES(source, id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "This has not been asked, or was long ago.");
    struct span records = db_span(row, 0, REQUEST_RECORDS);
    view_row(data_child(page, "request"), row, 0);
    data_int(page, "percent", percent(db_int(row, 0, 7), db_int(row, 0, REQUEST_BEFORE)));
    put_done(page, records);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        put_records(page, records, k);
    return true;
}
