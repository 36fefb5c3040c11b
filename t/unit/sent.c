/*
 * sent: what several senders have noted is recorded in one commit, and nobody is told so before it
 * is. Catches a mail that is called recorded and is not, a commit for each mail, and a last mail
 * that waits for company which never comes.
 */
#include "report/sent.h"

#include <pthread.h>

#include "lib/schema.h"

#include "private_pg.h"
#include "tap.h"

static struct private_pg pg;

#define works(call, ...) ((void)(ok((call), __VA_ARGS__) || printf("# %s\n", err.text)))

/* ---- a sender ---- */

struct sender {
    struct sent *sent;
    uint64_t place;
    pthread_t thread;
    bool fine;
    struct err err;
};

static void *record(void *context)
{
    struct sender *s = context;

    s->fine = sent_record(s->sent, s->place, &s->err);
    return NULL;
}

static void begin(struct sender *s, struct sent *sent, const char *id)
{
    *s = (struct sender){.sent = sent, .place = sent_note(sent, id)};
    pthread_create(&s->thread, NULL, record, s);
}

static void end(struct sender *s, const char *what)
{
    pthread_join(s->thread, NULL);
    ok(s->fine, "%s%s%s", what, s->fine ? "" : ": ", s->fine ? "" : s->err.text);
}

/* ---- the outbox ---- */

static void fill(struct db *db)
{
    struct err err;
    int from, to;

    works(schema_upgrade(db, &from, &to, &err), "an outbox");
    works(db_script(db,
                    "insert into outbox (kind, urgent, envelope_from, envelope_to, message_id,"
                    " body) select 'report', false, 'gateway@example.test', 'ann@customer.test',"
                    " 'mail-' || n, 'text' from generate_series(1, 20) n",
                    &err),
          "with mails");
}

static int64_t look(struct db *db, const char *sql)
{
    DB_RESULT_AUTO row = NULL;
    struct err err;

    works(db_query(db, &row, sql, DB_NO_VALUES, &err), "%s", sql);
    return db_int(row, 0, 0);
}

/* ---- the tests ---- */

static const int64_t LONG = 600 * CLOCK_SECOND;

/* Four fifths of four are three: two wait for the third, and none for the moment to end. */
static void check_together(struct db *db)
{
    const struct conf conf = {
        .database = pg.conninfo, .database_timeout = 60 * CLOCK_SECOND, .mail_connections = 4};
    struct sent *sent = sent_open(&conf, LONG);
    struct sender one, two, three;
    bool early = false;

    begin(&one, sent, "1");
    begin(&two, sent, "2");
    for (int i = 0; i < 50 && !early; i++)
        early = look(db, "select count(*) from outbox where state = 'sent'") != 0;
    ok(!early, "two wait");
    begin(&three, sent, "7");
    end(&one, "the first is recorded");
    end(&two, "and the second");
    end(&three, "and the third");
    is_int(look(db, "select count(*) from outbox where id in (1, 2, 7) and state = 'sent'"), 3,
           "all are");
    is_int(look(db, "select count(distinct xmin::text) from outbox where id in (1, 2, 7)"), 1,
           "in one commit");
    sent_close(&sent);
}

static void check_alone(struct db *db)
{
    struct conf conf = {
        .database = pg.conninfo, .database_timeout = 60 * CLOCK_SECOND, .mail_connections = 4};
    struct sent *sent = sent_open(&conf, CLOCK_SECOND / 20);
    struct sender one;

    begin(&one, sent, "3");
    end(&one, "nobody comes");
    is_int(look(db, "select count(*) from outbox where id = 3 and state = 'sent'"), 1,
           "it is recorded");
    sent_close(&sent);
    conf.mail_connections = 1;
    sent = sent_open(&conf, LONG);
    begin(&one, sent, "4");
    end(&one, "one connection waits for nobody");
    is_int(look(db, "select count(*) from outbox where id = 4 and state = 'sent'"), 1,
           "it is recorded");
    sent_close(&sent);
}

/* Who was told that it failed may try again; then it is recorded with what came meanwhile. */
static void check_trouble(struct db *db)
{
    static char away[] = "host=/nonexistent";
    struct conf conf = {
        .database = away, .database_timeout = 60 * CLOCK_SECOND, .mail_connections = 1};
    struct sent *sent = sent_open(&conf, LONG);
    struct err err;

    uint64_t place = sent_note(sent, "5");
    ok(!sent_record(sent, place, &err), "PostgreSQL is away: %s", err.text);
    conf.database = pg.conninfo;
    place = sent_note(sent, "6");
    works(sent_record(sent, place, &err), "and back");
    is_int(look(db, "select count(*) from outbox where id in (5, 6) and state = 'sent'"), 2,
           "nothing was forgotten");
    sent_close(&sent);
}

int main(void)
{
    private_pg_start(&pg);
    struct db *db = private_pg_open(&pg);

    fill(db);
    check_together(db);
    check_alone(db);
    check_trouble(db);
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
