/* sender_feed - see sender_feed.h */
#include "policyd/sender_feed.h"

#include "lib/clock.h"
#include "lib/log.h"

static const int64_t SENDER_FEED_INTERVAL = 60 * CLOCK_SECOND;

void sender_feed_changed(struct sender_feed *feed, int32_t domain_id, struct span local)
{
    if (feed->table != NULL && senders_forget(feed->table, domain_id, local))
        feed->dirty = true;
}

void sender_feed_drop(struct sender_feed *feed)
{
    if (feed->table != NULL)
        replica_set_senders(feed->replica, NULL);
    feed->table = NULL;
}

static bool is_due(const struct sender_feed *feed, const struct feed_header *header, int64_t now_us)
{
    if (feed->table == NULL || feed->dirty || feed->version != header->senders_version)
        return true;
    return feed->roll_version != header->newest.version && senders_count(feed->table) > 0 &&
           now_us - feed->read_at_us >= SENDER_FEED_INTERVAL;
}

struct reading {
    struct senders *senders;
    bool full;
};

static bool take_line(void *context, struct span line, struct err *err)
{
    struct reading *reading = context;
    struct feed_sender sender;

    if (!feed_sender_line(line, &sender, err))
        return false;
    if (!senders_add(reading->senders, sender.domain_id, sender.local, sender.pattern,
                     sender.allow))
        reading->full = true;
    return true;
}

bool sender_feed_read(struct sender_feed *feed, struct db *db, bool wanted,
                      const struct feed_header *header, struct err *err)
{
    int64_t now_us = clock_elapsed_us();
    struct reading reading = {0};

    if (!wanted) {
        sender_feed_drop(feed);
        return true;
    }
    if (!is_due(feed, header, now_us))
        return true;
    reading.senders = senders_new();
    if (!db_copy_out(db, FEED_COPY_SENDERS, take_line, &reading, err)) {
        senders_free(&reading.senders);
        return false;
    }
    if (reading.full && !feed->told_full)
        log_write(LOG_FOLLOW_FAILED, "there are more than %d sender rules; the rest is not kept",
                  SENDERS_MOST);
    replica_set_senders(feed->replica, reading.senders);
    *feed = (struct sender_feed){.replica = feed->replica,
                                 .table = reading.senders,
                                 .told_full = reading.full,
                                 .version = header->senders_version,
                                 .roll_version = header->newest.version,
                                 .read_at_us = now_us};
    return true;
}
