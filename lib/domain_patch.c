/*
 * domain_patch - laying settings over domains: what they need from the database, what speaks
 * against them, and the one statement that does it
 */
#include <stdio.h>
#include <string.h>

#include "domain_private.h"

bool domain_refuse(struct change *change, const char *sql, const char *complaint, struct err *err)
{
    return domain_refuse_rows(change->db, sql, DB_VALUES(change->names.at), complaint, err);
}

static void patch_column(struct domain_patch *patch, const char *column, const char *json)
{
    buf_printf(&patch->json, "%s\"%s\":%s", patch->json.len > 0 ? "," : "", column, json);
}

/* Puts the alias's target and the customer into the patch, by their ids. */
static bool resolve_alias(struct change *change, char id[16], struct err *err)
{
    DB_RESULT_AUTO target = NULL;
    struct domain_patch *patch = &change->patch;

    id[0] = '\0';
    if (patch->alias_given && patch->alias_of[0] == '\0')
        patch_column(patch, "alias_of", "null");
    if (patch->alias_of[0] == '\0')
        return true;
    if (!db_query(change->db, &target,
                  "select id, alias_of is not null from domain where name = $1 and"
                  " state = 'active'",
                  DB_VALUES(patch->alias_of), err))
        return false;
    if (db_rows(target) == 0)
        return err_set(err, ERR_DATA, "alias-of: %s is not served here", patch->alias_of);
    if (db_bool(target, 0, 1))
        return err_set(err, ERR_DATA, "alias-of: %s is an alias domain itself", patch->alias_of);
    snprintf(id, 16, "%s", db_text(target, 0, 0));
    patch_column(patch, "alias_of", id);
    if (!patch->shadow_given)
        patch_column(patch, "shadow", "null");
    return true;
}

static bool resolve_customer(struct change *change, char id[16], struct err *err)
{
    id[0] = '\0';
    if (change->patch.customer == NULL)
        return true;
    if (!customer_find(change->db, change->patch.customer, id, err))
        return false;
    patch_column(&change->patch, "customer_id", id);
    return true;
}

static bool check_alias(struct change *change, const char *target, const char *customer,
                        struct err *err)
{
    if (target[0] == '\0')
        return true;
    return domain_refuse_rows(change->db, SUCH "d.id = $2::int",
                              DB_VALUES(change->names.at, target), "cannot be an alias of itself",
                              err) &&
           domain_refuse(change, SUCH HAS_ALIASES " order by 1", "other domains are aliases of it",
                         err) &&
           domain_refuse(change, SUCH HAS_RECIPIENTS " order by 1",
                         "has recipients of its own: remove them before it becomes an alias domain",
                         err) &&
           domain_refuse_rows(
               change->db,
               SUCH "coalesce($3::int, d.customer_id) <> (select customer_id from"
                    " domain where id = $2::int) order by 1",
               DB_VALUES(change->names.at, target, customer[0] != '\0' ? customer : NULL),
               "belongs to another customer than the domain it would be an alias of", err);
}

static bool check_shadow(struct change *change, const char *target, struct err *err)
{
    static const char complaint[] = "an alias domain has no shadow mode: that of its target counts";

    if (!change->patch.shadow_given || (change->patch.alias_given && target[0] == '\0'))
        return true;
    if (target[0] != '\0')
        return err_set(err, ERR_DATA, "%s: %s", change->object.at, complaint);
    return domain_refuse(change, SUCH "d.alias_of is not null order by 1", complaint, err);
}

/* A directory goes with the domains that it feeds. A list of it that waits can be approved by nobody
 * then: the next run puts another in its place, for the customer whose they are now. */
static bool move_sources(struct change *change, const char *customer, struct err *err)
{
    return db_exec(change->db,
                   "update ldap_source s set customer_id = $2::int, digest = null,"
                   " held_digest = null, held = null where s.customer_id <> $2::int and exists"
                   " (select from ldap_source_domain f join domain d on d.id = f.domain_id"
                   "  where f.source_id = s.id and d.name = any ($1))",
                   DB_VALUES(change->names.at, customer), NULL, err);
}

/* A domain goes to another customer with its users and whatever is tied to it. */
static bool move_customer(struct change *change, const char *customer, struct err *err)
{
    if (customer[0] == '\0')
        return true;
    return domain_refuse_rows(
               change->db,
               SUCH "exists (select from domain o where o.state = 'active' and o.customer_id <>"
                    " $2::int and o.name <> all ($1) and (o.alias_of = d.id or (not $3::boolean"
                    " and o.id = d.alias_of))) order by 1",
               DB_VALUES(change->names.at, customer, change->patch.alias_given ? "t" : "f"),
               "tied to a domain of another customer by an alias: name both", err) &&
           domain_refuse_rows(
               change->db,
               "select distinct d.name from domain d join recipient r on r.domain_id = d.id"
               " join recipient o on o.user_id = r.user_id join domain e on e.id = o.domain_id"
               " where d.name = any ($1) and d.customer_id <> $2::int and e.name <> all ($1)"
               " order by 1",
               DB_VALUES(change->names.at, customer),
               "its users have addresses in other domains too: name these domains as well", err) &&
           domain_refuse_rows(
               change->db,
               SUCH "d.customer_id <> $2::int and exists (select from ldap_source_domain f"
                    " join ldap_source_domain other on other.source_id = f.source_id"
                    " join domain e on e.id = other.domain_id"
                    " where f.domain_id = d.id and e.name <> all ($1)) order by 1",
               DB_VALUES(change->names.at, customer),
               "its directory feeds other domains too ('rollcall ldap list'): name these as well",
               err) &&
           move_sources(change, customer, err) &&
           db_exec(change->db,
                   "update users set customer_id = $2::int where customer_id <> $2::int and id in"
                   " (select r.user_id from recipient r join domain d on d.id = r.domain_id"
                   "   where d.name = any ($1))",
                   DB_VALUES(change->names.at, customer), NULL, err);
}

/* Without case, an address written with capitals could never be found again. */
static bool check_case(struct change *change, struct err *err)
{
    DB_RESULT_AUTO found = NULL;
    char folded[ADDR_LOCAL_MAX + 1];
    size_t len;

    if (!change->patch.folds_case)
        return true;
    if (!db_query(change->db, &found,
                  "select r.local_part, d.name from domain d join recipient r on r.domain_id = d.id"
                  " where d.name = any ($1) and d.case_sensitive and r.state <> 'removed' and"
                  " (r.local_part ~ '[A-Z]' or octet_length(r.local_part) <> length(r.local_part))",
                  DB_VALUES(change->names.at), err))
        return false;
    for (size_t i = 0; i < db_rows(found); i++) {
        struct span local = db_span(found, i, 0);
        if (!addr_normal_local(local, true, folded, &len) || len != local.len ||
            memcmp(folded, local.at, len) != 0)
            return err_set(err, ERR_DATA,
                           "%s: has addresses with capital letters, %s@%s for one: remove them "
                           "before case-sensitive=no",
                           db_text(found, i, 1), db_text(found, i, 0), db_text(found, i, 1));
    }
    return true;
}

bool domain_patch_prepare(struct change *change, struct err *err)
{
    char target[16], customer[16];

    return resolve_alias(change, target, err) && resolve_customer(change, customer, err) &&
           check_alias(change, target, customer, err) && check_shadow(change, target, err) &&
           move_customer(change, customer, err) && check_case(change, err);
}

bool domain_patch_run(struct change *change, const char *sql, int64_t *touched, struct err *err)
{
    BUF_AUTO json = {0};

    buf_printf(&json, "{%s}", change->patch.json.at != NULL ? change->patch.json.at : "");
    return db_exec(change->db, sql, DB_VALUES(change->names.at, json.at, change->patch.loaded),
                   touched, err);
}
