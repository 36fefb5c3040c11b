/* cmd_ldap_login - a user's sign-in tried, as the panel does it */
#include <inttypes.h>

#include "cli/cmd.h"
#include "cli/terminal.h"
#include "lib/directory.h"
#include "lib/ldap_login.h"
#include "lib/secret.h"

/* clang-format off */
static const char user_sql[] =
    "select r.user_id from recipient r join domain d on coalesce(d.alias_of, d.id) = r.domain_id"
    " where d.name = $2 and d.state = 'active' and r.local_part = $1 and r.user_id is not null";
/* clang-format on */

static bool find_user(struct cli *cli, const char *text, int64_t *user, struct err *err)
{
    struct addr addr;
    DB_RESULT_AUTO rows = NULL;

    if (!addr_parse(span_text(text), true, &addr, err) || !cli_read(cli, err) ||
        !db_query(cli->db, &rows, user_sql, DB_VALUES(addr.local, addr.domain), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "%s: is no user's address", text);
    *user = db_int(rows, 0, 0);
    return true;
}

bool cmd_ldap_sign_in(struct cli *cli, const char *address, struct err *err)
{
    static const char *const columns[] = {"signed_in", NULL};
    BUF_AUTO password = {0};
    int64_t user;

    if (!find_user(cli, address, &user, err) || !terminal_ask_secret("password: ", &password, err))
        return false;
    directory_init();
    enum ldap_login answer = ldap_login_check(cli->db, &cli->conf.value, user, password.at, err);
    secret_forget(password.at, password.len);
    if (answer != LDAP_LOGIN_YES)
        return err_prefix(err, "%s", address);
    cli_say(cli, "%s: the directory takes this password", address);
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_bool(cli->out, true);
    }
    return true;
}
