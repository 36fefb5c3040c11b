/*
 * evidence_settle - see evidence.h; here: whether a message counts, at once or when its filter or
 * its origin has spoken, and when there is nothing more to wait for
 */
#include <string.h>

#include "lib/clock.h"
#include "sync/evidence_parts.h"

/* ---- deciding ---- */

/* All that is known of a message: said of it, or of its Message-ID. */
static unsigned known(const struct evidence *e, const struct message *m)
{
    const struct message *id = m->message_id != 0 ? flight_find(&e->ids, m->message_id) : NULL;

    return m->flags | (id != NULL ? id->flags & (MESSAGE_SPAM | MESSAGE_CLEAN_ALL) : 0u);
}

enum decision evidence_decide(const struct evidence *e, const struct message *m)
{
    unsigned flags = known(e, m), filters = e->rules.filters * MESSAGE_CLEAN;

    if ((flags & MESSAGE_SPAM) != 0)
        return DECIDED_SPAM;
    if ((flags & MESSAGE_NO_SENDER) != 0)
        return DECIDED_INSIDE;
    if ((flags & MESSAGE_QUEUED) == 0 || (flags & MESSAGE_OUTSIDE) == 0)
        return UNDECIDED;
    return (flags & filters) == filters ? DECIDED_CLEAN : UNDECIDED;
}

void evidence_decided(struct evidence *e, enum decision decision)
{
    e->figures.counted += decision == DECIDED_CLEAN;
    e->figures.spam += decision == DECIDED_SPAM;
    e->figures.inside += decision == DECIDED_INSIDE;
    e->figures.unproven += decision == UNDECIDED;
}

void evidence_wait_for(struct evidence *e, struct message *m, const struct waiting *w)
{
    if (e->waiting_count == WAITING_MOST) {
        e->figures.crowded_out++;
        return;
    }
    if (e->waiting_count == e->waiting_room) {
        e->waiting_room = e->waiting_room > 0 ? e->waiting_room * 2 : 256;
        e->waiting = mem_grow(e->waiting, e->waiting_room * sizeof *e->waiting);
    }
    m->flags |= MESSAGE_WAITS;
    e->waiting[e->waiting_count++] = *w;
}

/* ---- later ---- */

static void settle_waiting(struct evidence *e, int64_t now_s)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->waiting_count; i++) {
        const struct waiting *w = &e->waiting[i];
        const struct message *m = flight_find(&e->messages, w->message);
        enum decision decision = m != NULL ? evidence_decide(e, m) : UNDECIDED;
        bool late = now_s - (int64_t)w->at_s > WAIT_MOST_S;
        if (decision == UNDECIDED && m != NULL && !late) {
            e->waiting[kept++] = *w;
            continue;
        }
        if (decision == DECIDED_CLEAN)
            tally_known(&e->tally, w->domain_id, span_of(w->local, w->local_len),
                        (int32_t)(w->at_s / EVIDENCE_DAY_S))
                ->accepted++;
        evidence_decided(e, decision);
    }
    e->waiting_count = kept;
}

/* Marks the messages that something waits for anew. */
static void mark_waits(struct evidence *e)
{
    struct message *m;

    for (size_t i = 0; (m = flight_at(&e->messages, &i)) != NULL; i++)
        m->flags &= ~(unsigned)MESSAGE_WAITS;
    for (size_t i = 0; i < e->waiting_count; i++)
        if ((m = flight_find(&e->messages, e->waiting[i].message)) != NULL)
            m->flags |= MESSAGE_WAITS;
}

static int64_t life_s(const struct message *m)
{
    if ((m->flags & MESSAGE_WAITS) != 0)
        return INT64_MAX;
    if ((m->flags & MESSAGE_REMOVED) != 0)
        return -1;
    return (m->flags & MESSAGE_QUEUED) != 0 ? QUEUED_MOST_S : UNQUEUED_MOST_S;
}

static bool over(void *context, const struct message *m)
{
    int64_t now_s = *(const int64_t *)context;

    return now_s - (int64_t)m->seen_s > life_s(m);
}

static bool id_over(void *context, const struct message *id)
{
    int64_t now_s = *(const int64_t *)context;

    return now_s - (int64_t)id->seen_s > ID_MOST_S;
}

static bool any(void *context, const struct message *m)
{
    (void)context;
    return (m->flags & MESSAGE_WAITS) == 0;
}

void evidence_settle(struct evidence *e, int64_t now_us)
{
    int64_t now_s = now_us / CLOCK_SECOND;

    settle_waiting(e, now_s);
    mark_waits(e);
    flight_sweep(&e->messages, over, &now_s);
    flight_sweep(&e->ids, id_over, &now_s);
    if (e->messages.count > MESSAGES_MOST)
        e->figures.crowded_out += flight_sweep(&e->messages, any, NULL);
    if (e->ids.count > MESSAGES_MOST)
        flight_sweep(&e->ids, any, NULL);
}

int64_t evidence_undecided_us(const struct evidence *e)
{
    int64_t oldest = INT64_MAX;

    for (size_t i = 0; i < e->waiting_count; i++)
        if (e->waiting[i].at_s * CLOCK_SECOND < oldest)
            oldest = e->waiting[i].at_s * CLOCK_SECOND;
    return oldest;
}
