/* args - takes the command line apart by the table of commands, and prints help from it. See cli.h
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/domain.h"
#include "lib/str.h"

static const struct cli_option global_options[] = {
    {"c", "FILE", false, "settings file instead of " CONF_DEFAULT_FILE},
    {"o", "NAME=VALUE", true, "a setting for this call"},
    {"json", NULL, false, "print JSON instead of tables"},
    {"help", NULL, false, "print help"},
    {"version", NULL, false, "print the version"},
    {NULL, NULL, false, NULL},
};

enum { ARGUMENTS_MAX = 100000 }; /* what is beyond belongs into a file */

static const struct cli_option *find_option(const struct cli_option *table, const char *name)
{
    for (; table != NULL && table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

static const struct domain_setting_row *find_setting(const char *name)
{
    for (size_t i = 0; i < domain_setting_count; i++)
        if (strcmp(domain_settings[i].name, name) == 0)
            return &domain_settings[i];
    return NULL;
}

/* A setting that is a mere switch on the command line: --loaded, --case-sensitive=no. */
static bool is_switch(const struct domain_setting_row *row)
{
    return strcmp(row->value, "yes|no") == 0;
}

/* How many of the words that `words` is made of stand at the front of the operands; 0: not all. */
static size_t match_words(const char *words, const char **operands, size_t count)
{
    struct span rest = span_text(words), word;
    size_t n = 0;

    while (span_next(&rest, ' ', &word)) {
        if (n >= count || !span_equals(word, operands[n]))
            return 0;
        n++;
    }
    return n;
}

/* Finds the command before its options are known: by the first arguments that are no options. */
static const struct command *find_command(const char **operands, size_t count, size_t *used)
{
    for (size_t i = 0; i < command_count; i++)
        if ((*used = match_words(commands[i].words, operands, count)) > 0)
            return &commands[i];
    return NULL;
}

/* Whether some command consists of that word and others: "user". */
static bool is_family(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < command_count; i++)
        if (strncmp(commands[i].words, word, len) == 0 && commands[i].words[len] == ' ')
            return true;
    return false;
}

/* "rollcall user": which commands begin so. */
static bool family_alone(const char *word, struct err *err)
{
    BUF_AUTO words = {0};
    size_t len = strlen(word);

    for (size_t i = 0; i < command_count; i++)
        if (strncmp(commands[i].words, word, len) == 0 && commands[i].words[len] == ' ')
            buf_printf(&words, "%s%s", words.len > 0 ? "|" : "", commands[i].words + len + 1);
    return err_set(err, ERR_USAGE, "usage: rollcall %s %s …; 'rollcall %s --help' tells more", word,
                   words.at, word);
}

static bool unknown_command(const struct cli *cli, struct err *err)
{
    char asked[128];
    const char *nearest = NULL;
    size_t best = 4;

    if (cli->operand_count == 1 && is_family(cli->operands[0]))
        return family_alone(cli->operands[0], err);
    snprintf(asked, sizeof asked, "%s%s%s", cli->operands[0], cli->operand_count > 1 ? " " : "",
             cli->operand_count > 1 ? cli->operands[1] : "");
    for (size_t i = 0; i < command_count; i++) {
        size_t one = str_distance(commands[i].words, cli->operands[0]);
        size_t two = str_distance(commands[i].words, asked);
        if ((one < two ? one : two) < best) {
            best = one < two ? one : two;
            nearest = commands[i].words;
        }
    }
    if (nearest == NULL)
        return err_set(err, ERR_USAGE, "there is no command '%s'; 'rollcall --help' lists all",
                       asked);
    return err_set(err, ERR_USAGE,
                   "there is no command '%s'; did you mean '%s'? 'rollcall --help' lists all",
                   asked, nearest);
}

static bool unknown_option(const struct cli *cli, const char *name, struct err *err)
{
    const char *nearest = NULL;
    size_t best = 4;
    const struct cli_option *tables[] = {cli->command->options, global_options};

    for (size_t t = 0; t < 2; t++)
        for (const struct cli_option *o = tables[t]; o != NULL && o->name != NULL; o++)
            if (o->name[1] != '\0' && str_distance(o->name, name) < best) {
                best = str_distance(o->name, name);
                nearest = o->name;
            }
    for (size_t i = 0; cli->command->domain_settings && i < domain_setting_count; i++)
        if (str_distance(domain_settings[i].name, name) < best) {
            best = str_distance(domain_settings[i].name, name);
            nearest = domain_settings[i].name;
        }
    return err_set(err, ERR_USAGE, "'%s' has no option %s%s%s%s%s", cli->command->words,
                   name[0] != '\0' && name[1] == '\0' ? "-" : "--", name,
                   nearest != NULL ? "; did you mean --" : "", nearest != NULL ? nearest : "",
                   nearest != NULL ? "?" : "");
}

static bool take_global(struct cli *cli, const struct cli_option *option, const char *value)
{
    switch (option->name[0]) {
    case 'c':
        cli->file = value;
        break;
    case 'o':
        cli->overrides[cli->override_count++] = value;
        break;
    case 'j':
        cli->json = true;
        break;
    case 'h':
        cli->help = true;
        break;
    default:
        cli->version = true;
    }
    return true;
}

/* One argument that begins with a dash, in parts. */
struct dashed {
    char name[64];
    const char *joined; /* behind "=", or what follows a short option's letter; NULL: nothing */
};

static struct dashed split_dashed(const char *text)
{
    struct dashed d = {0};

    if (text[1] != '-') {
        d.name[0] = text[1];
        d.joined = text[2] != '\0' ? text + 2 : NULL;
        return d;
    }
    size_t len = strcspn(text + 2, "=");
    snprintf(d.name, sizeof d.name, "%.*s", (int)(len < 63 ? len : 63), text + 2);
    d.joined = text[2 + len] == '=' ? text + 3 + len : NULL;
    return d;
}

static bool give(struct cli *cli, const char *name, const char *value, bool setting, bool many,
                 struct err *err)
{
    if (!many && cli_value(cli, name) != NULL)
        return err_set(err, ERR_USAGE, "--%s is given twice", name);
    cli->given[cli->given_count++] = (struct cli_given){name, value, setting};
    return true;
}

/* The value that an option needs: joined to it, or the next argument. */
static bool need_value(const struct dashed *d, char **argv, int argc, int *at, const char **value,
                       struct err *err)
{
    *value = d->joined;
    if (*value == NULL && *at + 1 < argc)
        *value = argv[++*at];
    return *value != NULL ||
           err_set(err, ERR_USAGE, "%s%s needs a value", d->name[1] == '\0' ? "-" : "--", d->name);
}

static bool take_setting(struct cli *cli, const struct domain_setting_row *row,
                         const struct dashed *d, char **argv, int argc, int *at, struct err *err)
{
    const char *value = d->joined != NULL ? d->joined : "yes";

    if (!is_switch(row) && !need_value(d, argv, argc, at, &value, err))
        return false;
    return give(cli, row->name, value, true, false, err);
}

static bool take_option(struct cli *cli, char **argv, int argc, int *at, struct err *err)
{
    struct dashed d = split_dashed(argv[*at]);
    const char *value = "";
    const struct cli_option *global = find_option(global_options, d.name);
    const struct cli_option *own =
        cli->command != NULL ? find_option(cli->command->options, d.name) : NULL;
    const struct domain_setting_row *setting =
        cli->command != NULL && cli->command->domain_settings ? find_setting(d.name) : NULL;
    const struct cli_option *option = own != NULL ? own : global;

    if (setting != NULL)
        return take_setting(cli, setting, &d, argv, argc, at, err);
    if (option == NULL && cli->command == NULL)
        return err_set(err, ERR_USAGE, "%s: no such option, or it must stand behind its command",
                       argv[*at]);
    if (option == NULL)
        return unknown_option(cli, d.name, err);
    if (option->value == NULL && d.joined != NULL)
        return err_set(err, ERR_USAGE, "%s takes no value", argv[*at]);
    if (option->value != NULL && !need_value(&d, argv, argc, at, &value, err))
        return false;
    return own != NULL ? give(cli, own->name, value, false, own->many, err)
                       : take_global(cli, global, value);
}

/* The command's words are the first arguments that are no options; options before it are global. */
static void look_for_command(struct cli *cli, int argc, char **argv)
{
    const char *words[4];
    size_t count = 0, used;

    for (int i = 1; i < argc && count < 4; i++) {
        if (argv[i][0] != '-' || argv[i][1] == '\0') {
            words[count++] = argv[i];
            continue;
        }
        struct dashed d = split_dashed(argv[i]);
        const struct cli_option *global = find_option(global_options, d.name);
        if (global != NULL && global->value != NULL && d.joined == NULL)
            i++;
    }
    cli->command = find_command(words, count, &used);
}

static bool check_operands(const struct cli *cli, struct err *err)
{
    const struct command *c = cli->command;

    if (cli->operand_count < c->least)
        return err_set(err, ERR_USAGE, "usage: rollcall %s%s%s%s", c->words,
                       c->options != NULL || c->domain_settings ? " [option…]" : "",
                       c->operands[0] != '\0' ? " " : "", c->operands);
    if (cli->operand_count > c->most)
        return err_set(err, ERR_USAGE, "'%s' does not take '%s'; see 'rollcall %s --help'",
                       c->words, cli->operands[c->most], c->words);
    return true;
}

bool args_parse(struct cli *cli, int argc, char **argv, struct err *err)
{
    size_t used = 0;
    bool options = true;

    if (argc > ARGUMENTS_MAX)
        return err_set(err, ERR_USAGE, "more than %d arguments; use 'user import'", ARGUMENTS_MAX);
    cli->operands = mem_zero((size_t)argc + 1, sizeof *cli->operands);
    cli->given = mem_zero((size_t)argc + 1, sizeof *cli->given);
    cli->overrides = mem_zero((size_t)argc + 1, sizeof *cli->overrides);
    look_for_command(cli, argc, argv);
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (!options || argv[i][0] != '-' || argv[i][1] == '\0')
            cli->operands[cli->operand_count++] = argv[i];
        else if (!take_option(cli, argv, argc, &i, err))
            return false;
    }
    if (cli->help || cli->version)
        return true;
    if (cli->operand_count == 0)
        return err_set(err, ERR_USAGE, "usage: rollcall COMMAND …; 'rollcall --help' lists them");
    if (cli->command == NULL ||
        (cli->command = find_command(cli->operands, cli->operand_count, &used)) == NULL)
        return unknown_command(cli, err);
    cli->operand_count -= used;
    memmove(cli->operands, cli->operands + used, cli->operand_count * sizeof *cli->operands);
    return check_operands(cli, err);
}

void args_free(struct cli *cli)
{
    free(cli->operands);
    free(cli->given);
    free(cli->overrides);
}

bool cli_flag(const struct cli *cli, const char *name)
{
    return cli_value(cli, name) != NULL;
}

const char *cli_value(const struct cli *cli, const char *name)
{
    return cli_nth(cli, name, 0);
}

const char *cli_nth(const struct cli *cli, const char *name, size_t n)
{
    for (size_t i = 0; i < cli->given_count; i++)
        if (strcmp(cli->given[i].name, name) == 0 && n-- == 0)
            return cli->given[i].value;
    return NULL;
}

static void print_option(const char *name, const char *value, const char *doc)
{
    char left[80];

    snprintf(left, sizeof left, "%s%s%s%s", name[1] == '\0' ? "-" : "--", name,
             value != NULL ? " " : "", value != NULL ? value : "");
    printf("  %-38s %s\n", left, doc);
}

static void print_options(const struct cli_option *table)
{
    for (; table != NULL && table->name != NULL; table++)
        print_option(table->name, table->value, table->doc);
}

static void help_of(const struct command *c)
{
    printf("usage: rollcall %s%s%s%s\n\n%s\n", c->words,
           c->options != NULL || c->domain_settings ? " [option…]" : "",
           c->operands[0] != '\0' ? " " : "", c->operands, c->help);
    if (c->options != NULL || c->domain_settings)
        printf("\noptions:\n");
    print_options(c->options);
    for (size_t i = 0; c->domain_settings && i < domain_setting_count; i++) {
        const struct domain_setting_row *row = &domain_settings[i];
        STR_AUTO name = mem_printf("%s%s", row->name, is_switch(row) ? "[=no]" : "");
        print_option(name, is_switch(row) ? NULL : row->value, row->doc);
    }
    printf("\nfor every command:\n");
    print_options(global_options);
}

static bool in_family(const struct command *c, const char *family)
{
    size_t len = family != NULL ? strlen(family) : 0;

    return family == NULL || (strncmp(c->words, family, len) == 0 && c->words[len] == ' ');
}

static void help_of_all(const char *family)
{
    printf("usage: rollcall [option…] COMMAND …\n\n");
    for (size_t i = 0; i < command_count; i++)
        if (in_family(&commands[i], family))
            printf("  %-16s %.*s\n", commands[i].words, (int)strcspn(commands[i].help, "\n"),
                   commands[i].help);
    printf("\n'rollcall COMMAND --help' tells more. For every command:\n");
    print_options(global_options);
}

static void write_option(struct out *out, const char *command, const struct cli_option *option)
{
    out_text(out, command);
    out_text(out, option->name);
    out_text(out, option->value);
    out_text(out, option->doc);
}

/* The tables themselves, for completion, editors and t/unit/documented.sh. */
static bool help_as_json(struct err *err)
{
    static const char *const command_columns[] = {"command", "operands", "help", NULL};
    static const char *const option_columns[] = {"command", "option", "value", "help", NULL};
    struct out *out = out_open(stdout, true);

    out_section(out, "commands", NULL, OUT_TABLE, command_columns);
    for (size_t i = 0; i < command_count; i++) {
        out_text(out, commands[i].words);
        out_text(out, commands[i].operands);
        out_text(out, commands[i].help);
    }
    out_section(out, "options", NULL, OUT_TABLE, option_columns);
    for (const struct cli_option *o = global_options; o->name != NULL; o++)
        write_option(out, NULL, o);
    for (size_t i = 0; i < command_count; i++) {
        for (const struct cli_option *o = commands[i].options; o != NULL && o->name != NULL; o++)
            write_option(out, commands[i].words, o);
        for (size_t k = 0; commands[i].domain_settings && k < domain_setting_count; k++)
            write_option(out, commands[i].words,
                         &(struct cli_option){.name = domain_settings[k].name,
                                              .value = domain_settings[k].value,
                                              .doc = domain_settings[k].doc});
    }
    return out_close(&out) || err_set(err, ERR_OTHER, "the output could not be written");
}

bool args_help(const struct cli *cli, struct err *err)
{
    const char *family = cli->operand_count > 0 ? cli->operands[0] : NULL;

    if (cli->json)
        return help_as_json(err);
    if (cli->command != NULL)
        help_of(cli->command);
    else if (family != NULL && !is_family(family))
        return unknown_command(cli, err);
    else
        help_of_all(family);
    return true;
}
