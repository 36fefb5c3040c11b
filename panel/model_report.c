/* model_report - see model.h; here: whose reports are set, and reports that somebody wants to see
 */
#include <stdio.h>
#include <string.h>

#include "panel/model.h"
#include "panel/view.h"

static const char domains_sql[] =
    "select d.id, d.name, k.id as customer_id, k.name as customer,"
    " coalesce(s.enabled, c.enabled, true) as is_enabled,"
    " coalesce(s.users_choose, c.users_choose, true) as is_free,"
    " coalesce(s.central_contact, c.central_contact, '') as contact, s.id is not null as is_own"
    " from domain d join customer k on k.id = d.customer_id"
    " left join report_setting c on c.customer_id = k.id and c.domain_id is null"
    "   and c.user_id is null"
    " left join report_setting s on s.domain_id = d.id"
    " where d.state = 'active' and d.alias_of is null"
    "   and ($1 = '' or strpos(d.name, lower($1)) > 0 or strpos(lower(k.name), lower($1)) > 0)"
    " order by k.name, d.name limit 501";

bool model_report_domains(struct db *db, const char *like, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, domains_sql, DB_VALUES(like), err))
        return false;
    view_rows(page, "domains", rows);
    data_flag(page, "more", db_rows(rows) > 500);
    if (db_rows(rows) > 0)
        data_text(page, "first_customer", db_text(rows, 0, 2));
    return true;
}

bool model_customer_of(struct db *db, const char *domain, char name[801], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row,
                  "select k.name from domain d join customer k on k.id = d.customer_id"
                  " where d.id = $1 and d.state = 'active'",
                  DB_VALUES(domain), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such domain.");
    snprintf(name, 801, "%s", db_text(row, 0, 0));
    return true;
}

bool model_customer_name(struct db *db, const char *id, char name[801], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select name from customer where id = $1", DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such customer.");
    snprintf(name, 801, "%s", db_text(row, 0, 0));
    return true;
}

bool model_zone_known(struct db *db, const char *zone, bool *known, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select from pg_timezone_names where name = $1", DB_VALUES(zone), err))
        return false;
    *known = db_rows(row) > 0;
    return true;
}

bool model_report_ask(struct db *db, const char *domain, const char *address, const char *actor,
                      struct err *err)
{
    int64_t made;

    return db_exec(db,
                   "insert into report_request (customer_id, domain_id, address, actor)"
                   " select d.customer_id, d.id, $2, $3 from domain d where d.id = $1"
                   " and d.state = 'active'",
                   DB_VALUES(domain, address, actor), &made, err) &&
           (made > 0 || err_set(err, ERR_DATA, "There is no such domain."));
}

bool model_report_asked(struct db *db, const char *domain, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select address, actor, state, asked_at as at_asked, listed as n_listed, why"
                  " from report_request where domain_id = $1 order by id desc limit 5",
                  DB_VALUES(domain), err))
        return false;
    view_rows(page, "asked", rows);
    return true;
}

/* One who may get a report: an active user of that domain, or of one that is its alias. */
bool model_report_user(struct db *db, const char *domain, const struct addr *exact,
                       const struct addr *folded, bool *is_user, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row,
                  "select from users u join recipient r on r.user_id = u.id and r.kind = 'primary'"
                  " where u.id = mail_user($1, $2, $3) and r.domain_id = $4",
                  DB_VALUES(exact->local, folded->local, exact->domain, domain), err))
        return false;
    *is_user = db_rows(row) > 0;
    return true;
}

bool model_report_mine(struct db *db, struct data *page, bool *choose, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row,
                  "select enabled as is_enabled, users_choose as is_free, days, hours,"
                  " coalesce(zone, '') as zone, coalesce(language, '') as language, categories"
                  " from panel_report()",
                  DB_NO_VALUES, err))
        return false;
    *choose = db_rows(row) > 0 && db_bool(row, 0, 1);
    if (db_rows(row) > 0)
        view_row(data_child(page, "mine"), row, 0);
    return true;
}
