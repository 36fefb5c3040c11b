/*
 * maillog_filter - see maillog.h; here: the verdicts of rspamd, amavis and spamd
 *
 * Each verdict stands in front of, or behind, text that the sender of the message chose (its
 * Message-ID, its envelope). So a mark that may occur once must occur once: with two of them the
 * line is not understood, and a message without a verdict is not counted.
 */
#include <string.h>

#include "sync/maillog_parts.h"

/* Where the only occurrence of `mark` ends; NULL when there is none, or another one. */
static const char *behind_only(const struct cursor *c, const char *mark)
{
    size_t len = strlen(mark);
    const char *found = cursor_left(c) >= len ? memmem(c->at, cursor_left(c), mark, len) : NULL;

    if (found == NULL)
        return NULL;
    found += len;
    return memmem(found, (size_t)(c->end - found), mark, len) == NULL ? found : NULL;
}

static bool id_behind(const struct cursor *c, const char *mark, struct span *id)
{
    struct cursor value = {behind_only(c, mark), c->end};

    if (value.at == NULL)
        return false;
    *id = maillog_queue_id(&value);
    return id->len > 0;
}

/* ---- rspamd: "id: <…>, qid: <QUEUEID>, ip: …, (default: F (no action): [0.19/6.00] […" ---- */

static bool parse_rspamd(struct cursor c, struct maillog_event *e)
{
    static const char mark[] = "rspamd_task_write_log: id: <";
    const char *task = memmem(c.at, cursor_left(&c), mark, sizeof mark - 1);
    struct span flag, action;

    if (task == NULL)
        return false;
    c.at = task + sizeof mark - 1;
    if (!id_behind(&c, ">, qid: <", &e->queue_id) ||
        (c.at = behind_only(&c, " (default: ")) == NULL)
        return false;
    if (!take_until(&c, ' ', &flag) || !TAKE(&c, "(") || !take_until(&c, ')', &action))
        return false;
    e->kind = MAILLOG_RSPAMD;
    e->verdict = span_equals(action, "no action") ? MAILLOG_CLEAN : MAILLOG_SPAM;
    return true;
}

/* ---- amavis: "(21551-03) Passed CLEAN {RelayedInbound}, …, Queue-ID: A, …, queued_as: B, …" ----
 */

static bool amavis_clean(struct span category)
{
    static const char header[] = "BAD-HEADER"; /* "-0" to "-9" follow; a header, not a verdict */

    return span_equals(category, "CLEAN") || (category.len >= sizeof header - 1 &&
                                              memcmp(category.at, header, sizeof header - 1) == 0);
}

static bool parse_amavis(struct cursor c, struct maillog_event *e)
{
    struct span task, category;
    bool passed;

    if (!TAKE(&c, "(") || !take_until(&c, ')', &task) || !TAKE(&c, " "))
        return false;
    passed = TAKE(&c, "Passed ");
    if ((!passed && !TAKE(&c, "Blocked ")) || !take_until(&c, ' ', &category))
        return false;
    if (category.len > 0 && category.at[category.len - 1] == ',')
        category.len--;
    e->queue_id = e->queued_as = span_of(NULL, 0);
    bool known = id_behind(&c, ", Queue-ID: ", &e->queue_id);
    bool sent_on = id_behind(&c, ", queued_as: ", &e->queued_as);
    e->kind = MAILLOG_AMAVIS;
    e->verdict = passed && amavis_clean(category) ? MAILLOG_CLEAN : MAILLOG_SPAM;
    return known || sent_on;
}

/* ---- spamd: "spamd: result: Y 1000 - TESTS scantime=0.1,…,mid=<…>,autolearn=…" ---- */

static bool parse_spamd(struct cursor c, struct maillog_event *e)
{
    bool spam;

    if (!TAKE(&c, "spamd: result: "))
        return false;
    spam = TAKE(&c, "Y ");
    if (!spam && !TAKE(&c, ". "))
        return false;
    const char *id = behind_only(&c, ",mid=<");
    const char *close = id != NULL ? memchr(id, '>', (size_t)(c.end - id)) : NULL;
    if (close == NULL)
        return false;
    e->queue_id = span_of(NULL, 0);
    e->message_id = span_of(id - 1, (size_t)(close + 1 - (id - 1)));
    e->kind = MAILLOG_SPAMD;
    e->verdict = spam ? MAILLOG_SPAM : MAILLOG_CLEAN;
    return true;
}

/* ---- whose line it is ---- */

/* "amavis", "/usr/sbin/amavisd", "amavisd-new" */
static bool named(struct span program, const char *name)
{
    const char *slash = memrchr(program.at, '/', program.len);
    size_t len = strlen(name);

    if (slash != NULL)
        program = span_of(slash + 1, program.len - (size_t)(slash + 1 - program.at));
    return program.len >= len && memcmp(program.at, name, len) == 0;
}

bool maillog_filter(struct span program, struct cursor message, struct maillog_event *event)
{
    if (named(program, "amavis"))
        return parse_amavis(message, event);
    if (named(program, "rspamd"))
        return parse_rspamd(message, event);
    return named(program, "spamd") && parse_spamd(message, event);
}

/* "2026-11-23 18:19:44 #17660(rspamd_proxy) <c65c80>; proxy; rspamd_task_write_log: …" */
static bool rspamd_line(struct cursor line, struct maillog_event *e)
{
    const char *start = line.at;
    const char *hash = memchr(start, '#', cursor_left(&line) < 32 ? cursor_left(&line) : 32);

    if (hash == NULL || hash == start || hash[-1] != ' ')
        return false;
    e->stamp = span_of(start, (size_t)(hash - 1 - start));
    line.at = hash;
    return parse_rspamd(line, e);
}

/* "Mon Nov 23 18:08:25 2026 [17516] info: spamd: result: …" */
static bool spamd_line(struct cursor line, struct maillog_event *e)
{
    struct span number;

    e->stamp = span_of(line.at, 24);
    line.at += 24;
    return TAKE(&line, " [") && take_until(&line, ']', &number) && TAKE(&line, " info: ") &&
           parse_spamd(line, e);
}

bool maillog_filter_line(struct cursor line, struct maillog_event *event)
{
    size_t len = cursor_left(&line);

    event->host = event->program = span_of(NULL, 0);
    if (len > 32 && line.at[4] == '-' && line.at[7] == '-' && line.at[10] == ' ')
        return rspamd_line(line, event);
    return len > 32 && line.at[3] == ' ' && line.at[7] == ' ' && line.at[19] == ' ' &&
           spamd_line(line, event);
}
