/* model_session - see model.h; here: where somebody is signed in */
#include <stdio.h>

#include "panel/model.h"
#include "panel/view.h"

bool model_sessions(struct db *db, const struct session *session, int64_t idle_us,
                    struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char digest[SESSION_DIGEST_TEXT + 1], idle[40];

    session_digest(session->token, digest);
    snprintf(idle, sizeof idle, "%lld microseconds", (long long)idle_us);
    if (!db_query(db, &rows, "select * from panel_sessions($1::bytea, $2::interval)",
                  DB_VALUES(digest, idle), err))
        return false;
    view_rows(page, "sessions", rows);
    return true;
}

bool model_session_end(struct db *db, const struct session *session, const char *name, bool *ended,
                       struct err *err)
{
    DB_RESULT_AUTO row = NULL;
    char digest[SESSION_DIGEST_TEXT + 1];

    session_digest(session->token, digest);
    if (!db_query(db, &row, "select panel_session_end($1::bytea, $2)", DB_VALUES(digest, name),
                  err))
        return false;
    *ended = db_bool(row, 0, 0);
    return true;
}
