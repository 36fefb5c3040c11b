/*
 * The one door, scenario by scenario: the guard, what it holds, and undoing. Catches a large loss
 * that is applied unasked, and an undo that does not bring back exactly what was.
 */
#include "lib/ldap_source.h"
#include "t/unit/roll_case.h"

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

/* What it brings back must still be reachable there, and whose domain it is. */
static void undo_elsewhere(void)
{
    start("undo where the domain is another now");
    add("manual", "Bob@case.test; alice@case.test", "applied +2 -0 ~0");
    step(ROLL_REMOVE, "manual", "", "Bob@case.test", "applied +0 -1 ~0");
    must(db, "begin; select roll_begin('x'); update domain set case_sensitive = false,"
             " changed_by = roll_changeset() where name = 'case.test'; commit");
    undo(3, "error 65: changeset 3 cannot be undone: Bob@case.test is written with capital "
            "letters, which case.test does not tell apart any more");
    step(ROLL_REMOVE, "manual", "", "alice@case.test", "applied +0 -1 ~0");
    must(db, "begin; select roll_begin('x'); update domain set customer_id = 2,"
             " changed_by = roll_changeset() where name = 'case.test'; commit");
    undo(5, "error 65: changeset 5 cannot be undone: its users are another customer's than "
            "case.test now is");
}

/* The same of a list that waited. */
static void held_elsewhere(void)
{
    start("approved where the domain is another now");
    add("ldap:1", "a@case.test; b@case.test; c@case.test; d@case.test; e@case.test",
        "applied +5 -0 ~0");
    step(ROLL_FOLLOW, "ldap:1", "case.test", "Zoe@case.test",
         "held +1 -5 ~0; case.test: held: would remove 5 of 5 addresses (limit 20 %); see "
         "'rollcall change show 3', apply with 'rollcall change approve 3'");
    must(db, "begin; select roll_begin('x'); update domain set case_sensitive = false,"
             " changed_by = roll_changeset() where name = 'case.test'; commit");
    approve(3, "error 65: changeset 3 cannot be approved: Zoe@case.test is written with capital "
               "letters, which case.test does not tell apart any more");
    must(db, "begin; select roll_begin('x'); update domain set case_sensitive = true,"
             " customer_id = 2, changed_by = roll_changeset() where name = 'case.test';"
             " update users set customer_id = 2; commit");
    approve(3, "error 65: changeset 3 cannot be approved: case.test belongs to another customer "
               "now; reject it");
}

/* What waits of a directory goes with it: nobody would ever take its claims back. */
static void held_orphan(void)
{
    struct err err;

    start("a held list whose directory is gone");
    must(db, "insert into ldap_source (name, customer_id) values ('dir', 1);"
             "insert into ldap_source_domain select 1, id from domain where name = 'a.test'");
    add("manual", "a@a.test; b@a.test; c@a.test; d@a.test; e@a.test", "applied +5 -0 ~0");
    step(ROLL_FOLLOW, "ldap:1", "a.test",
         "a@a.test !; b@a.test !; c@a.test !; d@a.test !; new@a.test",
         "held +1 -0 ~4; a.test: held: would remove or disable 4 of 5 addresses (limit 20 %); see "
         "'rollcall change show 3', apply with 'rollcall change approve 3'");
    ok(ldap_source_remove(db, "dir", "tester", &err), "the directory is removed");
    check_invariants("directory removed");
    approve(3, "error 65: changeset 3 is rejected, not held");
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

int main(void)
{
    private_pg_start(&pg);
    make_template();
    guard();
    guard_by_domain();
    undo_refused();
    undo_elsewhere();
    held_elsewhere();
    held_orphan();
    undo_dry();
    loaded();
    retired();
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
