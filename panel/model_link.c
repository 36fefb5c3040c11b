/* model_link - see model.h; here: what a signed link names, for who is signed in to nothing
 *
 * Only the functions of sql/0008_link are asked: row-level security shows such a visitor nothing.
 */
#include <inttypes.h>
#include <stdio.h>

#include "panel/model.h"
#include "panel/view.h"

static void number_text(char out[24], int64_t number)
{
    snprintf(out, 24, "%" PRId64, number);
}

bool model_link_message(struct db *db, const struct link *link, const char *zone, struct data *page,
                        struct err *err)
{
    char recipient[24], user[24];
    DB_RESULT_AUTO row = NULL;

    number_text(recipient, link->recipient);
    number_text(user, link->user);
    if (!db_query(db, &row, "select * from link_message($1::bigint, $2::bigint, $3)",
                  DB_VALUES(recipient, user, zone), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such message.");
    view_row(data_child(page, "message"), row, 0);
    return true;
}

bool model_link_list(struct db *db, const struct link *link, const char *before, const char *zone,
                     model_link_fn *sign, void *context, struct data *page, struct err *err)
{
    char user[24], most[24];
    int64_t number;
    bool later = str_int64(span_text(before), &number) && number > 0;
    DB_RESULT_AUTO rows = NULL;

    number_text(user, link->user);
    number_text(most, MODEL_PAGE + 1);
    if (!db_query(db, &rows, "select * from link_messages($1::bigint, $2::bigint, $3::integer, $4)",
                  DB_VALUES(user, later ? before : NULL, most, zone), err))
        return false;
    struct data *list = data_list(page, "messages");
    for (size_t i = 0; i < db_rows(rows) && i < MODEL_PAGE; i++) {
        struct data *message = data_item(list);
        view_row(message, rows, i);
        sign(context, db_int(rows, i, 0), message);
    }
    if (db_rows(rows) > MODEL_PAGE)
        data_text(page, "next", db_text(rows, MODEL_PAGE - 1, 0));
    return true;
}

bool model_link_act(struct db *db, const struct link *link, const char *act, char outcome[16],
                    struct err *err)
{
    char recipient[24], user[24];
    DB_RESULT_AUTO row = NULL;

    number_text(recipient, link->recipient);
    number_text(user, link->user);
    if (!db_query(db, &row, "select link_act($1::bigint, $2::bigint, $3)",
                  DB_VALUES(recipient, user, act), err))
        return false;
    snprintf(outcome, 16, "%s", db_text(row, 0, 0));
    return true;
}

bool model_link_release_virus(struct db *db, const struct link *link,
                              enum conf_release_virus preset, enum conf_release_virus *who,
                              struct err *err)
{
    char user[24];
    DB_RESULT_AUTO row = NULL;

    number_text(user, link->user);
    if (!db_query(db, &row, "select link_release_virus($1::bigint)", DB_VALUES(user), err))
        return false;
    *who = preset;
    conf_release_virus_find(db_text(row, 0, 0), who);
    return true;
}

bool model_link_user(struct db *db, const struct link *link, struct data *page, struct err *err)
{
    char user[24];
    DB_RESULT_AUTO row = NULL;

    number_text(user, link->user);
    if (!db_query(db, &row, "select address, enabled as is_on from link_user($1::bigint)",
                  DB_VALUES(user), err))
        return false;
    if (db_null(row, 0, 0))
        return err_set(err, ERR_DATA, "There is no such user.");
    view_row(data_child(page, "user"), row, 0);
    return true;
}

bool model_link_reports(struct db *db, const struct link *link, bool wanted, struct err *err)
{
    char user[24];
    DB_RESULT_AUTO row = NULL;

    number_text(user, link->user);
    if (!db_query(db, &row, "select link_reports($1::bigint, $2::boolean)",
                  DB_VALUES(user, wanted ? "true" : "false"), err))
        return false;
    return db_bool(row, 0, 0) || err_set(err, ERR_DATA, "There is no such user.");
}
