/* model_domains - see model.h; here: domains, and what another relay check would mean */
#include <stdio.h>
#include <string.h>

#include "lib/sql.h"
#include "panel/model.h"
#include "panel/view.h"

static const char domains_sql[] =
    "select d.id, d.name, k.name as customer, coalesce(t.name, '') as alias_of, d.relay_check,"
    " coalesce(d.shadow::text, '') as shadow, d.next_hop, d.follows_directory as is_directory,"
    " d.loaded_at is not null as is_complete"
    " from domain d left join customer k on k.id = d.customer_id"
    " left join domain t on t.id = d.alias_of where d.state = 'active'"
    " and ($1 = '' or strpos(d.name, lower($1)) > 0 or strpos(lower(k.name), lower($1)) > 0)"
    " order by d.name limit 501";

bool model_domains(struct db *db, const char *like, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, domains_sql, DB_VALUES(like), err))
        return false;
    view_rows(page, "domains", rows);
    data_flag(page, "more", db_rows(rows) > 500);
    return true;
}

/* Times as the form has them. */
#define SECONDS(column) "coalesce(" column " || 's', 'default')"
static const char domain_sql[] =
    "select d.id, d.name, coalesce(k.name, '') as customer, coalesce(t.name, '') as alias_of,"
    " d.relay_check, coalesce(d.shadow::text, 'none') as shadow, d.next_hop,"
    " d.recipient_delimiter as delimiter, d.case_sensitive as is_case_sensitive, d.threshold,"
    " " SECONDS(
        "d.stale_limit") " as stale_limit,"
                         " " SECONDS(
                             "d.source_stale_limit") " as source_stale_limit,"
                                                     " coalesce(d.guard_percent::text, 'default') "
                                                     "as guard_percent,"
                                                     " d.follows_directory as is_directory, "
                                                     "d.synced_at as at_synced, d.loaded_at as "
                                                     "at_loaded,"
                                                     " d.loaded_at is not null as is_complete, "
                                                     "d.changed_by, d.created_at as at_made"
                                                     " from domain d left join customer k on k.id "
                                                     "= d.customer_id"
                                                     " left join domain t on t.id = d.alias_of "
                                                     "where d.id = $1 and d.state = 'active'";

bool model_domain(struct db *db, const char *id, struct data *page, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, domain_sql, DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such domain.");
    view_row(data_child(page, "domain"), row, 0);
    return true;
}

static const char figures_sql[] =
    "select count(*) filter (where state = 'active') as n_active,"
    " count(*) filter (where state = 'disabled') as n_disabled,"
    " count(*) filter (where kind = 'group' and state = 'active') as n_groups,"
    " count(*) > 100000 as is_capped, 100000 as n_many from (select r.state, r.kind from recipient "
    "r, domain d"
    "   where d.id = $1 and r.domain_id = coalesce(d.alias_of, d.id)"
    "   and r.state in ('active', 'disabled') limit 100001) x";
static const char observed_sql[] =
    "select coalesce(sum(accepted), 0)::bigint as n_accepted,"
    " count(distinct local_part) filter (where accepted > 0) as n_addresses,"
    " coalesce(sum(refused), 0)::bigint as n_refused from observation"
    " where domain_id = $1 and day > current_date - 30";
static const char observation_sql[] =
    "select since as at_since, coalesce(worked_to::text, '') as worked_to,"
    " accepts_everything as is_catch_all, held from domain_observation"
    " where domain_id = $1 and since is not null";

bool model_domain_figures(struct db *db, const char *id, struct data *page, struct err *err)
{
    DB_RESULT_AUTO figures = NULL;
    DB_RESULT_AUTO observed = NULL;
    DB_RESULT_AUTO observation = NULL;

    if (!db_query(db, &figures, figures_sql, DB_VALUES(id), err) ||
        !db_query(db, &observed, observed_sql, DB_VALUES(id), err) ||
        !db_query(db, &observation, observation_sql, DB_VALUES(id), err))
        return false;
    view_row(data_child(page, "figures"), figures, 0);
    view_row(data_child(page, "observed"), observed, 0);
    if (db_rows(observation) > 0)
        view_row(data_child(page, "observation"), observation, 0);
    return true;
}

/* Addresses that got clean mail within 30 days and are not accepted by the list. */
static const char missed_sql[] = "select " SQL_ADDRESS(
    "o.local_part",
    "d.name") " as address, sum(o.accepted) as n_accepted,"
              " max(o.day) as last_day, count(*) over () as n_all"
              " from domain d join observation o on o.domain_id = coalesce(d.alias_of, d.id)"
              " left join recipient r on r.domain_id = o.domain_id and r.local_part = o.local_part"
              "   and r.state = 'active'"
              " where d.id = $1 and o.day > current_date - 30 and o.accepted > 0 and r.id is null"
              " group by o.local_part, d.name order by 2 desc, 1 limit 100";

bool model_preflight(struct db *db, const char *id, const char *check, struct data *page,
                     struct err *err)
{
    DB_RESULT_AUTO missed = NULL;
    bool refuses = strcmp(check, "panel") == 0,
         asks = strcmp(check, "smtp") == 0 || strcmp(check, "either") == 0;

    if (!model_domain(db, id, page, err) || !model_domain_figures(db, id, page, err) ||
        !db_query(db, &missed, missed_sql, DB_VALUES(id), err))
        return false;
    data_text(page, "asked", check);
    data_flag(page, "refuses", refuses);
    data_flag(page, "asks", asks);
    data_flag(page, "lists", strcmp(check, "smtp") != 0);
    if (refuses) {
        view_rows(page, "missed", missed);
        if (db_rows(missed) > 0)
            data_count(page, "n_missed", db_int(missed, 0, 3));
    }
    return true;
}

bool model_domain_name(struct db *db, const char *id, char name[254], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select name from domain where id = $1 and state = 'active'",
                  DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such domain.");
    snprintf(name, 254, "%s", db_text(row, 0, 0));
    return true;
}

bool model_first_domain(struct db *db, char id[16], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row,
                  "select id from domain where state = 'active' and alias_of is null"
                  " order by name limit 1",
                  DB_NO_VALUES, err))
        return false;
    snprintf(id, 16, "%s", db_rows(row) > 0 ? db_text(row, 0, 0) : "0");
    return true;
}
