/* ldaprun - see ldaprun.h */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "sync/identities.h"
#include "sync/ldaprun_private.h"

enum { PASSWORD_MOST = 1024 };

/* ---- the beginning ---- */

static bool lock(struct run *run, struct err *err)
{
    DB_RESULT_AUTO locked = NULL;

    if (!db_query(run->db, &locked,
                  "select pg_try_advisory_lock(hashtext('rollcall-ldapsync'), $1::int)",
                  DB_VALUES(run->id), err))
        return false;
    return db_bool(locked, 0, 0) ||
           err_set(err, ERR_TEMPORARY, "another run of it is at work; try again when it is done");
}

/* The first line of a file. */
static bool read_password_file(struct run *run, const char *path, struct err *err)
{
    char line[PASSWORD_MOST];
    FILE *file = fopen(path, "re");
    bool fine = file != NULL && fgets(line, sizeof line, file) != NULL;

    if (file != NULL)
        fclose(file);
    if (!fine)
        return err_set(err, ERR_CONFIG, "%s: cannot read the password", path);
    line[strcspn(line, "\r\n")] = '\0';
    buf_text(&run->password, line);
    secret_forget(line, sizeof line);
    return true;
}

static bool take_password(struct run *run, struct err *err)
{
    const struct ldap_source *source = &run->source;
    const char *path = run->options->conf->secret_key_file;
    uint8_t key[SECRET_KEY];
    char context[64];

    buf_text(&run->password, "");
    if (source->settings.password_file[0] != '\0')
        return read_password_file(run, source->settings.password_file, err);
    if (source->sealed.len == 0)
        return true;
    ldap_source_context(source->id, context);
    bool fine = secret_key_load(path, false, key, err);
    if (fine &&
        !secret_open(&run->password, span_of(source->sealed.at, source->sealed.len), context, key))
        fine = err_set(err, ERR_CONFIG,
                       "the password cannot be opened with the key in %s; set it again with "
                       "'rollcall ldap set %s --password'",
                       path, source->name);
    secret_forget(key, sizeof key);
    return fine;
}

static bool begin(struct run *run, struct err *err)
{
    const struct conf *conf = run->options->conf;
    struct db_options options = {.conninfo = conf->database,
                                 .target = DB_PRIMARY,
                                 .timeout_us = conf->database_timeout,
                                 .program = LDAPRUN_PROGRAM};

    /* whoever chose the source has compared the schema */
    if (!db_open(&run->db, &options, err) ||
        !ldap_source_get(run->db, run->options->source, true, &run->source, err))
        return false;
    snprintf(run->id, sizeof run->id, "%d", (int)run->source.id);
    return run->options->look || lock(run, err);
}

/* ---- reading ---- */

static void on_entry(void *context, const char *dn, enum entry_kind kind, const struct entry *entry,
                     const char *why)
{
    struct run *run = context;

    run->seen++;
    ldaprun_record_step(run, "reading");
    /* who watches asks why somebody is missing */
    if (run->options->look || why != NULL)
        ldaprun_tell_entry(run, dn, kind, entry, why);
}

static struct roll_request request_of(const struct run *run)
{
    const struct ldaprun_options *options = run->options;

    return (struct roll_request){
        .mode = ROLL_FOLLOW,
        .source = SOURCE_LDAP,
        .source_id = run->source.id,
        .actor = options->actor,
        .program = LDAPRUN_PROGRAM,
        .note = run->source.name,
        .dry_run = options->dry_run,
        .force = options->force,
        .guard = {.least = options->conf->guard_least, .percent = options->conf->guard_percent}};
}

/*
 * A source that never was on the roll is written while it is read: by COPY, which PostgreSQL
 * refuses to roles under row-level security (sql/roles.sql exempts ours where it may).
 */
static bool go_ahead(struct run *run, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (run->options->dry_run)
        return true;
    if (!db_query(run->db, &rows,
                  "select not row_security_active('recipient') and s.digest is null and "
                  "s.held_digest is null and not exists (select"
                  "     from ldap_user where source_id = s.id) and not exists (select"
                  "     from ldap_source_domain f join domain d on d.id = f.domain_id"
                  "     join domain t on t.id = coalesce(d.alias_of, d.id) where f.source_id = s.id"
                  "       and t.customer_id is distinct from s.customer_id)"
                  " from ldap_source s where s.id = $1::int",
                  DB_VALUES(run->id), err))
        return false;
    if (db_rows(rows) == 0 || !db_bool(rows, 0, 0))
        return true;
    run->ahead_options = (struct ahead_options){
        .conf = run->options->conf, .source = &run->source, .request = request_of(run)};
    run->ahead_options.request.eager = true;
    run->ahead = ahead_begin(&run->ahead_options, run->spool);
    run->untidy = run->ahead != NULL;
    return true;
}

static bool read_directory(struct run *run, struct err *err)
{
    bool watched = run->options->look || run->options->request != NULL;
    struct gather_options options = {.source = &run->source,
                                     .password = run->password.at,
                                     .now_s = clock_wall_us() / CLOCK_SECOND,
                                     .look = run->options->look};
    struct gather_listener listener = {
        .context = run, .entry = watched ? on_entry : NULL, .note = ldaprun_tell_note};

    if (run->source.domain_count == 0)
        return err_set(err, ERR_CONFIG,
                       "feeds no domain that is served; 'rollcall ldap set %s "
                       "--domain …'",
                       run->source.name);
    if (run->source.by_customer) {
        if (!network_list_parse(span_text(run->options->conf->ldap_denied_networks), &run->denied,
                                err))
            return false;
        options.denied = &run->denied;
    }
    return (run->options->look || (spool_open(&run->spool, err) && go_ahead(run, err))) &&
           gather_run(&options, run->spool, &listener, &run->report, err);
}

static bool seal(struct run *run, struct err *err)
{
    if (!spool_seal(run->spool, run->digest, err))
        return false;
    for (size_t i = 0; i < SECRET_DIGEST; i++)
        snprintf(run->digest_hex + 2 * i, 3, "%02x", run->digest[i]);
    /* an entry that several searches found is one */
    run->report.users = spool_count_of(run->spool, ENTRY_USER);
    run->report.groups = spool_count_of(run->spool, ENTRY_GROUP);
    run->troubled = mem_zero(spool_count(run->spool) / 8 + 1, 1);
    return true;
}

static bool stage_all(struct run *run, struct roll_job *job, const struct identities *known,
                      struct err *err)
{
    struct spool_entry entry;

    for (size_t i = 0; i < run->source.domain_count; i++)
        if (run->source.domains[i].scope && !roll_scope(job, run->source.domains[i].name, err))
            return false;
    for (size_t i = 0; i < spool_count(run->spool); i++) {
        if (!spool_get(run->spool, i, &entry, err))
            return false;
        int64_t user = entry.kind == ENTRY_USER ? identities_user(known, entry.identity) : 0;
        if (!ahead_stage(job, &entry, i, user, err))
            return false;
    }
    return true;
}

static bool follow(struct run *run, struct err *err)
{
    struct roll_request request = request_of(run);
    struct roll_listener listener = {.context = run,
                                     .problem = ldaprun_tell_problem,
                                     .difference =
                                         run->options->records ? ldaprun_tell_difference : NULL};
    struct identities known;
    struct roll_job *job = NULL;

    if (!identities_read(&known, run->db, run->source.id, err))
        return false;
    bool fine = roll_open(&job, run->db, &request, err) && stage_all(run, job, &known, err);
    identities_free(&known);
    if (fine)
        return roll_finish(&job, &listener, &run->outcome, err);
    roll_abort(&job);
    return false;
}

/*
 * Users and identities of the list that went ahead are written while its addresses are, and are
 * there just before them: a user without an address is nobody. *done: the roll has the list, and
 * nothing is left to compare.
 */
static bool finish_ahead(struct run *run, bool *done, struct err *err)
{
    struct err ignored;

    *done = false;
    if (run->ahead == NULL)
        return true;
    bool learned = identities_learn(run->db, &run->source, run->spool, run->ahead, &ignored) &&
                   ahead_staged(run->ahead) && db_script(run->db, "commit", &ignored);
    *done = ahead_end(&run->ahead, learned, &run->outcome);
    return learned || db_script(run->db, "rollback", err);
}

/* ---- all of it ---- */

/*
 * An answer that is complete and yet has nearly nobody comes from a filter, a base or rights that
 * went wrong. The guard counts what leaves the roll; this counts what the directory said.
 */
static bool believable(const struct run *run, struct err *err)
{
    int64_t now = run->report.read.entries;
    DB_RESULT_AUTO rows = NULL;

    if (run->options->force)
        return true;
    if (spool_count(run->spool) == 0)
        return err_set(err, ERR_DATA,
                       "%s: no user among %lld entries; look at base, filter and rights with "
                       "'rollcall ldap test %s'; if it is right: 'rollcall ldap sync %s --force'",
                       run->report.server, (long long)now, run->source.name, run->source.name);
    if (!db_query(run->db, &rows, "select coalesce(entries, 0) from ldap_source where id = $1::int",
                  DB_VALUES(run->id), err))
        return false;
    int64_t before = db_rows(rows) > 0 ? db_int(rows, 0, 0) : 0;
    return now >= before / 5 ||
           err_set(err, ERR_DATA,
                   "%s: only %lld entries, last time %lld; if it is right: 'rollcall ldap sync %s "
                   "--force'",
                   run->report.server, (long long)now, (long long)before, run->source.name);
}

/* From a complete answer to what became of it. */
static bool act(struct run *run, struct err *err)
{
    static const char *const words[] = {"unchanged", "applied", "held", "dry-run"};
    bool agrees, waits;

    if (!seal(run, err) || !believable(run, err) || !ldaprun_nothing_new(run, &agrees, &waits, err))
        return false;
    run->told_us = 0;
    ldaprun_record_step(run, "comparing");
    db_set_timeout(run->db, 0); /* a large list takes as long as it takes */
    bool done, compared = !agrees && !waits;
    if (compared && !finish_ahead(run, &done, err))
        return false;
    compared = compared && !done;
    if (compared && !follow(run, err))
        return false;
    run->what = words[run->outcome.state];
    if (run->options->dry_run)
        return true;
    if (run->outcome.state == ROLL_HELD)
        return ldaprun_record_held(run, err);
    if (run->outcome.version > 0)
        snprintf(run->version, sizeof run->version, "%" PRId64, run->outcome.version);
    return (!compared ||
            identities_write(run->db, run->source.id, run->spool, run->troubled, err)) &&
           ldaprun_record_agreed(run, err);
}

/*
 * A first list leaves its entries of the search indexes in their waiting lists. The server is asked
 * to sort them in, and goes on with that when we have left: the roll has its list already, and
 * searching is merely slower until then. Should it not come to that, whoever adds the next does it.
 */
static void ask_to_tidy(struct run *run)
{
    struct err ignored;

    if (run->untidy && run->db != NULL)
        (void)!db_send(run->db, "select roll_tidy_search()", DB_NO_VALUES, &ignored);
}

static void run_free(struct run *run)
{
    if (run->password.at != NULL)
        secret_forget(run->password.at, run->password.len);
    buf_free(&run->password);
    ahead_end(&run->ahead, false, &run->outcome);
    ask_to_tidy(run);
    spool_close(&run->spool);
    ldap_source_free(&run->source);
    free(run->troubled);
    db_close(&run->db);
}

bool ldaprun(const struct ldaprun_options *options, struct err *err)
{
    struct run run = {.options = options, .what = options->look ? "look" : "unchanged"};
    bool fine = begin(&run, err) && ldaprun_record_begin(&run, err) && take_password(&run, err) &&
                read_directory(&run, err) && (options->look || act(&run, err));

    if (fine)
        ldaprun_tell_done(&run);
    else {
        ldaprun_record_failed(&run, err);
        ldaprun_tell_failed(options, err);
    }
    run_free(&run);
    return fine;
}
