/* account - see account.h */
#include "account.h"

#include <string.h>

#include "domain_private.h"

const char *const account_act_names[] = {
    [ACCOUNT_REMOVE] = "account remove",
    [ACCOUNT_DISABLE] = "account disable",
    [ACCOUNT_ENABLE] = "account enable",
    [ACCOUNT_PASSWORD] = "account password",
    [ACCOUNT_RESET_SECOND] = "account reset",
};

bool account_list(struct db *db, account_row_fn *row, void *context, struct err *err)
{
    DB_RESULT_AUTO found = NULL;

    if (!db_query(db, &found,
                  "select a.id, a.login, a.role, coalesce(c.name, ''), a.state, a.must_change,"
                  " to_char(a.created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
                  " to_char(a.signed_in_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
                  " from account a left join customer c on c.id = a.customer_id"
                  " order by lower(a.login)",
                  DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(found); i++) {
        struct account_row one = {
            .id = (int32_t)db_int(found, i, 0),
            .login = db_text(found, i, 1),
            .role = db_text(found, i, 2),
            .customer = db_text(found, i, 3),
            .state = db_text(found, i, 4),
            .must_change = db_bool(found, i, 5),
            .created_at = db_text(found, i, 6),
            .signed_in_at = db_text(found, i, 7),
        };
        if (!row(context, &one, err))
            return false;
    }
    return true;
}

static bool check_login(const char *login, struct err *err)
{
    enum { LOGIN_MOST = 200 };
    size_t len = strlen(login);

    if (len == 0 || len > LOGIN_MOST || !str_utf8_valid(span_text(login)))
        return err_set(err, ERR_DATA, "'%s': a login has from 1 to %d characters", login,
                       LOGIN_MOST);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)login[i] <= ' ' || login[i] == 0x7f)
            return err_set(err, ERR_DATA, "'%s': a login has no blanks in it", login);
    return true;
}

static bool add(struct db *db, const char *login, const char *customer, const char *hash,
                const char *actor, struct err *err)
{
    char id[16] = "";
    int64_t added;

    if (customer != NULL && !customer_find(db, customer, id, err))
        return false;
    if (!db_exec(db,
                 "insert into account (login, role, customer_id, password)"
                 " values ($1, case when $2::int is null then 'operator' else 'admin' end,"
                 " $2::int, $3) on conflict do nothing",
                 DB_VALUES(login, customer != NULL ? id : NULL, hash), &added, err))
        return false;
    if (added == 0)
        return err_set(err, ERR_DATA, "%s: there is such an account already", login);
    return domain_audit(db, actor, "account add", login, "{}", err);
}

bool account_add(struct db *db, const char *login, const char *customer, const char *hash,
                 const char *actor, struct err *err)
{
    if (!check_login(login, err) || !db_script(db, "begin", err))
        return false;
    if (!add(db, login, customer, hash, actor, err))
        return db_rollback(db);
    return db_script(db, "commit", err);
}

/* $1 the login, $2 a hash or NULL */
static const char *const act_sql[] = {
    [ACCOUNT_REMOVE] = "delete from account where lower(login) = lower($1) and $2::text is null",
    [ACCOUNT_DISABLE] = "update account set state = 'disabled' where lower(login) = lower($1)"
                        " and $2::text is null",
    [ACCOUNT_ENABLE] = "update account set state = 'active' where lower(login) = lower($1)"
                       " and $2::text is null",
    [ACCOUNT_PASSWORD] = "update account set password = $2, must_change = true"
                         " where lower(login) = lower($1)",
    [ACCOUNT_RESET_SECOND] = "update account set second_factor = null, recovery = '{}'"
                             " where lower(login) = lower($1) and $2::text is null",
};

static bool act_on(struct db *db, enum account_act act, const char *login, const char *hash,
                   const char *actor, struct err *err)
{
    int64_t touched;

    if (!db_exec(db, act_sql[act], DB_VALUES(login, hash), &touched, err))
        return false;
    if (touched == 0)
        return err_set(err, ERR_DATA,
                       "%s: no such account; `rollcall account list` shows those there are", login);
    return domain_audit(db, actor, account_act_names[act], login, "{}", err);
}

bool account_do(struct db *db, enum account_act act, const char *login, const char *hash,
                const char *actor, struct err *err)
{
    if (!db_script(db, "begin", err))
        return false;
    if (!act_on(db, act, login, hash, actor, err))
        return db_rollback(db);
    return db_script(db, "commit", err);
}
