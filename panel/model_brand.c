/* model_brand - see model.h; here: pictures for the head of reports */
#include <stdio.h>

#include "panel/model.h"
#include "panel/picture.h"

bool model_brand(struct db *db, const char *name, struct buf *bytes, bool *found, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    *found = false;
    if (!db_query(db, &row, "select panel_brand($1)", DB_VALUES(name), err))
        return false;
    if (db_rows(row) == 0 || db_null(row, 0, 0))
        return true;
    *found = picture_from_hex(db_span(row, 0, 0), bytes);
    return *found || err_set(err, ERR_OTHER, "%s: not as it was kept", name);
}

bool model_brand_add(struct db *db, bool of_domain, const char *whose, const char *ending,
                     struct span bytes, char *logo, size_t room, struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    BUF_AUTO hex = {0};

    picture_to_hex(bytes, &hex);
    if (!db_query(
            db, &row,
            "select '/brand/' || panel_brand_add($1::boolean, $2::int, $3, decode($4, 'hex'))",
            DB_VALUES(of_domain ? "true" : "false", whose, ending, hex.at), err))
        return false;
    snprintf(logo, room, "%s", db_text(row, 0, 0));
    return true;
}
