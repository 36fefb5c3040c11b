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

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ok(roll_guard_holds(&rows[i].given) == rows[i].held, "%s: %s", rows[i].what,
           rows[i].held ? "held" : "passes");
    return tap_done();
}
