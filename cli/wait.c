/* wait - until a change is live on the gateways: `--wait`. See cli.h */
#include <stdio.h>
#include <time.h>

#include "cli/cli.h"
#include "lib/clock.h"
#include "lib/str.h"

enum { PAUSE_FIRST_US = 2000, PAUSE_MOST_US = 50000 };

/* Live gateways: those that have the version, and the names of those that have not. */
struct standing {
    int64_t have, missing;
    char names[512];
};

static bool look(struct cli *cli, int64_t version, struct standing *out, struct err *err)
{
    char number[24], live[24];
    DB_RESULT_AUTO rows = NULL;

    snprintf(number, sizeof number, "%lld", (long long)version);
    snprintf(live, sizeof live, "%lld", (long long)cli->conf.value.gateway_live_limit);
    if (!db_query(cli->db, &rows,
                  "select count(*) filter (where version >= $1::bigint),"
                  " count(*) filter (where version < $1::bigint),"
                  " string_agg(name || ' (at ' || version || ')', ', ' order by name)"
                  "   filter (where version < $1::bigint)"
                  " from gateway where seen_at > now() - $2::bigint * interval '1 microsecond'",
                  DB_VALUES(number, live), err))
        return false;
    out->have = db_int(rows, 0, 0);
    out->missing = db_int(rows, 0, 1);
    snprintf(out->names, sizeof out->names, "%s", db_text(rows, 0, 2));
    return true;
}

static bool too_late(const struct cli *cli, int64_t version, int64_t timeout_us,
                     const struct standing *standing, struct err *err)
{
    char limit[32];

    if (standing->missing > 0) {
        clock_age_text(limit, sizeof limit, timeout_us);
        return err_set(err, ERR_TEMPORARY,
                       "version %lld is stored, but after %s not yet live on: %s; see 'rollcall "
                       "status'",
                       (long long)version, limit, standing->names);
    }
    clock_age_text(limit, sizeof limit, cli->conf.value.gateway_live_limit);
    return err_set(err, ERR_TEMPORARY,
                   "version %lld is stored, but no gateway was seen within %s "
                   "(gateway_live_limit); does rollcall-policyd run? See 'rollcall status'",
                   (long long)version, limit);
}

bool wait_live(struct cli *cli, int64_t version, int64_t timeout_us, struct wait_result *result,
               struct err *err)
{
    int64_t begun = clock_elapsed_us(), pause = PAUSE_FIRST_US;
    struct standing standing;

    for (;;) {
        if (!look(cli, version, &standing, err))
            return false;
        result->took_us = clock_elapsed_us() - begun;
        result->gateways = standing.have;
        if (standing.missing == 0 && standing.have > 0)
            return true;
        if (result->took_us >= timeout_us)
            return too_late(cli, version, timeout_us, &standing, err);
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000}, NULL);
        pause = pause * 5 / 4 < PAUSE_MOST_US ? pause * 5 / 4 : PAUSE_MOST_US;
    }
}
