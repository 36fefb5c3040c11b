/* create_domain - see create.h; here: one day of one domain */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "lib/roll.h"
#include "sync/create_parts.h"

/* ---- lists through the one door ---- */

/* Stages the local parts of `rows` as users. */
static bool stage_all(struct roll_job *job, const struct domain *d, const struct db_result *rows,
                      struct err *err)
{
    for (size_t i = 0; i < db_rows(rows); i++) {
        struct addr addr = {.local_len = 0};
        struct span local = db_span(rows, i, 0);
        struct roll_entry entry = {.line = (int64_t)i + 1,
                                   .kind = ENTRY_USER,
                                   .addresses = &addr,
                                   .address_count = 1,
                                   .name = span_text("")};
        if (local.len > ADDR_LOCAL_MAX)
            continue;
        memcpy(addr.local, local.at, local.len);
        addr.local_len = local.len;
        addr.domain_len = strlen(d->name);
        memcpy(addr.domain, d->name, addr.domain_len);
        if (!roll_stage(job, &entry, err))
            return false;
    }
    return true;
}

/* Applies the list; *count is how many addresses it changed. */
static bool apply(struct create *c, const struct domain *d, enum roll_mode mode, int32_t day,
                  const struct db_result *rows, int64_t *count, struct err *err)
{
    char day_name[DAY_TEXT], note[64];
    struct roll_request request = {
        .mode = mode,
        .source = SOURCE_SMTP,
        .actor = "rollcall-observe",
        .program = "rollcall-observe",
        .note = note,
        .guard = {c->options->conf->guard_least, c->options->conf->guard_percent}};
    struct roll_outcome outcome;
    struct roll_listener listener = {.context = NULL};
    struct roll_job *job;

    snprintf(note, sizeof note, "observed on %s", day_text(day, day_name));
    if (!roll_open(&job, c->db, &request, err))
        return false;
    if (!roll_scope(job, d->name, err) || !stage_all(job, d, rows, err)) {
        roll_abort(&job);
        return false;
    }
    if (!roll_finish(&job, &listener, &outcome, err))
        return false;
    *count = outcome.state == ROLL_APPLIED ? outcome.added + outcome.changed + outcome.removed : 0;
    return true;
}

/* ---- creating ---- */

/*
 * $1 domain, $2 day, $3 the veto in seconds. More clean messages than the threshold, the server's
 * last word that day a yes, nothing said after a message had been sent; not on the roll, and not
 * taken off it lately.
 */
static const char candidates_sql[] =
    "select o.local_part from observation o join domain d on d.id = o.domain_id"
    " where o.domain_id = $1::int and o.day = $2::date and o.accepted > d.threshold"
    "   and o.deliverable > 0 and o.late = 0"
    "   and o.last_yes > coalesce(o.last_no, '-infinity')"
    "   and lower(o.local_part) not in ('mailer-daemon', 'double-bounce')"
    "   and not exists (select from recipient r where r.domain_id = o.domain_id"
    "     and r.local_part = o.local_part and r.state in ('active', 'disabled'))"
    "   and not exists (select from change h join changeset s on s.id = h.changeset_id"
    "     where s.created_at > $4::timestamptz - make_interval(secs => $3::float8)"
    "       and s.removed > 0 and h.domain_id = o.domain_id and h.local_part = o.local_part"
    "       and h.before_kind is not null and h.after_kind is null)"
    " order by o.local_part";

static bool count_active(struct create *c, const struct domain *d, int64_t *count, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char id[NUMBER_TEXT];

    if (!db_query(c->db, &rows,
                  "select count(*) from recipient where domain_id = $1::int and state = 'active'",
                  DB_VALUES(number_text(d->id, id)), err))
        return false;
    *count = db_int(rows, 0, 0);
    return true;
}

/* Told once, until it is something else. */
static bool note_held(struct create *c, struct domain *d, const char *why, struct err *err)
{
    char id[NUMBER_TEXT];
    bool news = strcmp(why, d->held) != 0;

    if (why[0] != '\0') {
        c->report->held++;
        if (news || c->options->dry_run)
            log_write(LOG_CREATE_HELD, "%s: %s", d->name, why);
    }
    snprintf(d->held, sizeof d->held, "%s", why);
    return c->options->dry_run || !news ||
           db_exec(c->db, "update domain_observation set held = $2 where domain_id = $1::int",
                   DB_VALUES(number_text(d->id, id), why), NULL, err);
}

static bool too_many(struct create *c, const struct domain *d, int64_t fresh, char *why,
                     size_t room, struct err *err)
{
    const struct conf *conf = c->options->conf;
    int64_t active, limit;

    why[0] = '\0';
    if (c->options->force || (!d->created_first && conf->create_first_limited == 0))
        return true;
    if (!count_active(c, d, &active, err))
        return false;
    limit = active * conf->create_percent / 100;
    if (limit < conf->create_least)
        limit = conf->create_least;
    if (fresh > limit)
        snprintf(why, room,
                 "held: would add %lld users at once to %lld (limit %lld); look with "
                 "'rollcall-observe create --domain %s --dry-run', then say --force",
                 (long long)fresh, (long long)active, (long long)limit, d->name);
    return true;
}

static void print_list(const struct domain *d, const struct db_result *rows, char sign)
{
    char text[ADDR_TEXT_MAX + 1], shown[2 * ADDR_TEXT_MAX];

    for (size_t i = 0; i < db_rows(rows); i++) {
        size_t len = addr_format_parts(db_span(rows, i, 0), span_text(d->name), text, sizeof text);
        str_printable(shown, sizeof shown, text, len);
        printf("%c %s\n", sign, shown);
    }
}

/* $1 domain, $2 day: the newest word about those that are on the roll now is that day's yes. */
static const char verify_sql[] = "select observe_verify('rollcall-observe', $1::int, $2::date)";

/* Two transactions: who is only on the roll yet is asked about once more. */
static bool add_users(struct create *c, struct domain *d, int32_t day, const struct db_result *rows,
                      struct err *err)
{
    char id[NUMBER_TEXT], day_name[DAY_TEXT];
    int64_t count;

    if (!apply(c, d, ROLL_ADD, day, rows, &count, err))
        return false;
    c->report->created += count;
    d->created_first = true;
    if (count > 0)
        log_write(LOG_CREATED, "%s: %lld users observed on %s", d->name, (long long)count,
                  day_text(day, day_name));
    return db_exec(c->db, verify_sql, DB_VALUES(number_text(d->id, id), day_text(day, day_name)),
                   NULL, err) &&
           db_exec(c->db,
                   "update domain_observation set created_first = true where domain_id = $1::int",
                   DB_VALUES(id), NULL, err);
}

static bool create_users(struct create *c, struct domain *d, int32_t day, bool *done,
                         struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char id[NUMBER_TEXT], day_name[DAY_TEXT], veto[NUMBER_TEXT], now[TIME_TEXT], why[HELD_TEXT];

    clock_rfc3339(now, sizeof now, c->options->now_us);
    if (!db_query(c->db, &rows, candidates_sql,
                  DB_VALUES(number_text(d->id, id), day_text(day, day_name),
                            number_text(c->options->conf->veto_for / CLOCK_SECOND, veto), now),
                  err) ||
        !too_many(c, d, (int64_t)db_rows(rows), why, sizeof why, err) || !note_held(c, d, why, err))
        return false;
    if (c->options->dry_run)
        print_list(d, rows, '+');
    *done = why[0] == '\0';
    return why[0] != '\0' || db_rows(rows) == 0 || c->options->dry_run ||
           add_users(c, d, day, rows, err);
}

/* ---- what speaks against a domain ---- */

/* $1 domain, $2 day: it took mail or a probe for somebody that it refused once mail was sent. */
static const char late_sql[] =
    "select exists (select from observation o"
    "   where o.domain_id = $1::int and o.day > $2::date - 30 and o.day <= $2::date and o.late > 0"
    "   and exists (select from observation y where y.domain_id = o.domain_id"
    "     and y.local_part = o.local_part and y.day > o.day - 8 and y.day <= o.day"
    "     and y.deliverable > 0))";
static const char note_late_sql[] = "update domain_observation set bounces_late = $2::boolean"
                                    " where domain_id = $1::int and bounces_late <> $2::boolean";

static bool bounces_late(struct create *c, const struct domain *d, int32_t day, bool *late,
                         struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char id[NUMBER_TEXT], day_name[DAY_TEXT];

    if (!db_query(c->db, &rows, late_sql,
                  DB_VALUES(number_text(d->id, id), day_text(day, day_name)), err))
        return false;
    *late = db_bool(rows, 0, 0);
    return c->options->dry_run ||
           db_exec(c->db, note_late_sql, DB_VALUES(id, *late ? "true" : "false"), NULL, err);
}

/* Empty when users may be created; *pass tells that the day is over without. */
static bool domain_speaks(struct create *c, const struct domain *d, int32_t day, char *why,
                          size_t room, bool *pass, struct err *err)
{
    bool late;

    why[0] = '\0';
    *pass = true;
    if (!bounces_late(c, d, day, &late, err))
        return false;
    if (d->accepts_everything)
        snprintf(why, room, "held: its server accepts everything, an address that nobody has too");
    else if (late)
        snprintf(why, room,
                 "held: its server takes messages for recipients that it then says it does not "
                 "have");
    else if (c->options->conf->catch_all_probe != 0 && !d->probe_answered) {
        snprintf(why, room,
                 "waits: its server has not been asked yet whether it accepts everything");
        *pass = false;
    }
    return true;
}

/* ---- retiring ---- */

/*
 * $1 domain, $2 day, $3 on how many days. Only who is on the roll by observation alone, and whom
 * the server refused that day again, with nothing taken since the first of these days.
 */
static const char dead_sql[] =
    "select r.local_part from observation t join recipient r on r.domain_id = t.domain_id"
    "   and r.local_part = t.local_part and r.state = 'active'"
    " where t.domain_id = $1::int and t.day = $2::date and t.unknown > 0"
    "   and r.claims <> '{}' and r.claims <@ array['smtp', 'smtp!']"
    "   and (select count(*) from observation o where o.domain_id = t.domain_id"
    "     and o.local_part = t.local_part and o.day <= t.day and o.unknown > 0"
    "     and o.last_no > coalesce((select max(y.last_yes) from observation y"
    "       where y.domain_id = t.domain_id and y.local_part = t.local_part), '-infinity'))"
    "     >= $3::int order by r.local_part";

/* A server that has lost its directory says so of everybody. */
static bool hold_retirement(struct create *c, struct domain *d, int32_t day,
                            const struct roll_guard_case *guard, struct err *err)
{
    char why[HELD_TEXT], day_name[DAY_TEXT];

    snprintf(why, sizeof why,
             "held: would retire %lld of %lld recipients at once, they stay; if they are gone: "
             "'rollcall-observe create --domain %s --day %s --force'",
             (long long)guard->leaving, (long long)guard->before, d->name, day_text(day, day_name));
    return note_held(c, d, why, err);
}

static bool retire_dead(struct create *c, struct domain *d, int32_t day, struct err *err)
{
    const struct conf *conf = c->options->conf;
    DB_RESULT_AUTO rows = NULL;
    char id[NUMBER_TEXT], day_name[DAY_TEXT], after[NUMBER_TEXT];
    struct roll_guard_case guard = {.least = conf->guard_least,
                                    .percent = d->guard_percent >= 0 ? d->guard_percent
                                                                     : conf->guard_percent};
    int64_t count;

    if (!db_query(c->db, &rows, dead_sql,
                  DB_VALUES(number_text(d->id, id), day_text(day, day_name),
                            number_text(conf->retire_after, after)),
                  err) ||
        !count_active(c, d, &guard.before, err))
        return false;
    guard.leaving = (int64_t)db_rows(rows);
    if (c->options->dry_run)
        print_list(d, rows, '-');
    if (guard.leaving == 0 || c->options->dry_run)
        return true;
    if (roll_guard_holds(&guard) && !c->options->force)
        return hold_retirement(c, d, day, &guard, err);
    if (!apply(c, d, ROLL_RETIRE, day, rows, &count, err))
        return false;
    c->report->retired += count;
    if (count > 0)
        log_write(LOG_RETIRED, "%s: %lld recipients", d->name, (long long)count);
    return true;
}

/* ---- a day of a domain ---- */

static bool worked(struct create *c, const struct domain *d, int32_t day, struct err *err)
{
    char id[NUMBER_TEXT], day_name[DAY_TEXT];

    return c->options->dry_run ||
           db_exec(c->db,
                   "update domain_observation set worked_to = greatest(worked_to, $2::date)"
                   " where domain_id = $1::int",
                   DB_VALUES(number_text(d->id, id), day_text(day, day_name)), NULL, err);
}

bool create_work_day(struct create *c, struct domain *d, int32_t day, bool *done, struct err *err)
{
    char why[HELD_TEXT];
    bool pass;

    if (!domain_speaks(c, d, day, why, sizeof why, &pass, err))
        return false;
    if (why[0] != '\0') {
        *done = pass;
        if (!note_held(c, d, why, err))
            return false;
    } else if (!create_users(c, d, day, done, err))
        return false;
    if (*done && (!retire_dead(c, d, day, err) || !worked(c, d, day, err)))
        return false;
    c->report->days += *done;
    return true;
}
