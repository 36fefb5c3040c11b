/*
 * roll_case - scenarios of the one door on a real PostgreSQL, for the tests roll, roll_undo and
 * roll_many
 *
 * A scenario starts with a fresh database: customer One with a.test, b.test (alias-a.test is an
 * alias of a.test) and Case.test's case.test, which tells cases apart; customer Two with two.test.
 * Lists are written as people would: entries separated by ';', addresses by blanks, the first one
 * primary; "%" in front: a group, "!": the source says disabled, "=Name": the display name,
 * "&Name": known to be the user of that name; '^' is a blank in an address, '_' one in a name.
 * After every step the rules that must always hold are asked of the database.
 */
#ifndef ROLLCALL_ROLL_CASE_H
#define ROLLCALL_ROLL_CASE_H

#include "lib/roll.h"
#include "lib/schema.h"
#include "t/unit/private_pg.h"
#include "t/unit/tap.h"

static struct private_pg pg;
static struct db *db; /* of the running scenario */
static const char *scenario = "";

/* ---- the database ---- */

static inline struct db *open_named(const char *name)
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

static inline void must(struct db *on, const char *sql)
{
    struct err err;

    if (!db_script(on, sql, &err)) {
        printf("Bail out! %s: %s\n", sql, err.text);
        exit(1);
    }
}

/* One value as text; "" for none. */
static inline const char *value(const char *sql)
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

static inline void make_template(void)
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

static inline void start(const char *name)
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

static inline void check_invariants(const char *step)
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
static inline const char *picture(void)
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

static inline void tell_problem(void *context, const struct roll_problem *problem)
{
    struct told *told = context;
    size_t used = strlen(told->problems);
    BUF_AUTO text = {0};

    roll_problem_text(problem, &text);
    snprintf(told->problems + used, sizeof told->problems - used, "%s%d %s: %s",
             used > 0 ? "\n" : "", (int)problem->line, roll_problem_names[problem->kind], text.at);
}

static inline void tell_difference(void *context, const struct roll_difference *d)
{
    struct told *told = context;
    size_t used = strlen(told->differences);

    snprintf(told->differences + used, sizeof told->differences - used, "%s%c %s [%s] [%s]",
             used > 0 ? "\n" : "", d->sign, d->address, d->before, d->after);
}

static inline struct roll_request request_of(enum roll_mode mode, const char *source)
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
static inline bool stage(struct roll_job *job, char *text, int64_t line, struct err *err)
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

static inline bool stage_all(struct roll_job *job, const char *list, struct err *err)
{
    char *copy = mem_text(list), *rest = copy;
    bool fine = true;
    int64_t line = 0;

    for (char *entry; fine && (entry = strsep(&rest, ";")) != NULL;)
        fine = stage(job, entry, ++line, err);
    free(copy);
    return fine;
}

static inline bool run(struct db *on, const struct roll_request *request, const char *scope,
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
static inline const char *outcome_text(bool fine, const struct roll_outcome *outcome,
                                       const struct err *err)
{
    static const char *const states[] = {"unchanged", "applied", "held", "dry", "again"};
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
static inline void step_with(const struct roll_request *request, const char *scope,
                             const char *list, const char *want, const char *problems)
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

static inline void step(enum roll_mode mode, const char *source, const char *scope,
                        const char *list, const char *want)
{
    struct roll_request request = request_of(mode, source);
    step_with(&request, scope, list, want, "");
}

static inline void add(const char *source, const char *list, const char *want)
{
    step(ROLL_ADD, source, "", list, want);
}

static inline void decide(bool (*fn)(struct db *, int64_t, const struct roll_request *,
                                     const struct roll_listener *, struct roll_outcome *,
                                     struct err *),
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

/* One address. */
static inline bool stage_one(struct roll_job *job, const char *text, int64_t line, struct err *err)
{
    struct addr address;
    struct roll_entry entry = {
        .line = line, .addresses = &address, .address_count = 1, .name = span_text("")};

    return addr_parse(span_text(text), true, &address, err) && roll_stage(job, &entry, err);
}

#endif
