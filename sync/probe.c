/* probe - see probe.h */
#include "sync/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/spawn.h"

enum { PROBES_AT_ONCE = 20 };

/* The sender is the one to which Postfix sends no report. */
static bool verify(const struct conf *conf, const struct db_result *due, struct err *err)
{
    const char *argv[8 + PROBES_AT_ONCE] = {
        "sendmail", "-C", conf->postfix_config_directory, "-f", "double-bounce", "-bv", "--"};
    char *addresses[PROBES_AT_ONCE];
    struct spawn_output output = {0};
    size_t count = db_rows(due) < PROBES_AT_ONCE ? db_rows(due) : PROBES_AT_ONCE;

    for (size_t i = 0; i < count; i++)
        argv[7 + i] = addresses[i] = mem_printf("%s@%s", db_text(due, i, 1), db_text(due, i, 0));
    bool fine = spawn_run(argv, span_text(""), &output, err);
    if (fine && output.code != 0)
        fine = err_set(err, ERR_OTHER, "sendmail -bv: exit %d: %.*s", output.code,
                       output.errors.len > 300 ? 300 : (int)output.errors.len,
                       output.errors.len > 0 ? output.errors.at : "");
    for (size_t i = 0; i < count; i++) {
        if (fine)
            log_write(LOG_PROBE, "%s", addresses[i]);
        free(addresses[i]);
    }
    spawn_output_free(&output);
    return fine;
}

bool probe_send(struct db *db, const struct conf *conf, int64_t now_us, struct err *err)
{
    DB_RESULT_AUTO due = NULL;
    char most[8], every[32], now[32];

    snprintf(most, sizeof most, "%d", PROBES_AT_ONCE);
    snprintf(every, sizeof every, "%" PRId64 " seconds", conf->catch_all_interval / CLOCK_SECOND);
    clock_rfc3339(now, sizeof now, now_us);
    if (!db_query(db, &due,
                  "select name, probe from observe_probes_due($1::int, $2::interval,"
                  " $3::timestamptz)",
                  DB_VALUES(most, every, now), err))
        return false;
    return db_rows(due) == 0 || verify(conf, due, err);
}
