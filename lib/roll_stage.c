/*
 * roll_stage - see roll_job.h; here: the list on its way into roll_list, and the domains it names
 *
 * Entries become lines of COPY in a buffer that is sent whenever it is full, so that memory stays
 * constant. When a domain was not seen before, the COPY is ended, to ask the database about it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roll_job.h"

enum {
    ROWS_FULL = 128 * 1024, /* bytes in the buffer: time to send */
    LOOKUPS_MOST = 16,      /* domains asked for one by one; then all are read at once */
    SEEN_BLOCKS = 1 << 18,  /* of one cache line: 16 MiB, touched as far as they are needed */
    SEEN_WORDS = 8,         /* of 64 bits in a block */
};

/* ---- numbers of domains ---- */

void roll_ids_add(struct roll_ids *ids, int32_t id)
{
    if (ids->count == ids->room) {
        ids->room = ids->room > 0 ? ids->room * 2 : 16;
        ids->at = mem_grow(ids->at, ids->room * sizeof *ids->at);
    }
    ids->at[ids->count++] = id;
}

static int by_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

void roll_ids_sort(struct roll_ids *ids)
{
    size_t kept = 0;

    if (ids->count == 0)
        return;
    qsort(ids->at, ids->count, sizeof *ids->at, by_id);
    for (size_t i = 0; i < ids->count; i++)
        if (kept == 0 || ids->at[kept - 1] != ids->at[i])
            ids->at[kept++] = ids->at[i];
    ids->count = kept;
}

bool roll_ids_have(const struct roll_ids *sorted, int32_t id)
{
    return sorted->count > 0 &&
           bsearch(&id, sorted->at, sorted->count, sizeof *sorted->at, by_id) != NULL;
}

void roll_ids_text(const struct roll_ids *ids, struct buf *out)
{
    buf_text(out, "{");
    for (size_t i = 0; i < ids->count; i++)
        buf_printf(out, "%s%d", i > 0 ? "," : "", (int)ids->at[i]);
    buf_text(out, "}");
}

void roll_ids_free(struct roll_ids *ids)
{
    free(ids->at);
    *ids = (struct roll_ids){0};
}

/* ---- domains by name ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return hash;
}

static uint64_t hash_mix(uint64_t hash)
{
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

/* The place of that name: taken by it, or free. */
static struct roll_domain *domain_place(struct roll_domain *table, size_t room, struct span name)
{
    size_t at = hash_mix(hash_bytes(0, name.at, name.len)) & (room - 1);

    while (table[at].name != NULL && !span_equals(name, table[at].name))
        at = (at + 1) & (room - 1);
    return &table[at];
}

static void domains_grow(struct roll_job *job)
{
    size_t room = job->domain_room > 0 ? job->domain_room * 2 : 64;
    struct roll_domain *table = mem_zero(room, sizeof *table);

    for (size_t i = 0; i < job->domain_room; i++)
        if (job->domains[i].name != NULL)
            *domain_place(table, room, span_text(job->domains[i].name)) = job->domains[i];
    free(job->domains);
    job->domains = table;
    job->domain_room = room;
}

static struct roll_domain *domain_keep(struct roll_job *job, struct span name)
{
    if (job->domain_count * 2 >= job->domain_room)
        domains_grow(job);
    struct roll_domain *domain = domain_place(job->domains, job->domain_room, name);
    if (domain->name == NULL) {
        *domain = (struct roll_domain){.name = mem_span(name)};
        job->domain_count++;
    }
    return domain;
}

#define DOMAINS                                                                                    \
    "select d.name, d.id, t.id, t.customer_id, t.case_sensitive from domain d"                     \
    " join domain t on t.id = coalesce(d.alias_of, d.id)"                                          \
    " where d.state = 'active' and t.state = 'active'"

static void domain_fill(struct roll_job *job, const struct db_result *rows, size_t row)
{
    struct roll_domain *domain = domain_keep(job, db_span(rows, row, 0));

    domain->id = (int32_t)db_int(rows, row, 1);
    domain->target = (int32_t)db_int(rows, row, 2);
    domain->customer = (int32_t)db_int(rows, row, 3);
    domain->case_sensitive = db_bool(rows, row, 4);
}

/* All domains of the customer whose that name is, as a list is mostly about one; or, without a
 * name, of everybody. */
static bool domains_read(struct roll_job *job, const char *name, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    bool fine = name != NULL
                    ? db_query(job->db, &rows,
                               DOMAINS " and d.customer_id = (select customer_id from domain"
                                       "   where name = $1)",
                               DB_VALUES(name), err)
                    : db_query(job->db, &rows, DOMAINS, DB_NO_VALUES, err);

    for (size_t i = 0; fine && i < db_rows(rows); i++)
        domain_fill(job, rows, i);
    return fine;
}

/* What is known about a name that a list mentions; NULL with err filled when that cannot be read.
 * Valid until the next call. */
static struct roll_domain *domain_find(struct roll_job *job, struct span name, struct err *err)
{
    char text[ADDR_DOMAIN_MAX + 1];

    job->foreign = (struct roll_domain){0};
    if (name.len > ADDR_DOMAIN_MAX)
        return &job->foreign;
    if (job->domain_room > 0) {
        struct roll_domain *known = domain_place(job->domains, job->domain_room, name);
        if (known->name != NULL)
            return known;
    }
    if (job->all_domains)
        return &job->foreign;
    memcpy(text, name.at, name.len);
    text[name.len] = '\0';
    bool all = ++job->lookups > LOOKUPS_MOST;
    if (!roll_stage_pause(job, err) || !domains_read(job, all ? NULL : text, err))
        return NULL;
    job->all_domains = all;
    return all ? domain_find(job, name, err) : domain_keep(job, name);
}

bool roll_folds_case(struct roll_job *job, struct span name)
{
    if (job->broken.class != ERR_NONE)
        return true;
    const struct roll_domain *domain = domain_find(job, name, &job->broken);
    return domain == NULL || !domain->case_sensitive;
}

bool roll_scope(struct roll_job *job, const char *name, struct err *err)
{
    char normal[ADDR_DOMAIN_MAX + 1];
    size_t len;

    if (!addr_parse_domain(span_text(name), normal, &len, err))
        return false;
    struct roll_domain *domain = domain_find(job, span_of(normal, len), err);
    if (domain == NULL)
        return false;
    if (domain->id == 0)
        return err_set(err, ERR_DATA, "%s: not served here; `rollcall domain list` shows what is",
                       normal);
    domain->used = true;
    roll_ids_add(&job->scope, domain->target);
    return true;
}

/* ---- staging ---- */

/*
 * Whether that address may have been staged before: no is certain, yes is to be looked at. A Bloom
 * filter whose bits for one address lie in one cache line; a million addresses give no false alarm
 * worth mentioning, ten millions one in 400.
 */
static bool seen_before(struct roll_job *job, int32_t domain, const struct addr *address)
{
    uint64_t hash = hash_bytes((uint64_t)domain, address->local, address->local_len);
    uint64_t place = hash_mix(hash), bits = hash_mix(place);
    bool seen = true;

    if (job->seen == NULL)
        job->seen = mem_zero((size_t)SEEN_BLOCKS * SEEN_WORDS, sizeof *job->seen);
    uint64_t *block = &job->seen[(place % SEEN_BLOCKS) * SEEN_WORDS];
    for (int word = 0; word < SEEN_WORDS; word++, bits >>= 6) {
        uint64_t bit = UINT64_C(1) << (bits & 63);
        seen = seen && (block[word] & bit) != 0;
        block[word] |= bit;
    }
    return seen;
}

static int32_t line_number(int64_t line)
{
    return line < 0 ? 0 : line > INT32_MAX ? INT32_MAX : (int32_t)line;
}

void roll_put_number(struct buf *rows, int64_t number)
{
    char text[24], *at = text + sizeof text;

    *--at = '\t';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    buf_append(rows, at, (size_t)(text + sizeof text - at));
}

static const char *kind_of(const struct roll_entry *entry, size_t at)
{
    return entry->kind == ENTRY_GROUP ? "group" : at == 0 ? "primary" : "alias";
}

/* One line of COPY, in the order of roll_list's columns. `fault`: a roll_problem_kind, or -1. */
static void put_row(struct roll_job *job, const struct roll_entry *entry, size_t at,
                    const struct roll_domain *domain, int fault)
{
    const struct addr *address = &entry->addresses[at];
    struct buf *rows = &job->rows;
    char text[ADDR_TEXT_MAX + 1];
    bool ours = domain->id != 0, again = fault < 0 && seen_before(job, domain->target, address);
    bool disabled = entry->disabled_each != NULL ? entry->disabled_each[at] : entry->disabled;

    job->again = job->again || again;
    job->faults += fault >= 0;
    if (job->request->eager) { /* what has a fault is not written at all */
        if (!job->spoiled && job->faults == 0)
            roll_eager_row(job, &(struct roll_eager_row){
                                    .domain = domain->target,
                                    .local_part = span_of(address->local, address->local_len),
                                    .user = entry->kind == ENTRY_USER ? entry->user : 0,
                                    .kind = kind_of(entry, at),
                                    .disabled = disabled});
        return;
    }
    roll_put_number(rows, job->entries);
    roll_put_number(rows, job->places);
    roll_put_number(rows, line_number(entry->line));
    roll_put_number(rows, domain->target);
    db_copy_escape(rows, span_of(address->local, ours ? address->local_len : 0));
    buf_text(rows, "\t");
    buf_text(rows, kind_of(entry, at));
    buf_text(rows, entry->address_count == 1 ? "\tt" : "\tf");
    buf_text(rows, again ? "\tt" : "\tf");
    buf_text(rows, disabled ? "\tt\t" : "\tf\t");
    if (fault >= 0)
        roll_put_number(rows, fault);
    else
        buf_text(rows, "\\N\t");
    roll_put_number(rows, job->entries);
    if (ours && entry->name.len == 0 && !entry->unnamed)
        buf_text(rows, "\\N");
    else if (ours)
        db_copy_escape(rows, entry->name);
    else
        db_copy_escape(rows, span_of(text, addr_format(address, text)));
    buf_text(rows, "\t");
    if (entry->user != 0 && entry->kind == ENTRY_USER)
        roll_put_number(rows, entry->user);
    else
        buf_text(rows, "\\N\t");
    rows->at[rows->len - 1] = '\n'; /* the row ends here */
}

bool roll_stage_send(struct roll_job *job, const char *copy, struct err *err)
{
    if (!job->copying && !db_copy_in(job->db, copy, err))
        return false;
    job->copying = true;
    bool fine = db_copy_put(job->db, job->rows.at, job->rows.len, err);
    buf_clear(&job->rows);
    return fine;
}

bool roll_stage_pause(struct roll_job *job, struct err *err)
{
    bool copying = job->copying;

    job->copying = false;
    return !copying || db_copy_end(job->db, NULL, err);
}

static bool send_rows(struct roll_job *job, struct err *err)
{
    return roll_stage_send(job, "copy roll_list from stdin", err);
}

bool roll_stage_flush(struct roll_job *job, struct err *err)
{
    return (job->rows.len == 0 || send_rows(job, err)) && roll_stage_pause(job, err);
}

static bool check_entry(const struct roll_job *job, const struct roll_entry *entry, struct err *err)
{
    if (job->broken.class != ERR_NONE) {
        *err = job->broken;
        return false;
    }
    if (entry->address_count == 0 || entry->address_count > ROLL_ADDRESSES_MAX)
        return err_set(err, ERR_DATA, "line %lld: from 1 to %d addresses for one user",
                       (long long)entry->line, ROLL_ADDRESSES_MAX);
    if (entry->kind == ENTRY_GROUP && entry->address_count != 1)
        return err_set(err, ERR_DATA, "line %lld: a group has one address", (long long)entry->line);
    if (entry->name.len > ROLL_NAME_MAX || !str_utf8_valid(entry->name))
        return err_set(err, ERR_DATA, "line %lld: a name is UTF-8 of at most %d bytes",
                       (long long)entry->line, ROLL_NAME_MAX);
    if (job->places > INT32_MAX - ROLL_ADDRESSES_MAX)
        return err_set(err, ERR_DATA, "line %lld: the list is too long", (long long)entry->line);
    return true;
}

bool roll_stage(struct roll_job *job, const struct roll_entry *entry, struct err *err)
{
    int32_t customer = 0; /* an entry is of one customer: that of its first address of ours */

    if (!check_entry(job, entry, err) || (job->request->eager && !roll_eager_begin(job, err)))
        return false;
    job->entries++;
    job->several = job->several || entry->address_count > 1;
    job->users += entry->kind == ENTRY_USER;
    job->known = job->known || entry->user != 0;
    job->names = job->names || entry->name.len > 0 || entry->unnamed;
    for (size_t i = 0; i < entry->address_count; i++) {
        const struct addr *address = &entry->addresses[i];
        struct roll_domain *domain =
            domain_find(job, span_of(address->domain, address->domain_len), err);
        if (domain == NULL)
            return false;
        if (customer == 0)
            customer = domain->customer;
        bool ours = domain->id != 0 && domain->customer == customer;
        if (ours && !domain->listed) {
            domain->used = domain->listed = true;
            roll_ids_add(&job->listed, domain->target);
        }
        domain->staged += ours;
        job->places++;
        put_row(job, entry, i, domain, ours ? -1 : PROBLEM_FOREIGN);
    }
    if (job->rows.len < ROWS_FULL)
        return true;
    return job->request->eager ? roll_eager_send(job, err) : send_rows(job, err);
}

/* ---- what is wrong with the list by itself ---- */

static bool judge_scope(struct roll_job *job, struct err *err)
{
    struct roll_ids outside = {0};
    BUF_AUTO text = {0};
    int64_t marked = 0;

    roll_ids_sort(&job->scope);
    roll_ids_sort(&job->listed);
    for (size_t i = 0; job->scope.count > 0 && i < job->listed.count; i++)
        if (!roll_ids_have(&job->scope, job->listed.at[i]))
            roll_ids_add(&outside, job->listed.at[i]);
    roll_ids_text(&outside, &text);
    char kind[] = {'0' + PROBLEM_OUTSIDE, '\0'};
    bool fine = outside.count == 0 || db_exec(job->db,
                                              "update roll_list set fault = $2 where fault is null"
                                              " and domain_id = any ($1::int[])",
                                              DB_VALUES(text.at, kind), &marked, err);
    job->faults += marked;
    roll_ids_free(&outside);
    return fine;
}

/* An entry whose first address is the first address of an earlier one is that one, told again. */
static const char merge_sql[] =
    "with suspect as (select distinct domain_id, local_part from roll_list where again),"
    " head as (select l.entry, min(l.entry) over (partition by l.domain_id, l.local_part,"
    "   l.kind) as first from roll_list l join suspect using (domain_id, local_part)"
    "   where l.fault is null and l.kind in ('primary', 'group')),"
    " same as (select entry, first from head where entry > first"
    "   union select first, first from head where entry > first)"
    " update roll_list l set entry = s.first, lone = false from same s where l.entry = s.entry";

/* Of the same address twice the first counts. $1 … the kinds of problem; -1: nothing to say. */
static const char repeat_sql[] =
    "with suspect as (select distinct domain_id, local_part from roll_list where again),"
    " told as (select place, entry, kind, first_value(entry) over same as first,"
    "   first_value(kind) over same as first_kind, row_number() over same as nth"
    "   from roll_list join suspect using (domain_id, local_part) where fault is null"
    "   window same as (partition by domain_id, local_part order by place)),"
    " marked as (update roll_list l set rival = t.first, fault = case"
    "     when (t.kind = 'group') <> (t.first_kind = 'group') then $1::int"
    "     when t.entry = t.first then -1 else $2::int end"
    "   from told t where t.place = l.place and t.nth > 1 returning l.fault)"
    " select count(*) filter (where fault >= 0), count(*) from marked";

static bool judge_repeats(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO marked = NULL;
    int64_t merged;
    char kind[] = {'0' + PROBLEM_KIND, '\0'}, conflict[] = {'0' + PROBLEM_CONFLICT, '\0'};

    if (!job->again)
        return true;
    if (!db_exec(job->db, merge_sql, DB_NO_VALUES, &merged, err) ||
        !db_query(job->db, &marked, repeat_sql, DB_VALUES(kind, conflict), err))
        return false;
    job->faults += db_int(marked, 0, 0);
    job->several = job->several || merged > 0;
    job->repeats = merged > 0 || db_int(marked, 0, 1) > 0;
    return true;
}

bool roll_stage_judge(struct roll_job *job, struct err *err)
{
    if (!judge_scope(job, err))
        return false;
    /* addresses that are named one by one need no owner */
    if (job->request->mode > ROLL_FOLLOW)
        return true;
    return judge_repeats(job, err);
}

/* ---- locks ---- */

static void lock_needs(struct roll_job *job)
{
    job->locked.count = 0;
    for (size_t i = 0; i < job->domain_room; i++)
        if (job->domains[i].used) {
            roll_ids_add(&job->locked, job->domains[i].id);
            roll_ids_add(&job->locked, job->domains[i].target);
        }
    for (size_t i = 0; i < job->extra.count; i++)
        roll_ids_add(&job->locked, job->extra.at[i]);
    roll_ids_sort(&job->locked);
}

/* The row with that id of a result that is sorted by it. */
static bool row_of(const struct db_result *rows, int32_t id, size_t *row)
{
    size_t low = 0, high = db_rows(rows);

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (db_int(rows, middle, 0) < id)
            low = middle + 1;
        else
            high = middle;
    }
    *row = low;
    return low < db_rows(rows) && db_int(rows, low, 0) == id;
}

static bool still_so(const struct roll_domain *domain, const struct db_result *rows)
{
    size_t own, target;

    return row_of(rows, domain->id, &own) && row_of(rows, domain->target, &target) &&
           db_int(rows, own, 1) == domain->target && db_int(rows, target, 1) == domain->target &&
           db_int(rows, target, 2) == domain->customer &&
           db_bool(rows, target, 3) == domain->case_sensitive && db_bool(rows, own, 4) &&
           db_bool(rows, target, 4);
}

#define LOCKED                                                                                     \
    "select id, coalesce(alias_of, id), customer_id, case_sensitive, state = 'active' from domain" \
    " where id = any ($1::int[]) order by id for update"

bool roll_stage_lock(struct roll_job *job, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO ids = {0};

    lock_needs(job);
    roll_ids_text(&job->locked, &ids);
    if (!db_query(job->db, &rows, job->request->eager ? LOCKED " nowait" : LOCKED,
                  DB_VALUES(ids.at), err))
        return false;
    for (size_t i = 0; i < job->domain_room; i++)
        if (job->domains[i].used && !still_so(&job->domains[i], rows))
            return err_set(err, ERR_TEMPORARY, "%s: was changed while the list was read; try again",
                           job->domains[i].name);
    return true;
}

void roll_stage_free(struct roll_job *job)
{
    for (size_t i = 0; i < job->domain_room; i++)
        free(job->domains[i].name);
    free(job->domains);
    free(job->seen);
    buf_free(&job->rows);
    roll_ids_free(&job->listed);
    roll_ids_free(&job->scope);
    roll_ids_free(&job->locked);
    roll_ids_free(&job->extra);
}
