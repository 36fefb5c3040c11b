/*
 * The one door on a real PostgreSQL, scenario by scenario.
 *
 * A scenario starts with a fresh database: customer One with a.test, b.test (alias-a.test is an
 * alias of a.test) and Case.test's case.test, which tells cases apart; customer Two with two.test.
 * Lists are written as people would: entries separated by ';', addresses by blanks, the first one
 * primary; "%" in front: a group, "!": the source says disabled, "=Name": the display name,
 * "&Name": known to be the user of that name; '^' is a blank in an address, '_' one in a name.
 * After every step the rules that must always hold are asked of the database.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "lib/roll.h"
#include "lib/schema.h"
#include "t/unit/private_pg.h"
#include "t/unit/tap.h"

static struct private_pg pg;
static struct db *db; /* of the running scenario */
static const char *scenario = "";

/* ---- the database ---- */

static struct db *open_named(const char *name)
{
    char conninfo[256];
    struct db *opened;
    struct err err;

    snprintf(conninfo, sizeof conninfo, "host=%s dbname=%s user=postgres", pg.dir, name);
    struct db_options options = {
        .conninfo = conninfo, .timeout_us = 30 * CLOCK_SECOND, .program = "test"};
    if (!db_open(&opened, &options, &err)) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    return opened;
}

static void must(struct db *on, const char *sql)
{
    struct err err;

    if (!db_script(on, sql, &err)) {
        printf("Bail out! %s: %s\n", sql, err.text);
        exit(1);
    }
}

/* One value as text; "" for none. */
static const char *value(const char *sql)
{
    static char text[16384];
    DB_RESULT_AUTO rows = NULL;
    struct err err;

    if (!db_query(db, &rows, sql, DB_NO_VALUES, &err))
        snprintf(text, sizeof text, "error: %s", err.text);
    else
        snprintf(text, sizeof text, "%s", db_rows(rows) > 0 ? db_text(rows, 0, 0) : "");
    return text;
}

static void make_template(void)
{
    struct db *admin = private_pg_open(&pg);
    struct err err;
    int from, to;

    must(admin, "create database roll_empty");
    db_close(&admin);
    db = open_named("roll_empty");
    if (!schema_upgrade(db, &from, &to, &err)) {
        printf("Bail out! %s\n", err.text);
        exit(1);
    }
    must(db, "begin; select roll_begin('domains of the test');"
             "insert into customer (name) values ('One'), ('Two');"
             "insert into domain (name, customer_id, loaded_at) values ('a.test', 1, now()),"
             " ('b.test', 1, now()), ('two.test', 2, now()), ('new.test', 1, null);"
             "insert into domain (name, customer_id, alias_of) values ('alias-a.test', 1, 1);"
             "insert into domain (name, customer_id, case_sensitive) values ('case.test', 1, true);"
             "commit");
    db_close(&db);
}

static void start(const char *name)
{
    static int number;
    struct db *admin = private_pg_open(&pg);
    char sql[100];

    scenario = name;
    db_close(&db);
    snprintf(sql, sizeof sql, "create database roll_%d template roll_empty", ++number);
    must(admin, sql);
    db_close(&admin);
    snprintf(sql, sizeof sql, "roll_%d", number);
    db = open_named(sql);
}

/* ---- what must always hold: each query finds nothing ---- */

static const struct {
    const char *what, *sql;
} invariants[] = {
    {"an address on the roll without a claim",
     "select local_part from recipient r where state in ('active', 'disabled') and not exists"
     " (select from recipient_source s where s.recipient_id = r.id)"},
    {"a removed address with a claim or a mark",
     "select local_part from recipient r where state = 'removed' and (user_id is not null or"
     " disabled_by_person or exists (select from recipient_source s where s.recipient_id = r.id))"},
    {"a claim without an address",
     "select recipient_id from recipient_source s where not exists (select from recipient r where"
     " r.id = s.recipient_id)"},
    {"a user with addresses and not exactly one primary among them",
     "select r.user_id from recipient r where r.user_id is not null group by r.user_id"
     " having count(*) filter (where r.kind = 'primary') <> 1"},
    {"an address of an absent user, or a group with one",
     "select local_part from recipient r where state <> 'removed' and (kind = 'group') <>"
     " (user_id is null) or user_id is not null and not exists (select from users u where"
     " u.id = r.user_id)"},
    {"a user of another customer than its domain",
     "select u.id from users u join recipient r on r.user_id = u.id join domain d"
     " on d.id = r.domain_id where d.customer_id <> u.customer_id"},
    {"a state that does not follow from claims and persons",
     "select local_part from recipient r where state in ('active', 'disabled') and"
     " (state = 'disabled') <> (disabled_by_person or exists (select from recipient_source s where"
     " s.recipient_id = r.id and s.disabled))"},
    {"an address changed by what has no version",
     "select local_part from recipient r left join changeset c on c.id = r.changed_by"
     " where c.version is null"},
    {"versions with gaps",
     "select max(version) from changeset having max(version) <> count(version) or max(version) <>"
     " (select version from roll_clock)"},
    {"an address that is not as its last change left it",
     "select r.local_part from recipient r join changeset c on c.id = r.changed_by left join"
     " change h on h.changeset_id = c.id and h.domain_id = r.domain_id and h.local_part ="
     " r.local_part where c.mode not in ('evidence', 'settings') and ("
     " coalesce(h.after_state, 'removed') <> r.state or h.after_user is distinct from r.user_id or"
     " r.state <> 'removed' and (h.after_kind, h.after_person, h.after_claims) is distinct from"
     " (r.kind, r.disabled_by_person, roll_claims(r.id)))"},
    {"a change that is none",
     "select local_part from change where (before_user, before_kind, before_state, before_person,"
     " before_claims) is not distinct from (after_user, after_kind, after_state, after_person,"
     " after_claims)"},
    {"a changeset whose counts are not those of its history",
     "select c.id from changeset c left join change h on h.changeset_id = c.id where c.mode not in"
     " ('settings', 'evidence') and c.state in ('applied', 'undone') group by c.id having"
     " c.added <> count(*) filter (where h.after_state is not null and h.before_state is null) or"
     " c.removed <> count(*) filter (where h.after_state is null and h.before_state is not null)"},
    {"a held list without a held changeset",
     "select changeset_id from held_entry h join changeset c on c.id = h.changeset_id"
     " where c.state <> 'held' union select changeset_id from held_domain h join changeset c"
     " on c.id = h.changeset_id where c.state <> 'held'"},
};

static void check_invariants(const char *step)
{
    bool fine = true;

    for (size_t i = 0; i < sizeof invariants / sizeof invariants[0]; i++) {
        const char *found = value(invariants[i].sql);
        if (found[0] != '\0') {
            printf("# %s: %s: %s\n", step, invariants[i].what, found);
            fine = false;
        }
    }
    ok(fine, "%s: %s: all rules hold", scenario, step);
}

/* Everything on the roll, a line for each address in order, and then what users are called. */
static const char *picture(void)
{
    return value("select coalesce(string_agg(line, E'\\n' order by line collate \"C\"), '') from ("
                 " select r.local_part || '@' || d.name || case r.kind when 'alias' then ' of '"
                 "   || p.local_part || '@' || e.name when 'group' then ' group' else '' end"
                 "   || case when r.state <> 'active' then ' ' || r.state else '' end"
                 "   || case when r.disabled_by_person then ' person' else '' end"
                 "   || ' ' || array_to_string(roll_claims(r.id), ' ')"
                 "   || case when r.kind = 'primary' and u.name <> '' then ' =' || u.name else '' "
                 "end as line"
                 " from recipient r join domain d on d.id = r.domain_id left join users u on u.id "
                 "= r.user_id"
                 " left join recipient p on p.user_id = r.user_id and p.kind = 'primary'"
                 " left join domain e on e.id = p.domain_id where r.state <> 'removed') x");
}

#define roll_is(want) is_text(picture(), want, "%s: the roll", scenario)

/* ---- one job ---- */

struct told {
    char problems[4000], differences[8000];
};

static void tell_problem(void *context, const struct roll_problem *problem)
{
    struct told *told = context;
    size_t used = strlen(told->problems);
    BUF_AUTO text = {0};

    roll_problem_text(problem, &text);
    snprintf(told->problems + used, sizeof told->problems - used, "%s%d %s: %s",
             used > 0 ? "\n" : "", (int)problem->line, roll_problem_names[problem->kind], text.at);
}

static void tell_difference(void *context, const struct roll_difference *d)
{
    struct told *told = context;
    size_t used = strlen(told->differences);

    snprintf(told->differences + used, sizeof told->differences - used, "%s%c %s [%s] [%s]",
             used > 0 ? "\n" : "", d->sign, d->address, d->before, d->after);
}

static struct roll_request request_of(enum roll_mode mode, const char *source)
{
    struct roll_request request = {
        .mode = mode, .actor = "tester", .program = "test", .note = "", .guard = {3, 20}};

    for (int i = 0; i <= SOURCE_PANEL; i++)
        if (strncmp(source, source_names[i], strlen(source_names[i])) == 0)
            request.source = (enum source_kind)i;
    if (request.source == SOURCE_LDAP)
        request.source_id = (int32_t)strtol(source + 5, NULL, 10);
    return request;
}

/* Stages one entry: "alice@a.test al@a.test =Alice". */
static bool stage(struct roll_job *job, char *text, int64_t line, struct err *err)
{
    static _Thread_local struct addr addresses[ROLL_ADDRESSES_MAX];
    struct roll_entry entry = {.line = line, .addresses = addresses, .name = span_text("")};

    for (char *word; (word = strsep(&text, " \n")) != NULL;) {
        if (*word == '\0')
            continue;
        if (*word == '=') {
            for (char *c = word; *c != '\0'; c++)
                *c = *c == '_' ? ' ' : *c;
            entry.name = span_text(word + 1);
            continue;
        }
        if (*word == '&') {
            STR_AUTO sql =
                mem_printf("select u.id from users u join recipient r on r.user_id = u.id"
                           " and r.kind = 'primary' where u.name = '%s'",
                           word + 1);
            entry.user = strtoll(value(sql), NULL, 10);
            continue;
        }
        if (strcmp(word, "!") == 0) {
            entry.disabled = true;
            continue;
        }
        entry.kind = *word == '%' ? ENTRY_GROUP : entry.kind;
        word += *word == '%';
        for (char *c = word; *c != '\0'; c++)
            *c = *c == '^' ? ' ' : *c;
        struct addr *address = &addresses[entry.address_count++];
        if (!addr_parse(span_text(word), false, address, err) ||
            (roll_folds_case(job, span_of(address->domain, address->domain_len)) &&
             !addr_parse(span_text(word), true, address, err)))
            return false;
    }
    return entry.address_count == 0 || roll_stage(job, &entry, err);
}

static bool stage_all(struct roll_job *job, const char *list, struct err *err)
{
    char *copy = mem_text(list), *rest = copy;
    bool fine = true;
    int64_t line = 0;

    for (char *entry; fine && (entry = strsep(&rest, ";")) != NULL;)
        fine = stage(job, entry, ++line, err);
    free(copy);
    return fine;
}

static bool run(struct db *on, const struct roll_request *request, const char *scope,
                const char *list, const struct roll_listener *listener,
                struct roll_outcome *outcome, struct err *err)
{
    struct roll_job *job;
    char domains[200], *rest = domains;
    bool fine = roll_open(&job, on, request, err);

    snprintf(domains, sizeof domains, "%s", scope);
    for (char *name; fine && (name = strsep(&rest, " ")) != NULL;)
        fine = *name == '\0' || roll_scope(job, name, err);
    fine = fine && stage_all(job, list, err);
    if (fine)
        return roll_finish(&job, listener, outcome, err);
    roll_abort(&job);
    return false;
}

/* "applied +2 -1 ~3", "held …", "unchanged", or the error. */
static const char *outcome_text(bool fine, const struct roll_outcome *outcome,
                                const struct err *err)
{
    static const char *const states[] = {"unchanged", "applied", "held", "dry"};
    static char text[2000];

    if (!fine)
        snprintf(text, sizeof text, "error %d: %s", (int)err->class, err->text);
    else if (outcome->state == ROLL_UNCHANGED)
        snprintf(text, sizeof text, "unchanged");
    else
        snprintf(text, sizeof text, "%s +%d -%d ~%d%s%s", states[outcome->state],
                 (int)outcome->added, (int)outcome->removed, (int)outcome->changed,
                 outcome->why[0] != '\0' ? "; " : "", outcome->why);
    return text;
}

static struct told told;
static struct roll_outcome last;

/* The general step: a job, its outcome, what it told, and that the rules hold. */
static void step_with(const struct roll_request *request, const char *scope, const char *list,
                      const char *want, const char *problems)
{
    struct roll_listener listener = {&told, tell_problem, tell_difference};
    struct err err;
    char versions[40];

    told = (struct told){0};
    snprintf(versions, sizeof versions, "%s", value("select version from roll_clock"));
    bool fine = run(db, request, scope, list, &listener, &last, &err);
    is_text(outcome_text(fine, &last, &err), want, "%s: %s", scenario, list);
    is_text(told.problems, problems, "%s: problems of %s", scenario, list);
    bool moved = strcmp(versions, value("select version from roll_clock")) != 0;
    ok(moved == (fine && last.state == ROLL_APPLIED), "%s: a version for what was applied only",
       scenario);
    check_invariants(list);
}

static void step(enum roll_mode mode, const char *source, const char *scope, const char *list,
                 const char *want)
{
    struct roll_request request = request_of(mode, source);
    step_with(&request, scope, list, want, "");
}

static void add(const char *source, const char *list, const char *want)
{
    step(ROLL_ADD, source, "", list, want);
}

static void decide(bool (*fn)(struct db *, int64_t, const struct roll_request *,
                              const struct roll_listener *, struct roll_outcome *, struct err *),
                   const char *name, int64_t id, const char *want)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");
    struct roll_listener listener = {&told, tell_problem, tell_difference};
    struct err err;

    told = (struct told){0};
    bool fine = fn(db, id, &request, &listener, &last, &err);
    is_text(outcome_text(fine, &last, &err), want, "%s: %s %d", scenario, name, (int)id);
    check_invariants(name);
}

#define undo(id, want)    decide(roll_undo, "undo", id, want)
#define approve(id, want) decide(roll_approve, "approve", id, want)

/* ---- scenarios ---- */

static void add_and_again(void)
{
    start("added, and again");
    add("manual", "alice@a.test", "applied +1 -0 ~0");
    is_int(last.version, 2, "the version after it");
    ok(last.changeset > 1, "the changeset");
    roll_is("alice@a.test manual");
    add("manual", "alice@a.test", "unchanged");
    is_int(last.changeset, 0, "nothing is recorded when nothing changes");
    add("manual", "alice@a.test al@a.test a.s@b.test; bob@b.test =Bob_B; %sales@a.test",
        "applied +4 -0 ~0");
    roll_is("a.s@b.test of alice@a.test manual\nal@a.test of alice@a.test manual\n"
            "alice@a.test manual\nbob@b.test manual =Bob B\nsales@a.test group manual");
    add("manual", "alice@a.test al@a.test a.s@b.test; bob@b.test =Bob_B; %sales@a.test",
        "unchanged");
    add("manual", "bob@b.test; alice@a.test", "unchanged");
}

/* A name alone is a change too, of the user. */
static void names(void)
{
    start("names");
    add("manual", "alice@a.test al@a.test =Alice; bob@a.test", "applied +3 -0 ~0");
    add("manual", "alice@a.test; bob@a.test", "unchanged");
    add("manual", "alice@a.test =Alice_Smith; bob@a.test", "applied +0 -0 ~1");
    roll_is(
        "al@a.test of alice@a.test manual\nalice@a.test manual =Alice Smith\nbob@a.test manual");
    is_text(value("select string_agg(before_name || '>' || after_name, ',') from user_change"),
            "Alice>Alice Smith", "%s: in the history", scenario);
    is_text(value("select max(changed_by)::text from recipient"), "2",
            "%s: followers have nothing to read", scenario);
    int64_t renamed = last.changeset;
    add("import", "alice@a.test new@a.test =Alice_Jones", "applied +1 -0 ~1");
    int64_t both = last.changeset;
    undo(renamed,
         "error 65: changeset 3 cannot be undone: the same addresses or users were changed "
         "since, by changeset 4; undo it first");
    undo(both, "applied +0 -1 ~1");
    roll_is(
        "al@a.test of alice@a.test manual\nalice@a.test manual =Alice Smith\nbob@a.test manual");
    undo(renamed, "applied +0 -0 ~1");
    roll_is("al@a.test of alice@a.test manual\nalice@a.test manual =Alice\nbob@a.test manual");
}

static void claims(void)
{
    start("claims of several sources");
    add("manual", "alice@a.test; bob@a.test", "applied +2 -0 ~0");
    step(ROLL_FOLLOW, "ldap:3", "a.test", "alice@a.test; carl@a.test", "applied +1 -0 ~1");
    roll_is("alice@a.test ldap:3 manual\nbob@a.test manual\ncarl@a.test ldap:3");
    step(ROLL_FOLLOW, "ldap:4", "a.test", "carl@a.test !", "applied +0 -0 ~1");
    roll_is("alice@a.test ldap:3 manual\nbob@a.test manual\ncarl@a.test disabled ldap:3 ldap:4!");
    step(ROLL_FOLLOW, "ldap:3", "a.test", "dora@a.test", "applied +1 -0 ~2");
    roll_is("alice@a.test manual\nbob@a.test manual\ncarl@a.test disabled ldap:4!\n"
            "dora@a.test ldap:3");
    step(ROLL_FOLLOW, "ldap:4", "a.test", "carl@a.test", "applied +0 -0 ~1");
    step(ROLL_FOLLOW, "ldap:4", "a.test", "carl@a.test", "unchanged");
    step(ROLL_FOLLOW, "ldap:4", "a.test", "bob@a.test", "applied +0 -1 ~1");
    roll_is("alice@a.test manual\nbob@a.test ldap:4 manual\ndora@a.test ldap:3");
    add("ldap:3", "carl@a.test", "applied +1 -0 ~0");
    roll_is("alice@a.test manual\nbob@a.test ldap:4 manual\ncarl@a.test ldap:3\n"
            "dora@a.test ldap:3");
}

static void replace(void)
{
    start("replace");
    add("manual", "alice@a.test al@a.test ali@a.test; bob@a.test; eve@b.test; zoe@a.test",
        "applied +6 -0 ~0");
    add("ldap:3", "alice@a.test; bob@a.test", "applied +0 -0 ~2");
    step(ROLL_REPLACE, "import", "", "alice@a.test al@a.test; carl@a.test; zoe@a.test",
         "applied +1 -2 ~3");
    roll_is("al@a.test of alice@a.test import\nalice@a.test import\ncarl@a.test import\n"
            "eve@b.test manual\nzoe@a.test import");
    step(ROLL_REPLACE, "import", "", "zoe@a.test; alice@a.test al@a.test; carl@a.test",
         "unchanged");
    step(ROLL_REPLACE, "import", "a.test b.test",
         "zoe@a.test; alice@a.test al@a.test; carl@a.test; eve@b.test", "applied +0 -0 ~1");
    /* what was an alias is a user now: the list alone decides */
    step(ROLL_REPLACE, "import", "a.test", "alice@a.test; al@a.test; carl@a.test zoe@a.test",
         "applied +0 -0 ~2");
    roll_is("al@a.test import\nalice@a.test import\ncarl@a.test import\neve@b.test import\n"
            "zoe@a.test of carl@a.test import");
}

static void conflicts(void)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");

    start("conflicts");
    add("manual", "alice@a.test al@a.test; bob@a.test; %sales@a.test", "applied +4 -0 ~0");
    step_with(&request, "", "carl@a.test al@a.test; al@a.test; dora@a.test", "applied +2 -0 ~0",
              "1 conflict: al@a.test is an alias of alice@a.test\n"
              "2 conflict: al@a.test is an alias of alice@a.test");
    roll_is("al@a.test of alice@a.test manual\nalice@a.test manual\nbob@a.test manual\n"
            "carl@a.test manual\ndora@a.test manual\nsales@a.test group manual");
    /* the primary address is somebody else's: the next one is the user's */
    step_with(&request, "", "al@a.test emil@a.test e@a.test", "applied +2 -0 ~0",
              "1 conflict: al@a.test is an alias of alice@a.test");
    step_with(&request, "", "%bob@a.test; sales@a.test; %al@a.test", "unchanged",
              "1 kind: bob@a.test is an address of user bob@a.test, not a group; remove it first\n"
              "2 kind: sales@a.test is a group, not an address of a user; remove it first\n"
              "3 kind: al@a.test is an address of user alice@a.test, not a group; remove it first");
    step_with(&request, "",
              "x@a.test n1@a.test; y@a.test n1@a.test; x@a.test n2@a.test; n1@a.test; %x@a.test",
              "applied +4 -0 ~0",
              "2 conflict: n1@a.test is an alias of x@a.test\n"
              "4 conflict: n1@a.test is an alias of x@a.test\n"
              "5 kind: x@a.test is a group, not an address of a user; remove it first");
    is_text(value("select string_agg(local_part, ' ' order by local_part) from recipient where"
                  " user_id = (select user_id from recipient where local_part = 'x')"),
            "n1 n2 x", "%s: one user told twice is one", scenario);
    step_with(&request, "", "y@a.test; z@a.test y@a.test", "applied +1 -0 ~0",
              "2 conflict: y@a.test is the primary address of another user");
    request.strict = true;
    step_with(&request, "", "new@a.test; al@a.test",
              "error 65: 1 problem with the list: nothing is changed",
              "2 conflict: al@a.test is an alias of alice@a.test");
    ok(strstr(picture(), "new@a.test") == NULL, "%s: strict changes nothing", scenario);
}

/* Users by number, and whether they have an address. */
static const char alive_sql[] =
    "select string_agg(u.id || ' ' || (r.id is not null), ', ' order by u.id) from users u"
    " left join recipient r on r.user_id = u.id and r.kind = 'primary'";

static void renames(void)
{
    start("renames and merges");
    add("manual", "alice@a.test al@a.test; bob@a.test b@a.test =Bob", "applied +4 -0 ~0");
    is_text(value("select string_agg(id::text, ' ' order by id) from users"), "1 2", "users");
    add("manual", "alice.jones@a.test alice@a.test", "applied +1 -0 ~1");
    roll_is("al@a.test of alice.jones@a.test manual\nalice.jones@a.test manual\n"
            "alice@a.test of alice.jones@a.test manual\nb@a.test of bob@a.test manual\n"
            "bob@a.test manual =Bob");
    add("manual", "alice@a.test alice.jones@a.test al@a.test", "applied +0 -0 ~2");
    is_text(value("select string_agg(distinct user_id::text, ' ') from recipient where kind ="
                  " 'primary'"),
            "1 2", "%s: the same users", scenario);
    /* Bob's primary address becomes Alice's: the users merge, what is left goes on by itself */
    add("manual", "alice@a.test bob@a.test", "applied +0 -0 ~2");
    roll_is("al@a.test of alice@a.test manual\nalice.jones@a.test of alice@a.test manual\n"
            "alice@a.test manual\nb@a.test manual =Bob\nbob@a.test of alice@a.test manual");
    int64_t merge = last.changeset;
    add("manual", "c@a.test", "applied +1 -0 ~0");
    undo(merge, "applied +0 -0 ~2");
    add("manual", "alice@a.test bob@a.test b@a.test", "applied +0 -0 ~2");
    is_text(value(alive_sql), "1 true, 2 false, 3 true", "%s: a user without addresses is over",
            scenario);
    undo(last.changeset, "applied +0 -0 ~2");
    roll_is("al@a.test of alice@a.test manual\nalice.jones@a.test of alice@a.test manual\n"
            "alice@a.test manual\nb@a.test of bob@a.test manual\nbob@a.test manual =Bob\n"
            "c@a.test manual");
    is_text(value(alive_sql), "1 true, 2 true, 3 true", "%s: and is back with its name", scenario);
}

/* A directory moves an alias from one user to the other; a person's address stays where it is. */
static void moved_aliases(void)
{
    struct roll_request request = request_of(ROLL_FOLLOW, "ldap:1");

    start("aliases that move");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "alice@a.test info@a.test; bob@a.test; %team@a.test; carl@a.test x@a.test",
         "applied +6 -0 ~0");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "alice@a.test; bob@a.test info@a.test; team@a.test; carl@a.test x@a.test",
         "applied +0 -0 ~2"); /* and what was a group is a user */
    roll_is("alice@a.test ldap:1\nbob@a.test ldap:1\ncarl@a.test ldap:1\n"
            "info@a.test of bob@a.test ldap:1\nteam@a.test ldap:1\nx@a.test of carl@a.test ldap:1");
    add("manual", "carl@a.test x@a.test", "applied +0 -0 ~2");
    step_with(&request, "a.test",
              "alice@a.test x@a.test; bob@a.test info@a.test; team@a.test; carl@a.test",
              "unchanged", "1 conflict: x@a.test is an alias of carl@a.test");
    add("ldap:1", "dora@a.test d@a.test", "applied +2 -0 ~0");
    request.mode = ROLL_ADD;
    step_with(&request, "", "emil@a.test d@a.test", "applied +1 -0 ~0",
              "1 conflict: d@a.test is an alias of dora@a.test");
}

static void promotion(void)
{
    start("promotion");
    add("manual", "m@a.test z@a.test c@b.test b@a.test; n@a.test", "applied +5 -0 ~0");
    int64_t first = last.changeset;
    step(ROLL_REPLACE, "manual", "a.test", "n@a.test", "applied +0 -3 ~1");
    roll_is("c@b.test manual\nn@a.test manual");
    undo(last.changeset, "applied +3 -0 ~1");
    /* what the list names without its primary address is a user of its own */
    step(ROLL_REPLACE, "manual", "a.test", "z@a.test b@a.test; n@a.test", "applied +0 -1 ~3");
    roll_is("b@a.test of z@a.test manual\nc@b.test manual\nn@a.test manual\nz@a.test manual");
    undo(last.changeset, "applied +1 -0 ~3");
    roll_is("b@a.test of m@a.test manual\nc@b.test of m@a.test manual\nm@a.test manual\n"
            "n@a.test manual\nz@a.test of m@a.test manual");
    step(ROLL_REMOVE, "manual", "", "m@a.test", "applied +0 -4 ~0");
    undo(last.changeset, "applied +4 -0 ~0");
    undo(first, "applied +0 -5 ~0");
    roll_is("");
    undo(last.changeset, "applied +5 -0 ~0");
    undo(first, "error 65: changeset 2 was undone already, by changeset 9");
}

/* ---- problems, domains, cases ---- */

/* A directory knows who is who, whatever addresses they have. */
static void known_users(void)
{
    start("users known by an identity");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "alice@a.test al@a.test =Alice; bob@a.test =Bob; carl@a.test =Carl; dora@a.test =Dora",
         "applied +5 -0 ~0");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "&Alice alice@a.test al@a.test =Alice; &Bob bob@a.test =Bob; &Carl carl@a.test =Carl;"
         "&Dora dora@a.test =Dora",
         "unchanged");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "&Alice smith@a.test; &Bob bob@a.test; &Carl carl@a.test; &Dora dora@a.test",
         "applied +1 -2 ~0");
    roll_is("bob@a.test ldap:1 =Bob\ncarl@a.test ldap:1 =Carl\ndora@a.test ldap:1 =Dora\n"
            "smith@a.test ldap:1 =Alice");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "&Alice bob@a.test; &Bob smith@a.test; &Carl carl@a.test; &Dora dora@a.test",
         "applied +0 -0 ~2");
    int64_t swapped = last.changeset;
    roll_is("bob@a.test ldap:1 =Alice\ncarl@a.test ldap:1 =Carl\ndora@a.test ldap:1 =Dora\n"
            "smith@a.test ldap:1 =Bob");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "&Alice bob@a.test; &Bob smith@a.test; &Carl c2@a.test; carl@a.test =New;"
         "&Dora dora@a.test",
         "applied +1 -0 ~1");
    roll_is("bob@a.test ldap:1 =Alice\nc2@a.test ldap:1 =Carl\ncarl@a.test ldap:1 =New\n"
            "dora@a.test ldap:1 =Dora\nsmith@a.test ldap:1 =Bob");
    is_text(value("select count(*) from users"), "5", "%s: nobody became another", scenario);
    undo(last.changeset, "applied +0 -1 ~1");
    undo(swapped, "applied +0 -0 ~2");
    roll_is("bob@a.test ldap:1 =Bob\ncarl@a.test ldap:1 =Carl\ndora@a.test ldap:1 =Dora\n"
            "smith@a.test ldap:1 =Alice");
    add("manual", "bob@a.test", "applied +0 -0 ~1");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "&Alice bob@a.test; &Bob smith@a.test; &Carl carl@a.test; &Dora dora@a.test",
         "applied +0 -0 ~2");
    roll_is("bob@a.test ldap:1 manual =Alice\ncarl@a.test ldap:1 =Carl\n"
            "dora@a.test ldap:1 =Dora\nsmith@a.test ldap:1 =Bob");
}

static void foreign_and_outside(void)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");

    start("foreign domains");
    step_with(&request, "",
              "alice@a.test alice@elsewhere.test x@two.test; \"odd^one\"@elsewhere.test;"
              " bob@nowhere.test b@b.test",
              "applied +2 -0 ~0",
              "1 foreign: alice@elsewhere.test: its domain is not served here; 'rollcall domain "
              "list' shows what is\n"
              "1 foreign: x@two.test: its domain belongs to another customer than alice@a.test\n"
              "2 foreign: \"odd one\"@elsewhere.test: its domain is not served here; 'rollcall "
              "domain list' shows what is\n"
              "3 foreign: bob@nowhere.test: its domain is not served here; 'rollcall domain list' "
              "shows what is");
    roll_is("alice@a.test manual\nb@b.test manual");
    request.mode = ROLL_REPLACE;
    step_with(&request, "b.test", "b@b.test; carl@a.test c@b.test; \"odd^two\"@a.test",
              "applied +1 -0 ~0",
              "2 outside: carl@a.test is outside the domains that the list is for\n"
              "3 outside: \"odd two\"@a.test is outside the domains that the list is for");
    roll_is("alice@a.test manual\nb@b.test manual\nc@b.test manual");
    step_with(&request, "gone.test", "",
              "error 65: gone.test: not served here; `rollcall domain list` shows what is", "");
    must(db, "begin; select roll_begin('x'); update domain set state = 'removed', removed_at ="
             " now(), changed_by = roll_changeset() where name = 'two.test'; commit");
    request.mode = ROLL_ADD;
    step_with(&request, "", "zoe@two.test", "unchanged",
              "1 foreign: zoe@two.test: its domain is not served here; 'rollcall domain list' "
              "shows what is");
    step_with(&request, "", "", "unchanged", "");
}

static void alias_domains_and_cases(void)
{
    start("alias domains and cases");
    add("manual", "Alice@ALIAS-A.test; alice@a.test", "applied +1 -0 ~0");
    roll_is("alice@a.test manual");
    add("manual", "alice@alias-a.test al@alias-a.test AL@a.test", "applied +1 -0 ~0");
    add("manual", "Bob@case.test; bob@case.test; BOB@case.test bOB@case.test", "applied +4 -0 ~0");
    roll_is("BOB@case.test manual\nBob@case.test manual\nal@a.test of alice@a.test manual\n"
            "alice@a.test manual\nbOB@case.test of BOB@case.test manual\nbob@case.test manual");
    step(ROLL_REMOVE, "manual", "", "Bob@case.test; AL@alias-a.test", "applied +0 -2 ~0");
    step(ROLL_FOLLOW, "ldap:1", "alias-a.test", "alice@alias-a.test", "applied +0 -0 ~1");
    roll_is("BOB@case.test manual\nalice@a.test ldap:1 manual\nbOB@case.test of BOB@case.test "
            "manual\nbob@case.test manual");
    add("manual", "\"odd^\\\"one\\\"\"@a.test", "applied +1 -0 ~0");
    ok(strstr(picture(), "odd \"one\"@a.test manual") != NULL, "a quoted local part");
}

/* ---- named one by one ---- */

static void named(void)
{
    struct roll_request request = request_of(ROLL_REMOVE, "manual");

    start("remove, disable, enable");
    add("manual", "alice@a.test al@a.test a@b.test =Alice; bob@a.test b@a.test; %all@a.test",
        "applied +6 -0 ~0");
    add("ldap:1", "alice@a.test al@a.test; %all@a.test", "applied +0 -0 ~3");
    const char *before = mem_text(picture());

    step_with(&request, "", "al@a.test; nobody@a.test; x@gone.test", "applied +0 -1 ~0",
              "2 absent: nobody@a.test is not on the roll\n"
              "3 foreign: x@gone.test: its domain is not served here; 'rollcall domain list' shows "
              "what is");
    undo(last.changeset, "applied +1 -0 ~0");
    is_text(picture(), before, "%s: an alias is back", scenario);

    /* a primary address takes its user, in whatever domain */
    step(ROLL_REMOVE, "manual", "", "alice@a.test", "applied +0 -3 ~0");
    roll_is("all@a.test group ldap:1 manual\nb@a.test of bob@a.test manual\nbob@a.test manual");
    undo(last.changeset, "applied +3 -0 ~0");
    is_text(picture(), before, "%s: the user is back with name, claims and aliases", scenario);

    request.mode = ROLL_DISABLE;
    step_with(&request, "", "al@a.test; bob@a.test; nobody@a.test", "applied +0 -0 ~3",
              "3 absent: nobody@a.test is not on the roll");
    roll_is("a@b.test of alice@a.test manual\nal@a.test of alice@a.test disabled person ldap:1 "
            "manual\nalice@a.test ldap:1 manual =Alice\nall@a.test group ldap:1 manual\n"
            "b@a.test of bob@a.test disabled person manual\nbob@a.test disabled person manual");
    step(ROLL_DISABLE, "manual", "", "al@a.test", "unchanged");
    step(ROLL_FOLLOW, "ldap:1", "a.test", "alice@a.test al@a.test; bob@a.test; %all@a.test",
         "applied +0 -0 ~1"); /* a sync does not enable what a person disabled */
    step(ROLL_ENABLE, "manual", "", "al@a.test", "applied +0 -0 ~1");
    step(ROLL_ENABLE, "manual", "", "bob@a.test", "applied +0 -0 ~2");
    step(ROLL_FOLLOW, "ldap:1", "a.test", "alice@a.test al@a.test; %all@a.test",
         "applied +0 -0 ~1");
    is_text(picture(), before, "%s: enabled again", scenario);
    add("ldap:1", "bob@a.test !", "applied +0 -0 ~1");
    step(ROLL_ENABLE, "manual", "", "bob@a.test", "unchanged");
    step(ROLL_DISABLE, "manual", "", "all@a.test", "applied +0 -0 ~1");
    step(ROLL_REMOVE, "manual", "", "all@a.test", "applied +0 -1 ~0");
    add("manual", "%all@a.test", "applied +1 -0 ~0");
    ok(strstr(picture(), "all@a.test group manual") != NULL,
       "%s: what comes anew is not disabled from before", scenario);
    str_free((char **)&before);
}

/* ---- the guard ---- */

static void guard(void)
{
    struct roll_request request = request_of(ROLL_FOLLOW, "ldap:1");

    start("the guard");
    add("ldap:1", "u1@a.test; u2@a.test; u3@a.test; u4@a.test; u5@a.test; u6@a.test; x@b.test",
        "applied +7 -0 ~0");
    step(ROLL_FOLLOW, "ldap:1", "a.test", "u1@a.test; u2@a.test; u3@a.test", "applied +0 -3 ~0");
    undo(last.changeset, "applied +3 -0 ~0");
    step(ROLL_FOLLOW, "ldap:1", "a.test", "u1@a.test; u2@a.test; new@a.test",
         "held +1 -4 ~0; a.test: held: would remove 4 of 6 addresses (limit 20 %); see 'rollcall "
         "change show 5', apply with 'rollcall change approve 5'");
    is_text(value("select state || ' ' || coalesce(version::text, '-') || ' +' || added || ' -' ||"
                  " removed from changeset where id = 5"),
            "held - +1 -4", "%s: the changeset", scenario);
    is_text(value("select count(*) from held_entry"), "3", "%s: the list is kept", scenario);
    /* a newer list of the same directory takes its place */
    step(ROLL_FOLLOW, "ldap:1", "a.test b.test", "",
         "held +0 -7 ~0; a.test: held: the list names nobody there, would remove 6 of 6 addresses, "
         "and so for 1 more domain; see 'rollcall change show 6', apply with 'rollcall change "
         "approve 6'");
    approve(5, "error 65: changeset 5 is rejected, not held");
    step(ROLL_FOLLOW, "ldap:1", "a.test b.test",
         "u1@a.test; u2@a.test; u3@a.test !; u4@a.test !; u5@a.test !; x@b.test",
         "held +0 -1 ~3; a.test: held: would remove or disable 4 of 6 addresses (limit 20 %); see "
         "'rollcall change show 7', apply with 'rollcall change approve 7'");
    /* the roll went on meanwhile: what is approved is planned anew */
    add("manual", "u6@a.test; u7@a.test", "applied +1 -0 ~1");
    request.dry_run = true;
    struct roll_listener listener = {&told, tell_problem, tell_difference};
    struct err err;
    told = (struct told){0};
    ok(roll_approve(db, 7, &request, &listener, &last, &err) && last.state == ROLL_DRY,
       "%s: what a held list would do", scenario);
    is_text(told.differences,
            "~ u3@a.test [user u3@a.test, primary, active, ldap:1] [user u3@a.test, primary, "
            "disabled, ldap:1!]\n"
            "~ u4@a.test [user u4@a.test, primary, active, ldap:1] [user u4@a.test, primary, "
            "disabled, ldap:1!]\n"
            "~ u5@a.test [user u5@a.test, primary, active, ldap:1] [user u5@a.test, primary, "
            "disabled, ldap:1!]\n"
            "~ u6@a.test [user u6@a.test, primary, active, ldap:1 manual] [user u6@a.test, "
            "primary, active, manual]",
            "%s: told", scenario);
    approve(7, "applied +0 -0 ~4");
    roll_is("u1@a.test ldap:1\nu2@a.test ldap:1\nu3@a.test disabled ldap:1!\nu4@a.test disabled "
            "ldap:1!\nu5@a.test disabled ldap:1!\nu6@a.test manual\nu7@a.test manual\n"
            "x@b.test ldap:1");
    is_int(last.changeset, 7, "%s: it is the held changeset that is applied", scenario);
    approve(7, "error 65: changeset 7 is applied, not held");
    undo(7, "applied +0 -0 ~4");
    is_text(value("select string_agg(action || ' ' || object, ', ' order by id) from audit"),
            "change undo changeset 3, change approve changeset 7, change undo changeset 7",
            "%s: the audit", scenario);

    request.dry_run = false;
    step_with(&request, "a.test", "u7@a.test",
              "held +0 -5 ~2; a.test: held: would remove 5 of 7 addresses (limit 20 %); see "
              "'rollcall change show 10', apply with 'rollcall change approve 10'",
              "");
    ok(roll_reject(db, 10, &request, &err), "%s: rejected", scenario);
    check_invariants("reject");
    ok(!roll_reject(db, 10, &request, &err), "%s: once", scenario);
    is_text(err.text, "changeset 10 is rejected, not held", "%s: and told", scenario);
    ok(!roll_reject(db, 99, &request, &err), "%s: none", scenario);
    approve(99, "error 65: there is no changeset 99; 'rollcall change list'");
    request.dry_run = true;
    step_with(&request, "a.test", "",
              "dry +0 -5 ~1; a.test: held: the list names nobody there, would remove 5 of 7 "
              "addresses",
              "");
    request.dry_run = false;
    request.force = true;
    step_with(&request, "a.test", "", "applied +0 -5 ~1", "");
    is_text(value("select forced from changeset order by id desc limit 1"), "t",
            "%s: force is recorded", scenario);
    roll_is("u6@a.test manual\nu7@a.test manual\nx@b.test ldap:1");
}

static void guard_by_domain(void)
{
    start("the guard's limit of a domain");
    must(db, "begin; select roll_begin('x'); update domain set guard_percent = 50, changed_by ="
             " roll_changeset() where name = 'a.test'; commit");
    add("manual",
        "u1@a.test; u2@a.test; u3@a.test; u4@a.test; u5@a.test; u6@a.test; u7@a.test;"
        " u8@a.test",
        "applied +8 -0 ~0");
    step(ROLL_REPLACE, "import", "", "u1@a.test; u2@a.test; u3@a.test; u4@a.test",
         "applied +0 -4 ~4");
    add("manual", "v1@a.test; v2@a.test; v3@a.test; v4@a.test; v5@a.test", "applied +5 -0 ~0");
    add("ldap:1", "u1@a.test !; u2@a.test !; u3@a.test !; v1@a.test !; v2@a.test !",
        "held +0 -0 ~5; a.test: held: would remove or disable 5 of 9 addresses (limit 50 %); see "
        "'rollcall change show 6', apply with 'rollcall change approve 6'");
    approve(6, "applied +0 -0 ~5");
    step(ROLL_REMOVE, "manual", "",
         "u1@a.test; u2@a.test; u3@a.test; u4@a.test; v1@a.test;"
         " v2@a.test; v3@a.test; v4@a.test; v5@a.test",
         "applied +0 -9 ~0");
}

/* ---- undo ---- */

static void undo_refused(void)
{
    start("undo refused");
    add("manual", "alice@a.test al@a.test; bob@a.test", "applied +3 -0 ~0");
    add("import", "alice@a.test a2@a.test", "applied +1 -0 ~1");
    undo(2, "error 65: changeset 2 cannot be undone: the same addresses or users were changed "
            "since, by changeset 3; undo it first");
    step(ROLL_DISABLE, "manual", "", "bob@a.test", "applied +0 -0 ~1");
    undo(2, "error 65: changeset 2 cannot be undone: the same addresses or users were changed "
            "since, by changesets 3, 4; undo these first");
    undo(3, "applied +0 -1 ~1");
    undo(4, "applied +0 -0 ~1");
    undo(2, "applied +0 -3 ~0");
    roll_is("");
    is_text(value("select string_agg(id || ' ' || state || coalesce(' by ' || undone_by, ''), ', '"
                  " order by id) from changeset where id > 1"),
            "2 undone by 7, 3 undone by 5, 4 undone by 6, 5 applied, 6 applied, 7 applied",
            "%s: states", scenario);
    /* an alias of a user that is gone since */
    add("manual", "alice@a.test al@b.test", "applied +2 -0 ~0");
    step(ROLL_REMOVE, "manual", "", "al@b.test", "applied +0 -1 ~0");
    step(ROLL_REMOVE, "manual", "", "alice@a.test", "applied +0 -1 ~0");
    undo(9, "error 65: changeset 9 cannot be undone: the same addresses or users were changed "
            "since, by changeset 10; undo it first");
    undo(8, "error 65: changeset 8 cannot be undone: the same addresses or users were changed "
            "since, by changesets 9, 10; undo these first");
    /* a user that got an alias since */
    add("manual", "carl@a.test", "applied +1 -0 ~0");
    add("manual", "carl@a.test c@b.test", "applied +1 -0 ~0");
    undo(11, "error 65: changeset 11 cannot be undone: the same addresses or users were changed "
             "since, by changeset 12; undo it first");
    undo(1, "error 65: changeset 1 changed no address: there is nothing to undo");
    undo(77, "error 65: there is no changeset 77; 'rollcall change list'");
    must(db, "begin; select roll_begin('x'); update domain set state = 'removed', removed_at ="
             " now(), changed_by = roll_changeset() where name = 'two.test'; commit");
    undo(13, "error 65: changeset 13 changed no address: there is nothing to undo");
}

static void undo_dry(void)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");
    struct roll_listener listener = {&told, tell_problem, tell_difference};
    struct err err;

    start("a dry undo");
    add("manual", "alice@a.test al@a.test =Alice; %all@a.test", "applied +3 -0 ~0");
    add("ldap:2", "alice@a.test =Alice_B", "applied +0 -0 ~1");
    request.dry_run = true;
    told = (struct told){0};
    ok(roll_undo(db, 3, &request, &listener, &last, &err) && last.state == ROLL_DRY, "dry");
    is_text(told.differences,
            "~ alice@a.test [user alice@a.test, primary, active, ldap:2 manual] [user "
            "alice@a.test, primary, active, manual]",
            "%s: told", scenario);
    check_invariants("dry undo");
    request.mode = ROLL_ADD;
    step_with(&request, "", "alice@a.test al@a.test ali@b.test =Alice_C; bob@a.test; %new@a.test !",
              "dry +3 -0 ~1", "");
    is_text(told.differences,
            "~ alice@a.test [user alice@a.test, named 'Alice B'] [user alice@a.test, named "
            "'Alice C']\n"
            "+ bob@a.test [] [user bob@a.test, primary, active, manual]\n"
            "+ new@a.test [] [group, disabled, manual!]\n"
            "+ ali@b.test [] [user alice@a.test, alias, active, manual]",
            "%s: told", scenario);
    request.mode = ROLL_REMOVE;
    step_with(&request, "", "alice@a.test", "dry +0 -2 ~0", "");
    is_text(told.differences,
            "- al@a.test [user alice@a.test, alias, active, manual] []\n"
            "- alice@a.test [user alice@a.test, primary, active, ldap:2 manual] []",
            "%s: told", scenario);
    request.mode = ROLL_DISABLE;
    step_with(&request, "", "al@a.test", "dry +0 -0 ~1", "");
    is_text(told.differences,
            "~ al@a.test [user alice@a.test, alias, active, manual] [user alice@a.test, alias, "
            "disabled (by a person), manual]",
            "%s: told", scenario);
    is_text(value("select count(*) from changeset"), "3", "%s: nothing is recorded", scenario);
}

/* The first list makes a domain complete; its undo takes that back. */
static void loaded(void)
{
    static const char is_loaded[] =
        "select loaded_at is not null from domain where name = 'new.test'";

    start("loaded");
    add("manual", "alice@a.test", "applied +1 -0 ~0");
    is_text(value(is_loaded), "f", "%s: not by other domains", scenario);
    add("import", "n@new.test; o@new.test", "applied +2 -0 ~0");
    is_text(value(is_loaded), "t", "%s: by the first list", scenario);
    is_text(value("select d.changed_by = max(c.id) from domain d, changeset c where d.name ="
                  " 'new.test' group by d.changed_by"),
            "t", "%s: followers hear of it", scenario);
    add("import", "p@new.test", "applied +1 -0 ~0");
    is_text(value("select changed_by from domain where name = 'new.test'"), "3", "%s: once",
            scenario);
    undo(3, "applied +0 -2 ~0");
    is_text(value(is_loaded), "f", "%s: undone", scenario);
    undo(last.changeset, "applied +2 -0 ~0");
    is_text(value(is_loaded), "t", "%s: and back", scenario);
}

/* ---- evidence and retirement ---- */

static void retired(void)
{
    start("retired");
    add("manual", "alice@a.test al@a.test; bob@a.test", "applied +3 -0 ~0");
    must(db, "begin; select roll_begin('evidence'); update recipient set state = 'retired',"
             " refused_at = now(), verified_on = current_date, changed_by = roll_changeset()"
             " where local_part in ('al', 'bob'); commit");
    check_invariants("retired by evidence");
    add("manual", "bob@a.test", "applied +0 -0 ~1");
    is_text(value("select state || ' ' || (refused_at is null) || ' ' || (verified_on is null)"
                  " from recipient where local_part = 'bob'"),
            "active true false", "%s: back, and the refusal forgotten", scenario);
    add("ldap:1", "alice@a.test", "applied +0 -0 ~1");
    ok(strstr(picture(), "al@a.test of alice@a.test retired manual") != NULL,
       "%s: what the list does not name stays retired", scenario);
    step(ROLL_DISABLE, "manual", "", "alice@a.test", "applied +0 -0 ~2");
    step(ROLL_ENABLE, "manual", "", "alice@a.test", "applied +0 -0 ~2");
    step(ROLL_REMOVE, "manual", "", "alice@a.test; bob@a.test", "applied +0 -3 ~0");
    undo(last.changeset, "applied +3 -0 ~0");
    is_text(value("select state || ' ' || (refused_at is null) || ' ' || (verified_on is null)"
                  " from recipient where local_part = 'al'"),
            "retired false false", "%s: an undo brings the evidence back", scenario);
    step(ROLL_REMOVE, "manual", "", "bob@a.test", "applied +0 -1 ~0");
    add("manual", "bob@a.test", "applied +1 -0 ~0");
    is_text(value("select verified_on is null from recipient where local_part = 'bob'"), "t",
            "%s: who comes anew has none", scenario);
}

/* ---- many ---- */

static bool stage_one(struct roll_job *job, const char *text, int64_t line, struct err *err)
{
    struct addr address;
    struct roll_entry entry = {
        .line = line, .addresses = &address, .address_count = 1, .name = span_text("")};

    return addr_parse(span_text(text), true, &address, err) && roll_stage(job, &entry, err);
}

/* `count` addresses "NAME-N@DOMAIN-of-N", each `times` times. */
static bool run_many(enum roll_mode mode, const char *name, int count, int times, int domains,
                     struct roll_outcome *outcome, struct err *err)
{
    struct roll_request request = request_of(mode, "import");
    struct roll_job *job;
    char text[100];
    bool fine = roll_open(&job, db, &request, err);

    for (int time = 0; fine && time < times; time++)
        for (int i = 0; fine && i < count; i++) {
            snprintf(text, sizeof text, domains > 0 ? "%s-%d@d%d.test" : "%s-%d@a.test", name, i,
                     domains > 0 ? i % domains : 0);
            fine = stage_one(job, text, time * count + i + 1, err);
        }
    if (fine)
        return roll_finish(&job, NULL, outcome, err);
    roll_abort(&job);
    return false;
}

static void many(void)
{
    struct roll_outcome outcome;
    struct err err = {0};

    start("many");
    must(db, "begin; select roll_begin('x'); insert into domain (name, customer_id) select 'd' || n"
             " || '.test', 1 from generate_series(0, 299) n; commit");
    ok(run_many(ROLL_ADD, "u", 12000, 2, 0, &outcome, &err) && outcome.added == 12000,
       "%s: 24,000 addresses, each twice: %s", scenario, err.text);
    check_invariants("twelve thousand");
    ok(run_many(ROLL_ADD, "u", 12000, 1, 0, &outcome, &err) && outcome.state == ROLL_UNCHANGED,
       "%s: again: %s", scenario, err.text);
    ok(run_many(ROLL_REPLACE, "u", 11000, 1, 0, &outcome, &err) && outcome.removed == 1000,
       "%s: a thousand less: %s", scenario, err.text);
    check_invariants("eleven thousand");
    ok(run_many(ROLL_REPLACE, "v", 11000, 1, 0, &outcome, &err) && outcome.state == ROLL_HELD,
       "%s: all others: held: %s", scenario, err.text);
    approve(outcome.changeset, "applied +11000 -11000 ~0");
    undo(outcome.changeset, "applied +11000 -11000 ~0");
    ok(strncmp(picture(), "u-0@a.test import", 17) == 0, "%s: back", scenario);
    ok(run_many(ROLL_ADD, "u", 6000, 1, 300, &outcome, &err) && outcome.added == 6000,
       "%s: in 300 domains: %s", scenario, err.text);
    ok(run_many(ROLL_ADD, "u", 6010, 1, 301, &outcome, &err) && outcome.problems == 19,
       "%s: and one that is not ours: %s", scenario, err.text);
    check_invariants("in 300 domains");
}

/* ---- trouble ---- */

static void broken_connection(void)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");
    struct roll_outcome outcome;
    struct roll_job *job;
    struct err err;

    start("a broken connection");
    struct db *victim = open_named("roll_empty");
    db_close(&victim);
    victim = db;
    char name[40];
    snprintf(name, sizeof name, "%s", value("select current_database()"));
    char pid[40];
    snprintf(pid, sizeof pid, "select pg_terminate_backend(%s)", value("select pg_backend_pid()"));
    bool staged = roll_open(&job, victim, &request, &err);
    for (int i = 0; staged && i < 5000; i++) {
        char text[40];
        snprintf(text, sizeof text, "u%d@a.test", i);
        staged = stage_one(job, text, i, &err);
        if (i == 3000) {
            db = open_named(name);
            must(db, pid);
        }
    }
    if (staged)
        ok(!roll_finish(&job, NULL, &outcome, &err) && job == NULL, "%s: the job fails", scenario);
    else
        roll_abort(&job);
    is_int(err.class, ERR_TEMPORARY, "%s: try again: %s", scenario, err.text);
    ok(!db_alive(victim), "%s: the connection is closed", scenario);
    db_close(&victim);
    roll_is("");
    is_text(value("select version from roll_clock"), "1", "%s: no version", scenario);
    check_invariants("broken");
}

static void refused_names(void)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");
    struct roll_outcome outcome;
    struct roll_job *job;
    struct err err;
    struct addr address;
    char name[ROLL_NAME_MAX + 2];

    start("bad entries");
    memset(name, 'x', sizeof name);
    ok(addr_parse(span_text("a@a.test"), true, &address, &err), "an address");
    const struct {
        const char *what;
        struct roll_entry entry;
        const char *want;
    } rows[] = {
        {"no address",
         {7, ENTRY_USER, &address, 0, {"", 0}, false, NULL, 0},
         "line 7: from 1 to 1000 addresses for one user"},
        {"a group of two",
         {8, ENTRY_GROUP, &address, 2, {"", 0}, false, NULL, 0},
         "line 8: a group has one address"},
        {"a long name",
         {9, ENTRY_USER, &address, 1, {name, sizeof name}, false, NULL, 0},
         "line 9: a name is UTF-8 of at most 300 bytes"},
        {"a name that is no text",
         {9, ENTRY_USER, &address, 1, {"\xff", 1}, false, NULL, 0},
         "line 9: a name is UTF-8 of at most 300 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ok(roll_open(&job, db, &request, &err) && !roll_stage(job, &rows[i].entry, &err), "%s: %s",
           scenario, rows[i].what);
        is_text(err.text, rows[i].want, "%s: told", scenario);
        roll_abort(&job);
    }
    roll_abort(&job);
    add("manual", "a@a.test", "applied +1 -0 ~0");
    ok(roll_open(&job, db, &request, &err) &&
           roll_stage(job,
                      &(struct roll_entry){1, ENTRY_USER, &address, 1, {name, 300}, false, NULL, 0},
                      &err) &&
           roll_finish(&job, NULL, &outcome, &err),
       "%s: the longest name", scenario);
}

/* A domain that changes under a list that is being read. */
static void changed_meanwhile(void)
{
    struct roll_request request = request_of(ROLL_ADD, "manual");
    struct roll_outcome outcome;
    struct roll_job *job;
    struct err err;

    start("changed meanwhile");
    struct db *other = open_named(value("select current_database()"));
    ok(roll_open(&job, db, &request, &err) && stage_one(job, "alice@b.test", 1, &err), "staged");
    must(other, "begin; select roll_begin('x'); update domain set case_sensitive = true, changed_by"
                " = roll_changeset() where name = 'b.test'; commit");
    ok(!roll_finish(&job, NULL, &outcome, &err), "%s: refused", scenario);
    is_text(err.text, "b.test: was changed while the list was read; try again", "told");
    is_int(err.class, ERR_TEMPORARY, "%s: to be tried again", scenario);
    roll_is("");
    db_close(&other);
    add("manual", "alice@b.test", "applied +1 -0 ~0");
}

/* Many writers at once in overlapping domains: nobody fails, no version is missed. */
struct writer {
    char database[64];
    unsigned seed;
    int number;
    atomic_int failed, applied;
    char why[300];
};

static void *write_much(void *context)
{
    static const char *const domains[] = {"a.test", "b.test", "case.test"};
    struct writer *writer = context;
    struct db *mine = open_named(writer->database);

    for (int i = 0; i < 40; i++) {
        unsigned dice = (unsigned)rand_r(&writer->seed);
        enum roll_mode mode = dice % 4 == 0 ? ROLL_REMOVE : dice % 4 == 1 ? ROLL_FOLLOW : ROLL_ADD;
        struct roll_request request = request_of(mode, "manual");
        struct roll_outcome outcome;
        struct err err;
        char list[300];

        request.source = mode == ROLL_FOLLOW ? SOURCE_LDAP : SOURCE_MANUAL;
        request.source_id = mode == ROLL_FOLLOW ? writer->number : 0;
        request.force = true;
        snprintf(list, sizeof list, "u%u@%s al%u@%s; u%u@%s", dice / 4 % 6, domains[dice / 24 % 3],
                 dice / 4 % 6, domains[dice / 72 % 3], dice / 216 % 6, domains[dice / 1296 % 3]);
        if (!run(mine, &request, "", list, NULL, &outcome, &err)) {
            snprintf(writer->why, sizeof writer->why, "%s", err.text);
            atomic_fetch_add(&writer->failed, 1);
        } else if (outcome.state == ROLL_APPLIED)
            atomic_fetch_add(&writer->applied, 1);
    }
    db_close(&mine);
    return NULL;
}

static void many_writers(void)
{
    enum { WRITERS = 6 };
    static struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    int applied = 0;
    char want[20];

    start("many writers");
    for (int i = 0; i < WRITERS; i++) {
        snprintf(writers[i].database, sizeof writers[i].database, "%s",
                 value("select current_database()"));
        writers[i].seed = (unsigned)i + 1;
        writers[i].number = i + 1;
        pthread_create(&threads[i], NULL, write_much, &writers[i]);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        is_int(writers[i].failed, 0, "%s: writer %d never fails%s%s", scenario, i,
               writers[i].why[0] != '\0' ? ": " : "", writers[i].why);
        applied += writers[i].applied;
    }
    snprintf(want, sizeof want, "%d", applied + 1);
    ok(applied > 50, "%s: %d changesets", scenario, applied);
    is_text(value("select version from roll_clock"), want, "%s: a version for each", scenario);
    check_invariants("many writers");
}

/* A user whose addresses lie in two domains, of which two lists name one each. */
static void waiting_writer(void)
{
    struct roll_request request = request_of(ROLL_REMOVE, "manual");
    struct roll_outcome outcome;
    struct err err;

    start("users across domains");
    add("manual", "alice@a.test al@b.test; bob@b.test", "applied +3 -0 ~0");
    struct db *other = open_named(value("select current_database()"));
    /* somebody holds b.test: the removal of a user of a.test must wait for it */
    must(other, "begin; select from domain where name = 'b.test' for update");
    must(db, "set lock_timeout = '50ms'");
    ok(!run(db, &request, "", "alice@a.test", NULL, &outcome, &err), "%s: waits", scenario);
    is_int(err.class, ERR_TEMPORARY, "%s: %s", scenario, err.text);
    must(other, "rollback");
    db_close(&other);
    step(ROLL_REMOVE, "manual", "", "alice@a.test", "applied +0 -2 ~0");
    roll_is("bob@b.test manual");
}

int main(void)
{
    private_pg_start(&pg);
    make_template();
    add_and_again();
    names();
    claims();
    replace();
    conflicts();
    renames();
    moved_aliases();
    promotion();
    known_users();
    foreign_and_outside();
    alias_domains_and_cases();
    named();
    guard();
    guard_by_domain();
    undo_refused();
    undo_dry();
    loaded();
    retired();
    many();
    broken_connection();
    refused_names();
    changed_meanwhile();
    waiting_writer();
    many_writers();
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
