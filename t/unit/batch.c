/*
 * batch: the rows of several messages in one transaction, against a real server. Catches a row
 * that is committed though its message's file is not durable, and one that is lost with it.
 */
#include "report/batch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "private_pg.h"
#include "tap.h"

enum { MESSAGES = 12 };
#define SQL                                                                                        \
    "with k as (insert into kept select unnest($1::text[]) returning 1)"                           \
    " select f from unnest($1::text[]) f, (select count(*) from k) c"

static struct private_pg pg;
static pthread_barrier_t together;

struct message {
    struct batch *batch;
    char name[8];
    bool unprepared, unready; /* what fails */
    atomic_int prepared, asked;
    enum batch_outcome outcome;
    char word[BATCH_WORD];
    struct err err;
};

static bool prepare(void *context, void *message, struct err *err)
{
    struct message *m = message;

    (void)context;
    m->prepared++;
    return !m->unprepared || err_set(err, ERR_TEMPORARY, "%s: not prepared", m->name);
}

static bool is_ready(void *context, void *message, struct err *err)
{
    struct message *m = message;

    (void)context;
    m->asked += m->prepared == 1 ? 1 : 100; /* never before */
    return !m->unready || err_set(err, ERR_TEMPORARY, "%s: not ready", m->name);
}

static void *give(void *context)
{
    struct message *m = context;
    const char *values[] = {m->name};

    pthread_barrier_wait(&together);
    m->outcome = batch_run(m->batch, values, m, m->word, &m->err);
    return NULL;
}

static void check_message(struct db *db, const struct message *m)
{
    bool fails = m->unprepared || m->unready;
    struct err err;
    DB_RESULT_AUTO r = NULL;

    is_int(m->outcome, fails ? BATCH_FAILED : BATCH_DONE, "%s: its outcome", m->name);
    if (fails)
        ok(strstr(m->err.text, m->name) != NULL, "%s: it hears of its own failure: %s", m->name,
           m->err.text);
    else
        is_text(m->word, m->name, "%s: its own answer", m->name);
    ok(m->prepared == 1 && m->asked == !m->unprepared, "%s: each is asked once", m->name);
    ok(db_query(db, &r, "select count(*) from kept where name = $1", DB_VALUES(m->name), &err),
       "%s: a look", m->name);
    is_int(r != NULL ? db_int(r, 0, 0) : -1, !fails, "%s: its row", m->name);
}

/* All at once; every third fails at one of the two, or, with `all`, each. */
static void check_group(struct db *db, struct batch *batch, char letter, bool all)
{
    static struct message messages[MESSAGES];
    pthread_t threads[MESSAGES];

    memset(messages, 0, sizeof messages);
    pthread_barrier_init(&together, NULL, MESSAGES);
    for (int i = 0; i < MESSAGES; i++) {
        struct message *m = &messages[i];
        m->batch = batch;
        snprintf(m->name, sizeof m->name, "%c%d", letter, i);
        m->unprepared = i % 3 == 1 || (all && i % 3 == 0);
        m->unready = i % 3 == 2;
        if (pthread_create(&threads[i], NULL, give, m) != 0)
            abort();
    }
    for (int i = 0; i < MESSAGES; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < MESSAGES; i++)
        check_message(db, &messages[i]);
    pthread_barrier_destroy(&together);
}

int main(void)
{
    struct err err;

    private_pg_start(&pg);
    struct db *db = private_pg_open(&pg);
    if (!db_script(db, "create table kept (name text primary key)", &err))
        printf("# %s\n", err.text);
    struct pool *pool = pool_open(&(struct pool_options){.conninfo = pg.conninfo,
                                                         .program = "test",
                                                         .timeout_us = 10 * CLOCK_SECOND,
                                                         .most = 2,
                                                         .prepared = "keep",
                                                         .sql = SQL});
    struct batch *batch = batch_open(&(struct batch_options){.pool = pool,
                                                             .sql = SQL,
                                                             .columns = 1,
                                                             .writers = 2,
                                                             .prepare = prepare,
                                                             .ready = is_ready});
    check_group(db, batch, 'a', false);
    check_group(db, batch, 'b', true);
    batch_close(&batch);
    pool_close(&pool);
    db_close(&db);
    private_pg_stop(&pg);
    return tap_done();
}
