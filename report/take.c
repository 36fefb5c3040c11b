/* take - see take.h */
#include "report/take.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/secret.h"

static const char OCTETS[] = "524288";     /* of all that is taken at a time */
static const int64_t AGAIN = CLOCK_SECOND; /* how long the beginning is not looked at */
#define TAKE "select * from outbox_take($1, $2, $3, $4)"

/* ---- the place ---- */

static void to_beginning(struct take_place *place)
{
    snprintf(place->due, sizeof place->due, "-infinity");
    snprintf(place->id, sizeof place->id, "0");
    place->since_us = clock_elapsed_us();
}

void take_place_begin(struct take_place *place)
{
    pthread_mutex_init(&place->lock, NULL);
    to_beginning(place);
}

/* Where to take from; *beginning: there is nothing in front of it. */
static void read_place(struct take_place *place, char due[40], char id[24], bool *beginning)
{
    pthread_mutex_lock(&place->lock);
    if (clock_elapsed_us() - place->since_us > AGAIN)
        to_beginning(place);
    snprintf(due, 40, "%s", place->due);
    snprintf(id, 24, "%s", place->id);
    *beginning = place->due[0] == '-';
    pthread_mutex_unlock(&place->lock);
}

/* Two connections may end in the other order than they began: then some is looked at twice. */
static void write_place(struct take *take)
{
    pthread_mutex_lock(&take->place->lock);
    memcpy(take->place->due, take->last_due, sizeof take->last_due);
    memcpy(take->place->id, take->last_id, sizeof take->last_id);
    pthread_mutex_unlock(&take->place->lock);
}

static void reset_place(struct take_place *place)
{
    pthread_mutex_lock(&place->lock);
    to_beginning(place);
    pthread_mutex_unlock(&place->lock);
}

/* ---- taking ---- */

enum column { ID, FROM, TO, MESSAGE_ID, SEALED, CONTENT, TRIES, AGE, URGENT, DUE };

static bool take_row(void *context, size_t statement, const struct db_result *row, struct err *err)
{
    struct take *take = context;
    struct take_mail *mail = &take->mails[take->taken];
    struct span body = db_span(row, 0, CONTENT);

    (void)statement;
    if (take->taken == TAKE_MOST)
        return err_set(err, ERR_OTHER, "outbox_take gave more than was asked for");
    take->taken++;
    snprintf(mail->id, sizeof mail->id, "%s", db_text(row, 0, ID));
    snprintf(mail->from, sizeof mail->from, "%s", db_text(row, 0, FROM));
    snprintf(mail->to, sizeof mail->to, "%s", db_text(row, 0, TO));
    snprintf(mail->message_id, sizeof mail->message_id, "%s", db_text(row, 0, MESSAGE_ID));
    mail->sealed = db_bool(row, 0, SEALED);
    buf_append(&mail->body, body.at, body.len);
    mail->tries = db_int(row, 0, TRIES);
    mail->age = db_int(row, 0, AGE);
    if (!db_bool(row, 0, URGENT)) {
        snprintf(take->last_due, sizeof take->last_due, "%s", db_text(row, 0, DUE));
        snprintf(take->last_id, sizeof take->last_id, "%s", mail->id);
    }
    return true;
}

bool take_prepare(struct db *db, struct err *err)
{
    return db_prepare(db, "take", TAKE, err);
}

void take_forget(struct take *take)
{
    for (size_t i = 0; i < take->taken; i++) {
        if (take->mails[i].sealed)
            secret_forget(take->mails[i].body.at, take->mails[i].body.len);
        buf_clear(&take->mails[i].body);
    }
    take->taken = 0;
}

void take_free(struct take *take)
{
    take_forget(take);
    for (size_t i = 0; i < TAKE_MOST; i++)
        buf_free(&take->mails[i].body);
}

/* From `first` of: tell who sleeps, end, begin, take from the place. */
static bool exchange(struct take *take, struct db *db, size_t first, size_t count, size_t most,
                     bool *beginning, struct err *err)
{
    char number[8], due[40], id[24];
    const char *values[] = {number, OCTETS, due, id};
    const struct db_statement statements[] = {
        {"notify rollcall_outbox", NULL, 0, NULL},
        {"commit", NULL, 0, NULL},
        {"begin", NULL, 0, NULL},
        {TAKE, values, 4, "take"},
    };

    snprintf(number, sizeof number, "%zu", most);
    read_place(take->place, due, id, beginning);
    take->last_id[0] = '\0';
    return first == count ||
           db_pipeline_raw(db, statements + first, count - first, take_row, take, err);
}

bool take_next(struct take *take, struct db *db, bool left, size_t most, struct err *err)
{
    size_t first = !take->open ? 2 : left ? 0 : 1, count = most > 0 ? 4 : 2;
    bool beginning;

    take_forget(take);
    if (!exchange(take, db, first, count, most, &beginning, err))
        return false;
    take->open = most > 0;
    if (take->taken == 0 && most > 0 && !beginning) {
        reset_place(take->place);
        if (!exchange(take, db, 3, 4, most, &beginning, err))
            return false;
    }
    if (take->last_id[0] != '\0')
        write_place(take);
    return true;
}
