/*
 * The one door, scenario by scenario: what lists and names bring onto the roll and take off it.
 * Catches an address that goes to the wrong user, a claim that is lost, a rule that does not hold.
 */
#include "t/unit/roll_case.h"

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
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
