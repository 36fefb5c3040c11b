/*
 * cmd_domain_export - the served domains as Postfix's own indexed tables, for each gateway's cron
 *
 * No live tables on a network: with the database down smtpd would answer 451 for everybody. A table
 * is written beside the old one and takes its place when it is complete, and only when it has
 * changed. An empty answer takes nobody's place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "lib/spawn.h"
#include "lib/str.h"

enum { TABLE_MAX = 64 << 20 }; /* octets of a table */

static const char domains_sql[] =
    "select d.name, coalesce(nullif(d.next_hop, ''), t.next_hop) from domain d"
    " join domain t on t.id = coalesce(d.alias_of, d.id) where d.state = 'active' order by d.name";

/* What stands above each table; with its type, since an index of another type may have the same
 * name. */
static const char heading[] = "# %s, written by 'rollcall domain export'; changes are lost\n";

static bool only(struct span s, const char *signs)
{
    size_t i = 0;

    while (i < s.len && strchr(signs, s.at[i]) != NULL && s.at[i] != '\0')
        i++;
    return i == s.len;
}

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-_"

/* As transport(5) wants it: with a transport. "host:25" has none, "relay:host:25" has. */
static const char *transport_of(struct span hop)
{
    const char *colon = hop.len > 0 && hop.at[0] != '[' ? memchr(hop.at, ':', hop.len) : NULL;

    if (colon == NULL)
        return "relay:";
    struct span front = span_of(hop.at, (size_t)(colon - hop.at));
    struct span behind = span_of(colon + 1, hop.len - front.len - 1);
    if (span_equals(front, "unix"))
        return "lmtp:";
    bool port = only(behind, DIGITS) || (only(behind, LETTERS) && memchr(front.at, '.', front.len));
    return port || !only(front, LETTERS) ? "relay:" : "";
}

static void put_tables(const struct db_result *rows, const char *type, struct buf *relay,
                       struct buf *transport)
{
    buf_printf(relay, heading, type);
    buf_printf(transport, heading, type);
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct span hop = db_span(rows, i, 1);
        buf_printf(relay, "%s rollcall\n", db_text(rows, i, 0));
        if (hop.len > 0)
            buf_printf(transport, "%s %s%s\n", db_text(rows, i, 0), transport_of(hop),
                       db_text(rows, i, 1));
    }
}

/* What the file has; empty when it is not there. */
static bool read_table(const char *path, struct buf *out, struct err *err)
{
    FILE *file = fopen(path, "re");
    char piece[1 << 14];
    size_t got;

    buf_text(out, "");
    if (file == NULL)
        return errno == ENOENT || err_set(err, ERR_OTHER, "%s: %s", path, strerror(errno));
    while ((got = fread(piece, 1, sizeof piece, file)) > 0 && out->len < TABLE_MAX)
        buf_append(out, piece, got);
    bool fine = ferror(file) == 0;
    fclose(file);
    return fine || err_set(err, ERR_OTHER, "%s: cannot be read", path);
}

static bool write_table(const char *path, const struct buf *text, struct err *err)
{
    FILE *file = fopen(path, "we");

    if (file == NULL)
        return err_set(err, ERR_OTHER, "%s: %s", path, strerror(errno));
    bool fine = fwrite(text->at, 1, text->len, file) == text->len && fflush(file) == 0 &&
                fsync(fileno(file)) == 0 && fchmod(fileno(file), 0644) == 0;
    int why = errno;
    fclose(file);
    return fine || err_set(err, ERR_OTHER, "%s: %s", path, strerror(why));
}

/* Where the tables go, and of which kind they are. */
struct target {
    struct cli *cli;
    const char *directory;
    char type[32];           /* "hash", "lmdb" */
    const char *suffixes[2]; /* of the files that postmap makes */
    size_t suffix_count;
};

static bool find_type(struct target *target, struct err *err)
{
    const char *directory = target->cli->conf.value.postfix_config_directory;
    const char *const command[] = {"postconf", "-c", directory, "-h", "default_database_type",
                                   NULL};
    const char *given = cli_value(target->cli, "type");
    struct spawn_output output = {0};
    bool fine = true;

    if (given != NULL)
        snprintf(target->type, sizeof target->type, "%s", given);
    else {
        fine = spawn_run(command, span_text(""), &output, err);
        struct span type = span_trim(span_of(output.out.at, output.out.len));
        if (fine && output.code != 0)
            fine = err_set(err, ERR_OTHER, "postconf: %.*s", (int)output.errors.len,
                           output.errors.at);
        if (fine)
            snprintf(target->type, sizeof target->type, "%.*s", (int)type.len, type.at);
        spawn_output_free(&output);
    }
    if (!fine)
        return false;
    target->suffix_count = 1;
    if (strcmp(target->type, "hash") == 0 || strcmp(target->type, "btree") == 0)
        target->suffixes[0] = ".db";
    else if (strcmp(target->type, "lmdb") == 0 || strcmp(target->type, "cdb") == 0)
        target->suffixes[0] = target->type[0] == 'l' ? ".lmdb" : ".cdb";
    else
        return err_set(err, ERR_USAGE, "--type %s: not one of hash, btree, lmdb, cdb",
                       target->type);
    return true;
}

static bool index_table(struct target *target, const char *path, struct err *err)
{
    STR_AUTO table = mem_printf("%s:%s", target->type, path);
    const char *directory = target->cli->conf.value.postfix_config_directory;
    const char *const command[] = {"postmap", "-c", directory, table, NULL};
    struct spawn_output output = {0};

    bool fine = spawn_run(command, span_text(""), &output, err);
    if (fine && output.code != 0)
        fine = err_set(err, ERR_OTHER, "postmap %s: %.*s", table, (int)output.errors.len,
                       output.errors.at);
    spawn_output_free(&output);
    return fine;
}

/* The index first: whoever looks at the text believes that it is indexed. */
static bool take_place(const struct target *target, const char *fresh, const char *path,
                       struct err *err)
{
    for (size_t i = 0; i < target->suffix_count; i++) {
        STR_AUTO from = mem_printf("%s%s", fresh, target->suffixes[i]);
        STR_AUTO to = mem_printf("%s%s", path, target->suffixes[i]);
        if (rename(from, to) != 0)
            return err_set(err, ERR_OTHER, "%s: %s", to, strerror(errno));
    }
    return rename(fresh, path) == 0 || err_set(err, ERR_OTHER, "%s: %s", path, strerror(errno));
}

static bool is_indexed(const struct target *target, const char *path)
{
    STR_AUTO file = mem_printf("%s%s", path, target->suffixes[0]);

    return access(file, F_OK) == 0;
}

static bool update(struct target *target, const char *name, const struct buf *text, bool *changed,
                   struct err *err)
{
    STR_AUTO path = mem_printf("%s/%s", target->directory, name);
    STR_AUTO fresh = mem_printf("%s/%s.new", target->directory, name);
    BUF_AUTO old = {0};

    if (!read_table(path, &old, err))
        return false;
    *changed = old.len != text->len || memcmp(old.at, text->at, text->len) != 0 ||
               !is_indexed(target, path);
    if (!*changed)
        return true;
    return write_table(fresh, text, err) && index_table(target, fresh, err) &&
           take_place(target, fresh, path, err);
}

static void tell(struct cli *cli, const struct target *target, size_t domains, const bool *changed)
{
    static const char *const columns[] = {"table", "changed", NULL};
    static const char *const names[] = {"relay_domains", "transport"};

    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < 2; i++) {
        STR_AUTO table = mem_printf("%s:%s/%s", target->type, target->directory, names[i]);
        out_text(cli->out, table);
        out_bool(cli->out, changed[i]);
    }
    cli_say(cli, "%zu domains", domains);
}

bool cmd_domain_export(struct cli *cli, struct err *err)
{
    struct target target = {.cli = cli, .directory = cli_value(cli, "postfix")};
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO relay = {0}, transport = {0};
    bool changed[2] = {false, false};

    if (target.directory == NULL)
        return err_set(err, ERR_USAGE, "say where the tables go: --postfix DIRECTORY");
    if (!find_type(&target, err) || !cli_read(cli, err) ||
        !db_query(cli->db, &rows, domains_sql, DB_NO_VALUES, err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA,
                       "no domain is served: %s stays as it is; is this the right database?",
                       target.directory);
    put_tables(rows, target.type, &relay, &transport);
    if (!update(&target, "relay_domains", &relay, &changed[0], err) ||
        !update(&target, "transport", &transport, &changed[1], err))
        return false;
    tell(cli, &target, db_rows(rows), changed);
    return true;
}
