/* facts - see facts.h */
#include "facts.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "sender.h"
#include "sql.h"

#define HOUR (3600 * CLOCK_SECOND)
#define DAY  (24 * HOUR)

/* clang-format off */
#define ORIGIN                                                                                     \
    "c.id, c.version, c.actor, c.program, " SQL_TIME("coalesce(c.decided_at, c.created_at)")
#define DOMAIN_ROW                                                                                 \
    "select d.name, d.state,"                                                                      \
    " coalesce((select t.name from domain t where t.id = d.alias_of), ''), d.id, d.relay_check,"   \
    " coalesce(d.shadow::text, ''), d.loaded_at is not null, coalesce(d.stale_limit, -1),"         \
    " coalesce(d.source_stale_limit, -1), d.follows_directory, " SQL_AGE("d.synced_at") ","        \
    " d.recipient_delimiter, d.case_sensitive, " ORIGIN                                            \
    " from domain d join changeset c on c.id = d.changed_by "

/* The name itself and its parents, the nearest known first. */
static const char nearest_sql[] =
    DOMAIN_ROW "where d.name = any ($1::text[]) order by length(d.name) desc limit 1";
static const char target_sql[] = DOMAIN_ROW "where d.name = $1";
static const char recipient_sql[] =
    "select " SQL_ADDRESS("r.local_part", "d.name") ", r.state, r.kind,"
    " coalesce((select " SQL_ADDRESS("p.local_part", "pd.name")
    "   from recipient p join domain pd on pd.id = p.domain_id"
    "   where p.user_id = r.user_id and p.kind = 'primary'), ''),"
    " coalesce((select u.name from users u where u.id = r.user_id), ''), " SQL_SOURCES ","
    " (now() at time zone 'UTC')::date - r.verified_on,"
    " floor(extract(epoch from now()) / 3600)::bigint"
    "   - floor(extract(epoch from r.refused_at) / 3600)::bigint,"
    " (r.refused_at at time zone 'UTC')::date >= coalesce(r.verified_on, date '-infinity'), " ORIGIN
    " from recipient r join domain d on d.id = r.domain_id join changeset c on c.id = r.changed_by"
    " where r.domain_id = $1::integer and r.local_part = $2";
static const char refusal_sql[] =
    "select floor(extract(epoch from now()) / 3600)::bigint"
    "   - floor(extract(epoch from refused_at) / 3600)::bigint"
    " from refusal where domain_id = $1::integer and local_part = $2 and refused_at is not null";
/* clang-format on */

static void take_version(struct facts *facts, const struct db_result *rows, int origin)
{
    if (rows == NULL || db_rows(rows) == 0)
        return;
    int64_t version = db_int(rows, 0, origin + ORIGIN_VERSION);
    if (version > facts->version)
        facts->version = version;
}

/* The names as an array of PostgreSQL: only letters, digits, hyphens and dots are in them. */
static bool find_nearest(struct facts *facts, struct db *db, struct span name, struct err *err)
{
    BUF_AUTO names = {0};
    struct span parent = name;

    buf_printf(&names, "{%.*s", (int)name.len, name.at);
    while (addr_parent_domain(parent, &parent))
        buf_printf(&names, ",%.*s", (int)parent.len, parent.at);
    buf_text(&names, "}");
    return db_query(db, &facts->domain, nearest_sql, DB_VALUES(names.at), err);
}

static bool find_domain(struct facts *facts, struct db *db, struct span name, struct err *err)
{
    struct domain_facts *d = &facts->question.domain;

    if (!find_nearest(facts, db, name, err))
        return false;
    take_version(facts, facts->domain, FACTS_DOMAIN_ORIGIN);
    if (db_rows(facts->domain) == 0) {
        d->standing = DOMAIN_FOREIGN;
        return true;
    }
    bool removed = strcmp(db_text(facts->domain, 0, FACTS_STATE), "removed") == 0;
    bool exact = span_equals(name, db_text(facts->domain, 0, FACTS_NAME));
    d->standing = removed ? DOMAIN_REMOVED : exact ? DOMAIN_SERVED : DOMAIN_BELOW_SERVED;
    if (d->standing != DOMAIN_SERVED || db_text(facts->domain, 0, FACTS_ALIAS_OF)[0] == '\0')
        return true;
    if (!db_query(db, &facts->target, target_sql,
                  DB_VALUES(db_text(facts->domain, 0, FACTS_ALIAS_OF)), err))
        return false;
    take_version(facts, facts->target, FACTS_DOMAIN_ORIGIN);
    if (strcmp(db_text(facts->target, 0, FACTS_STATE), "removed") == 0)
        d->standing = DOMAIN_REMOVED;
    return true;
}

static int64_t limit_us(int64_t own_seconds, int64_t setting_us)
{
    return own_seconds >= 0 ? own_seconds * CLOCK_SECOND : setting_us;
}

/* Of the domain whose settings hold: an alias domain is its target in everything. */
static void take_settings(struct facts *facts, const struct conf *conf, const struct db_result *row)
{
    struct domain_facts *d = &facts->question.domain;
    const char *shadow = db_text(row, 0, FACTS_SHADOW);

    d->check = relay_check_by_name(db_span(row, 0, FACTS_CHECK));
    d->shadow = relay_check_by_name(span_text(shadow));
    d->loaded = db_bool(row, 0, FACTS_LOADED);
    d->stale_limit_us = limit_us(db_int(row, 0, FACTS_STALE_LIMIT), conf->stale_limit);
    d->source_stale_limit_us =
        limit_us(db_int(row, 0, FACTS_SOURCE_STALE_LIMIT), conf->source_stale_limit);
    d->follows_directory = db_bool(row, 0, FACTS_FOLLOWS);
    d->source_age_us = -1;
    if (!db_null(row, 0, FACTS_SYNCED_AGE_US)) {
        int64_t age = db_int(row, 0, FACTS_SYNCED_AGE_US);
        d->source_age_us = age > 0 ? age : 0;
    }
}

/* One local part; *there when such a row is on the roll. Keeps the first row that it sees: a
 * tombstone tells people more than nothing. */
static bool look_up(struct facts *facts, struct db *db, const struct db_result *domain,
                    struct span local, bool *there, struct err *err)
{
    char normal[ADDR_LOCAL_MAX + 1];
    size_t len;
    struct db_result *rows = NULL;

    *there = false;
    if (!addr_normal_local(local, !db_bool(domain, 0, FACTS_CASE_SENSITIVE), normal, &len))
        return true;
    if (!db_query(db, &rows, recipient_sql, DB_VALUES(db_text(domain, 0, FACTS_ID), normal), err))
        return false;
    const char *state = db_rows(rows) > 0 ? db_text(rows, 0, FACTS_RECIPIENT_STATE) : "";
    *there = strcmp(state, "active") == 0 || strcmp(state, "disabled") == 0;
    if (*there || !facts->observed) {
        memcpy(facts->local, normal, len + 1);
        facts->domain_id = (int32_t)db_int(domain, 0, FACTS_ID);
        facts->observed = true;
    }
    if (*there || (facts->recipient == NULL && db_rows(rows) > 0)) {
        db_result_free(&facts->recipient);
        facts->recipient = rows;
        rows = NULL;
    }
    db_result_free(&rows);
    return true;
}

static void take_recipient(struct facts *facts)
{
    struct recipient_facts *r = &facts->question.recipient;
    const struct db_result *row = facts->recipient;
    bool refused = db_bool(row, 0, FACTS_REFUSED_WINS);

    r->lookup = LOOKUP_FOUND;
    r->state = strcmp(db_text(row, 0, FACTS_RECIPIENT_STATE), "disabled") == 0 ? STATE_DISABLED
                                                                               : STATE_ACTIVE;
    if (refused)
        r->refused_age_us = db_int(row, 0, FACTS_REFUSED_HOURS) * HOUR;
    else if (!db_null(row, 0, FACTS_VERIFIED_DAYS))
        r->verified_age_us = db_int(row, 0, FACTS_VERIFIED_DAYS) * DAY;
}

/* Of the address exactly as asked. */
static bool find_refusal(struct facts *facts, struct db *db, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    char id[16];

    if (!facts->observed)
        return true;
    snprintf(id, sizeof id, "%d", (int)facts->domain_id);
    if (!db_query(db, &rows, refusal_sql, DB_VALUES(id, facts->local), err))
        return false;
    if (db_rows(rows) > 0)
        facts->question.recipient.refused_age_us = db_int(rows, 0, 0) * HOUR;
    return true;
}

/* Exactly as asked first, then without the tag. */
static bool find_recipient(struct facts *facts, struct db *db, const struct db_result *domain,
                           struct span local, struct err *err)
{
    struct span base;
    bool there;

    if (!look_up(facts, db, domain, local, &there, err))
        return false;
    if (!there && addr_without_tag(local, db_text(domain, 0, FACTS_DELIMITER), &base)) {
        if (!look_up(facts, db, domain, base, &there, err))
            return false;
        facts->question.recipient.without_tag = there;
    }
    if (there)
        take_recipient(facts);
    else if (!find_refusal(facts, db, err))
        return false;
    take_version(facts, facts->recipient, FACTS_RECIPIENT_ORIGIN);
    return true;
}

bool facts_gather(struct facts *facts, struct db *db, const struct conf *conf,
                  const struct addr *addr, struct err *err)
{
    struct span local = span_of(addr->local, addr->local_len);

    *facts = (struct facts){
        .question = {.decides = true,
                     .local = local,
                     .domain = {.shadow = CHECK_NONE, .stale_limit_us = conf->stale_limit},
                     .recipient = {.verified_age_us = -1, .refused_age_us = -1},
                     .list_present = true,
                     .accept_abuse = conf->accept_abuse,
                     .verified_for_us = conf->verified_for,
                     .refused_for_us = conf->refused_for}};
    if (!find_domain(facts, db, span_of(addr->domain, addr->domain_len), err))
        return false;
    if (facts->question.domain.standing != DOMAIN_SERVED)
        return true;
    const struct db_result *target = facts->target != NULL ? facts->target : facts->domain;
    take_settings(facts, conf, target);
    return find_recipient(facts, db, target, local, err);
}

/* ---- senders ---- */

/* clang-format off */
static const char rules_sql[] =
    "select case when s.user_id is null then 'domain' else 'user' end, s.action, s.pattern,"
    " s.actor, " SQL_TIME("s.created_at") ", s.created_at from sender_rule s"
    " where s.pattern = any (string_to_array($1, E'\n')) and (s.domain_id = $2::integer"
    "   or s.user_id = (select r.user_id from recipient r where r.domain_id = $2::integer"
    "     and r.local_part = $3 and r.state = 'active'))"
    " order by s.user_id is null, s.action, s.pattern";
/* clang-format on */

static void add_pattern(void *context, const char *pattern)
{
    struct buf *lines = context;

    buf_printf(lines, "%s%s", lines->len > 0 ? "\n" : "", pattern);
}

/* As policyd/senders.c: the user's before the domain's, in each an allow beats a block. */
static enum sender_word word_of(const struct db_result *rules)
{
    if (db_rows(rules) == 0)
        return SENDER_UNLISTED;
    bool of_user = strcmp(db_text(rules, 0, FACTS_RULE_OF), "user") == 0;
    /* the enum of PostgreSQL sorts allow before block */
    if (strcmp(db_text(rules, 0, FACTS_RULE_ACTION), "allow") == 0)
        return SENDER_ALLOWED;
    return of_user ? SENDER_BLOCKED_BY_USER : SENDER_BLOCKED_BY_DOMAIN;
}

bool facts_sender(struct facts *facts, struct db *db, const struct conf *conf, const char *sender,
                  struct err *err)
{
    BUF_AUTO patterns = {0};
    char id[16];

    if (!facts->observed)
        return true; /* no domain of ours, or a local part that nobody has */
    snprintf(id, sizeof id, "%d", (int)facts->domain_id);
    buf_text(&patterns, "");
    sender_patterns(sender, add_pattern, &patterns);
    if (!db_query(db, &facts->rules, rules_sql, DB_VALUES(patterns.at, id, facts->local), err))
        return false;
    if (conf->reject_blocked_senders)
        facts->question.sender = word_of(facts->rules);
    return true;
}

void facts_free(struct facts *facts)
{
    db_result_free(&facts->rules);
    db_result_free(&facts->domain);
    db_result_free(&facts->target);
    db_result_free(&facts->recipient);
}
