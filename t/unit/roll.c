/*
 * The one door on a real PostgreSQL, scenario by scenario.
 *
 * A scenario starts with a fresh database: customer One with a.test, b.test (alias-a.test is an
 * alias of a.test) and Case.test's case.test, which tells cases apart; customer Two with two.test.
 * Lists are written as people would: entries separated by ';', addresses by blanks, the first one
 * primary; "%" in front: a group, "!": the source says disabled, "=Name": the display name.
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
    {"a live user without exactly one primary address, or a dead one with addresses",
     "select u.id from users u left join recipient r on r.user_id = u.id group by u.id, u.live"
     " having count(r.id) filter (where r.kind = 'primary') <> u.live::int"
     "   or (not u.live and count(r.id) > 0)"},
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
    static struct addr addresses[ROLL_ADDRESSES_MAX];
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
        if (strcmp(word, "!") == 0) {
            entry.disabled = true;
            continue;
        }
        entry.kind = *word == '%' ? ENTRY_GROUP : entry.kind;
        word += *word == '%';
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
    is_text(value("select string_agg(id || ' ' || live, ', ' order by id) from users"),
            "1 true, 2 false, 3 true", "%s: a user without addresses is over", scenario);
    undo(last.changeset, "applied +0 -0 ~2");
    roll_is("al@a.test of alice@a.test manual\nalice.jones@a.test of alice@a.test manual\n"
            "alice@a.test manual\nb@a.test of bob@a.test manual\nbob@a.test manual =Bob\n"
            "c@a.test manual");
    is_text(value("select string_agg(id || ' ' || live, ', ' order by id) from users"),
            "1 true, 2 true, 3 true", "%s: and is back with its name", scenario);
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
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
