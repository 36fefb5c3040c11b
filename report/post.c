/* post - see post.h */
#include "report/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/display.h"

enum { SHOWN_MOST = 1000 }; /* bytes of a stranger's words */

static bool take_next(struct compose *compose, const struct post_queue *queue, const void *context,
                      bool *any, struct err *err)
{
    DB_RESULT_AUTO next = NULL;

    if (!db_query(compose->db, &next, queue->next, DB_NO_VALUES, err))
        return false;
    *any = db_rows(next) > 0;
    return !*any || (queue->write(compose, context, next, err) &&
                     db_exec(compose->db, queue->done, DB_VALUES(db_text(next, 0, 0)), NULL, err));
}

bool post_next(struct compose *compose, const struct post_queue *queue, const void *context,
               bool *any, struct err *err)
{
    *any = false;
    compose->now = clock_wall_us() / CLOCK_SECOND;
    if (!db_script(compose->db, "begin", err))
        return false;
    if (!take_next(compose, queue, context, any, err))
        return db_rollback(compose->db);
    return db_script(compose->db, "commit", err);
}

void post_message_id(char out[POST_MESSAGE_ID], const char *name, const char *from)
{
    const char *at = strrchr(from, '@');

    snprintf(out, POST_MESSAGE_ID, "%s@%s", name, at != NULL ? at + 1 : "localhost");
}

void post_fact(struct buf *out, enum text_language language, const char *label, struct span value)
{
    buf_printf(out, "   %s: ", text_get(language, label));
    display_line(out, value, SHOWN_MOST);
    buf_text(out, "\n");
}

bool post_mail(struct db *db, const struct post *post, struct span body, struct err *err)
{
    char *hex = mem_alloc(2 + 2 * body.len + 1);

    memcpy(hex, "\\x", 2);
    str_hex(hex + 2, (const uint8_t *)body.at, body.len);
    bool fine =
        db_exec(db,
                "insert into outbox (kind, customer_id, urgent, envelope_from, envelope_to,"
                " message_id, sealed, body)"
                " values ($1, $2, $3::boolean, $4, $5, $6, $7::boolean, $8)",
                DB_VALUES(post->kind, post->customer, post->urgent ? "true" : "false", post->from,
                          post->to, post->message_id, post->sealed ? "true" : "false", hex),
                NULL, err);
    free(hex);
    return fine;
}
