/* model_changes - see model.h; here: the history */
#include <string.h>

#include "lib/history.h"
#include "panel/model.h"
#include "panel/view.h"

#define SHOWN "500"

static void put_changeset(struct data *map, const struct db_result *rows, size_t row)
{
    view_row(map, rows, row);
    view_time(map, "at", db_span(rows, row, HISTORY_HERE));
    data_count(map, "n_added", db_int(rows, row, HISTORY_ADDED));
    data_count(map, "n_removed", db_int(rows, row, HISTORY_REMOVED));
    data_count(map, "n_changed", db_int(rows, row, HISTORY_CHANGED));
}

bool model_changes(struct db *db, const char *state, const char *before, struct data *page,
                   struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!history_list(db, state, NULL, before, "51", &rows, err))
        return false;
    struct data *list = data_list(page, "changes");
    for (size_t i = 0; i < db_rows(rows) && i < MODEL_PAGE; i++)
        put_changeset(data_item(list), rows, i);
    if (db_rows(rows) > MODEL_PAGE)
        data_text(page, "next", db_text(rows, MODEL_PAGE - 1, HISTORY_ID));
    return true;
}

static bool put_part(struct db *db, enum history_part part, const char *id, struct data *page,
                     const char *key, struct err *err)
{
    static const char *const names[] = {"sign", "what", "before", "after"};
    DB_RESULT_AUTO rows = NULL;

    if (!history_differences(db, part, id, SHOWN, &rows, err))
        return false;
    struct data *list = data_list(page, key);
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct data *one = data_item(list);
        for (int c = 0; c < 4; c++)
            data_span(one, names[c], db_span(rows, i, c));
    }
    return true;
}

bool model_change(struct db *db, const char *id, struct data *page, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!history_get(db, id, &row, err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such change.");
    struct data *change = data_child(page, "change");
    put_changeset(change, row, 0);
    data_flag(change, "is_held", strcmp(db_text(row, 0, HISTORY_STATE), "held") == 0);
    data_flag(change, "is_applied",
              strcmp(db_text(row, 0, HISTORY_STATE), "applied") == 0 &&
                  db_int(row, 0, HISTORY_VERSION) > 0);
    return put_part(db, HISTORY_DOMAINS, id, page, "domain_changes", err) &&
           put_part(db, HISTORY_ADDRESSES, id, page, "address_changes", err) &&
           put_part(db, HISTORY_NAMES, id, page, "name_changes", err);
}
