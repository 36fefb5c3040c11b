/*
 * tap - what unit tests share: checks that count, rows of data files
 *
 * A test program calls ok()/is_text()/is_int() any number of times and ends with `return
 * tap_done();`. Output is TAP's, failures on stderr with file and line.
 */
#ifndef ROLLCALL_TAP_H
#define ROLLCALL_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5))) static inline bool tap_ok(bool pass, const char *file,
                                                                int line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("%s %d - ", pass ? "ok" : "not ok", ++tap_count);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (!pass) {
        tap_failed++;
        printf("# failed at %s:%d\n", file, line);
    }
    return pass;
}

#define ok(pass, ...) tap_ok((pass), __FILE__, __LINE__, __VA_ARGS__)
#define is_text(got, want, ...)                                                                    \
    (ok(strcmp((got), (want)) == 0, __VA_ARGS__) ||                                                \
     (printf("#  got: %s\n# want: %s\n", (got), (want)), false))
#define is_int(got, want, ...)                                                                     \
    (ok((int64_t)(got) == (int64_t)(want), __VA_ARGS__) ||                                         \
     (printf("#  got: %" PRId64 "\n# want: %" PRId64 "\n", (int64_t)(got), (int64_t)(want)),       \
      false))

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed == 0 && tap_count > 0 ? 0 : 1;
}

/*
 * Calls `row` for each line of TEST_DATA/NAME that is not empty and no '#' comment, split at tabs
 * into at most 16 fields. A missing file ends the program with failure.
 */
static inline void tap_rows(const char *path, void (*row)(int line, char **field, int fields))
{
    static char text[1 << 16];
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        printf("Bail out! %s cannot be read\n", path);
        exit(1);
    }
    for (int line = 1; fgets(text, sizeof text, file) != NULL; line++) {
        char *field[16];
        int fields = 0;
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '\0' || text[0] == '#')
            continue;
        for (char *at = text; at != NULL && fields < 16;)
            field[fields++] = strsep(&at, "\t");
        row(line, field, fields);
    }
    fclose(file);
}

#endif
