/*
 * compose_parts - what compose.c (who is due) and compose_batch.c (what stands in the reports)
 * share; nobody else includes it
 */
#ifndef ROLLCALL_COMPOSE_PARTS_H
#define ROLLCALL_COMPOSE_PARTS_H

#include "report/compose.h"

enum { COMPOSE_FIRST = 25, COMPOSE_BATCH = 200, COMPOSE_LISTED_MOST = 200 };

/* A user's own report, or the accumulative one of a domain. */
struct compose_kind {
    bool central;
    const char *due;     /* fills table due; $1: the zone where none is set */
    const char *made;    /* condition: there is a report of that slot or later */
    const char *runs;    /* inserts the runs of turns $1 to $2; gives them with their settings */
    const char *entries; /* takes and gives the messages of runs $1; $2, $3: see ENTRIES */
};

/* Columns of `runs`. */
enum compose_run_column {
    RUN_ID,
    RUN_CUSTOMER,
    RUN_WHO,
    RUN_ADDRESS_LOCAL, /* of the central contact: NULL, and the domain is the address */
    RUN_ADDRESS_DOMAIN,
    RUN_NAME,
    RUN_ZONE,
    RUN_LANGUAGE,
    RUN_CATEGORIES,
    RUN_BLOCK_LIST,
    RUN_SENDER_LINKS,
    RUN_BRAND_NAME,
    RUN_BRAND_COLOUR,
    RUN_BRAND_LOGO,
    RUN_BRAND_FOOTER,
    RUN_DOMAIN,
    RUN_RELEASE_VIRUS, /* NULL: as the setting says */
};

/*
 * $1: ids of runs; $2: of each, its categories as an array's text; $3: whether what the block lists
 * caught is listed. `taken` is a table of that name that says where the messages come from (TAKEN);
 * `messages` what the run keeps of t (run, ids). A run that lists nothing is deleted.
 */
#define ENTRIES(taken, back, messages)                                                             \
    "with " taken ","                                                                              \
    " wanted as (select t.*, row_number() over (partition by t.run order by t.received_at desc,"   \
    "     t.id desc) as n, count(*) over (partition by t.run) as total"                            \
    "   from taken t join unnest($1::bigint[], $2::text[], $3::boolean[])"                         \
    "     s (run, categories, block_list) on s.run = t.run"                                        \
    "   where t.category::text = any (s.categories::text[])"                                       \
    "     and (s.block_list or t.listed is null)),"                                                \
    " made as (update report_run r set listed = w.total, messages = " messages " from wanted w"    \
    "   join (select run, array_agg(id) as ids from taken group by run) t on t.run = w.run"        \
    "   where w.n = 1 and r.id = w.run),"                                                          \
    " none as (delete from report_run r where r.id = any ($1::bigint[])"                           \
    "   and not exists (select from wanted w where w.run = r.id))"                                 \
    " select w.run, w.total, w.id, extract(epoch from w.received_at)::bigint, w.category,"         \
    "   coalesce(w.listed, ''), w.address, m.from_text, m.subject, m.reason,"                      \
    "   coalesce(to_char(m.score, 'FM99990.0'), '')"                                               \
    " from wanted w join quarantine_message m on m.id = w.message_id"                              \
    " where w.n <= 200 order by w.run, w.n"
#define TAKEN "q.id, q.message_id, q.received_at, q.category, q.listed, q.address"
/* What is untold in `table`, whose rows belong to runs by `column`, is taken out; of that, what is
 * still held. It goes back where nothing of it is wanted. */
#define UNTOLD(table, column, condition)                                                           \
    ENTRIES("gone as (delete from " table " u using report_run r where r.id = any ($1::bigint[])"  \
            "     and " condition " and u." column " = r." column                                  \
            "     returning r.id as run, u." column ", u.recipient_id),"                           \
            " taken as (select g.run, g." column ", " TAKEN                                        \
            "   from gone g join quarantine_recipient q on q.id = g.recipient_id"                  \
            "   where q.state = 'held')",                                                          \
            " back as (insert into " table " select t." column                                     \
            ", t.id, t.received_at, t.category,"                                                   \
            "     t.listed is not null from taken t"                                               \
            "   where not exists (select from wanted w where w.run = t.run)),",                    \
            "t.ids")

enum compose_entry_column {
    ENTRY_RUN,
    ENTRY_TOTAL,
    ENTRY_ID,
    ENTRY_RECEIVED,
    ENTRY_CATEGORY,
    ENTRY_LISTED,
    ENTRY_ADDRESS,
    ENTRY_FROM,
    ENTRY_SUBJECT,
    ENTRY_REASON,
    ENTRY_SCORE,
};

/*
 * Renders the reports of these runs from their entries and puts them into the outbox; of runs
 * without entries there is nothing left. Inside the caller's transaction. With `one`, the last goes
 * there too, and into the outbox only if it is to be sent.
 */
bool compose_batch(struct compose *compose, const struct compose_kind *kind,
                   const struct db_result *runs, const struct db_result *entries,
                   struct compose_one *one, int64_t *made, struct err *err) MUST_CHECK;
/* The arrays $1 to $3 of ENTRIES. */
void compose_arrays(const struct db_result *runs, struct buf *ids, struct buf *categories,
                    struct buf *block_lists);

#endif
