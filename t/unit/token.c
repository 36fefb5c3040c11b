/*
 * token, password_request: tokens work once, for what they were made for, until they expire; the
 * two steps to a password under the rights of the programs that take them. Catches a token kept
 * readable, one that works twice or elsewhere, askings that are not limited or tell who exists, and
 * a panel that may do more than it needs.
 */
#include "lib/token.h"

#include "ask.h"
#include "lib/password.h"
#include "lib/password_request.h"
#include "lib/schema.h"
#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;
static struct db *owner, *panel, *sender;
static struct conf conf = {.password_requests_address = 3, .password_requests_client = 5};

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))
enum { HOUR_S = 3600 };

#define value(sql) ask_value(owner, sql)
#define run(sql)   ask_run(owner, sql)

static struct db *open_as(const char *role)
{
    char conninfo[200];
    struct db *db;
    struct err err;

    snprintf(conninfo, sizeof conninfo, "host=%s dbname=postgres user=%s", pg.dir, role);
    struct db_options options = {
        .conninfo = conninfo, .timeout_us = 30 * CLOCK_SECOND, .program = "test"};
    works(db_open(&db, &options, &err), "%s", role);
    return db;
}

static void check_token(void)
{
    char text[TOKEN_TEXT + 1], again[TOKEN_TEXT + 1];
    struct err err;
    int64_t subject;

    works(token_make(sender, TOKEN_CONFIRM, 42, HOUR_S * CLOCK_SECOND, text, &err), "made");
    is_int(strlen(text), TOKEN_TEXT, "its length");
    char sql[200];
    snprintf(sql, sizeof sql, "select count(*) from token t where t::text like '%%%.20s%%'", text);
    is_text(value(sql), "0", "it is kept nowhere");
    for (int i = 0; i < 3; i++)
        ok(token_look(panel, TOKEN_CONFIRM, span_text(text), &subject, &err) == TOKEN_GOOD &&
               subject == 42,
           "looked at");
    ok(token_use(panel, TOKEN_PASSWORD, span_text(text), &subject, &err) == TOKEN_BAD,
       "not for something else");
    ok(token_use(panel, TOKEN_CONFIRM, span_of(text, TOKEN_TEXT - 1), &subject, &err) == TOKEN_BAD,
       "not cut");
    works(token_make(sender, TOKEN_CONFIRM, 42, HOUR_S * CLOCK_SECOND, again, &err), "another");
    ok(token_use(panel, TOKEN_CONFIRM, span_text(text), &subject, &err) == TOKEN_GOOD &&
           subject == 42,
       "used");
    ok(token_use(panel, TOKEN_CONFIRM, span_text(text), &subject, &err) == TOKEN_BAD, "only once");
    ok(token_look(panel, TOKEN_CONFIRM, span_text(again), &subject, &err) == TOKEN_BAD,
       "the other one goes with it");
    works(token_make(sender, TOKEN_CONFIRM, 42, HOUR_S * CLOCK_SECOND, text, &err), "one more");
    run("update token set expires_at = now()");
    ok(token_use(panel, TOKEN_CONFIRM, span_text(text), &subject, &err) == TOKEN_BAD, "expired");
    ok(!db_exec(panel, "select token_make('\\x00', 'password', 1, '1 day')", DB_NO_VALUES, NULL,
                &err) &&
           strcmp(db_sqlstate(panel), "42501") == 0,
       "the panel makes none");
    ok(!db_exec(panel, "select hash from user_password", DB_NO_VALUES, NULL, &err), "nor reads");
    run("delete from token");
}

static void check_asking(void)
{
    struct err err;
    const char *a = "198.51.100.7";

    for (int i = 0; i < 3; i++)
        ok(password_request(panel, &conf, i == 1 ? "ANN@example.com" : "ann@example.com", a,
                            &err) == PASSWORD_ASKED,
           "asked");
    ok(password_send(panel, &conf, "Ann@EXAMPLE.com", "203.0.113.1", &err) == PASSWORD_TOO_MANY,
       "four times for one address is too often, from wherever");
    ok(password_request(panel, &conf, "nobody@nowhere.example", a, &err) == PASSWORD_ASKED,
       "who is nobody is answered alike");
    ok(password_request(panel, &conf, "x@example.com", a, &err) == PASSWORD_ASKED &&
           password_request(panel, &conf, "y@example.com", a, &err) == PASSWORD_TOO_MANY,
       "six times from one client is too often");
    ok(password_request(panel, &conf, "y@example.com", "2001:db8::1", &err) == PASSWORD_ASKED,
       "IPv6");
    is_text(value("select client from mail_request order by id desc limit 1"),
            "2001:db8::", "counts by its network");
    ok(password_request(panel, &conf, "z@example.com", NULL, &err) == PASSWORD_ASKED, "help desk");
    ok(password_request(panel, &conf, "not an address", a, &err) == PASSWORD_NO_ADDRESS, "%s",
       err.text);
    is_text(value("select count(*) from mail_request"), "7", "what waits");
    run("update mail_request set made_at = made_at - interval '61 minutes'");
    ok(password_request(panel, &conf, "ann@example.com", a, &err) == PASSWORD_ASKED,
       "an hour later");
}

static void check_setting(void)
{
    char confirm[TOKEN_TEXT + 1], first[TOKEN_TEXT + 1];
    struct err err;
    struct span good = span_text("a rather long one");
    int64_t id = strtoll(value("select id from users"), NULL, 10), user;
    bool right, must;

    works(token_make(sender, TOKEN_CONFIRM, id, HOUR_S * CLOCK_SECOND, confirm, &err), "token");
    ok(password_confirm(panel, span_text("?"), &user, &err) == TOKEN_BAD, "no token");
    ok(password_confirm(panel, span_text(confirm), &user, &err) == TOKEN_GOOD && user == id,
       "confirmed");
    ok(password_confirm(panel, span_text(confirm), &user, &err) == TOKEN_BAD, "once");
    is_text(value("select confirmed_at is not null and hash is null from user_password"), "t",
            "remembered");
    works(token_make(sender, TOKEN_PASSWORD, id, HOUR_S * CLOCK_SECOND, first, &err), "token");
    ok(password_set(panel, span_text(first), span_text("short"), &user, &err) == PASSWORD_REFUSED,
       "%s", err.text);
    ok(password_set(panel, span_text(confirm), good, &user, &err) == PASSWORD_BAD_TOKEN, "another");
    ok(password_set(panel, span_text(first), good, &user, &err) == PASSWORD_DONE && user == id,
       "after a refusal the link still works");
    ok(password_set(panel, span_text(first), good, &user, &err) == PASSWORD_BAD_TOKEN, "once");
    works(password_sign_in(panel, id, good, &right, &must, &err) && right && !must, "signed in");
    works(password_sign_in(panel, id, span_text("a rather longer one"), &right, &must, &err) &&
              !right,
          "wrong password");
    works(password_sign_in(panel, 0, good, &right, &must, &err) && !right, "nobody");
    ok(password_change(panel, id, "", good, &err) == PASSWORD_BAD_TOKEN, "nobody is signed in");
    works(db_script(panel, "select set_config('rollcall.user', '999', false)", &err),
          "somebody else's session");
    ok(password_change(panel, id, "", good, &err) == PASSWORD_BAD_TOKEN, "changes nothing");
    char sql[80];
    snprintf(sql, sizeof sql, "select set_config('rollcall.user', '%lld', false)", (long long)id);
    works(db_script(panel, sql, &err), "his own");
    ok(password_change(panel, id, "a login that is long", span_text("A login that is long"),
                       &err) == PASSWORD_REFUSED,
       "%s", err.text);
    ok(password_change(panel, id, "", good, &err) == PASSWORD_DONE, "does");
}

/* A hash of an older method is made anew when its owner signs in. */
static void check_rehash(void)
{
    struct err err;
    bool right, must;
    int64_t id = strtoll(value("select id from users"), NULL, 10);

    run("create extension if not exists pgcrypto");
    run("update user_password set must_change = true,"
        " hash = crypt('correct horse battery', gen_salt('bf', 4))");
    works(password_sign_in(panel, id, span_text("correct horse battery"), &right, &must, &err) &&
              right && must,
          "an old hash fits");
    is_text(value("select left(hash, 3) from user_password"), "$y$", "and is a new one then");
    works(password_sign_in(panel, id, span_text("correct horse battery"), &right, &must, &err) &&
              right && must,
          "which fits too");
}

int main(void)
{
    int from, to;
    struct err err;

    secret_init();
    private_pg_start(&pg);
    owner = private_pg_open(&pg);
    works(schema_upgrade(owner, &from, &to, &err), "tables");
    run("begin; select roll_begin('test'); insert into customer (name) values ('A');"
        "insert into domain (name, customer_id) select 'a.test', id from customer;"
        "insert into users (customer_id) select id from customer;"
        "insert into recipient (domain_id, local_part, user_id, kind)"
        " select d.id, 'ann', u.id, 'primary' from domain d, users u; commit");
    panel = open_as("rollcall_panel");
    sender = open_as("rollcall_report");
    check_token();
    check_asking();
    check_setting();
    check_rehash();
    db_close(&sender);
    db_close(&panel);
    db_close(&owner);
    private_pg_stop(&pg);
    return tap_done();
}
