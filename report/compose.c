/* compose - see compose.h; here: who is due, and one report by hand */
#include "report/compose.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/link.h"
#include "lib/log.h"
#include "report/compose_parts.h"
#include "report/schedule.h"
#include "report/zone.h"

/* The settings of a run's user, in the order of enum compose_run_column. */
#define USER_COLUMNS                                                                               \
    " m.id, v.customer_id, v.user_id, v.local_part, v.domain, v.name, v.zone, v.language,"         \
    " v.categories, v.block_list, v.sender_links, v.brand_name, v.brand_colour, v.brand_logo,"     \
    " v.brand_footer, v.domain,"                                                                   \
    " (select q.virus from quarantine_release q where q.customer_id = v.customer_id)"
#define DOMAIN_COLUMNS                                                                             \
    " m.id, v.customer_id, v.domain_id, null, v.contact, '', v.zone, v.language, v.categories,"    \
    " v.block_list, false, v.brand_name, v.brand_colour, v.brand_logo, v.brand_footer, v.domain,"  \
    " null"

static const struct compose_kind kinds[] = {
    {.central = false,
     .due = "insert into due select v.user_id, v.days, v.hours, coalesce(v.zone, $1),"
            "   coalesce(v.language, ''), min(u.received_at)"
            " from quarantine_unreported u join report_user v on v.user_id = u.user_id"
            " where v.enabled and u.category::text = any (v.categories)"
            "   and (v.block_list or not u.listed) group by 1, 2, 3, 4, 5",
     .made = "delete from due d where d.slot is null or d.first > d.slot or exists ("
             " select from report_run r where r.user_id = d.who and not r.again"
             "   and r.slot >= d.slot)",
     .runs =
         "with m as (insert into report_run (customer_id, domain_id, user_id, slot, listed)"
         "   select v.customer_id, v.domain_id, v.user_id, t.slot, 0 from turn t"
         "     join report_user v on v.user_id = t.who and v.enabled"
         "     where t.n > $1 and t.n <= $2 order by v.user_id"
         "   on conflict do nothing returning id, user_id)"
         " select" USER_COLUMNS " from m join report_user v on v.user_id = m.user_id order by m.id",
     .entries = UNTOLD("quarantine_unreported", "user_id", "true")},
    {.central = true,
     .due = "insert into due select v.domain_id, v.days, v.hours, coalesce(v.zone, $1),"
            "   coalesce(v.language, ''), min(u.received_at)"
            " from quarantine_uncounted u join report_domain v on v.domain_id = u.domain_id"
            " where u.category::text = any (v.categories)"
            "   and (v.block_list or not u.listed) group by 1, 2, 3, 4, 5",
     .made = "delete from due d where d.slot is null or d.first > d.slot or exists ("
             " select from report_run r where r.domain_id = d.who and r.user_id is null"
             "   and not r.again and r.slot >= d.slot)",
     .runs = "with m as (insert into report_run (customer_id, domain_id, slot, listed)"
             "   select v.customer_id, v.domain_id, t.slot, 0 from turn t"
             "     join report_domain v on v.domain_id = t.who"
             "     where t.n > $1 and t.n <= $2 order by v.domain_id"
             "   on conflict do nothing returning id, domain_id)"
             " select" DOMAIN_COLUMNS
             " from m join report_domain v on v.domain_id = m.domain_id order by m.id",
     .entries = UNTOLD("quarantine_uncounted", "domain_id", "r.user_id is null")},
};

bool compose_prepare(struct compose *compose, struct err *err)
{
    char host[256] = "";

    if (compose->conf->mail_from[0] != '\0')
        snprintf(compose->from, sizeof compose->from, "%s", compose->conf->mail_from);
    else {
        if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
            snprintf(host, sizeof host, "localhost");
        snprintf(compose->from, sizeof compose->from, "rollcall@%s", host);
    }
    if (!secret_key_load(compose->conf->link_key_file, true, compose->key, err))
        return false;
    link_key(compose->key);
    return true;
}

/* ---- who is due ---- */

/* The slot of one schedule, for all who have it. */
static bool set_slot(struct compose *compose, const struct db_result *schedules, size_t row,
                     struct err *err)
{
    const struct schedule schedule = {(unsigned)db_int(schedules, row, 0),
                                      (unsigned)db_int(schedules, row, 1)};
    char text[24];
    int64_t slot;
    struct err unknown;

    if (!zone_use(db_text(schedules, row, 2), &unknown) && !zone_use("UTC", err))
        return false;
    if (!schedule_last(&schedule, zone_offset, compose->now, &slot))
        return true;
    snprintf(text, sizeof text, "%" PRId64, slot);
    return db_exec(compose->db,
                   "update due set slot = to_timestamp($4::bigint)"
                   " where days = $1::int and hours = $2::int and zone = $3",
                   DB_VALUES(db_text(schedules, row, 0), db_text(schedules, row, 1),
                             db_text(schedules, row, 2), text),
                   NULL, err);
}

static bool set_slots(struct compose *compose, struct err *err)
{
    DB_RESULT_AUTO schedules = NULL;

    if (!db_query(compose->db, &schedules, "select distinct days, hours, zone from due",
                  DB_NO_VALUES, err))
        return false;
    for (size_t i = 0; i < db_rows(schedules); i++)
        if (!set_slot(compose, schedules, i, err))
            return false;
    return true;
}

/* Who is due, in an order in which neighbours have the same zone and language. */
static bool find_due(struct compose *compose, const struct compose_kind *kind, struct err *err)
{
    return db_script(compose->db,
                     "drop table if exists pg_temp.due; drop table if exists pg_temp.turn;"
                     "create temp table due (who bigint, days int, hours int, zone text,"
                     " language text, first timestamptz, slot timestamptz)",
                     err) &&
           db_exec(compose->db, kind->due, DB_VALUES(compose->conf->report_zone), NULL, err) &&
           set_slots(compose, err) && db_exec(compose->db, kind->made, DB_NO_VALUES, NULL, err) &&
           db_script(compose->db,
                     "create temp table turn as select row_number() over (order by zone,"
                     " language, who) as n, who, slot from due;"
                     "create unique index on turn (n); analyze turn",
                     err);
}

/* ---- making reports ---- */

static bool make_batch(struct compose *compose, const struct compose_kind *kind, int64_t first,
                       int64_t count, int64_t *made, struct err *err)
{
    char from[24], to[24];
    DB_RESULT_AUTO runs = NULL;
    DB_RESULT_AUTO entries = NULL;
    BUF_AUTO ids = {0};
    BUF_AUTO categories = {0};
    BUF_AUTO block_lists = {0};

    snprintf(from, sizeof from, "%" PRId64, first);
    snprintf(to, sizeof to, "%" PRId64, first + count);
    if (!db_query_kept(compose->db, &runs, kind->runs, DB_VALUES(from, to), err))
        return false;
    compose_arrays(runs, &ids, &categories, &block_lists);
    return db_query_kept(compose->db, &entries, kind->entries,
                         DB_VALUES(ids.at, categories.at, block_lists.at), err) &&
           compose_batch(compose, kind, runs, entries, NULL, made, err);
}

static bool make_all(struct compose *compose, const struct compose_kind *kind, int64_t *made,
                     struct err *err)
{
    DB_RESULT_AUTO count = NULL;

    /* the tables may have grown since anybody looked at them: a batch goes by indexes, and its plan
     * is the next one's too */
    if (!db_script(compose->db, "reset enable_seqscan; reset plan_cache_mode; set jit = off",
                   err) ||
        !find_due(compose, kind, err) ||
        !db_query(compose->db, &count, "select count(*) from turn", DB_NO_VALUES, err) ||
        !db_script(compose->db,
                   "set enable_seqscan = off; set plan_cache_mode = force_generic_plan", err))
        return false;
    /* small ones first: what is committed is sent while the rest is made */
    int64_t batch = COMPOSE_FIRST;
    for (int64_t first = 0; first < db_int(count, 0, 0);) {
        if (!db_script(compose->db, "begin", err))
            return false;
        if (!make_batch(compose, kind, first, batch, made, err))
            return db_rollback(compose->db);
        if (!db_script(compose->db, "commit", err))
            return false;
        first += batch;
        batch = batch < COMPOSE_BATCH ? 2 * batch : batch;
    }
    return true;
}

bool compose_due(struct compose *compose, int64_t *made, struct err *err)
{
    *made = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!make_all(compose, &kinds[i], made, err))
            return false;
    return true;
}

/* ---- one by hand ---- */

/* The user with that address, exactly or by its folded local part. */
static bool find_user(struct compose *compose, const char *address, char id[24], struct err *err)
{
    struct addr exact, folded;
    DB_RESULT_AUTO found = NULL;

    if (!addr_parse(span_text(address), false, &exact, err) ||
        !addr_parse(span_text(address), true, &folded, err) ||
        !db_query(compose->db, &found,
                  "select user_id from report_user where user_id = mail_user($1, $2, $3)",
                  DB_VALUES(exact.local, folded.local, exact.domain), err))
        return false;
    if (db_rows(found) == 0)
        return err_set(err, ERR_DATA, "%s: no active user has that address", address);
    snprintf(id, 24, "%s", db_text(found, 0, 0));
    return true;
}

static bool make_one(struct compose *compose, struct compose_one *one, const char *user,
                     struct err *err)
{
    static const char *const how[] = {"pending", "last", "since"};
    char since[24];
    int64_t made = 0;
    DB_RESULT_AUTO runs = NULL;
    DB_RESULT_AUTO entries = NULL;
    BUF_AUTO ids = {0};
    BUF_AUTO categories = {0};
    BUF_AUTO block_lists = {0};

    snprintf(since, sizeof since, "%" PRId64, one->since);
    if (!db_query(compose->db, &runs,
                  "with m as (insert into report_run (customer_id, domain_id, user_id, slot,"
                  "   again, listed) select customer_id, domain_id, user_id, now(), true, 0"
                  "   from report_user where user_id = $1::bigint returning id, user_id)"
                  " select" USER_COLUMNS " from m join report_user v on v.user_id = m.user_id",
                  DB_VALUES(user), err))
        return false;
    compose_arrays(runs, &ids, &categories, &block_lists);
    return db_query(compose->db, &entries,
                    ENTRIES("taken as (select r.id as run, " TAKEN " from report_run r"
                            " join quarantine_recipient q on q.user_id = r.user_id"
                            " where r.id = any ($1::bigint[]) and q.state = 'held' and case $4"
                            "   when 'pending' then q.id in (select u.recipient_id"
                            "     from quarantine_unreported u where u.user_id = r.user_id)"
                            "   when 'last' then q.id = any ((select p.messages from report_run p"
                            "     where p.user_id = r.user_id and not p.again order by p.id desc"
                            "     limit 1)::bigint[])"
                            "   else q.received_at >= to_timestamp($5::bigint) end)",
                            "", "r.messages"),
                    DB_VALUES(ids.at, categories.at, block_lists.at, how[one->what], since), err) &&
           compose_batch(compose, &kinds[0], runs, entries, one, &made, err);
}

bool compose_one(struct compose *compose, struct compose_one *one, struct err *err)
{
    char user[24];

    one->listed = 0;
    if (!find_user(compose, one->address, user, err) || !db_script(compose->db, "begin", err))
        return false;
    if (!make_one(compose, one, user, err))
        return db_rollback(compose->db);
    /* a look leaves nothing behind */
    return db_script(compose->db, one->send ? "commit" : "rollback", err);
}

void compose_one_free(struct compose_one *one)
{
    buf_free(&one->text);
    buf_free(&one->html);
    buf_free(&one->mail);
}
