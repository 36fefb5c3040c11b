/* interval - see interval.h */
#include "sync/interval.h"

#define MINUTE   (INT64_C(60) * 1000000)
#define FIRST_US ((7 * 60 + 30) * MINUTE) /* 07:30 GMT */

static int64_t turn_of(int64_t time_us, int64_t interval_us)
{
    int64_t since = time_us - FIRST_US, turn = since / interval_us;

    return since < 0 && since % interval_us != 0 ? turn - 1 : turn;
}

bool interval_due(int64_t now_us, int64_t last_us, int64_t interval_us)
{
    return last_us == 0 || last_us > now_us ||
           turn_of(now_us, interval_us) > turn_of(last_us, interval_us);
}
