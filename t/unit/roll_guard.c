/* The guard's verdict as a table. */
#include "lib/roll.h"
#include "t/unit/tap.h"

static const struct {
    const char *what;
    struct roll_guard_case given; /* before, leaving, list_empty, least, percent */
    bool held;
} rows[] = {
    {"nobody leaves", {430, 0, false, 3, 20}, false},
    {"few leave", {430, 3, false, 3, 20}, false},
    {"exactly the limit", {430, 86, false, 3, 20}, false},
    {"one above the limit", {430, 87, false, 3, 20}, true},
    {"nearly all leave", {430, 412, false, 3, 20}, true},
    {"all leave", {430, 430, false, 3, 20}, true},
    {"three of three: as few as may always leave", {3, 3, false, 3, 20}, false},
    {"four of four", {4, 4, false, 3, 20}, true},
    {"four of twenty: the limit", {20, 4, false, 3, 20}, false},
    {"four of nineteen", {19, 4, false, 3, 20}, true},
    {"a generous limit: half may leave", {10, 5, false, 3, 100}, false},
    {"a generous limit: more than half may not", {10, 6, false, 3, 100}, true},
    {"half of an odd number", {11, 6, false, 3, 100}, true},
    {"less than half of an odd number", {11, 5, false, 3, 100}, false},
    {"no percent: what may always leave", {1000, 3, false, 3, 0}, false},
    {"no percent: one more", {1000, 4, false, 3, 0}, true},
    {"nothing may always leave", {1000, 1, false, 0, 0}, true},
    {"nothing may always leave, and nothing does", {1000, 0, false, 0, 0}, false},
    {"everything may leave but half", {100, 50, false, 1000, 0}, false},
    {"an empty list", {430, 430, true, 3, 20}, true},
    {"an empty list for one address", {1, 1, true, 3, 20}, true},
    {"an empty list that only takes claims back", {430, 0, true, 3, 20}, true},
    {"an empty list for a domain without addresses", {0, 0, true, 3, 20}, false},
    {"a domain without addresses", {0, 0, false, 3, 20}, false},
    {"ten millions", {10000000, 2000000, false, 3, 20}, false},
    {"ten millions and one more", {10000000, 2000001, false, 3, 20}, true},
};

/* So many are enough, and no fewer. */
static bool is_least(struct roll_guard_case c)
{
    int64_t enough = roll_guard_enough(&c);

    if (enough == 0)
        return c.list_empty || c.percent == 0;
    c.before = enough;
    bool passes = !roll_guard_holds(&c);
    c.before = enough - 1;
    return passes && (c.leaving <= c.least || roll_guard_holds(&c));
}

/* The bounded count says what the whole one does. */
static bool says_the_same(struct roll_guard_case c)
{
    int64_t enough = roll_guard_enough(&c);
    bool held = roll_guard_holds(&c);

    if (enough > 0 && c.before > enough)
        c.before = enough;
    return roll_guard_holds(&c) == held;
}

static void test_enough(void)
{
    for (int64_t leaving = 4; leaving < 60; leaving++)
        for (int64_t percent = 0; percent <= 100; percent++) {
            struct roll_guard_case c = {0, leaving, false, 3, percent};
            bool fine = is_least(c);
            for (c.before = leaving; c.before < 400 && fine; c.before += 7)
                fine = says_the_same(c);
            if (!fine)
                ok(false, "enough for %lld leaving at %lld %%", (long long)leaving,
                   (long long)percent);
        }
    ok(true, "the least count that lets a list pass is enough");
}

int main(void)
{
    test_enough();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ok(roll_guard_holds(&rows[i].given) == rows[i].held, "%s: %s", rows[i].what,
           rows[i].held ? "held" : "passes");
    return tap_done();
}
