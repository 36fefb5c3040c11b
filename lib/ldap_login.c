/* ldap_login - see ldap_login.h */
#include "ldap_login.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "directory.h"
#include "ldap_source.h"

static enum ldap_login ask(const struct conf *conf, const struct db_result *rows,
                           struct ldap_settings *settings, const char *password, struct err *err)
{
    static const enum ldap_login answers[] = {[DIRECTORY_YES] = LDAP_LOGIN_YES,
                                              [DIRECTORY_NO] = LDAP_LOGIN_NO,
                                              [DIRECTORY_UNSURE] = LDAP_LOGIN_UNSURE};
    struct network_list denied = {.count = 0};
    struct directory_login login = {.settings = settings,
                                    .password = "",
                                    .deadline_us =
                                        clock_elapsed_us() + LDAP_LOGIN_S * CLOCK_SECOND};

    if (db_bool(rows, 0, 2)) {
        if (!network_list_parse(span_text(conf->ldap_denied_networks), &denied, err))
            return LDAP_LOGIN_UNSURE;
        login.denied = &denied;
    }
    return answers[directory_check_password(&login, db_text(rows, 0, 1), password, err)];
}

enum ldap_login ldap_login_check(struct db *db, const struct conf *conf, int64_t user,
                                 const char *password, struct err *err)
{
    struct ldap_settings settings = {0};
    enum ldap_login answer = LDAP_LOGIN_UNSURE;
    char id[24];
    DB_RESULT_AUTO rows = NULL;

    snprintf(id, sizeof id, "%" PRId64, user);
    if (!db_query(db, &rows,
                  "select l.source, l.dn, l.by_customer, e.key, e.value from ldap_login($1::bigint)"
                  " l left join lateral jsonb_each_text(l.settings) e on true",
                  DB_VALUES(id), err))
        return LDAP_LOGIN_UNSURE;
    if (db_rows(rows) == 0) {
        err_set(err, ERR_DATA, "the user is of no directory");
        return LDAP_LOGIN_NONE;
    }
    struct ldap_given *given = mem_zero(db_rows(rows), sizeof *given);
    for (size_t i = 0; i < db_rows(rows); i++)
        given[i] = (struct ldap_given){db_text(rows, i, 3), db_text(rows, i, 4)};
    if (ldap_settings_fill(&settings, given, db_null(rows, 0, 3) ? 0 : db_rows(rows), err))
        answer = ask(conf, rows, &settings, password, err);
    if (answer != LDAP_LOGIN_YES)
        err_prefix(err, "%s", db_text(rows, 0, 0));
    free(given);
    ldap_settings_free(&settings);
    return answer;
}
