/*
 * post - what the writers of single mails (letters, notices) share: one after the other of what
 * waits for a mail, a line that tells a fact, and the way into the outbox
 */
#ifndef ROLLCALL_POST_H
#define ROLLCALL_POST_H

#include "lib/db.h"
#include "lib/text.h"
#include "report/compose.h"

/* What waits for a mail, as rows of a table. */
struct post_queue {
    const char *next; /* the oldest, locked; its number is the first column */
    const char *done; /* $1: that number */
    /* What it says goes into the outbox; true too when it is nobody's. */
    bool (*write)(struct compose *compose, const void *context, const struct db_result *row,
                  struct err *err);
};
/* Writes one in a transaction of its own, with compose->now as it is then; *any: there was one. */
bool post_next(struct compose *compose, const struct post_queue *queue, const void *context,
               bool *any, struct err *err) MUST_CHECK;

enum { POST_MESSAGE_ID = 200 };

/* "name@domain of from". */
void post_message_id(char out[POST_MESSAGE_ID], const char *name, const char *from);

/* "   Label: value", the value a stranger's. */
void post_fact(struct buf *out, enum text_language language, const char *label, struct span value);

struct post {
    const char *kind, *customer; /* customer NULL: nobody's */
    const char *from, *to, *message_id;
    bool urgent, sealed;
};

/* In the transaction that is open. */
bool post_mail(struct db *db, const struct post *post, struct span body,
               struct err *err) MUST_CHECK;

#endif
