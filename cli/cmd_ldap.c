/*
 * cmd_ldap - the LDAP connections: set, shown, listed, removed
 *
 * What `ldap set` takes are the rows of ldap_setting_rows; the table of options is made of them at
 * the start.
 */
#include "cli/cmd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/apply.h"
#include "cli/terminal.h"
#include "lib/directory.h"
#include "lib/ldap_source.h"
#include "lib/secret.h"

/* ---- options ---- */

enum { OPTIONS_MOST = 64 };
struct cli_option cmd_ldap_set_options[OPTIONS_MOST];

static const struct cli_option set_options[] = {
    {"domain", "NAME", true, "feeds that domain (the one of the source's name)"},
    {"password", NULL, false, "ask for the password, or read it from standard input"},
    {"no-password", NULL, false, "forget the password"},
    {"default", "SETTING", true, "take a setting back to its preset's value"},
};
enum { SET_OPTIONS = sizeof set_options / sizeof set_options[0] };

void cmd_ldap_options(void)
{
    size_t count = 0;

    for (size_t i = 0; i < SET_OPTIONS; i++)
        cmd_ldap_set_options[count++] = set_options[i];
    for (size_t i = 0; i < ldap_setting_count && count < OPTIONS_MOST - 1; i++) {
        const struct ldap_setting_row *row = &ldap_setting_rows[i];
        cmd_ldap_set_options[count++] =
            (struct cli_option){row->name, row->value, row->list, row->doc};
    }
}

/* ---- set ---- */

struct setting {
    struct ldap_given given[OPTIONS_MOST * 2];
    size_t count;
    struct buf values[OPTIONS_MOST]; /* of lists */
    const char *domains[256];
    struct buf password;
    unsigned char key[SECRET_KEY];
};

static void setting_free(struct setting *s)
{
    for (size_t i = 0; i < OPTIONS_MOST; i++)
        buf_free(&s->values[i]);
    if (s->password.at != NULL)
        secret_forget(s->password.at, s->password.len);
    buf_free(&s->password);
    secret_forget(s->key, sizeof s->key);
}

static bool is_ca(const struct ldap_setting_row *row)
{
    return row->offset == offsetof(struct ldap_settings, ca);
}

/* What the file holds is kept, not its name. */
static bool take_ca(const char *path, struct buf *out, struct err *err)
{
    char text[128 * 1024];

    buf_text(out, out->len > 0 ? "\n" : "");
    if (path[0] == '\0')
        return true;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_set(err, ERR_DATA, "%s: %s", path, strerror(errno));
    size_t len = fread(text, 1, sizeof text, file);
    bool fine = !ferror(file) && len < sizeof text;
    fclose(file);
    if (!fine)
        return err_set(err, ERR_DATA, "%s: cannot be read, or is no file of a few certificates",
                       path);
    return directory_ca_take(span_of(text, len), out, err) || err_prefix(err, "%s", path);
}

/* Values of a list stand a line each. */
static bool take_values(const struct cli *cli, struct setting *s, struct err *err)
{
    for (size_t i = 0; i < ldap_setting_count; i++) {
        const struct ldap_setting_row *row = &ldap_setting_rows[i];
        const char *value = cli_value(cli, row->name);
        if (value == NULL)
            continue;
        for (size_t n = 0; (value = cli_nth(cli, row->name, n)) != NULL; n++) {
            if (!is_ca(row))
                buf_printf(&s->values[i], "%s%s", n > 0 ? "\n" : "", value);
            else if (!take_ca(value, &s->values[i], err))
                return false;
        }
        s->given[s->count++] = (struct ldap_given){row->name, s->values[i].at};
    }
    return true;
}

static bool take_defaults(const struct cli *cli, struct setting *s, struct err *err)
{
    const char *name;

    for (size_t n = 0; (name = cli_nth(cli, "default", n)) != NULL; n++) {
        const struct ldap_setting_row *row = ldap_setting_find(name);
        if (row == NULL || n == OPTIONS_MOST)
            return err_set(err, ERR_USAGE, "--default %s: there is no such setting", name);
        if (cli_value(cli, name) != NULL)
            return err_set(err, ERR_USAGE, "--%s and --default %s exclude each other", name, name);
        s->given[s->count++] = (struct ldap_given){row->name, NULL};
    }
    return true;
}

static bool take_domains(const struct cli *cli, struct setting *s, struct ldap_change *change,
                         struct err *err)
{
    const char *name;

    for (size_t n = 0; (name = cli_nth(cli, "domain", n)) != NULL; n++) {
        if (n == sizeof s->domains / sizeof s->domains[0])
            return err_set(err, ERR_USAGE, "more than %zu domains", n);
        s->domains[change->domain_count++] = name;
        change->domains = s->domains;
    }
    return true;
}

static bool take_password(const struct cli *cli, struct setting *s, struct ldap_change *change,
                          struct err *err)
{
    if (cli_flag(cli, "no-password") && cli_flag(cli, "password"))
        return err_set(err, ERR_USAGE, "--password and --no-password exclude each other");
    if (cli_flag(cli, "no-password"))
        change->password = "";
    if (!cli_flag(cli, "password"))
        return true;
    if (!terminal_ask_secret("password: ", &s->password, err))
        return false;
    if (s->password.len == 0)
        return err_set(err, ERR_USAGE, "an empty password would bind as nobody; --no-password");
    change->password = s->password.at;
    change->key = s->key;
    return secret_key_load(cli->conf.value.secret_key_file, true, s->key, err);
}

bool cmd_ldap_set(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"source", "made", NULL};
    struct setting s = {0};
    struct ldap_change change = {.name = cli->operands[0], .given = s.given, .actor = cli->actor};
    bool made = false;

    secret_init();
    bool fine = take_values(cli, &s, err) && take_defaults(cli, &s, err) &&
                take_domains(cli, &s, &change, err) && take_password(cli, &s, &change, err) &&
                cli_write(cli, err);
    change.given_count = s.count;
    fine = fine && ldap_source_set(cli->db, &change, &made, err);
    setting_free(&s);
    if (!fine)
        return false;
    cli_say(cli, "LDAP source %s %s; 'rollcall ldap test %s' shows what it would take", change.name,
            made ? "made" : "changed", change.name);
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_text(cli->out, change.name);
        out_bool(cli->out, made);
    }
    return true;
}

/* ---- show and list ---- */

/* clang-format off */
static const char list_sql[] =
    "select s.name, k.name, (select string_agg(d.name, e'\\n' order by d.name) from ldap_source_domain f"
    "   join domain d on d.id = f.domain_id where f.source_id = s.id),"
    " coalesce(s.settings ->> 'preset', 'ad'), coalesce(s.settings ->> 'server', ''),"
    " coalesce(s.settings ->> 'enabled', 'yes') = 'yes', r.outcome, " SQL_TIME("r.started_at") ","
    " " SQL_TIME("s.synced_at") ", r.entries, r.users, coalesce(r.why, '')"
    " from ldap_source s join customer k on k.id = s.customer_id"
    " left join lateral (select * from ldap_run where source_id = s.id order by id desc limit 1) r"
    "   on true where $1::text is null or lower(s.name) = lower($1) order by s.name";
static const char runs_sql[] =
    "select " SQL_TIME("r.started_at") ", (extract(epoch from r.ended_at - r.started_at) * 1000000)::bigint,"
    " r.outcome, r.server, r.pages, r.entries, r.users, r.groups, r.left_out, r.added, r.removed, r.changed,"
    " r.problems, r.changeset_id, r.why from ldap_run r join ldap_source s on s.id = r.source_id"
    " where lower(s.name) = lower($1) order by r.id desc limit $2::int";
/* clang-format on */

static void put_int(struct out *out, const struct db_result *rows, size_t row, int column)
{
    if (db_null(rows, row, column))
        out_null(out);
    else
        out_int(out, db_int(rows, row, column));
}

static void put_text(struct out *out, const struct db_result *rows, size_t row, int column)
{
    out_text(out, db_null(rows, row, column) ? NULL : db_text(rows, row, column));
}

static bool put_sources(struct cli *cli, const char *name, enum out_layout layout, struct err *err)
{
    static const char *const columns[] = {"source",  "customer", "domains", "preset", "server",
                                          "enabled", "last_run", "started", "synced", "entries",
                                          "users",   "why",      NULL};
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, list_sql, DB_VALUES(name), err))
        return false;
    out_section(cli->out, NULL, NULL, layout, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        out_text(cli->out, db_text(rows, i, 1));
        out_list(cli->out, db_text(rows, i, 2));
        out_text(cli->out, db_text(rows, i, 3));
        out_list(cli->out, db_text(rows, i, 4));
        out_bool(cli->out, db_bool(rows, i, 5));
        for (int c = 6; c < 9; c++)
            put_text(cli->out, rows, i, c);
        put_int(cli->out, rows, i, 9);
        put_int(cli->out, rows, i, 10);
        out_text(cli->out, db_text(rows, i, 11));
    }
    return true;
}

bool cmd_ldap_list(struct cli *cli, struct err *err)
{
    return cli_read(cli, err) && put_sources(cli, NULL, OUT_TABLE, err);
}

static bool put_runs(struct cli *cli, const char *name, int64_t limit, struct err *err)
{
    static const char *const columns[] = {
        "started",  "took",  "outcome", "server",  "pages",    "entries",   "users", "groups",
        "left_out", "added", "removed", "changed", "problems", "changeset", "why",   NULL};
    DB_RESULT_AUTO rows = NULL;
    char most[24];

    snprintf(most, sizeof most, "%lld", (long long)limit);
    if (!db_query(cli->db, &rows, runs_sql, DB_VALUES(name, most), err))
        return false;
    out_section(cli->out, "runs", db_rows(rows) > 0 ? "last runs" : NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        out_text(cli->out, db_text(rows, i, 0));
        out_age(cli->out, db_null(rows, i, 1) ? -1 : db_int(rows, i, 1));
        out_text(cli->out, db_text(rows, i, 2));
        out_text(cli->out, db_text(rows, i, 3));
        for (int c = 4; c < 14; c++)
            put_int(cli->out, rows, i, c);
        out_text(cli->out, db_text(rows, i, 14));
    }
    return true;
}

static void put_settings(struct cli *cli, struct ldap_source *source)
{
    static const char *const columns[] = {"setting", "value", "from", NULL};

    out_section(cli->out, "settings", "settings", OUT_PLAIN, columns);
    for (size_t i = 0; i < ldap_setting_count; i++) {
        const struct ldap_setting_row *row = &ldap_setting_rows[i];
        const char *value = *ldap_setting_field(&source->settings, row);
        bool given = false;
        for (size_t k = 0; k < source->given_count; k++)
            given = given || strcmp(source->given[k].name, row->name) == 0;
        out_text(cli->out, row->name);
        if (is_ca(row) && value[0] != '\0' && !cli->json)
            out_text(cli->out, "kept; --json shows them");
        else if (row->list)
            out_list(cli->out, value);
        else
            out_text(cli->out, value);
        out_text(cli->out, given ? "set" : "preset");
    }
    out_text(cli->out, "password");
    out_text(cli->out, source->has_password ? "(kept, sealed)" : "");
    out_text(cli->out, source->has_password ? "set" : "preset");
}

bool cmd_ldap_show(struct cli *cli, struct err *err)
{
    struct ldap_source source;
    int64_t limit;

    if (!cli_number(cli, "limit", 0, 1000, 10, &limit, err) || !cli_read(cli, err) ||
        !ldap_source_get(cli->db, cli->operands[0], false, &source, err))
        return false;
    bool fine = put_sources(cli, source.name, OUT_HEAD, err);
    if (fine)
        put_settings(cli, &source);
    fine = fine && put_runs(cli, source.name, limit, err);
    ldap_source_free(&source);
    return fine;
}

/* ---- remove ---- */

/* The list of nobody: the source withdraws all its claims, as a changeset that can be undone. */
static bool withdraw(struct cli *cli, struct ldap_source *source, struct err *err)
{
    struct apply apply;
    bool fine = true;

    apply_init(&apply, cli, ROLL_FOLLOW, SOURCE_LDAP);
    apply.request.source_id = source->id;
    apply.request.note = "LDAP source removed";
    apply.request.force = true;
    fine = apply_open(&apply, err);
    for (size_t i = 0; fine && i < source->domain_count; i++)
        if (source->domains[i].scope)
            fine = roll_scope(apply.job, source->domains[i].name, err);
    fine = fine ? apply_finish(&apply, err) : apply_failed(&apply, err);
    apply_free(&apply);
    return fine;
}

bool cmd_ldap_remove(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"removed", NULL};
    const char *name = cli->operands[0];
    struct ldap_source source;

    if (!cli_write(cli, err) || !ldap_source_get(cli->db, name, false, &source, err))
        return false;
    bool fine =
        !cli_flag(cli, "with-users") || source.domain_count == 0 || withdraw(cli, &source, err);
    ldap_source_free(&source);
    if (!fine || !ldap_source_remove(cli->db, name, cli->actor, err))
        return false;
    cli_say(cli, "LDAP source %s removed", name);
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_text(cli->out, name);
    }
    return true;
}
