/* identities - see identities.h */
#include "sync/identities.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_FULL = 1 << 16 };

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

static bool take_row(void *context, size_t statement, const struct db_result *row, struct err *err)
{
    struct identities *known = context;
    const char *hex = db_text(row, 0, 0);

    (void)statement, (void)err;
    if (known->count == known->room) {
        known->room = known->room > 0 ? known->room * 2 : 1024;
        known->at = mem_grow(known->at, known->room * sizeof *known->at);
    }
    struct identity *one = &known->at[known->count++];
    for (size_t i = 0; i < ENTRY_IDENTITY && hex[2 * i] != '\0'; i++)
        one->identity[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    one->user = db_int(row, 0, 1);
    return true;
}

bool identities_read(struct identities *known, struct db *db, int32_t source, struct err *err)
{
    char id[16];
    const char *const values[] = {id};
    struct db_statement statement = {
        "select replace(identity::text, '-', ''), user_id from ldap_user where source_id = $1::int"
        " order by identity",
        values, 1, NULL};

    *known = (struct identities){0};
    snprintf(id, sizeof id, "%d", (int)source);
    return db_pipeline(db, &statement, 1, take_row, known, err);
}

void identities_free(struct identities *known)
{
    free(known->at);
    *known = (struct identities){0};
}

int64_t identities_user(const struct identities *known, const uint8_t identity[ENTRY_IDENTITY])
{
    size_t low = 0, high = known->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(known->at[middle].identity, identity, ENTRY_IDENTITY);
        if (order == 0)
            return known->at[middle].user;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static void put_identity(struct buf *rows, const uint8_t identity[ENTRY_IDENTITY])
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * ENTRY_IDENTITY + 1];

    for (size_t i = 0; i < ENTRY_IDENTITY; i++) {
        hex[2 * i] = digits[identity[i] >> 4];
        hex[2 * i + 1] = digits[identity[i] & 15];
    }
    hex[2 * ENTRY_IDENTITY] = '\t';
    buf_append(rows, hex, sizeof hex);
}

/* What a line of COPY says of the user that is the `at`th entry; nothing: it has none. */
typedef bool line_fn(const void *context, struct buf *rows, size_t at,
                     const struct spool_entry *entry, struct err *err);

static bool copy_users(struct db *db, const char *copy, struct spool *spool, line_fn *put,
                       const void *context, struct err *err)
{
    struct spool_entry entry;
    BUF_AUTO rows = {0};

    if (!db_copy_in(db, copy, err))
        return false;
    for (size_t i = 0; i < spool_count(spool); i++) {
        if (!spool_get(spool, i, &entry, err) ||
            (entry.kind == ENTRY_USER && !put(context, &rows, i, &entry, err)))
            return false;
        if (rows.len < ROWS_FULL)
            continue;
        if (!db_copy_put(db, rows.at, rows.len, err))
            return false;
        buf_clear(&rows);
    }
    return (rows.len == 0 || db_copy_put(db, rows.at, rows.len, err)) && db_copy_end(db, NULL, err);
}

/* `except`: see identities.h. */
static bool put_seen(const void *except, struct buf *rows, size_t at,
                     const struct spool_entry *entry, struct err *err)
{
    const uint8_t *bits = except;

    (void)err;
    if (!str_utf8_valid(entry->dn))
        return true;
    put_identity(rows, entry->identity);
    db_copy_escape(rows, entry->dn);
    buf_text(rows, "\t");
    db_copy_escape(rows, span_of(entry->addresses[0].local, entry->addresses[0].local_len));
    buf_text(rows, "\t");
    db_copy_escape(rows, span_of(entry->addresses[0].domain, entry->addresses[0].domain_len));
    buf_text(rows, bits != NULL && (bits[at / 8] >> at % 8 & 1) != 0 ? "\tt\n" : "\tf\n");
    return true;
}

static const char forget_sql[] =
    "delete from ldap_user u where u.source_id = $1::int and not exists"
    " (select from ldap_seen s where s.identity = u.identity)";
/* Its user is whoever has its primary address now: looked up one by one, whatever the statistics of
 * a young table make of it. Of two entries that are one user the first by identity is it. */
static const char learn_sql[] =
    "insert into ldap_user (source_id, identity, user_id, dn)"
    " select $1::int, identity, user_id, dn from (select s.identity, s.dn, r.user_id,"
    "     row_number() over (partition by r.user_id order by s.identity) as nth"
    "   from ldap_seen s join domain d on d.name = s.domain and d.state = 'active'"
    "   cross join lateral (select user_id from recipient where local_part = s.local_part"
    "     and domain_id = coalesce(d.alias_of, d.id) and state <> 'removed'"
    "     and user_id is not null offset 0) r where not s.known) s"
    " where nth = 1 order by identity"
    " on conflict (source_id, identity) do update"
    " set user_id = excluded.user_id, dn = excluded.dn"
    " where (ldap_user.user_id, ldap_user.dn) is distinct from (excluded.user_id, excluded.dn)";

bool identities_write(struct db *db, int32_t source, struct spool *spool, const uint8_t *except,
                      struct err *err)
{
    char id[16];

    snprintf(id, sizeof id, "%d", (int)source);
    if (!db_script(db,
                   "begin; set local jit = off; set local work_mem = '64MB';"
                   "create temp table ldap_seen (identity uuid not null, dn text not null,"
                   " local_part text collate \"C\" not null, domain text collate \"C\" not null,"
                   " known boolean not null) on commit drop",
                   err))
        return false;
    return (copy_users(db, "copy ldap_seen from stdin", spool, put_seen, except, err) &&
            db_script(db, "analyze ldap_seen", err) &&
            db_exec(db, forget_sql, DB_VALUES(id), NULL, err) &&
            db_exec(db, learn_sql, DB_VALUES(id), NULL, err) && db_script(db, "commit", err)) ||
           db_rollback(db);
}

/* ---- of a first list ---- */

struct learning {
    const struct ldap_source *source;
    struct spool *spool;
    struct ahead *ahead;
    struct db *db;
};

static bool user_of(const struct learning *l, size_t at, int64_t *user, struct err *err)
{
    return ahead_number(l->ahead, l->db, spool_came(l->spool, at), user, err);
}

static bool put_user(const void *context, struct buf *rows, size_t at,
                     const struct spool_entry *entry, struct err *err)
{
    const struct learning *l = context;
    int64_t user;

    if (!user_of(l, at, &user, err))
        return false;
    buf_printf(rows, "%lld\t%d\t", (long long)user, (int)l->source->customer);
    db_copy_escape(rows, entry->name);
    buf_text(rows, "\n");
    return true;
}

static bool put_learnt(const void *context, struct buf *rows, size_t at,
                       const struct spool_entry *entry, struct err *err)
{
    const struct learning *l = context;
    int64_t user;

    if (!str_utf8_valid(entry->dn)) /* it is a user, but not known again */
        return true;
    if (!user_of(l, at, &user, err))
        return false;
    put_identity(rows, entry->identity);
    buf_printf(rows, "%d\t%lld\t", (int)l->source->id, (long long)user);
    db_copy_escape(rows, entry->dn);
    buf_text(rows, "\n");
    return true;
}

/* Numbers are asked for over the same connection: so before the COPY. */
static bool reserve_all(const struct learning *l, struct err *err)
{
    int64_t ignored;

    for (size_t i = 0; i < spool_count(l->spool); i++)
        if (!user_of(l, i, &ignored, err))
            return false;
    return true;
}

bool identities_learn(struct db *db, const struct ldap_source *source, struct spool *spool,
                      struct ahead *ahead, struct err *err)
{
    const struct learning l = {source, spool, ahead, db};

    return db_script(db,
                     "begin; set local jit = off; set local gin_pending_list_limit = '1GB';"
                     "set local rollcall.checked = 'on'",
                     err) &&
           reserve_all(&l, err) &&
           copy_users(db, "copy users (id, customer_id, name) from stdin", spool, put_user, &l,
                      err) &&
           copy_users(db, "copy ldap_user (identity, source_id, user_id, dn) from stdin", spool,
                      put_learnt, &l, err);
}
