/* record - see record.h */
#include "report/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/header.h"
#include "lib/mime.h"
#include "lib/sender.h"
#include "report/category.h"

enum { DOMAINS = 64 /* remembered */ };
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
    uint8_t key[SECRET_HASH_KEY];
    pthread_mutex_t lock;
    struct domain domains[DOMAINS];
};

struct recorder *recorder_open(const struct recorder_options *options)
{
    struct recorder *r = mem_zero(1, sizeof *r);

    r->options = *options;
    secret_random(r->key, sizeof r->key);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void recorder_close(struct recorder **recorder)
{
    if (*recorder == NULL)
        return;
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

static bool look_up(struct recorder *r, const char *address, struct recipient *recipient,
                    struct err *err)
{
    struct addr_asked asked;
    struct span base;
    size_t len;

    *recipient = (struct recipient){0};
    if (!addr_split_asked(span_text(address), &asked))
        return true;
    struct domain *d = &recipient->domain;
    if (!remembered(r, asked.domain, d) && !ask_domain(r, asked.domain, d, err))
        return false;
    if (d->id == 0)
        return true;
    if (!addr_normal_local(asked.local, !d->case_sensitive, recipient->local, &len))
        d->id = 0; /* on nobody's roll, whatever happens */
    else if (addr_without_tag(span_of(recipient->local, len), d->delimiter, &base))
        snprintf(recipient->base, sizeof recipient->base, "%.*s", (int)base.len, base.at);
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

/* ---- what is read out of the file ---- */

struct facts {
    struct buf file; /* the envelope, and the beginning of the message */
    struct envelope envelope;
    struct span message; /* its beginning */
    uint64_t size;
    uint8_t digest[SECRET_DIGEST];
};

static void facts_free(struct facts *f)
{
    envelope_free(&f->envelope);
    buf_free(&f->file);
}

static bool read_digest(int fd, off_t from, uint8_t digest[SECRET_DIGEST])
{
    struct secret_digesting *digesting = secret_digest_begin();
    char *piece = mem_alloc(256 * 1024);
    ssize_t n;

    while ((n = pread(fd, piece, 256 * 1024, from)) > 0) {
        secret_digest_add(digesting, piece, (size_t)n);
        from += n;
    }
    secret_digest_end(&digesting, digest);
    free(piece);
    return n == 0;
}

static bool read_beginning(int fd, struct buf *out)
{
    char piece[64 * 1024];
    ssize_t n = 0;

    buf_text(out, "");
    while (out->len < ENVELOPE_MOST + MIME_LOOKED_AT &&
           (n = pread(fd, piece, sizeof piece, (off_t)out->len)) > 0)
        buf_append(out, piece, (size_t)n);
    return n >= 0;
}

static bool read_facts(int fd, const uint8_t *digest, const char *name, struct facts *f,
                       struct err *err)
{
    struct stat st;
    size_t used = 0;

    if (fstat(fd, &st) != 0 || !read_beginning(fd, &f->file))
        return err_set(err, ERR_TEMPORARY, "%s: cannot be read: %s", name, strerror(errno));
    if (!envelope_read(f->file.at, f->file.len, &f->envelope, &used))
        return err_set(err, ERR_DATA, "%s: is no message file of the quarantine", name);
    f->message = span_of(f->file.at + used, f->file.len - used);
    f->size = (uint64_t)st.st_size - used;
    if (digest != NULL)
        memcpy(f->digest, digest, SECRET_DIGEST);
    else if (!read_digest(fd, (off_t)used, f->digest))
        return err_set(err, ERR_TEMPORARY, "%s: cannot be read: %s", name, strerror(errno));
    return true;
}

/* ---- as JSON, for quarantine_add ---- */

static void put_text(struct buf *json, const char *name, const char *value)
{
    buf_printf(json, ",\"%s\":\"", name);
    buf_json(json, span_text(value));
    buf_text(json, "\"");
}

static void put_reason(const struct recorder *r, struct span header, struct buf *json)
{
    BUF_AUTO reason = {0};
    bool scored = false;
    double score = 0;

    buf_text(&reason, "");
    category_reason(r->options.reasons, header, &reason, &scored, &score);
    put_text(json, "reason", reason.at);
    if (scored)
        buf_printf(json, ",\"score\":%.3f", score);
}

static void put_digest(struct buf *json, const uint8_t digest[SECRET_DIGEST])
{
    buf_text(json, ",\"digest\":\"\\\\x");
    for (size_t i = 0; i < SECRET_DIGEST; i++)
        buf_printf(json, "%02x", digest[i]);
    buf_text(json, "\"");
}

static void put_message(const struct recorder *r, const struct facts *f, const char *name,
                        const struct mime_summary *summary, struct buf *json)
{
    const struct lmtp_forward *forward = &f->envelope.forward;
    struct span header = header_of(f->message);
    char received[32];

    clock_rfc3339(received, sizeof received, f->envelope.received_us);
    buf_printf(json, "{\"size\":%llu,\"smtputf8\":%s", (unsigned long long)f->size,
               f->envelope.smtputf8 ? "true" : "false");
    put_text(json, "gateway", r->options.gateway);
    put_text(json, "file", name);
    put_text(json, "received_at", received);
    put_text(json, "queue_id",
             forward->ident[0] != '\0' && strlen(forward->ident) <= 100 ? forward->ident : "");
    put_text(json, "client_address", forward->address);
    put_text(json, "client_name", forward->name);
    put_text(json, "helo", forward->helo);
    put_text(json, "sender", f->envelope.sender);
    put_digest(json, f->digest);
    put_text(json, "category", category_names[category_of(r->options.rules, header)]);
    put_reason(r, header, json);
    put_text(json, "from_text", summary->from.at);
    put_text(json, "from_address", summary->from_address.at);
    put_text(json, "subject", summary->subject.at);
    put_text(json, "message_id", summary->message_id.at);
    put_text(json, "headers", summary->headers.at);
    put_text(json, "preview", summary->text.at);
    put_text(json, "preview_html", summary->html.at);
    buf_text(json, "}");
}

static void put_pattern(void *context, const char *pattern)
{
    struct buf *json = context;

    buf_text(json, json->len > 1 ? ",\"" : "\"");
    buf_json(json, span_text(pattern));
    buf_text(json, "\"");
}

/* Both the address that people see and the envelope's count; the seen one first. */
static void put_patterns(const struct facts *f, const struct mime_summary *summary,
                         struct buf *json)
{
    BUF_AUTO plain = {0};

    buf_text(json, "[");
    sender_patterns(summary->from_address.at, put_pattern, json);
    lmtp_unquote(f->envelope.sender, &plain);
    sender_patterns(plain.at, put_pattern, json);
    buf_text(json, "]");
}

static bool put_recipients(struct recorder *r, const struct facts *f, struct buf *json,
                           struct err *err)
{
    buf_text(json, "[");
    for (size_t i = 0; i < f->envelope.recipient_count; i++) {
        BUF_AUTO plain = {0};
        struct recipient recipient;

        lmtp_unquote(f->envelope.recipients[i], &plain);
        if (!look_up(r, plain.at, &recipient, err))
            return false;
        if (recipient.domain.id == 0)
            continue;
        buf_printf(json, "%s{\"d\":%d", json->len > 1 ? "," : "", (int)recipient.domain.id);
        put_text(json, "a", f->envelope.recipients[i]);
        put_text(json, "l", recipient.local);
        if (recipient.base[0] != '\0')
            put_text(json, "b", recipient.base);
        buf_text(json, "}");
    }
    buf_text(json, "]");
    return true;
}

/* ---- recording ---- */

static const char ADD[] =
    "select quarantine_add(jsonb_populate_record(null::quarantine_message, $1::jsonb),"
    " array(select jsonb_array_elements_text($2::jsonb)), array_agg(a), array_agg(d),"
    " array_agg(l), array_agg(b))"
    " from jsonb_to_recordset($3::jsonb) t (a text, d integer, l text, b text)";

static enum record_outcome add_rows(struct recorder *r, const char *message, const char *patterns,
                                    const char *recipients, struct err *err)
{
    struct db *db = NULL;
    DB_RESULT_AUTO rows = NULL;

    if (!pool_take(r->options.pool, &db, err))
        return RECORD_FAILED;
    bool fine = db_query(db, &rows, ADD, DB_VALUES(message, patterns, recipients), err);
    bool alive = db_alive(db);
    pool_give(r->options.pool, &db);
    if (!fine)
        return alive ? RECORD_FAILED : RECORD_UNSURE;
    const char *outcome = db_text(rows, 0, 0);
    return strcmp(outcome, "stored") == 0  ? RECORD_STORED
           : strcmp(outcome, "again") == 0 ? RECORD_AGAIN
                                           : RECORD_NOBODY;
}

static enum record_outcome add_facts(struct recorder *r, const struct facts *f, const char *name,
                                     struct err *err)
{
    struct mime_summary summary;
    BUF_AUTO message = {0};
    BUF_AUTO patterns = {0};
    BUF_AUTO recipients = {0};

    mime_summarise(f->message, &summary);
    put_message(r, f, name, &summary, &message);
    put_patterns(f, &summary, &patterns);
    mime_summary_free(&summary);
    if (!put_recipients(r, f, &recipients, err))
        return RECORD_FAILED;
    if (strcmp(recipients.at, "[]") == 0)
        return RECORD_NOBODY;
    return add_rows(r, message.at, patterns.at, recipients.at, err);
}

enum record_outcome recorder_add(struct recorder *recorder, const char *name,
                                 const uint8_t digest[SECRET_DIGEST], struct err *err)
{
    struct facts facts = {0};
    enum record_outcome outcome = RECORD_FAILED;
    int fd = store_read(recorder->options.store, name, err);

    if (fd < 0)
        return RECORD_FAILED;
    if (read_facts(fd, digest, name, &facts, err))
        outcome = add_facts(recorder, &facts, name, err);
    facts_free(&facts);
    close(fd);
    return outcome;
}
