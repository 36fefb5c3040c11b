/* asked - see asked.h */
#include "report/asked.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/clock.h"

/* What the next report would list; else what the last one did; else everything that is held. */
static bool compose_some(struct compose *compose, struct compose_one *one, struct err *err)
{
    bool fine = compose_one(compose, one, err);

    while (fine && one->listed == 0 && one->what != COMPOSE_SINCE) {
        one->what++;
        fine = compose_one(compose, one, err);
    }
    return fine;
}

/* Whoever ends between the two sends it once more: better than never. */
static bool record(struct compose *compose, const char *id, const struct compose_one *one,
                   const char *why, struct err *err)
{
    char listed[24];

    snprintf(listed, sizeof listed, "%" PRId64, one->listed);
    return db_exec(compose->db,
                   "update report_request set state = $2, ended_at = now(), listed = $3, why = $4"
                   " where id = $1",
                   DB_VALUES(id, why[0] == '\0' ? "done" : "failed", listed, why), NULL, err);
}

bool asked_next(struct compose *compose, bool *any, struct err *err)
{
    DB_RESULT_AUTO next = NULL;
    struct compose_one one = {.what = COMPOSE_PENDING, .send = true};
    struct err trouble = {0};

    compose->now = clock_wall_us() / CLOCK_SECOND;
    if (!db_query(compose->db, &next,
                  "select id, address from report_request where state = 'waiting' order by id"
                  " limit 1",
                  DB_NO_VALUES, err))
        return false;
    *any = db_rows(next) > 0;
    if (!*any)
        return true;
    one.address = db_text(next, 0, 1);
    bool fine = compose_some(compose, &one, &trouble);
    if (!fine && trouble.class != ERR_DATA) {
        *err = trouble;
        compose_one_free(&one);
        return false;
    }
    const char *why = !fine             ? trouble.text
                      : one.listed == 0 ? "the quarantine holds nothing to show"
                                        : "";
    fine = record(compose, db_text(next, 0, 0), &one, why, err);
    compose_one_free(&one);
    return fine;
}
