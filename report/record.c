/* record - see record.h */
#include "report/record.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/header.h"
#include "lib/log.h"
#include "lib/mime.h"
#include "lib/sender.h"
#include "report/batch.h"
#include "report/category.h"
#include "report/facts.h"
#include "report/kept.h"

enum { DOMAINS = 64 /* remembered */, QUEUE_ID_MOST = 100, COLUMNS = 26 /* of record_sql */ };
enum { GATEWAY = 0, QUEUE_ID = 3, DIGEST = 10 }; /* of these */
static const int64_t REMEMBERED = 5 * CLOCK_SECOND;

struct domain {
    char name[ADDR_DOMAIN_MAX + 1];
    int64_t until_us; /* clock_elapsed_us */
    int32_t id;       /* 0: not served */
    char delimiter[9];
    bool case_sensitive;
};

struct recorder {
    struct recorder_options options;
    struct batch *batch;
    uint8_t key[SECRET_HASH_KEY];
    pthread_mutex_t lock;
    struct domain domains[DOMAINS];
};

/* For the batch: a message's file has to be durable before its rows are; the file's bytes by
 * whoever gives it, its name for all of a group. */
static bool sync_file(void *context, void *message, struct err *err)
{
    (void)context;
    return message == NULL || store_sync(message, err);
}

static bool settle_file(void *context, void *message, struct err *err)
{
    (void)context;
    return message == NULL || store_settle(message, err);
}

struct recorder *recorder_open(const struct recorder_options *options)
{
    struct recorder *r = mem_zero(1, sizeof *r);

    r->options = *options;
    r->batch = batch_open(&(struct batch_options){.pool = options->pool,
                                                  .sql = record_sql,
                                                  .columns = COLUMNS,
                                                  .writers = options->writers,
                                                  .prepare = sync_file,
                                                  .ready = settle_file});
    secret_random(r->key, sizeof r->key);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void recorder_close(struct recorder **recorder)
{
    if (*recorder == NULL)
        return;
    batch_close(&(*recorder)->batch);
    pthread_mutex_destroy(&(*recorder)->lock);
    free(*recorder);
    *recorder = NULL;
}

/* ---- domains ---- */

static struct domain *slot_of(struct recorder *r, const char *name)
{
    return &r->domains[secret_hash64(name, strlen(name), r->key) % DOMAINS];
}

static bool remembered(struct recorder *r, const char *name, struct domain *domain)
{
    pthread_mutex_lock(&r->lock);
    *domain = *slot_of(r, name);
    pthread_mutex_unlock(&r->lock);
    return strcmp(domain->name, name) == 0 && domain->until_us > clock_elapsed_us();
}

static bool ask_domain(struct recorder *r, const char *name, struct domain *domain, struct err *err)
{
    struct db *db = NULL;
    DB_RESULT_AUTO rows = NULL;

    if (!pool_take(r->options.pool, &db, err))
        return false;
    bool fine =
        db_query(db, &rows, "select id, delimiter, case_sensitive from quarantine_domain($1)",
                 DB_VALUES(name), err);
    pool_give(r->options.pool, &db);
    if (!fine)
        return false;
    *domain = (struct domain){.until_us = clock_elapsed_us() + REMEMBERED};
    snprintf(domain->name, sizeof domain->name, "%s", name);
    if (db_rows(rows) > 0) {
        domain->id = (int32_t)db_int(rows, 0, 0);
        snprintf(domain->delimiter, sizeof domain->delimiter, "%s", db_text(rows, 0, 1));
        domain->case_sensitive = db_bool(rows, 0, 2);
    }
    pthread_mutex_lock(&r->lock);
    *slot_of(r, name) = *domain;
    pthread_mutex_unlock(&r->lock);
    return true;
}

/* What a recipient's address is on the roll. `asked` points into `plain`. */
struct recipient {
    struct domain domain;                                     /* id 0: not served */
    char local[ADDR_LOCAL_MAX + 1], base[ADDR_LOCAL_MAX + 1]; /* base "": it has no tag */
};

/* As asked, and without the tag; only the latter where a roll cannot hold the whole: a tag may be
 * long. False: on nobody's roll, whatever happens. */
static bool take_local(struct recipient *recipient, struct span asked)
{
    const struct domain *d = &recipient->domain;
    struct span base;
    size_t len;

    if (!addr_normal_local(asked, !d->case_sensitive, recipient->local, &len))
        return addr_without_tag(asked, d->delimiter, &base) &&
               addr_normal_local(base, !d->case_sensitive, recipient->local, &len);
    if (addr_without_tag(span_of(recipient->local, len), d->delimiter, &base))
        snprintf(recipient->base, sizeof recipient->base, "%.*s", (int)base.len, base.at);
    return true;
}

static bool look_up(struct recorder *r, const char *address, struct recipient *recipient,
                    struct err *err)
{
    struct addr_asked asked;

    *recipient = (struct recipient){0};
    if (!addr_split_asked(span_text(address), &asked))
        return true;
    struct domain *d = &recipient->domain;
    if (!remembered(r, asked.domain, d) && !ask_domain(r, asked.domain, d, err))
        return false;
    if (d->id != 0 && !take_local(recipient, asked.local))
        d->id = 0;
    return true;
}

bool recorder_serves(struct recorder *recorder, const char *address, bool *served, struct err *err)
{
    struct recipient recipient;

    if (!look_up(recorder, address, &recipient, err))
        return false;
    *served = recipient.domain.id != 0;
    return true;
}

/* ---- what quarantine_add takes ---- */

static void put_pattern(void *context, const char *pattern)
{
    db_array_add(context, pattern);
}

/* Both the address that people see and the envelope's count; the seen one first. */
static void put_patterns(const struct facts *f, const struct mime_summary *summary,
                         struct buf *patterns)
{
    BUF_AUTO plain = {0};

    sender_patterns(summary->from_address.at, put_pattern, patterns);
    lmtp_unquote(f->envelope.sender, &plain);
    sender_patterns(plain.at, put_pattern, patterns);
    db_array_end(patterns);
}

/* Of the recipients that are served, arrays: addresses, domains, local parts, those without tag. */
struct columns {
    struct buf address, domain, local, base;
};

static void columns_free(struct columns *c)
{
    buf_free(&c->address);
    buf_free(&c->domain);
    buf_free(&c->local);
    buf_free(&c->base);
}

static bool put_recipients(struct recorder *r, const struct facts *f, struct columns *columns,
                           size_t *count, struct err *err)
{
    *count = 0;
    for (size_t i = 0; i < f->envelope.recipient_count; i++) {
        BUF_AUTO plain = {0};
        struct recipient recipient;
        char number[16];

        lmtp_unquote(f->envelope.recipients[i], &plain);
        if (!look_up(r, plain.at, &recipient, err))
            return false;
        if (recipient.domain.id == 0)
            continue;
        ++*count;
        snprintf(number, sizeof number, "%d", (int)recipient.domain.id);
        db_array_add(&columns->address, f->envelope.recipients[i]);
        db_array_add(&columns->domain, number);
        db_array_add(&columns->local, recipient.local);
        db_array_add(&columns->base, recipient.base[0] != '\0' ? recipient.base : NULL);
    }
    db_array_end(&columns->address);
    db_array_end(&columns->domain);
    db_array_end(&columns->local);
    db_array_end(&columns->base);
    return true;
}

/* ---- recording ---- */

const char record_sql[] =
    "select * from quarantine_add_all($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
    " $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)";

/* What stands in a file, and how it came to be there. */
struct found {
    const struct facts *facts;
    const char *name;
    struct store_writing *writing; /* NULL: it is durable */
};

static enum record_outcome run_rows(struct recorder *r, const char *const values[COLUMNS],
                                    struct store_writing *writing, struct err *err)
{
    char word[BATCH_WORD];
    enum batch_outcome outcome = batch_run(r->batch, values, writing, word, err);

    if (outcome != BATCH_DONE)
        return outcome == BATCH_FAILED ? RECORD_FAILED : RECORD_UNSURE;
    return strcmp(word, "stored") == 0  ? RECORD_STORED
           : strcmp(word, "again") == 0 ? RECORD_AGAIN
                                        : RECORD_NOBODY;
}

/* The message was there: that its file is as well is not taken for granted. */
static enum record_outcome add_rows(struct recorder *r, const char *const values[COLUMNS],
                                    struct store_writing *writing, struct err *err)
{
    const struct kept kept = {r->options.pool, r->options.store, values[GATEWAY], values[QUEUE_ID],
                              values[DIGEST]};
    char file[STORE_NAME + 1];
    struct err trouble;
    bool lost;
    enum record_outcome outcome = run_rows(r, values, writing, err);

    if (outcome != RECORD_AGAIN)
        return outcome;
    if (!kept_check(&kept, &lost, file, err))
        return RECORD_FAILED;
    if (!lost)
        return RECORD_AGAIN;
    outcome = run_rows(r, values, NULL, err); /* it is durable by now */
    if (outcome == RECORD_STORED && !store_remove(r->options.store, file, &trouble))
        log_write(LOG_QUARANTINE_TROUBLE, "%s", trouble.text);
    return outcome;
}

/* Numbers and bytes as text. */
struct texts {
    char received[32], size[24], score[32], digest[2 + 2 * SECRET_DIGEST + 1];
};

static void write_texts(const struct facts *f, bool scored, double score, struct texts *t)
{
    clock_rfc3339(t->received, sizeof t->received, f->envelope.received_us);
    snprintf(t->size, sizeof t->size, "%llu", (unsigned long long)f->size);
    if (scored)
        snprintf(t->score, sizeof t->score, "%.3f", score);
    memcpy(t->digest, "\\x", 2);
    str_hex(t->digest + 2, f->digest, SECRET_DIGEST);
}

static enum record_outcome add_summary(struct recorder *r, const struct found *found,
                                       const struct mime_summary *m,
                                       const struct columns *recipients, struct err *err)
{
    const struct facts *f = found->facts;
    const struct lmtp_forward *forward = &f->envelope.forward;
    struct span header = header_of(f->message);
    BUF_AUTO reason = {0};
    BUF_AUTO patterns = {0};
    struct texts t = {0};
    bool scored = false;
    double score = 0;

    buf_text(&reason, "");
    category_reason(r->options.reasons, header, &reason, &scored, &score);
    put_patterns(f, m, &patterns);
    write_texts(f, scored, score, &t);
    const char *const values[COLUMNS] = {
        r->options.gateway,
        found->name,
        t.received,
        strlen(forward->ident) <= QUEUE_ID_MOST ? forward->ident : "",
        forward->address,
        forward->name,
        forward->helo,
        f->envelope.sender,
        f->envelope.smtputf8 ? "true" : "false",
        t.size,
        t.digest,
        category_names[category_of(r->options.rules, header)],
        reason.at,
        scored ? t.score : NULL,
        m->from.at,
        m->from_address.at,
        m->subject.at,
        m->message_id.at,
        m->headers.at,
        m->text.at,
        m->html.at,
        patterns.at,
        recipients->address.at,
        recipients->domain.at,
        recipients->local.at,
        recipients->base.at,
    };
    return add_rows(r, values, found->writing, err);
}

static enum record_outcome add_found(struct recorder *r, const struct found *found, struct err *err)
{
    struct mime_summary summary;
    struct columns recipients = {0};
    size_t count;
    enum record_outcome outcome = RECORD_FAILED;

    if (put_recipients(r, found->facts, &recipients, &count, err)) {
        outcome = RECORD_NOBODY;
        if (count > 0) {
            mime_summarise(found->facts->message, &summary);
            outcome = add_summary(r, found, &summary, &recipients, err);
            mime_summary_free(&summary);
        }
    }
    columns_free(&recipients);
    return outcome;
}

static enum record_outcome add_file(struct recorder *r, const char *name,
                                    struct store_writing *writing, struct err *err)
{
    struct facts facts = {0};
    int fd = store_read(r->options.store, name, err);

    if (fd < 0)
        return RECORD_FAILED;
    enum record_outcome outcome = facts_read(fd, writing == NULL, name, &facts, err);
    if (outcome == RECORD_STORED && writing == NULL &&
        !store_harden(r->options.store, fd, name, err))
        outcome = RECORD_FAILED;
    if (outcome == RECORD_STORED)
        outcome = add_found(r, &(struct found){&facts, name, writing}, err);
    facts_free(&facts);
    close(fd);
    return outcome;
}

enum record_outcome recorder_add(struct recorder *recorder, const char *name, struct err *err)
{
    return add_file(recorder, name, NULL, err);
}

enum record_outcome recorder_add_written(struct recorder *recorder, struct store_writing *writing,
                                         struct err *err)
{
    struct facts facts = {.size = writing->size};
    size_t used;

    if (writing->held.len == 0)
        return add_file(recorder, writing->name, writing, err);
    memcpy(facts.digest, writing->digest, sizeof facts.digest);
    if (!facts_take(&facts, writing->held.at + STORE_SEAL, writing->held.len - STORE_SEAL, &used)) {
        err_set(err, ERR_DATA, "%s: is no whole message file of the quarantine", writing->name);
        return RECORD_HALF;
    }
    enum record_outcome outcome =
        add_found(recorder, &(struct found){&facts, writing->name, writing}, err);
    facts_free(&facts);
    return outcome;
}
