/* cmd_config - the settings, as postconf prints Postfix's; and the commented file of all */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/mask.h"
#include "lib/str.h"

/* One setting as it is printed. */
struct shown {
    struct buf value;
    const char *source;
};

static void show(const struct cli *cli, const struct conf_row *row, struct shown *out)
{
    const char *origin = cli->conf.origins[row - conf_rows].text;
    bool defaults = cli_flag(cli, "d");

    if (defaults)
        buf_text(&out->value, row->fallback);
    else
        conf_write_value(&out->value, row, &cli->conf.value);
    out->source = defaults || origin == NULL ? "default" : origin;
    if (strcmp(row->name, "database") == 0)
        mask_password(&out->value);
}

static void put_row(struct cli *cli, const struct conf_row *row)
{
    struct shown shown = {0};

    show(cli, row, &shown);
    if (cli->json) {
        out_text(cli->out, row->name);
        out_text(cli->out, shown.value.at);
        out_text(cli->out, shown.source);
    } else if (cli_flag(cli, "h"))
        cli_say(cli, "%s", shown.value.at);
    else if (cli_flag(cli, "source"))
        cli_say(cli, "%s: %s = %s", shown.source, row->name, shown.value.at);
    else {
        out_text(cli->out, row->name);
        out_text(cli->out, shown.value.at);
    }
    buf_free(&shown.value);
}

static bool wanted(const struct cli *cli, size_t row)
{
    if (cli_flag(cli, "n") && cli->conf.origins[row].text == NULL)
        return false;
    for (size_t i = 0; i < cli->operand_count; i++)
        if (strcmp(cli->operands[i], conf_rows[row].name) == 0)
            return true;
    return cli->operand_count == 0;
}

static bool names_known(const struct cli *cli, struct err *err)
{
    for (size_t i = 0; i < cli->operand_count; i++) {
        const char *nearest;
        if (conf_find(cli->operands[i], &nearest) == NULL)
            return err_set(err, ERR_CONFIG, "unknown setting '%s'%s%s%s", cli->operands[i],
                           nearest != NULL ? "; did you mean '" : "; see 'rollcall config -d'",
                           nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    }
    return true;
}

/* A comment of at most 100 columns. */
static void print_comment(const char *text)
{
    size_t column = 0;

    for (struct span rest = span_text(text), word; span_next(&rest, ' ', &word);) {
        if (column == 0 || column + 1 + word.len > 98) {
            printf("%s# ", column > 0 ? "\n" : "");
            column = 0;
        } else
            printf(" ");
        printf("%.*s", (int)word.len, word.at);
        column += word.len + 1;
    }
    printf("\n");
}

static void print_template(void)
{
    printf("# rollcall.conf - the settings of every Rollcall program, see rollcall.conf(5)\n"
           "#\n"
           "# name = value; a line that begins with white space continues the one before. What is\n"
           "# commented out below is the default. 'rollcall config -n' prints what is set,\n"
           "# 'rollcall doctor' checks it.\n");
    for (size_t i = 0; i < conf_row_count; i++) {
        printf("\n");
        print_comment(conf_rows[i].doc);
        printf("#%s =%s%s\n", conf_rows[i].name, conf_rows[i].fallback[0] != '\0' ? " " : "",
               conf_rows[i].fallback);
    }
}

bool cmd_config(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"name", "value", "source", NULL};
    static const char *const plain[] = {"name", "value", NULL};

    if (cli_flag(cli, "template")) {
        print_template();
        return true;
    }
    if (cli_flag(cli, "n") && cli_flag(cli, "d"))
        return err_set(err, ERR_USAGE, "-n and -d exclude each other");
    if (!names_known(cli, err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_PLAIN, cli->json ? columns : plain);
    for (size_t i = 0; i < conf_row_count; i++)
        if (wanted(cli, i))
            put_row(cli, &conf_rows[i]);
    return true;
}
