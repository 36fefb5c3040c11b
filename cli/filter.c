/* filter - see filter.h */
#include "cli/filter.h"

#include "lib/str.h"

bool filter_customer(struct cli *cli, struct err *err)
{
    const char *name = cli_value(cli, "customer");
    DB_RESULT_AUTO rows = NULL;

    if (name == NULL)
        return true;
    if (!db_query(cli->db, &rows, "select from customer where lower(name) = lower($1)",
                  DB_VALUES(name), err))
        return false;
    return db_rows(rows) > 0 ||
           err_set(err, ERR_DATA, "there is no customer '%s'; 'rollcall customer list'", name);
}

bool filter_domain(struct cli *cli, char *name, const char **domain, struct err *err)
{
    const char *given = cli_value(cli, "domain");
    DB_RESULT_AUTO rows = NULL;
    size_t len;

    *domain = NULL;
    if (given == NULL)
        return true;
    if (!addr_parse_domain(span_text(given), name, &len, err) ||
        !db_query(cli->db, &rows, "select from domain where name = $1 and state = 'active'",
                  DB_VALUES(name), err))
        return false;
    *domain = name;
    return db_rows(rows) > 0 || err_set(err, ERR_DATA, "%s: not served here", name);
}
