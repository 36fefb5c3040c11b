/* roll_guard - the verdict about one domain of a plan; see roll.h. Pure. */
#include "roll.h"

bool roll_guard_holds(const struct roll_guard_case *c)
{
    if (c->before <= 0)
        return false;
    if (c->list_empty)
        return true;
    if (c->leaving <= c->least)
        return false;
    return c->leaving * 2 > c->before || c->leaving * 100 > c->before * c->percent;
}

int64_t roll_guard_enough(const struct roll_guard_case *c)
{
    if (c->list_empty || c->percent <= 0)
        return 0;
    int64_t by_percent = (c->leaving * 100 + c->percent - 1) / c->percent;
    return by_percent > c->leaving * 2 ? by_percent : c->leaving * 2;
}
