/*
 * err - what went wrong, as one line for people and one class for programs
 *
 * A function that can fail returns bool (or an enum) marked MUST_CHECK and fills a struct err.
 * The text names the object first ("example.com: ..."); layers above prefix it with what they were
 * doing; the topmost layer logs or prints it once. Nothing here prints.
 */
#ifndef ROLLCALL_ERR_H
#define ROLLCALL_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* The classes are the programs' exit codes (sysexits.h). */
enum err_class {
    ERR_NONE = 0,
    ERR_OTHER = 1,      /* anything without a class of its own */
    ERR_USAGE = 64,     /* EX_USAGE: the command was written wrongly */
    ERR_DATA = 65,      /* EX_DATAERR: what was given to work on is wrong */
    ERR_TEMPORARY = 75, /* EX_TEMPFAIL: the same call may succeed later */
    ERR_CONFIG = 78,    /* EX_CONFIG: a setting is wrong */
};

struct err {
    enum err_class class;
    char text[1024]; /* printable, no trailing newline, cut when too long */
};

/* Sets class and text; made printable. Always returns false, so that callers may `return
 * err_set(...)`. */
bool err_set(struct err *err, enum err_class class, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "format: " in front of the text that is there, keeping the class. Always returns false. */
bool err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
