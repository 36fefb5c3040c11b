/* zone - see zone.h */
#include "report/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ZONES "/usr/share/zoneinfo/"

/* The C library takes an unknown name for GMT without a word. */
static bool exists(const char *name)
{
    char path[sizeof ZONES + 64];
    struct stat about;

    if (name[0] == '\0' || name[0] == '/' || strlen(name) > 64 || strstr(name, "..") != NULL)
        return false;
    snprintf(path, sizeof path, ZONES "%s", name);
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

bool zone_use(const char *name, struct err *err)
{
    static char used[65];

    if (strcmp(used, name) == 0)
        return true;
    if (!exists(name))
        return err_set(err, ERR_CONFIG, "%.64s: the system's tzdata has no such time zone", name);
    char value[66];
    snprintf(value, sizeof value, ":%s", name);
    setenv("TZ", value, 1);
    tzset();
    snprintf(used, sizeof used, "%s", name);
    return true;
}

int64_t zone_offset(int64_t seconds)
{
    time_t at = (time_t)seconds;
    struct tm broken;

    return localtime_r(&at, &broken) != NULL ? broken.tm_gmtoff : 0;
}
