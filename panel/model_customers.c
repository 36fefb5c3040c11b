/* model_customers - see model.h; here: customers and accounts */
#include <stdio.h>

#include "panel/model.h"
#include "panel/view.h"

static const char customers_sql[] =
    "select c.id, c.name, c.created_at as at_made,"
    " (select count(*) from domain d where d.customer_id = c.id and d.state = 'active') as "
    "n_domains,"
    " (select count(*) from account a where a.customer_id = c.id) as n_accounts"
    " from customer c order by lower(c.name)";

bool model_customers(struct db *db, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, customers_sql, DB_NO_VALUES, err))
        return false;
    view_rows(page, "customers", rows);
    return true;
}

bool model_customer(struct db *db, const char *id, struct data *page, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    DB_RESULT_AUTO domains = NULL;
    DB_RESULT_AUTO accounts = NULL;

    if (!db_query(db, &row, "select id, name, created_at as at_made from customer where id = $1",
                  DB_VALUES(id), err) ||
        !db_query(
            db, &domains,
            "select d.id, d.name, d.relay_check, coalesce(t.name, '') as alias_of from domain d"
            " left join domain t on t.id = d.alias_of"
            " where d.customer_id = $1 and d.state = 'active' order by d.name",
            DB_VALUES(id), err) ||
        !db_query(
            db, &accounts,
            "select id, login, state from account where customer_id = $1 order by lower(login)",
            DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such customer.");
    view_row(data_child(page, "customer"), row, 0);
    view_rows(page, "domains", domains);
    view_rows(page, "accounts", accounts);
    return true;
}

static const char accounts_sql[] =
    "select a.id, a.login, a.role, coalesce(c.name, '') as customer, a.must_change as is_fresh,"
    " a.state = 'disabled' as is_disabled, a.created_at as at_made, a.signed_in_at as at_signed_in"
    " from account a left join customer c on c.id = a.customer_id order by lower(a.login)";

bool model_accounts(struct db *db, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, accounts_sql, DB_NO_VALUES, err) || !model_customers(db, page, err))
        return false;
    view_rows(page, "accounts", rows);
    return true;
}

bool model_account_login(struct db *db, const char *id, char login[201], struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, "select login from account where id = $1", DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such account.");
    snprintf(login, 201, "%s", db_text(row, 0, 0));
    return true;
}
