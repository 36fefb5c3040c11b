/* err - see err.h */
#include "err.h"

#include <stdio.h>
#include <string.h>

#include "str.h"

bool err_set(struct err *err, enum err_class class, const char *format, ...)
{
    char raw[sizeof err->text];
    va_list args;

    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    err->class = class;
    str_printable(err->text, sizeof err->text, raw, strlen(raw));
    return false;
}

bool err_prefix(struct err *err, const char *format, ...)
{
    char prefix[sizeof err->text / 2], old[sizeof err->text];
    va_list args;

    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    memcpy(old, err->text, sizeof old);
    int used = snprintf(err->text, sizeof err->text, "%s: ", prefix);
    snprintf(err->text + used, sizeof err->text - (size_t)used, "%s", old);
    return false;
}
