/*
 * post - what the writers of single mails (letters, notices) share: a line that tells a fact, and
 * the way into the outbox
 */
#ifndef ROLLCALL_POST_H
#define ROLLCALL_POST_H

#include "lib/db.h"
#include "lib/text.h"

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
