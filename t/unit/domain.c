/*
 * domain: customers and domains are added, set and removed whole or not at all, with history,
 * audit and a version, under the rights of rollcall_admin. Catches wrong rows, lost history, and
 * calls whose cost grows with the number of names.
 */
#include "lib/domain.h"

#include "ask.h"
#include "lib/domain_private.h"
#include "lib/schema.h"
#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;
static struct db *owner, *db;

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))
/* Refused as bad data, with that piece in the message. */
#define refused(call, piece, ...)                                                                  \
    ((void)((ok(!(call) && (err.class == ERR_DATA || err.class == ERR_USAGE) &&                    \
                    strstr(err.text, (piece)) != NULL,                                             \
                __VA_ARGS__)) ||                                                                   \
            printf("# %d %s\n", err.class, err.text)))
#define NAMES(...)                                                                                 \
    (const char *const[]){__VA_ARGS__},                                                            \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)
#define SET(name, value) &(const struct domain_setting){name, value}, 1
#define NO_SETTINGS      NULL, 0

#define value(sql) ask_value(owner, sql)
#define run(sql)   ask_run(owner, sql)

static const char *empty(const char *field)
{
    return strcmp(field, "-") == 0 ? "" : field;
}

/* ---- tables ---- */

static void next_hop_row(int line, char **field, int fields)
{
    struct err err = {.text = ""};
    bool good = domain_next_hop_check(empty(field[0]), &err);

    if (fields == 2 && strcmp(field[1], "ok") == 0)
        ok(good, "line %d: '%s' %s", line, field[0], good ? "" : err.text);
    else
        ok(fields == 2 && !good && strstr(err.text, field[1]) != NULL, "line %d: '%s' %s", line,
           field[0], err.text);
}

static void setting_row(int line, char **field, int fields)
{
    struct err err = {.text = ""};
    int64_t version;
    char sql[200];

    if (!ok(fields == 4, "line %d has four fields", line))
        return;
    bool done = domain_set(db, NAMES("set.example"), SET(field[0], empty(field[1])), "tester",
                           &version, &err);
    if (strcmp(field[2], "!") == 0) {
        ok(!done && strstr(err.text, field[3]) != NULL, "line %d: %s", line, err.text);
        return;
    }
    ok(done, "line %d: %s=%s %s", line, field[0], field[1], done ? "" : err.text);
    snprintf(sql, sizeof sql, "select %s::text from domain where name = 'set.example'", field[2]);
    is_text(value(sql), empty(field[3]), "line %d: %s", line, field[2]);
}

/* ---- customers ---- */

struct found {
    int count;
    int64_t domains, users, recipients;
    char names[300];
};

static bool see_customer(void *context, const struct customer_row *row, struct err *err)
{
    struct found *found = context;

    (void)err;
    found->count++;
    found->domains = row->domains;
    found->users = row->users;
    found->recipients = row->recipients;
    strncat(found->names, row->name, sizeof found->names - strlen(found->names) - 1);
    return ok(strlen(row->created_at) == 24, "created %s", row->created_at);
}

static void check_customers(void)
{
    struct err err;
    struct found found = {0};

    works(customer_add(db, "First", "tester", &err), "a customer");
    works(customer_add(db, "Zweite Füße GmbH", "tester", &err), "another");
    refused(customer_add(db, "FIRST", "tester", &err), "already", "the same name");
    refused(customer_add(db, "", "tester", &err), "not empty", "no name");
    refused(customer_add(db, " x", "tester", &err), "blanks", "a blank in front");
    refused(customer_add(db, "a\nb", "tester", &err), "one line", "two lines");
    refused(customer_add(db, "a\xff", "tester", &err), "UTF-8", "bytes that are no UTF-8");
    works(customer_list(db, NULL, see_customer, &found, &err), "listed");
    is_text(found.names, "FirstZweite Füße GmbH", "both");
    found = (struct found){0};
    works(customer_list(db, "first", see_customer, &found, &err) && found.count == 1, "one");
    refused(customer_list(db, "Nobody", see_customer, &found, &err), "no such customer", "none");
    is_text(value("select actor || program || action || object from audit order by id limit 1"),
            "testertestcustomer addFirst", "the audit knows");
}

/* ---- domains ---- */

static void check_add(void)
{
    struct err err;
    struct domain_row row;
    int64_t version, again;

    works(domain_add(db, NAMES("Set.Example.", "bücher.example"), "first",
                     SET("relay-check", "smtp"), "tester", &version, &err),
          "two domains");
    is_int(version, 1, "are version 1");
    works(domain_get(db, "SET.example", false, &row, &err), "found again");
    is_text(row.name, "set.example", "normalised");
    is_text(row.customer, "First", "its customer");
    ok(row.check == CHECK_SMTP && row.shadow == CHECK_NONE && row.loaded_at_us == 0 &&
           row.threshold == 2 && row.stale_limit == -1 && !row.removed &&
           strcmp(row.delimiter, "+") == 0 && row.recipients == 0,
       "set as said, the rest as usual");
    refused(domain_add(db, NAMES("new.example", "set.example"), "First", NO_SETTINGS, "tester",
                       &version, &err),
            "set.example: served here already", "one is there already");
    refused(domain_get(db, "new.example", false, &row, &err), "not served", "then none is added");
    refused(domain_add(db, NAMES("new.example", "NEW.example"), "First", NO_SETTINGS, "tester",
                       &version, &err),
            "twice", "named twice");
    refused(domain_add(db, NAMES("new.example", "-bad-"), "First", NO_SETTINGS, "tester", &version,
                       &err),
            "RFC", "a bad name");
    refused(domain_add(db, NAMES("new.example"), "Nobody", NO_SETTINGS, "tester", &version, &err),
            "no such customer", "no such customer");
    refused(domain_add(db, NAMES("new.example"), "First", SET("relay-check", "x"), "tester",
                       &version, &err),
            "relay-check", "a bad setting");
    is_text(value("select count(*) from changeset"), "1", "what is refused leaves no changeset");
    works(domain_set(db, NAMES("set.example"), SET("relay-check", "panel"), "tester", &version,
                     &err) &&
              version == 2,
          "set");
    works(domain_set(db, NAMES("set.example", "xn--bcher-kva.example"), SET("relay-check", "panel"),
                     "tester", &again, &err) &&
              again == 3,
          "one of two changes");
    is_text(value("select count(*) from domain_change"), "4", "history of what changed only");
    works(
        domain_set(db, NAMES("set.example"), SET("relay-check", "panel"), "tester", &again, &err) &&
            again == 0,
        "nothing changes: no version");
    is_text(
        value("select (before ->> 'relay_check') || (after ->> 'relay_check') from domain_change"
              " where changeset_id = (select max(changeset_id) from domain_change)"),
        "smtppanel", "before and after");
    is_text(value("select detail -> 'settings' ->> 'relay-check' from audit order by id desc"),
            "panel", "the audit knows");
    refused(
        domain_set(db, NAMES("gone.example"), SET("relay-check", "off"), "tester", &again, &err),
        "gone.example: not served", "a foreign domain");
    refused(domain_set(db, NAMES("set.example"), NO_SETTINGS, "tester", &again, &err), "nothing",
            "nothing to set");
}

/* Users: ann with an alias in b, bob in b; a group in a. */
static void fill_roll(void)
{
    run("begin; select roll_begin('test');"
        "insert into users (customer_id, name) select customer_id, 'Ann' from domain"
        " where name = 'a.example';"
        "insert into users (customer_id, name) select customer_id, 'Bob' from domain"
        " where name = 'a.example';"
        "insert into recipient (domain_id, local_part, user_id, kind, claims, changed_by)"
        " select d.id, x.local, u.id, x.kind::recipient_kind, '{manual}', roll_changeset()"
        " from (values"
        "  ('a.example', 'ann', 'Ann', 'primary'), ('b.example', 'ann', 'Ann', 'alias'),"
        "  ('b.example', 'bob', 'Bob', 'primary'), ('a.example', 'Bob', 'Bob', 'alias'),"
        "  ('a.example', 'all', null, 'group')) x(domain, local, who, kind)"
        " join domain d on d.name = x.domain left join users u on u.name = x.who; commit");
}

static void check_alias(void)
{
    struct err err;
    struct domain_row row;
    int64_t version;

    works(domain_add(db, NAMES("a.example", "b.example", "c.example"), "First", NO_SETTINGS,
                     "tester", &version, &err),
          "three domains");
    works(domain_add(db, NAMES("other.example"), "Zweite Füße GmbH", NO_SETTINGS, "tester",
                     &version, &err),
          "one of another customer");
    fill_roll();
    works(domain_add(db, NAMES("alias.example"), "First", SET("alias-of", "a.example"), "tester",
                     &version, &err),
          "an alias domain");
    works(domain_get(db, "alias.example", false, &row, &err), "read");
    is_text(row.alias_of, "a.example", "its target");
    is_int(row.recipients, 3, "it has those of its target");
    refused(domain_add(db, NAMES("x.example"), "First", SET("alias-of", "alias.example"), "tester",
                       &version, &err),
            "alias domain itself", "of an alias");
    refused(
        domain_set(db, NAMES("a.example"), SET("alias-of", "c.example"), "tester", &version, &err),
        "aliases of it", "a target cannot become one");
    refused(domain_set(db, NAMES("b.example", "c.example"), SET("alias-of", "a.example"), "tester",
                       &version, &err),
            "b.example: has recipients", "nor one with recipients");
    refused(domain_set(db, NAMES("other.example"), SET("alias-of", "c.example"), "tester", &version,
                       &err),
            "another customer", "nor across customers");
    refused(domain_set(db, NAMES("alias.example"), SET("shadow", "off"), "tester", &version, &err),
            "no shadow", "an alias has no shadow mode");
    refused(domain_remove(db, NAMES("a.example"), true, "tester", &version, &err), "aliases of it",
            "a target cannot be removed alone");
    /* its own list is nobody's since it shared another's */
    works(domain_add(db, NAMES("once.example"), "First", SET("loaded", "yes"), "tester", &version,
                     &err) &&
              domain_set(db, NAMES("once.example"), SET("alias-of", "a.example"), "tester",
                         &version, &err) &&
              domain_set(db, NAMES("once.example"), SET("alias-of", "none"), "tester", &version,
                         &err),
          "a complete domain becomes an alias and itself again");
    is_text(value("select alias_of is null and loaded_at is null from domain where name ="
                  " 'once.example'"),
            "t", "its list is not complete any more");
    works(domain_set(db, NAMES("once.example"), SET("loaded", "yes"), "tester", &version, &err) &&
              domain_set(db, NAMES("once.example"), SET("alias-of", "none"), "tester", &version,
                         &err),
          "and set to what it is");
    is_text(value("select loaded_at is not null from domain where name = 'once.example'"), "t",
            "it stays complete");
    works(domain_remove(db, NAMES("once.example"), false, "tester", &version, &err), "it goes");
}

static void check_customer_move(void)
{
    struct err err;
    int64_t version;

    refused(domain_set(db, NAMES("a.example", "b.example"), SET("customer", "Zweite Füße GmbH"),
                       "tester", &version, &err),
            "alias: name both", "a domain does not leave its alias behind");
    refused(domain_set(db, NAMES("a.example", "alias.example"), SET("customer", "Zweite Füße GmbH"),
                       "tester", &version, &err),
            "users have addresses", "nor a part of its users");
    /* or the former customer's directory would go on saying who exists there */
    run("insert into ldap_source (name, customer_id, digest) select 'ad', customer_id, 'x' from "
        "domain"
        " where name = 'a.example';"
        "insert into ldap_source_domain select s.id, d.id from ldap_source s, domain d"
        " where d.name in ('a.example', 'c.example')");
    refused(domain_set(db, NAMES("a.example", "b.example", "alias.example"),
                       SET("customer", "Zweite Füße GmbH"), "tester", &version, &err),
            "a.example: its directory feeds other domains", "nor a directory");
    run("delete from ldap_source_domain f using domain d where d.id = f.domain_id"
        " and d.name = 'c.example'");
    works(domain_set(db, NAMES("a.example", "b.example", "alias.example"),
                     SET("customer", "Zweite Füße GmbH"), "tester", &version, &err),
          "together they go");
    is_text(value("select count(*) from users u join customer c on c.id = u.customer_id"
                  " where c.name like 'Zweite%'"),
            "2", "with the users");
    is_text(value("select c.name || (s.digest is null) from ldap_source s"
                  " join customer c on c.id = s.customer_id"),
            "Zweite Füße GmbHtrue", "and the directory, which is compared anew");
}

static void check_case(void)
{
    struct err err;
    int64_t version;

    works(
        domain_set(db, NAMES("a.example"), SET("case-sensitive", "yes"), "tester", &version, &err),
        "with case");
    refused(
        domain_set(db, NAMES("a.example"), SET("case-sensitive", "no"), "tester", &version, &err),
        "Bob@a.example", "not back while somebody has a capital letter");
}

static bool count_domain(void *context, const struct domain_row *row, struct err *err)
{
    struct found *found = context;

    (void)err;
    found->count++;
    found->recipients += row->recipients;
    return true;
}

static void check_list(void)
{
    struct err err;
    struct found found = {0};

    works(domain_list(db, NULL, NULL, count_domain, &found, &err) && found.count == 7, "all seven");
    found = (struct found){0};
    works(domain_list(db, "zweite füße gmbh", NULL, count_domain, &found, &err), "of a customer");
    is_int(found.count, 4, "four of a customer");
    found = (struct found){0};
    works(domain_list(db, NULL, "ALIAS", count_domain, &found, &err) && found.count == 1, "like");
    refused(domain_list(db, "Nobody", NULL, count_domain, &found, &err), "no such", "of nobody");
}

static void check_remove(void)
{
    struct err err;
    struct domain_row row;
    int64_t version;

    refused(domain_remove(db, NAMES("c.example", "b.example"), false, "tester", &version, &err),
            "b.example: has recipients", "not with recipients");
    works(domain_remove(db, NAMES("b.example"), true, "tester", &version, &err) && version > 0,
          "unless asked for");
    refused(domain_get(db, "b.example", false, &row, &err), "not served", "it is gone");
    works(domain_get(db, "b.example", true, &row, &err) && row.removed, "but for its tombstone");
    is_text(value("select string_agg(address, ' ' order by address) from roll"),
            "all@a.example ann@a.example", "Ann stays without her alias, Bob went with all he had");
    is_text(value("select string_agg(name, ' ' order by name) from users u where exists (select"
                  " from recipient r where r.user_id = u.id)"),
            "Ann", "as users too");
    is_text(value("select string_agg(local_part || before_kind || before_claims[1], ' ' order by"
                  " local_part collate \"C\", before_kind) from change where after_state is null"),
            "Bobaliasmanual annaliasmanual bobprimarymanual", "history knows them");
    is_text(value("select removed from changeset order by id desc limit 1"), "3", "and counts");
    is_text(value("select count(*) from recipient_source"), "2", "no claim is left behind");
    works(
        domain_add(db, NAMES("b.example"), "First", SET("loaded", "yes"), "tester", &version, &err),
        "added again");
    works(domain_get(db, "b.example", false, &row, &err) && row.recipients == 0 &&
              row.loaded_at_us > 0,
          "without recipients");
    is_text(row.customer, "First", "of its new customer");
    is_text(value("select before is null from domain_change order by changeset_id desc limit 1"),
            "t", "as if it had not been there");
    works(domain_remove(db, NAMES("a.example", "alias.example"), true, "tester", &version, &err),
          "an alias goes with its target");
    refused(customer_remove(db, "Zweite Füße GmbH", "tester", &err), "other.example: served",
            "a customer with domains stays");
    works(domain_remove(db, NAMES("other.example"), false, "tester", &version, &err), "the last");
    works(customer_remove(db, "Zweite Füße GmbH", "tester", &err), "then it can go");
    is_text(value("select count(*) from domain where customer_id is null"), "3",
            "its tombstones stay");
    is_text(value("select count(*) = max(version) from changeset"), "t",
            "every change has its version");
}

static void check_many(void)
{
    enum { MANY = 200 };
    char text[MANY][32];
    const char *names[MANY];
    struct err err;
    int64_t version, start = clock_elapsed_us();

    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof text[i], "d%d.many.example", i);
        names[i] = text[i];
    }
    works(domain_add(db, names, MANY, "First", NO_SETTINGS, "tester", &version, &err), "200");
    works(domain_set(db, names, MANY, SET("loaded", "yes"), "tester", &version, &err), "set");
    works(domain_remove(db, names, MANY, true, "tester", &version, &err), "removed");
    ok(true, "in %lld ms", (long long)(clock_elapsed_us() - start) / 1000);
    is_text(value("select length(object) < 400 and object like '%more' from audit"
                  " order by id desc limit 1"),
            "t", "the audit names some");
}

int main(void)
{
    struct err err;
    int from, to;

    tap_rows(TEST_DATA "/domain/next-hop.txt", next_hop_row);
    private_pg_start(&pg);
    owner = private_pg_open(&pg);
    works(schema_upgrade(owner, &from, &to, &err), "schema");
    snprintf(pg.conninfo, sizeof pg.conninfo, "host=%s dbname=postgres user=rollcall_admin",
             pg.dir);
    db = private_pg_open(&pg);
    check_customers();
    check_add();
    tap_rows(TEST_DATA "/domain/settings.txt", setting_row);
    check_alias();
    check_customer_move();
    check_list();
    check_case();
    check_remove();
    check_many();
    db_close(&db);
    db_close(&owner);
    private_pg_stop(&pg);
    return tap_done();
}
