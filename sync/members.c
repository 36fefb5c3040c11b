/* members - see members.h */
#include "sync/members.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/secret.h"
#include "sync/gather.h"

#define GROUPS                                                                                     \
    "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfMembers)"     \
    "(objectClass=posixGroup)(objectClass=group))"

/* Hashes, open addressing; 0 is no hash. */
struct hashes {
    uint64_t *at;
    size_t count, room;
};

struct members {
    uint8_t key[SECRET_HASH_KEY];
    struct hashes all;    /* DNs and "uid:…" that belong to it */
    struct hashes groups; /* DNs of all groups there are */
    struct hashes walked;
    char **queue;
    size_t queued, done, room;
    struct buf dn; /* of the moment, normalised */
};

static bool hashes_add(struct hashes *set, uint64_t hash);

static void hashes_grow(struct hashes *set)
{
    struct hashes bigger = {.room = set->room > 0 ? set->room * 2 : 1024};

    bigger.at = mem_zero(bigger.room, sizeof *bigger.at);
    for (size_t i = 0; i < set->room; i++)
        if (set->at[i] != 0)
            hashes_add(&bigger, set->at[i]);
    free(set->at);
    *set = bigger;
}

/* Where that hash is, or would be. */
static size_t hashes_place(const struct hashes *set, uint64_t hash)
{
    size_t at = hash & (set->room - 1);

    while (set->at[at] != 0 && set->at[at] != hash)
        at = (at + 1) & (set->room - 1);
    return at;
}

/* False when it was there. */
static bool hashes_add(struct hashes *set, uint64_t hash)
{
    if (set->count * 2 >= set->room)
        hashes_grow(set);
    size_t at = hashes_place(set, hash);
    if (set->at[at] == hash)
        return false;
    set->at[at] = hash;
    set->count++;
    return true;
}

static bool hashes_have(const struct hashes *set, uint64_t hash)
{
    return set->room > 0 && set->at[hashes_place(set, hash)] == hash;
}

static uint64_t hash_of(const struct members *m, struct span text)
{
    uint64_t hash = secret_hash64(text.at, text.len, m->key);

    return hash != 0 ? hash : 1;
}

static void enqueue(struct members *m, const char *dn)
{
    if (m->queued == m->room) {
        m->room = m->room > 0 ? m->room * 2 : 64;
        m->queue = mem_grow(m->queue, m->room * sizeof *m->queue);
    }
    m->queue[m->queued++] = mem_text(dn);
}

/* ---- one group ---- */

static void take_dn(struct members *m, struct span value)
{
    /* uniqueMember: a DN, perhaps with "#'0101'B" behind it (RFC 4517 section 3.3.21) */
    const char *mark = memmem(value.at, value.len, "#'", 2);
    STR_AUTO text = mem_span(mark != NULL ? span_of(value.at, (size_t)(mark - value.at)) : value);

    if (!directory_normal_dn(text, &m->dn))
        return;
    uint64_t hash = hash_of(m, span_of(m->dn.at, m->dn.len));
    hashes_add(&m->all, hash);
    if (hashes_have(&m->groups, hash) && hashes_add(&m->walked, hash))
        enqueue(m, text);
}

static void take_uid(struct members *m, struct span value)
{
    BUF_AUTO text = {0};

    buf_text(&text, "uid:");
    buf_append(&text, value.at, value.len);
    for (size_t i = 0; i < text.len; i++)
        text.at[i] = str_lower(text.at[i]);
    hashes_add(&m->all, hash_of(m, span_of(text.at, text.len)));
}

static bool take_group(void *context, const struct directory_entry *entry, struct err *err)
{
    struct members *m = context;

    (void)err;
    for (size_t a = 0; a < entry->count; a++)
        for (size_t v = 0; v < entry->attributes[a].count; v++) {
            if (strcasecmp(entry->attributes[a].name, "memberUid") == 0)
                take_uid(m, entry->attributes[a].values[v]);
            else if (entry->attributes[a].values[v].len < 4096)
                take_dn(m, entry->attributes[a].values[v]);
        }
    return true;
}

static bool read_group(struct members *m, struct directory *directory, const char *dn,
                       struct directory_count *count, struct err *err)
{
    int64_t before = count->entries;
    struct directory_query query = {.base = dn,
                                    .scope = "base",
                                    .filter = "(objectClass=*)",
                                    .attributes = "member\nuniqueMember\nmemberUid",
                                    .page_size = 10,
                                    .entry_limit = INT64_MAX};

    if (!directory_search(directory, &query, take_group, m, count, err))
        return err_prefix(err, "group %s", dn);
    return count->entries > before ||
           err_set(err, ERR_DATA, "%s: group %s: may not be read", directory_server(directory), dn);
}

/* ---- which groups there are ---- */

static bool take_name(void *context, const struct directory_entry *entry, struct err *err)
{
    struct members *m = context;

    if (m->groups.count >= GATHER_GROUPS_MOST)
        return err_set(err, ERR_DATA, "more than %d groups", GATHER_GROUPS_MOST);
    if (directory_normal_dn(entry->dn, &m->dn))
        hashes_add(&m->groups, hash_of(m, span_of(m->dn.at, m->dn.len)));
    return true;
}

static bool take_contexts(void *context, const struct directory_entry *entry, struct err *err)
{
    struct buf *out = context;

    (void)err;
    for (size_t a = 0; a < entry->count; a++)
        for (size_t v = 0; v < entry->attributes[a].count; v++) {
            buf_append(out, entry->attributes[a].values[v].at, entry->attributes[a].values[v].len);
            buf_text(out, "\n");
        }
    return true;
}

/* Whether one of the groups is below that base. */
static bool holds_group(struct members *m, const char *groups, const char *base)
{
    struct span rest = span_text(groups), group;
    BUF_AUTO normal = {0};

    if (!directory_normal_dn(base, &normal))
        return false;
    while (span_next(&rest, '\n', &group)) {
        STR_AUTO dn = mem_span(group);
        if (directory_normal_dn(dn, &m->dn) && m->dn.len >= normal.len &&
            strcmp(m->dn.at + m->dn.len - normal.len, normal.at) == 0)
            return true;
    }
    return false;
}

/* All groups of the naming contexts that matter, by their names only. */
static bool read_groups(struct members *m, struct directory *directory, const char *groups,
                        int64_t page_size, struct directory_count *count, struct err *err)
{
    BUF_AUTO contexts = {0};
    struct span base;
    struct directory_query query = {.base = "",
                                    .scope = "base",
                                    .filter = "(objectClass=*)",
                                    .attributes = "namingContexts",
                                    .page_size = 10,
                                    .entry_limit = INT64_MAX};

    buf_text(&contexts, "");
    if (!directory_search(directory, &query, take_contexts, &contexts, count, err))
        return false;
    struct span rest = span_of(contexts.at, contexts.len);
    while (span_next(&rest, '\n', &base)) {
        STR_AUTO text = mem_span(base);
        query = (struct directory_query){.base = text,
                                         .scope = "sub",
                                         .filter = GROUPS,
                                         .page_size = page_size,
                                         .entry_limit = INT64_MAX};
        if (base.len > 0 && holds_group(m, groups, text) &&
            !directory_search(directory, &query, take_name, m, count, err))
            return false;
    }
    return true;
}

bool members_read(struct members **out, struct directory *directory, const char *groups,
                  int64_t page_size, struct directory_count *count, struct err *err)
{
    struct members *m = mem_zero(1, sizeof *m);
    struct span rest = span_text(groups), group;

    *out = m;
    secret_random(m->key, sizeof m->key);
    bool fine = read_groups(m, directory, groups, page_size, count, err);
    while (fine && span_next(&rest, '\n', &group)) {
        STR_AUTO dn = mem_span(group);
        if (group.len > 0 &&
            (fine = directory_normal_dn(dn, &m->dn) ||
                    err_set(err, ERR_CONFIG, "member-of: '%s' is no DN", dn)) &&
            hashes_add(&m->walked, hash_of(m, span_of(m->dn.at, m->dn.len))))
            enqueue(m, dn);
    }
    for (; fine && m->done < m->queued; m->done++)
        fine = read_group(m, directory, m->queue[m->done], count, err);
    if (!fine)
        members_free(out);
    return fine;
}

void members_free(struct members **members)
{
    struct members *m = *members;

    if (m == NULL)
        return;
    for (size_t i = 0; i < m->queued; i++)
        free(m->queue[i]);
    free(m->queue);
    free(m->all.at);
    free(m->groups.at);
    free(m->walked.at);
    buf_free(&m->dn);
    free(m);
    *members = NULL;
}

bool members_have(const struct members *m, const char *dn, struct span uid)
{
    BUF_AUTO text = {0};

    if (directory_normal_dn(dn, &text) &&
        hashes_have(&m->all, hash_of(m, span_of(text.at, text.len))))
        return true;
    if (uid.len == 0)
        return false;
    buf_clear(&text);
    buf_text(&text, "uid:");
    buf_append(&text, uid.at, uid.len);
    for (size_t i = 0; i < text.len; i++)
        text.at[i] = str_lower(text.at[i]);
    return hashes_have(&m->all, hash_of(m, span_of(text.at, text.len)));
}
