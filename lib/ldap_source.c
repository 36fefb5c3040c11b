/* ldap_source - see ldap_source.h; here: the rows of sources, read */
#include "ldap_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ldap_source_context(int32_t id, char context[64])
{
    snprintf(context, 64, "ldap_source:%d", (int)id);
}

static void given_free(struct ldap_given *given, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)(uintptr_t)given[i].name);
        free((char *)(uintptr_t)given[i].value);
    }
    free(given);
}

void ldap_source_free(struct ldap_source *source)
{
    given_free(source->given, source->given_count);
    if (source->sealed.at != NULL)
        secret_forget(source->sealed.at, source->sealed.len);
    buf_free(&source->sealed);
    ldap_settings_free(&source->settings);
    free(source->name);
    free(source->customer_name);
    free(source->domains);
    *source = (struct ldap_source){0};
}

/* ---- reading ---- */

static bool read_settings(struct db *db, struct ldap_source *source, const char *id,
                          struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select e.key, e.value from ldap_source s, jsonb_each_text(s.settings) e"
                  " where s.id = $1::int order by e.key",
                  DB_VALUES(id), err))
        return false;
    source->given = mem_zero(db_rows(rows) + 1, sizeof *source->given);
    for (size_t i = 0; i < db_rows(rows); i++)
        source->given[source->given_count++] =
            (struct ldap_given){mem_text(db_text(rows, i, 0)), mem_text(db_text(rows, i, 1))};
    return ldap_settings_fill(&source->settings, source->given, source->given_count, err);
}

/* Its domains, and the alias domains of these. */
static bool read_domains(struct db *db, struct ldap_source *source, const char *id, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select d.name, t.case_sensitive, d.id = t.id from ldap_source_domain s"
                  " join domain t on t.id = s.domain_id and t.state = 'active'"
                  " join domain d on coalesce(d.alias_of, d.id) = t.id and d.state = 'active'"
                  " where s.source_id = $1::int order by d.name collate \"C\"",
                  DB_VALUES(id), err))
        return false;
    source->domain_count = db_rows(rows);
    source->domains = mem_zero(source->domain_count + 1, sizeof *source->domains);
    for (size_t i = 0; i < source->domain_count; i++) {
        struct ldap_domain *domain = &source->domains[i];
        snprintf(domain->name, sizeof domain->name, "%s", db_text(rows, i, 0));
        domain->case_sensitive = db_bool(rows, i, 1);
        domain->scope = db_bool(rows, i, 2);
    }
    return true;
}

static bool read_secret(struct db *db, struct ldap_source *source, const char *id, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select encode(secret, 'hex') from ldap_source where id = $1::int"
                  " and secret is not null",
                  DB_VALUES(id), err))
        return false;
    struct span hex = db_rows(rows) > 0 ? db_span(rows, 0, 0) : span_of("", 0);
    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        const char pair[] = {hex.at[i], hex.at[i + 1], '\0'};
        char byte = (char)strtoul(pair, NULL, 16);
        buf_append(&source->sealed, &byte, 1);
    }
    return true;
}

static bool no_source(struct db *db, const char *name, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select coalesce(string_agg(name, ', ' order by name), 'none')"
                  " from (select name from ldap_source order by name limit 20) s",
                  DB_NO_VALUES, err))
        return false;
    return err_set(err, ERR_DATA, "there is no LDAP source '%s'; there are: %s", name,
                   db_text(rows, 0, 0));
}

bool ldap_source_exists(struct db *db, const char *name, bool *exists, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, "select from ldap_source where lower(name) = lower($1)",
                  DB_VALUES(name), err))
        return false;
    *exists = db_rows(rows) > 0;
    return true;
}

bool ldap_source_get(struct db *db, const char *name, bool with_secret, struct ldap_source *source,
                     struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    *source = (struct ldap_source){0};
    if (!db_query(db, &rows,
                  "select s.id, s.name, s.customer_id, k.name, s.by_customer, s.has_secret"
                  " from ldap_source s join customer k on k.id = s.customer_id"
                  " where lower(s.name) = lower($1)",
                  DB_VALUES(name), err))
        return false;
    if (db_rows(rows) == 0)
        return no_source(db, name, err);
    const char *id = db_text(rows, 0, 0);
    source->id = (int32_t)db_int(rows, 0, 0);
    source->name = mem_text(db_text(rows, 0, 1));
    source->customer = (int32_t)db_int(rows, 0, 2);
    source->customer_name = mem_text(db_text(rows, 0, 3));
    source->by_customer = db_bool(rows, 0, 4);
    source->has_password = db_bool(rows, 0, 5);
    if (read_settings(db, source, id, err) && read_domains(db, source, id, err) &&
        (!with_secret || !source->has_password || read_secret(db, source, id, err)))
        return true;
    err_prefix(err, "LDAP source %s", source->name);
    ldap_source_free(source);
    return false;
}
