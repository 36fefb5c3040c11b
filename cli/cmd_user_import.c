/* cmd_user_import - a file of addresses, one a line, put on the roll */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/apply.h"
#include "cli/cmd.h"
#include "lib/str.h"

/* Bytes of a line that are looked at: what is longer is no address whatever it says. */
enum { LINE_MAX_BYTES = ADDR_ASKED_MAX + 64 };

/* Reads up to a newline; what does not fit is dropped. False at the end of the file. */
static bool read_line(FILE *file, char *line, size_t *len)
{
    int c = getc_unlocked(file);

    if (c == EOF)
        return false;
    for (*len = 0; c != EOF && c != '\n'; c = getc_unlocked(file))
        if (*len < LINE_MAX_BYTES)
            line[(*len)++] = (char)c;
    return true;
}

static struct span without_byte_order_mark(struct span text)
{
    return text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0
               ? span_of(text.at + 3, text.len - 3)
               : text;
}

static bool stage_file(struct apply *apply, FILE *file, const char *name, struct err *err)
{
    char line[LINE_MAX_BYTES];
    struct addr addr;
    size_t len;

    for (int64_t number = 1; read_line(file, line, &len); number++) {
        struct span text = span_of(line, len);
        text = span_trim(number == 1 ? without_byte_order_mark(text) : text);
        if (text.len == 0 || text.at[0] == '#' || !apply_address(apply, number, text, &addr) ||
            apply->malformed > 0)
            continue;
        struct roll_entry entry = {.line = number,
                                   .kind = ENTRY_USER,
                                   .addresses = &addr,
                                   .address_count = 1,
                                   .name = span_text("")};
        if (!roll_stage(apply->job, &entry, err))
            return false;
    }
    return !ferror(file) || err_set(err, ERR_DATA, "%s: %s", name, strerror(errno));
}

static FILE *open_list(const char *name, struct err *err)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");

    if (file == NULL)
        err_set(err, ERR_DATA, "%s: %s", name, strerror(errno));
    return file;
}

bool cmd_user_import(struct cli *cli, struct err *err)
{
    const char *name = cli->operands[0];
    FILE *file = open_list(name, err);
    struct apply apply;

    if (file == NULL)
        return false;
    apply_init(&apply, cli, ROLL_ADD, SOURCE_IMPORT);
    apply.from_file = true;
    bool fine =
        apply_open(&apply, err) && stage_file(&apply, file, name, err) && apply_finish(&apply, err);
    apply_free(&apply);
    if (file != stdin)
        fclose(file);
    return fine;
}
