/* probe - see probe.h */
#include "sync/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/str.h"

static bool ask(struct prober *prober, const struct db_result *due, struct err *err)
{
    char *addresses[PROBER_AT_ONCE];
    size_t count = db_rows(due) < PROBER_AT_ONCE ? db_rows(due) : PROBER_AT_ONCE;

    for (size_t i = 0; i < count; i++)
        addresses[i] = mem_printf("%s@%s", db_text(due, i, 1), db_text(due, i, 0));
    bool fine = prober_ask(prober, addresses, count, err);
    for (size_t i = 0; i < count; i++) {
        if (fine)
            log_write(LOG_PROBE, "%s", addresses[i]);
        free(addresses[i]);
    }
    return fine;
}

bool probe_send(struct db *db, const struct conf *conf, struct prober *prober, int64_t now_us,
                struct err *err)
{
    DB_RESULT_AUTO due = NULL;
    char most[8], every[32], now[32];

    snprintf(most, sizeof most, "%d", PROBER_AT_ONCE);
    snprintf(every, sizeof every, "%" PRId64 " seconds", conf->catch_all_interval / CLOCK_SECOND);
    clock_rfc3339(now, sizeof now, now_us);
    if (!db_query(db, &due,
                  "select name, probe from observe_probes_due($1::int, $2::interval,"
                  " $3::timestamptz)",
                  DB_VALUES(most, every, now), err))
        return false;
    return db_rows(due) == 0 || ask(prober, due, err);
}
