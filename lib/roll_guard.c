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
