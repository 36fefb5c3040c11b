/* cli - what the commands share: the connection, numbers, lines for people, the outcome. See cli.h
 */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/schema.h"
#include "lib/str.h"

static bool open_database(struct cli *cli, enum db_target target, struct err *err)
{
    if (cli->db != NULL)
        return true;
    return db_open(&cli->db,
                   &(struct db_options){.conninfo = cli->conf.value.database,
                                        .target = target,
                                        .timeout_us = cli->conf.value.database_timeout,
                                        .program = "rollcall"},
                   err);
}

bool cli_connect(struct cli *cli, struct err *err)
{
    return open_database(cli, DB_PRIMARY, err);
}

bool cli_connect_any(struct cli *cli, struct err *err)
{
    return open_database(cli, DB_ANY, err);
}

bool cli_write(struct cli *cli, struct err *err)
{
    return open_database(cli, DB_PRIMARY, err) && schema_check(cli->db, err);
}

bool cli_read(struct cli *cli, struct err *err)
{
    return open_database(cli, DB_ANY, err) && schema_check(cli->db, err);
}

bool cli_number(const struct cli *cli, const char *name, int64_t least, int64_t most,
                int64_t fallback, int64_t *number, struct err *err)
{
    const char *text = cli_value(cli, name);

    *number = fallback;
    if (text == NULL)
        return true;
    if (str_int64(span_text(text), number) && *number >= least && *number <= most)
        return true;
    return err_set(err, ERR_USAGE, "--%s %s: not a number from %lld to %lld", name, text,
                   (long long)least, (long long)most);
}

bool cli_changeset(const struct cli *cli, size_t place, const char **text, int64_t *id,
                   struct err *err)
{
    *text = cli->operands[place];
    return (str_int64(span_text(*text), id) && *id > 0) ||
           err_set(err, ERR_USAGE, "'%s' is not the number of a changeset; 'rollcall change list'",
                   *text);
}

static void put_line(FILE *file, const char *prefix, const char *format, va_list args)
{
    char raw[2048], line[2048];

    vsnprintf(raw, sizeof raw, format, args);
    str_printable(line, sizeof line, raw, strlen(raw));
    fprintf(file, "%s%s\n", prefix, line);
}

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list args;

    if (cli->json)
        return;
    out_end(cli->out);
    va_start(args, format);
    put_line(stdout, "", format, args);
    va_end(args);
}

void cli_warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fflush(stdout);
    put_line(stderr, "rollcall: ", format, args);
    va_end(args);
}

/* "2 domains added, 1 changed" */
static void counts_text(const struct cli_outcome *o, struct buf *out)
{
    const struct {
        int64_t count;
        const char *verb;
    } parts[] = {{o->added, "added"}, {o->removed, "removed"}, {o->changed, "changed"}};

    buf_text(out, "");
    for (size_t i = 0; i < 3; i++) {
        if (parts[i].count == 0)
            continue;
        buf_printf(out, "%s%lld ", out->len > 0 ? ", " : "", (long long)parts[i].count);
        if (o->what[0] != '\0')
            buf_printf(out, "%s%s ", o->what, parts[i].count == 1 ? "" : "s");
        buf_text(out, parts[i].verb);
    }
    if (out->len == 0)
        buf_text(out, "nothing to change");
}

static void say_outcome(const struct cli *cli, const struct cli_outcome *o)
{
    BUF_AUTO counts = {0};

    counts_text(o, &counts);
    if (strcmp(o->state, "dry-run") == 0)
        cli_say(cli, "would be: %s%s%s", counts.at, o->why[0] != '\0' ? "; " : "", o->why);
    else if (strcmp(o->state, "held") == 0)
        cli_say(cli, "changeset %lld is held, nothing is changed: %s", (long long)o->changeset,
                o->why);
    else if (o->changeset == 0)
        cli_say(cli, "nothing to change");
    else
        cli_say(cli, "changeset %lld (version %lld): %s", (long long)o->changeset,
                (long long)o->version, counts.at);
}

static void write_outcome(struct cli *cli, const struct cli_outcome *o)
{
    static const char *const columns[] = {"state",   "changeset", "version", "added", "removed",
                                          "changed", "problems",  "why",     NULL};

    out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
    out_text(cli->out, o->state);
    if (o->changeset != 0)
        out_int(cli->out, o->changeset);
    else
        out_null(cli->out);
    if (o->version != 0)
        out_int(cli->out, o->version);
    else
        out_null(cli->out);
    out_int(cli->out, o->added);
    out_int(cli->out, o->removed);
    out_int(cli->out, o->changed);
    out_int(cli->out, o->problems);
    out_text(cli->out, o->why[0] != '\0' ? o->why : NULL);
}

/* The version to wait for: when nothing changed, what the roll is at. */
static bool version_of(struct cli *cli, const struct cli_outcome *o, int64_t *version,
                       struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    *version = o->version;
    if (*version != 0)
        return true;
    if (!db_query(cli->db, &rows, "select version from roll_clock", DB_NO_VALUES, err))
        return false;
    *version = db_int(rows, 0, 0);
    return true;
}

static bool wait_and_tell(struct cli *cli, const struct cli_outcome *o, struct err *err)
{
    static const char *const columns[] = {"gateways", "live_after_ms", NULL};
    int64_t version;
    struct wait_result result;

    if (!version_of(cli, o, &version, err) || !wait_live(cli, version, cli->wait_us, &result, err))
        return false;
    cli_say(cli, "live on %lld gateway%s after %.1f ms", (long long)result.gateways,
            result.gateways == 1 ? "" : "s", (double)result.took_us / 1000);
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_int(cli->out, result.gateways);
        out_real(cli->out, (double)result.took_us / 1000);
    }
    return true;
}

bool cli_tell(struct cli *cli, const struct cli_outcome *o, struct err *err)
{
    if (cli->json)
        write_outcome(cli, o);
    else
        say_outcome(cli, o);
    bool stored = strcmp(o->state, "applied") == 0 || strcmp(o->state, "unchanged") == 0;
    return !cli_flag(cli, "wait") || !stored || wait_and_tell(cli, o, err);
}
