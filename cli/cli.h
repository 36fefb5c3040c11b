/*
 * cli - what the commands of `rollcall` share
 *
 * A command is a row of `commands` (main.c): its words, its function, what it takes and what it
 * does. The same row parses the arguments, prints the help and is compared with the manual and the
 * completion by t/unit/documented.sh. A command returns false with err filled, whose class becomes
 * the exit code; or true, and the exit code is cli->exit_code.
 */
#ifndef ROLLCALL_CLI_H
#define ROLLCALL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/out.h"
#include "lib/addr.h"
#include "lib/conf.h"
#include "lib/db.h"
#include "lib/err.h"
#include "lib/sql.h"

struct cli;

struct cli_option {
    const char *name;  /* without dashes; of one letter: a short option. NULL ends the table */
    const char *value; /* what stands for its value in the help; NULL: a flag */
    bool many;         /* may be given several times */
    const char *doc;
};

struct command {
    const char *words; /* "user add" */
    bool (*run)(struct cli *cli, struct err *err);
    const char *operands; /* "ADDRESS…", "" when it takes none */
    size_t least, most;   /* how many operands; CLI_MANY: any number */
    const struct cli_option *options;
    bool domain_settings; /* takes --NAME for each row of domain_settings as well */
    const char *help;     /* the first line stands in the list of commands */
};
#define CLI_MANY SIZE_MAX

extern const struct command commands[];
extern const size_t command_count;

struct cli_given {
    const char *name, *value; /* value "" for a flag */
    bool setting;             /* a row of domain_settings */
};

struct cli {
    const struct command *command;
    const char **operands;
    size_t operand_count;
    struct cli_given *given;
    size_t given_count;
    const char *file; /* -c */
    const char **overrides;
    size_t override_count;
    bool json, help, version;
    struct conf_set conf;
    struct db *db;
    struct out *out;
    const char *actor; /* login of whoever asks, for the history */
    int64_t wait_us;   /* --timeout */
    int exit_code;     /* of a command that went well; else 0 */
};

/* args.c: takes the command line apart. */
bool args_parse(struct cli *cli, int argc, char **argv, struct err *err) MUST_CHECK;
void args_free(struct cli *cli);
/* The help of the command, or of all whose words begin with what was given; as JSON with --json. */
bool args_help(const struct cli *cli, struct err *err) MUST_CHECK;

/* What was given to the command. */
bool cli_flag(const struct cli *cli, const char *name);
const char *cli_value(const struct cli *cli, const char *name); /* NULL: not given */
/* The n-th value of an option that may be given several times, or NULL. */
const char *cli_nth(const struct cli *cli, const char *name, size_t n);
/* A whole number from `least` to `most`, or the fallback. */
bool cli_number(const struct cli *cli, const char *name, int64_t least, int64_t most,
                int64_t fallback, int64_t *number, struct err *err) MUST_CHECK;
/* The operand of that place as the number of a changeset. */
bool cli_changeset(const struct cli *cli, size_t place, const char **text, int64_t *id,
                   struct err *err) MUST_CHECK;

/* The connection, made at the first call; a command uses one of them. A program whose schema is
 * another than the database's stops here. */
bool cli_read(struct cli *cli, struct err *err) MUST_CHECK;  /* any host */
bool cli_write(struct cli *cli, struct err *err) MUST_CHECK; /* the primary */
/* The primary, or any host, whatever its schema. */
bool cli_connect(struct cli *cli, struct err *err) MUST_CHECK;
bool cli_connect_any(struct cli *cli, struct err *err) MUST_CHECK;

/* A line for people: on standard output, unless JSON was asked for. */
void cli_say(const struct cli *cli, const char *format, ...) PRINTF_LIKE(2, 3);
/* A line on standard error, whatever was asked for. */
void cli_warn(const char *format, ...) PRINTF_LIKE(1, 2);

/* What a changing command tells at its end: "changeset 12 (version 9): 1 added", and as JSON. */
struct cli_outcome {
    const char *state; /* "applied", "held", "unchanged", "dry-run" */
    int64_t changeset, version;
    int64_t added, removed, changed;
    int64_t problems;
    const char *what; /* what the numbers count, "" or "domain"; for people */
    const char *why;  /* of "held", else "" */
};
/* Prints it and, with --wait, waits until every live gateway has the version. */
bool cli_tell(struct cli *cli, const struct cli_outcome *outcome, struct err *err) MUST_CHECK;

/* wait.c: returns when every live gateway has that version. ERR_TEMPORARY naming those that have
 * not, when the time is over or none is live. */
struct wait_result {
    int64_t gateways; /* how many have it */
    int64_t took_us;
};
bool wait_live(struct cli *cli, int64_t version, int64_t timeout_us, struct wait_result *result,
               struct err *err) MUST_CHECK;

#endif
