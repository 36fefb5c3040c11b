/* clean - see clean.h */
#include "report/clean.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/clock.h"

/* A later report has taken a report's place, or whoever got it is gone: the last one of each can be
 * sent again. */
#define OVER(same, table, column)                                                                  \
    "(exists (select from report_run n where " same " and n.slot > r.slot and not n.again)"        \
    " or not exists (select from " table " t where t.id = r." column "))"

bool clean_mails(struct db *db, int64_t keep_us, struct err *err)
{
    char keep[40];

    snprintf(keep, sizeof keep, "%" PRId64 " seconds", keep_us / CLOCK_SECOND);
    return db_exec(db,
                   "delete from outbox where state <> 'waiting' and done_at < now() - $1::interval",
                   DB_VALUES(keep), NULL, err) &&
           db_exec(db, "delete from token where expires_at < now() - interval '1 day'",
                   DB_NO_VALUES, NULL, err) &&
           db_exec(db, "delete from mail_request where made_at < now() - interval '1 day'",
                   DB_NO_VALUES, NULL, err) &&
           db_exec(db, "delete from report_request where asked_at < now() - interval '30 days'",
                   DB_NO_VALUES, NULL, err) &&
           db_exec(db,
                   /* a user's last one stays: it can be sent again */
                   "delete from report_run r where made_at < now() - $1::interval - interval"
                   " '60 days' and (again or case when r.user_id is not null then " OVER(
                       "n.user_id = r.user_id", "users",
                       "user_id") " else " OVER("n.user_id is null and n.domain_id = r.domain_id",
                                                "domain", "domain_id") " end)",
                   DB_VALUES(keep), NULL, err);
}
