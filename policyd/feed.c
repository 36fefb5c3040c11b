/* feed - see feed.h */
#include "policyd/feed.h"

#include <stdio.h>
#include <string.h>

#include "lib/clock.h"

/*
 * A standby's data is as old as its last replayed transaction, unless it has replayed everything
 * that a living connection to the primary brought.
 */
const char FEED_HEADER[] =
    "select c.version, c.purged_version, pg_is_in_recovery(),"
    " (select uuid from changeset where version = c.version),"
    " (select uuid from changeset where version = $1::bigint),"
    " (select uuid from changeset where version = $2::bigint),"
    " case when not pg_is_in_recovery() then 0"
    "  when exists (select from pg_stat_wal_receiver)"
    "   and pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() then 0"
    "  else coalesce((extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())"
    "   * 1000000)::bigint, -1) end,"
    " (select version from sender_clock)"
    " from roll_clock c";

/*
 * The rows of each newer changeset by its index, whatever the statistics say: "offset 0" keeps the
 * planner from reading the whole table because an import once made most of it. The condition stands
 * outside of it for the same reason: inside, it would allow indexes of some states' rows, which are
 * read whole. Nothing of a history that is not ours: the server itself compares the uuid.
 */
#define NEWER(columns, table, condition)                                                           \
    "select r.* from changeset c cross join lateral (select " columns                              \
    " from (select * from " table " where changed_by = c.id offset 0) t" condition                 \
    ") r where c.version > $1::bigint"                                                             \
    " and exists (select from changeset where version = $1::bigint and uuid = $2::uuid)"

#define RECIPIENT_COLUMNS                                                                          \
    "domain_id, local_part, case state when 'disabled' then 1 else 0 end,"                         \
    " verified_on - date '1970-01-01', floor(extract(epoch from refused_at) / 3600)::int"
#define ACCEPTED "state in ('active', 'disabled')"

const char FEED_RECIPIENTS[] = NEWER(RECIPIENT_COLUMNS, "recipient", " where " ACCEPTED);
const char FEED_LEFT[] = NEWER(RECIPIENT_COLUMNS, "recipient", " where not " ACCEPTED);
const char FEED_COPY_RECIPIENTS[] =
    "copy (select " RECIPIENT_COLUMNS " from recipient where " ACCEPTED
    " order by domain_id, local_part) to stdout";

/* Of addresses that are not on the roll; no hour: the server's no is over. */
#define REFUSAL_COLUMNS                                                                            \
    "domain_id, local_part, 0, null::int, floor(extract(epoch from refused_at) / 3600)::int"

const char FEED_REFUSALS[] = NEWER(REFUSAL_COLUMNS, "refusal", "");
const char FEED_COPY_REFUSALS[] =
    "copy (select " REFUSAL_COLUMNS " from refusal where refused_at is not null) to stdout";

/* A user's rules hold for each of his addresses. */
const char FEED_COPY_SENDERS[] =
    "copy (select domain_id, '', (action = 'allow')::int, pattern from sender_rule"
    " where domain_id is not null union all"
    " select r.domain_id, r.local_part, (s.action = 'allow')::int, s.pattern"
    " from sender_rule s join recipient r on r.user_id = s.user_id and r.state = 'active')"
    " to stdout";

#define DOMAIN_COLUMNS                                                                             \
    "id, name, alias_of, relay_check, shadow, recipient_delimiter, case_sensitive,"                \
    " follows_directory, stale_limit, source_stale_limit,"                                         \
    " extract(epoch from loaded_at)::bigint, extract(epoch from synced_at)::bigint,"               \
    " extract(epoch from removed_at)::bigint"

const char FEED_DOMAINS[] = NEWER(DOMAIN_COLUMNS, "domain", "");
const char FEED_ALL_DOMAINS[] = "select " DOMAIN_COLUMNS " from domain";

/* ---- header ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_uuid(struct span text, uint8_t uuid[16])
{
    size_t digits = 0;

    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.at[i]);
        if (text.at[i] == '-')
            continue;
        if (digit < 0 || digits == 32)
            return false;
        uuid[digits / 2] = (uint8_t)(digits % 2 == 0 ? digit << 4 : uuid[digits / 2] | digit);
        digits++;
    }
    return digits == 32;
}

void feed_uuid_text(char out[FEED_UUID_TEXT], const uint8_t uuid[16])
{
    for (size_t i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", uuid[i]);
}

bool feed_header(const struct db_result *row, size_t at, struct feed_header *h, struct err *err)
{
    *h = (struct feed_header){
        .newest.version = db_int(row, at, 0),
        .purged_version = db_int(row, at, 1),
        .standby = db_bool(row, at, 2),
        .lag_us = db_int(row, at, 6),
        .senders_version = db_int(row, at, 7),
    };
    h->knows_position = read_uuid(db_span(row, at, 4), h->position_uuid);
    h->knows_pending = read_uuid(db_span(row, at, 5), h->pending_uuid);
    if (!read_uuid(db_span(row, at, 3), h->newest.uuid) && h->newest.version > 0)
        return err_set(err, ERR_DATA,
                       "roll_clock says %lld, but there is no changeset of that version",
                       (long long)h->newest.version);
    return true;
}

/* Whether the server's history has that point; what it lacks although it is newer is another one.
 */
static enum feed_decision decide_point(const struct replica_position *point, bool known,
                                       const uint8_t uuid[16], const struct feed_header *h)
{
    if (known)
        return memcmp(point->uuid, uuid, 16) == 0 ? FEED_CURRENT : FEED_RELOAD;
    return h->standby && h->newest.version < point->version ? FEED_BEHIND : FEED_RELOAD;
}

enum feed_decision feed_decide(const struct replica_from *from, const struct feed_header *h)
{
    enum feed_decision decision;

    if (from->load)
        return h->newest.version == 0 ? FEED_EMPTY : FEED_RELOAD;
    decision = decide_point(&from->position, h->knows_position, h->position_uuid, h);
    if (decision == FEED_CURRENT && from->pending.version > 0)
        decision = decide_point(&from->pending, h->knows_pending, h->pending_uuid, h);
    if (decision == FEED_RELOAD && h->newest.version == 0)
        return FEED_EMPTY;
    if (decision != FEED_CURRENT)
        return decision;
    if (from->position.version < h->purged_version)
        return FEED_RELOAD;
    return h->newest.version > from->position.version ? FEED_CHANGES : FEED_CURRENT;
}

int64_t feed_rest_us(int64_t reading_us, int64_t waited_us)
{
    static const int64_t at_once_us = 100, rest_most_us = CLOCK_SECOND / 4;
    int64_t rest = 4 * reading_us;

    if (waited_us > at_once_us)
        return 0;
    return rest < rest_most_us ? rest : rest_most_us;
}

int64_t feed_missed_us(int64_t then_us, int64_t now_us)
{
    static const int64_t little_us = 60 * CLOCK_SECOND;
    int64_t missed = now_us - then_us;

    return missed > little_us ? missed : 0;
}

/* ---- recipients ---- */

static bool take_local(struct feed_recipient *r, struct span local, struct err *err)
{
    if (local.len == 0 || local.len > sizeof r->local)
        return err_set(err, ERR_DATA, "recipient in domain %d: local part of %zu bytes",
                       r->domain_id, local.len);
    memcpy(r->local, local.at, local.len);
    r->local_len = local.len;
    return true;
}

static uint32_t stamp_of(int64_t units)
{
    return units > 0 && units <= UINT32_MAX ? (uint32_t)units : 0;
}

bool feed_recipient(const struct db_result *row, size_t at, struct feed_recipient *r,
                    struct err *err)
{
    r->domain_id = (int32_t)db_int(row, at, 0);
    r->recipient = (struct replica_recipient){
        .state = db_int(row, at, 2) != 0 ? STATE_DISABLED : STATE_ACTIVE,
        .verified_day = stamp_of(db_int(row, at, 3)),
        .refused_hour = stamp_of(db_int(row, at, 4)),
    };
    return take_local(r, db_span(row, at, 1), err);
}

/* The next column of a COPY line, still escaped. */
static struct span copy_column(struct span *rest)
{
    const char *tab = rest->len > 0 ? memchr(rest->at, '\t', rest->len) : NULL;
    struct span column = span_of(rest->at, tab != NULL ? (size_t)(tab - rest->at) : rest->len);
    size_t taken = tab != NULL ? column.len + 1 : column.len;

    *rest = span_of(rest->at + taken, rest->len - taken);
    return column;
}

static int64_t copy_int(struct span column)
{
    int64_t value = 0;

    return str_int64(column, &value) ? value : 0; /* \N is 0 */
}

/* COPY's text format escapes control characters and the backslash itself; neither a local part nor
 * a pattern has control characters, so that only "\\\\" can occur. False: there is something else,
 * or more than `room` bytes. */
static bool copy_plain(struct span column, char *out, size_t room, size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < column.len; i++) {
        if (*len == room || (column.at[i] == '\\' && (++i == column.len || column.at[i] != '\\')))
            return false;
        out[(*len)++] = column.at[i];
    }
    return true;
}

static bool copy_local(struct feed_recipient *r, struct span column, struct err *err)
{
    char plain[2 * ADDR_LOCAL_MAX];
    size_t len;

    if (memchr(column.at, '\\', column.len) == NULL)
        return take_local(r, column, err);
    if (!copy_plain(column, plain, sizeof plain, &len))
        return err_set(err, ERR_DATA, "recipient in domain %d: control character in it",
                       r->domain_id);
    return take_local(r, span_of(plain, len), err);
}

bool feed_sender_line(struct span line, struct feed_sender *s, struct err *err)
{
    size_t local, pattern = 0;

    if (line.len > 0 && line.at[line.len - 1] == '\n')
        line.len--;
    s->domain_id = (int32_t)copy_int(copy_column(&line));
    bool fine = copy_plain(copy_column(&line), s->plain, ADDR_LOCAL_MAX, &local);
    s->allow = copy_int(copy_column(&line)) != 0;
    fine = fine && copy_plain(copy_column(&line), s->plain + local, SENDER_PATTERN_MOST, &pattern);
    if (!fine || pattern == 0)
        return err_set(err, ERR_DATA, "a sender rule in domain %d makes no sense", s->domain_id);
    s->local = span_of(s->plain, local);
    s->pattern = span_of(s->plain + local, pattern);
    return true;
}

bool feed_copy_line(struct span line, struct feed_recipient *r, struct err *err)
{
    if (line.len > 0 && line.at[line.len - 1] == '\n')
        line.len--;
    r->domain_id = (int32_t)copy_int(copy_column(&line));
    struct span local = copy_column(&line);
    r->recipient.state = copy_int(copy_column(&line)) != 0 ? STATE_DISABLED : STATE_ACTIVE;
    r->recipient.verified_day = stamp_of(copy_int(copy_column(&line)));
    r->recipient.refused_hour = stamp_of(copy_int(copy_column(&line)));
    if (local.len == 0)
        return err_set(err, ERR_DATA, "a line of COPY without a local part");
    return copy_local(r, local, err);
}

/* ---- domains ---- */

static int32_t seconds_or(const struct db_result *row, size_t at, int column)
{
    return db_null(row, at, column) ? -1 : (int32_t)db_int(row, at, column);
}

bool feed_domain(const struct db_result *row, size_t at, struct domain_record *d, struct err *err)
{
    struct span name = db_span(row, at, 1), delimiter = db_span(row, at, 5);
    enum relay_check check = relay_check_by_name(db_span(row, at, 3));

    memset(d, 0, sizeof *d); /* stored as it is, padding too */
    if (name.len == 0 || name.len > ADDR_DOMAIN_MAX || delimiter.len >= sizeof d->delimiter ||
        check == CHECK_NONE)
        return err_set(err, ERR_DATA, "domain %lld: a row this program does not understand",
                       (long long)db_int(row, at, 0));
    d->id = (int32_t)db_int(row, at, 0);
    d->name_len = (uint8_t)name.len;
    memcpy(d->name, name.at, name.len);
    memcpy(d->delimiter, delimiter.at, delimiter.len);
    d->alias_of = (int32_t)db_int(row, at, 2);
    d->check = (uint8_t)check;
    d->shadow = (uint8_t)relay_check_by_name(db_span(row, at, 4));
    d->case_sensitive = db_bool(row, at, 6);
    d->follows_directory = db_bool(row, at, 7);
    d->stale_limit = seconds_or(row, at, 8);
    d->source_stale_limit = seconds_or(row, at, 9);
    d->loaded_at = db_int(row, at, 10);
    d->synced_at = db_int(row, at, 11);
    d->removed_at = db_int(row, at, 12);
    d->removed = !db_null(row, at, 12);
    return true;
}
