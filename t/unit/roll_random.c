/*
 * roll_random: random lists of several sources through the one door, beside a model of who claims
 * what. Catches a claim that is lost, given to another source or left behind, a first list that is
 * written otherwise early than as usual, an undo that does not bring back what was there, and
 * whatever of the rules that always hold (roll_case.h) breaks on the way. ROLLCALL_SEED repeats a
 * run, whose seed is printed.
 */
#include <time.h>

#include "t/unit/roll_case.h"

enum {
    LOCALS = 6,
    DOMAINS = 2,
    ADDRESSES = LOCALS * DOMAINS,
    SOURCES = 4,
    ROUNDS = 12,
    STEPS = 12
};

static const char *const sources[SOURCES] = {"import", "ldap:1", "ldap:2", "manual"};
static const char *const domains[DOMAINS] = {"a.test", "b.test"};

static uint64_t seed;

static unsigned below(unsigned limit)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(seed >> 33) % limit;
}

/* By address and source: 0 nothing, 1 claimed, 2 claimed and disabled there. */
struct model {
    char claims[ADDRESSES][SOURCES];
};

/* As picture() writes it: groups, in order. */
static void write_model(const struct model *m, struct buf *out)
{
    /* "x0@a.test" to "x0@b.test", then "x1@…": the order of bytes */
    for (int local = 0; local < LOCALS; local++)
        for (int d = 0; d < DOMAINS; d++) {
            const char *claims = m->claims[local * DOMAINS + d];
            bool listed = false, disabled = false;
            BUF_AUTO text = {0};
            for (int s = 0; s < SOURCES; s++) {
                listed = listed || claims[s] != 0;
                disabled = disabled || claims[s] == 2;
                if (claims[s] != 0)
                    buf_printf(&text, " %s%s", sources[s], claims[s] == 2 ? "!" : "");
            }
            if (listed)
                buf_printf(out, "%sx%d@%s group%s%s", out->len > 0 ? "\n" : "", local, domains[d],
                           disabled ? " disabled" : "", text.at);
        }
    buf_text(out, "");
}

/* Some of the addresses of the first `count` domains, and what the model makes of them. */
static void make_list(struct model *m, struct buf *list, int source, int count, bool follow)
{
    buf_text(list, "");
    for (int a = 0; a < ADDRESSES; a++) {
        char *claim = &m->claims[a][source];
        bool inside = a % DOMAINS < count, listed = inside && below(3) > 0, off = below(5) == 0;
        if (follow && inside && !listed)
            *claim = 0;
        if (!listed)
            continue;
        *claim = off ? 2 : 1;
        buf_printf(list, "%s%%x%d@%s%s", list->len > 0 ? ";" : "", a / DOMAINS,
                   domains[a % DOMAINS], off ? " !" : "");
    }
}

static bool apply(const struct roll_request *request, int count, const char *list,
                  struct roll_outcome *outcome, struct err *err)
{
    return run(db, request, count == 1 ? "a.test" : "a.test b.test", list, NULL, outcome, err);
}

/* Early where it can be, else as usual: nobody can tell which. */
static bool apply_list(struct roll_request *request, int count, const char *list,
                       struct roll_outcome *outcome, struct err *err)
{
    request->eager = request->mode == ROLL_FOLLOW && below(2) == 0;
    bool fine = apply(request, count, list, outcome, err);
    if (fine && outcome->state == ROLL_AGAIN) {
        request->eager = false;
        fine = apply(request, count, list, outcome, err);
    }
    return fine;
}

static bool undo_it(int64_t changeset, struct err *err)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");
    struct roll_outcome outcome;

    return roll_undo(db, changeset, &request, NULL, &outcome, err) && outcome.state == ROLL_APPLIED;
}

static void one_step(struct model *m, int number)
{
    struct model before = *m;
    int source = (int)below(SOURCES), count = 1 + (int)below(DOMAINS);
    bool follow = source == 1 || source == 2;
    struct roll_request request = request_of(follow ? ROLL_FOLLOW : ROLL_ADD, sources[source]);
    struct roll_outcome outcome = {0};
    struct err err = {0};
    BUF_AUTO list = {0}, want = {0}, back = {0};
    char step[100];

    request.guard.least = 1000; /* nothing is held */
    request.guard.percent = 100;
    make_list(m, &list, source, count, follow);
    write_model(m, &want);
    write_model(&before, &back);
    snprintf(step, sizeof step, "step %d, %s%s", number, sources[source],
             count == 1 ? ", a.test" : "");
    if (!ok(apply_list(&request, count, list.at, &outcome, &err), "%s: %s: %s", step, list.at,
            err.text))
        return;
    if (outcome.state == ROLL_HELD) /* an empty list always is */
        *m = before;
    is_text(picture(), outcome.state == ROLL_HELD ? back.at : want.at, "%s: %s: the roll", step,
            list.at);
    check_invariants(step);
    if (outcome.state != ROLL_APPLIED || below(3) > 0)
        return;
    ok(undo_it(outcome.changeset, &err), "%s is undone: %s", step, err.text);
    is_text(picture(), back.at, "%s, undone: the roll is as it was", step);
    check_invariants("undone");
    *m = before;
}

/* Everything undone, the last first, leaves nobody. */
static void undo_all(void)
{
    struct err err = {0};

    for (;;) {
        int64_t id =
            strtoll(value("select coalesce(max(id), 0) from changeset where state = 'applied'"
                          " and undoes is null and id > 1"),
                    NULL, 10);
        if (id == 0)
            break;
        if (!ok(undo_it(id, &err), "changeset %d undone: %s", (int)id, err.text))
            return;
    }
    is_text(picture(), "", "all undone: nobody is left");
    check_invariants("all undone");
}

int main(void)
{
    const char *given = getenv("ROLLCALL_SEED");

    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("# ROLLCALL_SEED=%llu\n", (unsigned long long)seed);
    private_pg_start(&pg);
    make_template();
    for (int round = 0; round < ROUNDS; round++) {
        struct model m = {0};
        start("random");
        for (int i = 0; i < STEPS; i++)
            one_step(&m, i);
        undo_all();
    }
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
