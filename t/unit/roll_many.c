/*
 * The one door with long lists, broken connections and many writers at once. Catches a number that
 * is wrong from thousands on, half a list that stays, a version that is missed.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "t/unit/roll_case.h"

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

/* ---- first lists, written while they come ---- */

enum { FEW = 5, LONG = 9000 }; /* addresses; a long list is written in several pieces */

/* Stages `count` users with two addresses each, and makes the users. */
static bool stage_first(struct roll_job **job, const struct roll_request *request, int count,
                        struct err *err)
{
    char text[100], sql[200];
    int64_t first;
    bool fine = roll_numbers(db, count, &first, err) && roll_open(job, db, request, err);
    struct db *other = open_named(value("select current_database()"));

    for (int i = 0; fine && i < count; i++) {
        struct addr addresses[2];
        struct roll_entry entry = {.line = i + 1,
                                   .addresses = addresses,
                                   .address_count = 2,
                                   .name = span_text("Some Body"),
                                   .disabled = i == 1,
                                   .user = first + i};
        snprintf(text, sizeof text, "u-%d@a.test", i);
        fine = addr_parse(span_text(text), true, &addresses[0], err);
        snprintf(text, sizeof text, "al-%d@alias-a.test", i);
        fine = fine && addr_parse(span_text(text), true, &addresses[1], err) &&
               roll_stage(*job, &entry, err);
    }
    snprintf(sql, sizeof sql,
             "insert into users (id, customer_id, name) overriding system value select n, 1,"
             " 'Some Body' from generate_series(%lld, %lld) n",
             (long long)first, (long long)first + count - 1);
    must(other, sql);
    db_close(&other);
    return fine;
}

static struct roll_request eager_request(void)
{
    struct roll_request request = request_of(ROLL_FOLLOW, "ldap:1");

    request.eager = true;
    return request;
}

/* Whether the end of the job is this, and the rules hold then. */
static void ends(struct roll_job **job, const char *want, const char *step)
{
    struct err err;
    bool fine = roll_finish(job, NULL, &last, &err);

    is_text(outcome_text(fine, &last, &err), want, "%s: %s", scenario, step);
    check_invariants(step);
}

static void first_lists(void)
{
    struct roll_request request = eager_request();
    struct roll_job *job;
    struct err err = {0};

    start("eager");
    ok(stage_first(&job, &request, LONG, &err) && roll_staged(job, &err), "staged: %s", err.text);
    ends(&job, "applied +18000 -0 ~0", "a long list");
    is_text(value("select count(*) filter (where u.live) || ' ' || count(*) filter (where r.state"
                  " = 'disabled') from users u join recipient r on r.user_id = u.id"),
            "18000 2", "%s: two addresses for each user, one of them disabled", scenario);
    is_text(value("select state || ' ' || added || ' ' || (customer_id = 1) from changeset"
                  " order by id desc limit 1"),
            "applied 18000 true", "%s: the changeset", scenario);
    is_text(value("select count(*) from domain where name = 'a.test' and loaded_at is null"), "0",
            "%s: and the domain's list counts as complete", scenario);
    int64_t made = last.changeset;
    ok(stage_first(&job, &request, FEW, &err), "%s: once more", scenario);
    ends(&job, "again +0 -0 ~0", "somebody is there");
    undo(made, "applied +0 -18000 ~0");
    roll_is("");
}

static void first_with_doubles(void)
{
    struct roll_request request = eager_request();
    struct roll_job *job;
    struct err err = {0};

    start("eager doubles");
    ok(stage_first(&job, &request, LONG, &err) && stage_one(job, "u-7@a.test", 1, &err), "staged");
    ends(&job, "again +0 -0 ~0", "an address twice");
    ok(stage_first(&job, &request, FEW, &err) && stage_one(job, "u-7@else.where", 1, &err),
       "staged");
    ends(&job, "again +0 -0 ~0", "an address that is not ours");
    ok(stage_first(&job, &request, FEW, &err) && roll_scope(job, "b.test", &err), "staged");
    ends(&job, "again +0 -0 ~0", "addresses outside");
    ok(roll_open(&job, db, &request, &err), "nobody");
    ends(&job, "again +0 -0 ~0", "nobody");
    roll_is("");
    is_text(value("select count(*) from changeset where id > 1"), "0", "%s: no trace", scenario);
}

/* Others at work in the same domain: who comes first wins, nobody waits for ever. */
static void first_disturbed(void)
{
    struct roll_request request = eager_request(), plain = request_of(ROLL_ADD, "manual");
    struct roll_outcome outcome;
    struct roll_job *job;
    struct err err = {0};

    start("eager disturbed");
    struct db *other = open_named(value("select current_database()"));
    ok(stage_first(&job, &request, FEW, &err) && roll_staged(job, &err), "staged");
    ok(run(other, &plain, "", "carol@a.test", NULL, &outcome, &err), "%s: somebody comes",
       scenario);
    ends(&job, "again +0 -0 ~0", "not alone any more");
    roll_is("carol@a.test manual");
    ok(stage_first(&job, &request, FEW, &err), "staged");
    ok(!roll_staged(job, &err), "%s: is known before the end", scenario);
    roll_abort(&job);

    start("eager against a lock");
    db_close(&other);
    other = open_named(value("select current_database()"));
    ok(stage_first(&job, &request, FEW, &err) && roll_staged(job, &err), "staged");
    must(other, "begin; select from domain where name = 'a.test' for update");
    ok(!roll_finish(&job, NULL, &outcome, &err), "%s: does not wait: %s", scenario, err.text);
    must(other, "commit");
    roll_is("");
    check_invariants("nothing");
    db_close(&other);
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
         {7, ENTRY_USER, &address, 0, {"", 0}, false, false, NULL, 0},
         "line 7: from 1 to 1000 addresses for one user"},
        {"a group of two",
         {8, ENTRY_GROUP, &address, 2, {"", 0}, false, false, NULL, 0},
         "line 8: a group has one address"},
        {"a long name",
         {9, ENTRY_USER, &address, 1, {name, sizeof name}, false, false, NULL, 0},
         "line 9: a name is UTF-8 of at most 300 bytes"},
        {"a name that is no text",
         {9, ENTRY_USER, &address, 1, {"\xff", 1}, false, false, NULL, 0},
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
           roll_stage(
               job,
               &(struct roll_entry){1, ENTRY_USER, &address, 1, {name, 300}, false, false, NULL, 0},
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
    many();
    first_lists();
    first_with_doubles();
    first_disturbed();
    broken_connection();
    refused_names();
    changed_meanwhile();
    waiting_writer();
    many_writers();
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
