/* ldap_change - see ldap_source.h; here: the rows of sources, changed */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"
#include "ldap_source.h"

#define UNIQUE_VIOLATION "23505" /* SQLSTATE */

struct work {
    struct db *db;
    const struct ldap_change *change;
    char id[16];
    bool made;
    struct buf domains; /* of a new list: "{a.test,b.test}" */
    struct ldap_given *merged;
    size_t merged_count;
};

static bool find_or_make(struct work *w, struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    DB_RESULT_AUTO made = NULL;

    if (!db_query(w->db, &found,
                  "select id from ldap_source where lower(name) = lower($1) for update",
                  DB_VALUES(w->change->name), err))
        return false;
    if (db_rows(found) > 0) {
        snprintf(w->id, sizeof w->id, "%s", db_text(found, 0, 0));
        return true;
    }
    w->made = true;
    if (!db_query(w->db, &made,
                  "insert into ldap_source (name, customer_id) select $1, d.customer_id"
                  " from domain d where d.state = 'active' and d.name = any ($2::text[])"
                  " order by d.id limit 1 returning id",
                  DB_VALUES(w->change->name, w->domains.at), err))
        return strcmp(db_sqlstate(w->db), UNIQUE_VIOLATION) == 0
                   ? err_set(err, ERR_DATA, "name: '%s' is taken; choose another one",
                             w->change->name)
                   : false;
    if (db_rows(made) == 0)
        return err_set(err, ERR_DATA,
                       "%s: no such domain is served; name those that the source feeds with "
                       "--domain",
                       w->change->name);
    snprintf(w->id, sizeof w->id, "%s", db_text(made, 0, 0));
    return true;
}

/* The list of domains as an array, each normalised. */
static bool name_domains(struct work *w, struct err *err)
{
    const char *const *names = w->change->domains;
    size_t count = w->change->domain_count;
    char normal[ADDR_DOMAIN_MAX + 1];
    struct err ignored;
    size_t len;

    buf_text(&w->domains, "{");
    if (names == NULL && addr_parse_domain(span_text(w->change->name), normal, &len, &ignored))
        buf_text(&w->domains, normal);
    for (size_t i = 0; names != NULL && i < count; i++) {
        if (!addr_parse_domain(span_text(names[i]), normal, &len, err))
            return false;
        buf_printf(&w->domains, "%s%s", i > 0 ? "," : "", normal);
    }
    buf_text(&w->domains, "}");
    return true;
}

/* Those named must be served, no aliases, and of the source's customer. */
static bool check_domains(struct work *w, struct err *err)
{
    DB_RESULT_AUTO bad = NULL;

    if (!db_query(w->db, &bad,
                  "select n.name, d.id is null, d.alias_of is not null, k.name"
                  " from unnest($2::text[]) n(name)"
                  " join ldap_source s on s.id = $1::int"
                  " left join domain d on d.name = n.name and d.state = 'active'"
                  " left join customer k on k.id = d.customer_id"
                  " where d.id is null or d.alias_of is not null"
                  "   or d.customer_id <> s.customer_id limit 1",
                  DB_VALUES(w->id, w->domains.at), err))
        return false;
    if (db_rows(bad) == 0)
        return true;
    const char *name = db_text(bad, 0, 0);
    if (db_bool(bad, 0, 1))
        return err_set(err, ERR_DATA, "%s: not served here; 'rollcall domain list' shows what is",
                       name);
    if (db_bool(bad, 0, 2))
        return err_set(err, ERR_DATA, "%s: is an alias domain; name its target", name);
    return err_set(err, ERR_DATA, "%s: belongs to customer %s; a source feeds one customer's", name,
                   db_text(bad, 0, 3));
}

/* A domain that is dropped may still have this source's claims: they would stay for ever. */
static bool check_dropped(struct work *w, struct err *err)
{
    DB_RESULT_AUTO left = NULL;

    if (!db_query(
            w->db, &left,
            "select d.name from ldap_source_domain s join domain d on d.id = s.domain_id"
            " where s.source_id = $1::int and d.name <> all ($2::text[])"
            " and exists (select from recipient r where r.domain_id = d.id"
            "   and r.claims && array['ldap:' || $1::int, 'ldap:' || $1::int || '!']) limit 1",
            DB_VALUES(w->id, w->domains.at), err))
        return false;
    return db_rows(left) == 0 ||
           err_set(err, ERR_DATA,
                   "%s: has addresses from this source; remove the source with its users, or keep "
                   "the domain",
                   db_text(left, 0, 0));
}

/* Its lists that wait for other domains than `kept` (an array) would bring claims that nobody takes
 * back any more. */
static bool reject_waiting(struct db *db, const char *id, const char *kept, const char *why,
                           struct err *err)
{
    return db_exec(db,
                   "with old as (update changeset c set state = 'rejected', decided_at = now(),"
                   "     note = concat_ws('; ', nullif(note, ''), $3::text)"
                   "   where state = 'held' and source = 'ldap' and source_id = $1::int"
                   "     and exists (select from held_domain h join domain d on d.id = h.domain_id"
                   "       where h.changeset_id = c.id and d.name <> all ($2::text[]))"
                   "   returning id),"
                   " domains as (delete from held_domain h using old where h.changeset_id = old.id)"
                   " delete from held_entry h using old where h.changeset_id = old.id",
                   DB_VALUES(id, kept, why), NULL, err);
}

static bool store_domains(struct work *w, struct err *err)
{
    if (w->change->domains == NULL && !w->made)
        return true;
    return check_domains(w, err) &&
           (w->made || (reject_waiting(w->db, w->id, w->domains.at,
                                       "its directory feeds other domains now", err) &&
                        check_dropped(w, err))) &&
           db_exec(w->db,
                   "delete from ldap_source_domain s using domain d where s.source_id = $1::int"
                   " and d.id = s.domain_id and d.name <> all ($2::text[])",
                   DB_VALUES(w->id, w->domains.at), NULL, err) &&
           db_exec(w->db,
                   "insert into ldap_source_domain (source_id, domain_id)"
                   " select $1::int, d.id from domain d where d.state = 'active'"
                   " and d.name = any ($2::text[]) on conflict do nothing",
                   DB_VALUES(w->id, w->domains.at), NULL, err);
}

/* What was set and what is given now; a value of NULL takes a setting back. */
static void merge(struct work *w, const struct ldap_source *old)
{
    const struct ldap_change *change = w->change;

    w->merged = mem_zero(old->given_count + change->given_count + 1, sizeof *w->merged);
    for (size_t k = 0; k < 2; k++) {
        const struct ldap_given *from = k == 0 ? old->given : change->given;
        size_t count = k == 0 ? old->given_count : change->given_count;
        for (size_t i = 0; i < count; i++) {
            size_t at = 0;
            while (at < w->merged_count && strcmp(w->merged[at].name, from[i].name) != 0)
                at++;
            if (at == w->merged_count && from[i].value != NULL)
                w->merged_count++;
            if (at < w->merged_count)
                w->merged[at] = from[i];
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < w->merged_count; i++)
        if (w->merged[i].value != NULL)
            w->merged[kept++] = w->merged[i];
    w->merged_count = kept;
}

/* Certificate and key belong together; SASL external needs something outside that proves who asks.
 */
static bool check_proof(const struct ldap_settings *s, struct err *err)
{
    struct span rest = span_text(s->server), server;

    if ((s->client_certificate[0] == '\0') != (s->client_key[0] == '\0'))
        return err_set(err, ERR_USAGE, "client-certificate: needs client-key, and that needs it");
    while (strcmp(s->sasl, "external") == 0 && span_next(&rest, '\n', &server)) {
        bool local = server.len > 8 && memcmp(server.at, "ldapi://", 8) == 0;
        bool ldaps = server.len > 8 && memcmp(server.at, "ldaps://", 8) == 0;
        if (!local && (s->client_certificate[0] == '\0' || (!ldaps && strcmp(s->tls, "none") == 0)))
            return err_set(err, ERR_USAGE,
                           "sasl: external proves who reads by TLS with client-certificate and "
                           "client-key, or by a server at ldapi://; %.*s has neither",
                           server.len > 200 ? 200 : (int)server.len, server.at);
    }
    return true;
}

/* What single settings cannot tell. */
static bool check_whole(const struct ldap_settings *s, bool password, struct err *err)
{
    struct span rest = span_text(s->server), server;

    if (s->server[0] == '\0')
        return err_set(err, ERR_USAGE, "server: name at least one");
    if (s->base[0] == '\0')
        return err_set(err, ERR_USAGE, "base: say where to search");
    if (s->filter[0] == '\0')
        return err_set(err, ERR_USAGE, "filter: is needed");
    if (s->identity_attribute[0] == '\0')
        return err_set(err, ERR_USAGE, "identity-attribute: is needed");
    while (span_next(&rest, '\n', &server)) {
        bool ldaps = server.len > 8 && memcmp(server.at, "ldaps://", 8) == 0;
        bool local = server.len > 8 && memcmp(server.at, "ldapi://", 8) == 0;
        if (ldaps && strcmp(s->tls, "starttls") == 0)
            return err_set(err, ERR_USAGE, "tls: starttls is for ldap://, not for ldaps://");
        if (!local && !ldaps && server.len > 7 && memcmp(server.at, "ldap://", 7) == 0 &&
            strcmp(s->tls, "ldaps") == 0)
            return err_set(err, ERR_USAGE,
                           "server: ldap:// needs starttls as its tls; or write ldaps://");
        if (!local && !ldaps && strcmp(s->tls, "none") == 0 &&
            !ldap_setting_yes(s->allow_cleartext))
            return err_set(err, ERR_USAGE,
                           "tls: none sends the password and all users readable over the net; if "
                           "that is meant, set allow-cleartext to yes");
    }
    if (!check_proof(s, err))
        return false;
    if (s->bind_dn[0] != '\0' && strcmp(s->sasl, "none") == 0 && s->password_file[0] == '\0' &&
        !password)
        return err_set(err, ERR_USAGE,
                       "password: is missing; whoever reads as that name needs one "
                       "(--password, or password-file)");
    return true;
}

static const char *given_value(const struct ldap_change *change, const char *name)
{
    for (size_t i = 0; i < change->given_count; i++)
        if (strcmp(change->given[i].name, name) == 0)
            return change->given[i].value != NULL ? change->given[i].value : "";
    return NULL;
}

static bool is_given(const struct ldap_change *change, const char *name)
{
    return given_value(change, name) != NULL;
}

/* Files, sockets and tickets of this machine are none of a customer's to name; what an operator
 * named stays. */
static bool check_customers(const struct ldap_change *change, struct err *err)
{
    static const char *const operators[] = {"password-file", "ca-file", "client-certificate",
                                            "client-key", "sasl"};
    const char *server = given_value(change, "server");

    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (is_given(change, operators[i]))
            return err_set(err, ERR_USAGE, "%s: is for the operator of the gateway to set",
                           operators[i]);
    return server == NULL || strstr(server, "ldapi://") == NULL ||
           err_set(err, ERR_USAGE, "server: ldapi:// is for the operator of the gateway to set");
}

/* A kept password is for the server that it was given for, and for a connection as well protected:
 * who may name another one must know it. The machine's own proofs leave it for nobody's server. */
static bool check_server_change(const struct work *w, const struct ldap_settings *s, bool kept,
                                struct err *err)
{
    const struct ldap_change *change = w->change;
    bool another = is_given(change, "server") || is_given(change, "tls") ||
                   is_given(change, "allow-cleartext");

    if (!change->by_customer || w->made || !another)
        return true;
    if (s->password_file[0] != '\0' || s->client_certificate[0] != '\0' ||
        strcmp(s->sasl, "none") != 0)
        return err_set(err, ERR_USAGE,
                       "server: this connection proves itself by what the gateway keeps; its "
                       "operator may name another server");
    return !kept || change->password != NULL ||
           err_set(err, ERR_USAGE, "password: another server or protection; give it again");
}

static void settings_json(const struct work *w, struct buf *out)
{
    buf_text(out, "{");
    for (size_t i = 0; i < w->merged_count; i++) {
        buf_printf(out, "%s\"%s\":\"", i > 0 ? "," : "", w->merged[i].name);
        buf_json(out, span_text(w->merged[i].value));
        buf_text(out, "\"");
    }
    buf_text(out, "}");
}

static bool store_settings(struct work *w, struct err *err)
{
    struct ldap_source old;
    struct ldap_settings settings = {0};
    BUF_AUTO json = {0};

    if (!ldap_source_get(w->db, w->change->name, false, &old, err))
        return false;
    merge(w, &old);
    const char *password = w->change->password;
    bool kept = password != NULL ? password[0] != '\0' : old.has_password;
    bool fine = ldap_settings_fill(&settings, w->merged, w->merged_count, err) &&
                check_whole(&settings, kept, err) &&
                (!w->change->by_customer || check_customers(w->change, err)) &&
                check_server_change(w, &settings, old.has_password, err);
    settings_json(w, &json);
    ldap_settings_free(&settings);
    fine = fine && db_exec(w->db,
                           "update ldap_source set settings = $2::jsonb, digest = null,"
                           " held_digest = null, by_customer = case when $3::boolean"
                           " then $4::boolean else by_customer end where id = $1::int",
                           DB_VALUES(w->id, json.at, is_given(w->change, "server") ? "t" : "f",
                                     w->change->by_customer ? "t" : "f"),
                           NULL, err);
    free(w->merged);
    w->merged = NULL;
    ldap_source_free(&old);
    return fine;
}

static bool store_password(struct work *w, struct err *err)
{
    const char *password = w->change->password;
    char context[64];
    BUF_AUTO sealed = {0};
    BUF_AUTO hex = {0};

    if (password == NULL)
        return true;
    if (password[0] == '\0')
        return db_exec(w->db, "update ldap_source set secret = null where id = $1::int",
                       DB_VALUES(w->id), NULL, err);
    ldap_source_context((int32_t)strtol(w->id, NULL, 10), context);
    secret_seal(&sealed, span_text(password), context, w->change->key);
    for (size_t i = 0; i < sealed.len; i++)
        buf_printf(&hex, "%02x", (unsigned char)sealed.at[i]);
    return db_exec(w->db, "update ldap_source set secret = decode($2, 'hex') where id = $1::int",
                   DB_VALUES(w->id, hex.at), NULL, err);
}

/* Names of the domains that a source feeds, comma-separated; added to `out`. */
static bool fed_domains(struct db *db, const char *name, struct buf *out, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select d.name from ldap_source s join ldap_source_domain f on f.source_id = s.id"
                  " join domain d on d.id = f.domain_id where lower(s.name) = lower($1)",
                  DB_VALUES(name), err))
        return false;
    buf_text(out, "");
    for (size_t i = 0; i < db_rows(rows); i++)
        buf_printf(out, "%s%s", out->len > 0 ? "," : "", db_text(rows, i, 0));
    return true;
}

/* Domains follow a directory as long as one feeds them. One changeset, only where that is news. */
static bool follow_domains(struct db *db, const char *names, const char *actor, struct err *err)
{
    static const char begin_sql[] =
        "with news as (select from domain d where d.state = 'active'"
        "     and d.name = any (string_to_array($2, ',')) and d.follows_directory <> exists"
        "       (select from ldap_source_domain s where s.domain_id = d.id) limit 1),"
        " made as (insert into changeset (customer_id, mode, source, actor, program, note)"
        "   select (select min(customer_id) from domain where state = 'active'"
        "       and name = any (string_to_array($2, ','))),"
        "     'settings', 'manual', $1, 'rollcall', 'domains that follow a directory'"
        "   from news returning id)"
        " select set_config('rollcall.changeset', id::text, true) from made";
    static const char change_sql[] =
        "with old as materialized (select d.* from domain d where d.state = 'active'"
        "     and d.name = any (string_to_array($1, ',')) and d.follows_directory <> exists"
        "       (select from ldap_source_domain s where s.domain_id = d.id)"
        "     order by d.id for update),"
        " done as (update domain d set follows_directory = not d.follows_directory,"
        "     synced_at = null, changed_by = roll_changeset() from old where d.id = old.id"
        "   returning d.id, to_jsonb(d) - 'changed_by' as after)"
        " insert into domain_change (changeset_id, domain_id, before, after)"
        " select roll_changeset(), done.id, to_jsonb(old) - 'changed_by', done.after"
        " from done join old on old.id = done.id";
    DB_RESULT_AUTO made = NULL;

    if (!db_query(db, &made, begin_sql, DB_VALUES(actor, names), err))
        return false;
    return db_rows(made) == 0 || db_exec(db, change_sql, DB_VALUES(names), NULL, err);
}

static bool write_audit(struct db *db, const char *actor, const char *action, const char *name,
                        const struct ldap_change *change, struct err *err)
{
    BUF_AUTO detail = {0};

    buf_text(&detail, "{");
    for (size_t i = 0; change != NULL && i < change->given_count; i++) {
        buf_printf(&detail, "%s\"%s\":\"", detail.len > 1 ? "," : "", change->given[i].name);
        buf_json(&detail, span_text(change->given[i].value != NULL ? change->given[i].value : ""));
        buf_text(&detail, "\"");
    }
    if (change != NULL && change->password != NULL)
        buf_printf(&detail, "%s\"password\":\"(changed)\"", detail.len > 1 ? "," : "");
    buf_text(&detail, "}");
    return db_exec(
        db,
        "insert into audit (actor, program, action, object, detail)"
        " values ($1, coalesce(nullif(current_setting('application_name'), ''), 'rollcall'),"
        " $2, $3, $4::jsonb)",
        DB_VALUES(actor, action, name, detail.at), NULL, err);
}

bool ldap_source_set(struct db *db, const struct ldap_change *change, bool *made, struct err *err)
{
    struct work w = {.db = db, .change = change};
    BUF_AUTO names = {0};

    if (!db_script(db, "begin", err))
        return false;
    bool fine = name_domains(&w, err) && fed_domains(db, change->name, &names, err) &&
                find_or_make(&w, err) && store_domains(&w, err) && store_settings(&w, err) &&
                store_password(&w, err) && fed_domains(db, change->name, &names, err) &&
                follow_domains(db, names.at, change->actor, err) &&
                write_audit(db, change->actor, "ldap set", change->name, change, err) &&
                db_script(db, "commit", err);
    buf_free(&w.domains);
    *made = w.made;
    return fine || db_rollback(db);
}

bool ldap_source_remove(struct db *db, const char *name, const char *actor, struct err *err)
{
    struct ldap_source source;
    BUF_AUTO names = {0};
    DB_RESULT_AUTO claims = NULL;
    char id[16];

    if (!ldap_source_get(db, name, false, &source, err)) /* says which there are */
        return false;
    snprintf(id, sizeof id, "%d", (int)source.id);
    ldap_source_free(&source);
    if (!db_script(db, "begin", err))
        return false;
    bool fine = reject_waiting(db, id, "{}", "its directory was removed", err) &&
                db_query(db, &claims,
                         "select count(*) from recipient r where r.claims && (select"
                         "   array['ldap:' || s.id, 'ldap:' || s.id || '!'] from ldap_source s"
                         "   where lower(s.name) = lower($1))",
                         DB_VALUES(name), err);
    if (fine && db_int(claims, 0, 0) > 0)
        fine = err_set(err, ERR_DATA,
                       "%s: put %lld addresses on the roll; with --with-users they leave it too",
                       name, (long long)db_int(claims, 0, 0));
    fine = fine && fed_domains(db, name, &names, err) &&
           db_exec(db, "delete from ldap_source where lower(name) = lower($1)", DB_VALUES(name),
                   NULL, err) &&
           follow_domains(db, names.at, actor, err) &&
           write_audit(db, actor, "ldap remove", name, NULL, err) && db_script(db, "commit", err);
    return fine || db_rollback(db);
}
