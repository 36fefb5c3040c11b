/* directory_search - see directory.h; here: entries as they arrive, pages, and an answer's end */
#include <stdlib.h>
#include <string.h>

#include "directory_private.h"

/* ---- entries ---- */

struct reading {
    struct directory *d;
    const struct directory_query *query;
    directory_entry_fn *take;
    void *context;
    struct directory_count *count;
    struct directory_attribute attributes[DIRECTORY_ATTRIBUTES_MOST];
    BerVarray held[DIRECTORY_ATTRIBUTES_MOST]; /* their values, to be freed */
    size_t attribute_count;
    struct span *values; /* of all attributes of one entry */
    size_t value_count, value_room;
    struct berval cookie; /* empty: there is no further page */
    char **attribute_names;
    int code; /* of the page's end */
};

static void drop_attributes(struct reading *r)
{
    for (size_t i = 0; i < r->attribute_count; i++)
        ber_memfree(r->held[i]);
    r->attribute_count = 0;
    r->value_count = 0;
}

static bool keep_values(struct reading *r, const char *name, BerVarray values, struct err *err)
{
    size_t count = 0;

    while (values != NULL && values[count].bv_val != NULL)
        count++;
    if (r->attribute_count == DIRECTORY_ATTRIBUTES_MOST ||
        r->value_count + count > DIRECTORY_VALUES_MOST) {
        ber_memfree(values);
        return err_set(err, ERR_DATA, "%s: an entry has more than %d values", r->d->server,
                       DIRECTORY_VALUES_MOST);
    }
    if (r->value_count + count > r->value_room) {
        r->value_room = (r->value_count + count) * 2;
        r->values = mem_grow(r->values, r->value_room * sizeof *r->values);
    }
    for (size_t i = 0; i < count; i++)
        r->values[r->value_count + i] = span_of(values[i].bv_val, values[i].bv_len);
    r->held[r->attribute_count] = values;
    /* the values may move while the entry is read: first only how many */
    r->attributes[r->attribute_count++] = (struct directory_attribute){name, NULL, count};
    r->value_count += count;
    return true;
}

static bool read_attributes(struct reading *r, LDAPMessage *entry, BerElement *ber, struct err *err)
{
    struct berval name;
    BerVarray values;

    for (;;) {
        int code = ldap_get_attribute_ber(r->d->ld, entry, ber, &name, &values);
        if (code != LDAP_SUCCESS)
            return directory_say(err, r->d, LDAP_DECODING_ERROR, "", "an entry");
        if (name.bv_val == NULL)
            break;
        if (!keep_values(r, name.bv_val, values, err))
            return false;
    }
    for (size_t i = 0, at = 0; i < r->attribute_count; i++) {
        r->attributes[i].values = r->values + at;
        at += r->attributes[i].count;
    }
    return true;
}

static bool take_entry(struct reading *r, LDAPMessage *entry, struct err *err)
{
    BerElement *ber = NULL;
    struct berval dn;
    bool fine = false;

    if (++r->count->entries > r->query->entry_limit)
        return err_set(err, ERR_DATA, "%s: has more than %lld entries; raise entry-limit",
                       r->d->server, (long long)r->query->entry_limit);
    if (ldap_get_dn_ber(r->d->ld, entry, &ber, &dn) != LDAP_SUCCESS)
        return directory_say(err, r->d, LDAP_DECODING_ERROR, "", "an entry");
    if (read_attributes(r, entry, ber, err))
        fine =
            r->take(r->context,
                    &(struct directory_entry){dn.bv_val, r->attributes, r->attribute_count}, err);
    drop_attributes(r);
    ber_free(ber, 0);
    return fine;
}

/* Active Directory names its own other partitions below the base; they hold no users. */
static bool harmless_reference(const struct directory *d, const char *url)
{
    static const char *const parts[] = {"/CN=Configuration,", "/DC=DomainDnsZones,",
                                        "/DC=ForestDnsZones,"};

    for (size_t i = 0; d->active_directory && i < sizeof parts / sizeof parts[0]; i++)
        if (strcasestr(url, parts[i]) != NULL)
            return true;
    return false;
}

static bool take_reference(struct reading *r, LDAPMessage *message, struct err *err)
{
    char **urls = NULL;
    char text[256];
    bool fine = true;

    if (ldap_parse_reference(r->d->ld, message, &urls, NULL, 0) != LDAP_SUCCESS)
        return directory_say(err, r->d, LDAP_DECODING_ERROR, "", "a reference");
    for (size_t i = 0; fine && urls != NULL && urls[i] != NULL; i++) {
        fine = harmless_reference(r->d, urls[i]);
        str_printable(text, sizeof text, urls[i], strlen(urls[i]));
    }
    ber_memvfree((void **)urls);
    return fine || err_set(err, ERR_DATA,
                           "%s: a part of the answer is elsewhere, at %s, which is not followed; "
                           "make that another source, or choose another --base",
                           r->d->server, text);
}

/* ---- pages ---- */

static void forget_cookie(struct reading *r)
{
    ber_memfree(r->cookie.bv_val);
    r->cookie = (struct berval){0};
}

static bool take_end(struct reading *r, LDAPMessage *message, struct err *err)
{
    LDAPControl **controls = NULL, *page;
    char *text = NULL, diagnostic[256] = "";
    ber_int_t estimate;

    forget_cookie(r);
    int parsed = ldap_parse_result(r->d->ld, message, &r->code, NULL, &text, NULL, &controls, 0);
    if (text != NULL)
        str_printable(diagnostic, sizeof diagnostic, text, strlen(text));
    ldap_memfree(text);
    if (parsed == LDAP_SUCCESS && r->code == LDAP_SUCCESS &&
        (page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL)) != NULL)
        parsed = ldap_parse_pageresponse_control(r->d->ld, page, &estimate, &r->cookie);
    ldap_controls_free(controls);
    if (parsed != LDAP_SUCCESS)
        return directory_say(err, r->d, LDAP_DECODING_ERROR, "", "the end of a page");
    return r->code == LDAP_SUCCESS || directory_say(err, r->d, r->code, diagnostic, r->query->base);
}

/* The messages of one page, each as it arrives. */
static bool read_page(struct reading *r, int message, struct err *err)
{
    for (;;) {
        struct timeval left = directory_time_left(r->d, INT64_MAX);
        LDAPMessage *answer = NULL;
        int kind = ldap_result(r->d->ld, message, LDAP_MSG_ONE, &left, &answer);
        bool fine = true, end = false;
        if (kind == 0 || (kind > 0 && directory_too_late(r->d))) {
            ldap_msgfree(answer);
            return directory_say_late(err, r->d);
        }
        if (kind < 0)
            return directory_say(err, r->d, LDAP_SERVER_DOWN, "", "in the middle of the answer");
        if (kind == LDAP_RES_SEARCH_ENTRY)
            fine = take_entry(r, answer, err);
        else if (kind == LDAP_RES_SEARCH_REFERENCE)
            fine = take_reference(r, answer, err);
        else if (kind == LDAP_RES_SEARCH_RESULT) {
            fine = take_end(r, answer, err);
            end = true;
        }
        ldap_msgfree(answer);
        if (!fine || end)
            return fine;
    }
}

static int scope_of(const char *name)
{
    return strcmp(name, "base") == 0  ? LDAP_SCOPE_BASE
           : strcmp(name, "one") == 0 ? LDAP_SCOPE_ONELEVEL
                                      : LDAP_SCOPE_SUBTREE;
}

static bool ask_page(struct reading *r, struct err *err)
{
    struct directory *d = r->d;
    LDAPControl *paged = NULL;
    int message = 0;
    int64_t size = d->page_size > 0 ? d->page_size : r->query->page_size;

    if (directory_too_late(d))
        return directory_say_late(err, d);
    if (ldap_create_page_control(d->ld, (ber_int_t)size, &r->cookie, 1, &paged) != LDAP_SUCCESS)
        return err_set(err, ERR_OTHER, "%s: out of memory", d->server);
    LDAPControl *controls[] = {paged, NULL};
    int sent =
        ldap_search_ext(d->ld, r->query->base, scope_of(r->query->scope), r->query->filter,
                        r->attribute_names, 0, controls, NULL, NULL, LDAP_NO_LIMIT, &message);
    ldap_control_free(paged);
    if (sent != LDAP_SUCCESS)
        return directory_say(err, d, sent, "", r->query->base);
    r->count->pages++;
    return read_page(r, message, err);
}

/* A page of this size is more than the server gives: smaller ones, from the start. */
static bool may_reduce(struct reading *r)
{
    static const int64_t sizes[] = {500, 100, 10};
    int64_t asked = r->d->page_size > 0 ? r->d->page_size : r->query->page_size;

    if (r->code != LDAP_ADMINLIMIT_EXCEEDED && r->code != LDAP_UNWILLING_TO_PERFORM &&
        r->code != LDAP_SIZELIMIT_EXCEEDED)
        return false;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] < asked) {
            r->d->page_size = sizes[i];
            return true;
        }
    return false;
}

static char **split_names(const char *list)
{
    struct span rest = span_text(list != NULL ? list : LDAP_NO_ATTRS), name;
    char **names = mem_zero(DIRECTORY_ATTRIBUTES_MOST * 4 + 1, sizeof *names);
    size_t count = 0;

    while (count < DIRECTORY_ATTRIBUTES_MOST * 4 && span_next(&rest, '\n', &name))
        if (name.len > 0)
            names[count++] = mem_span(name);
    return names;
}

static void reading_free(struct reading *r)
{
    forget_cookie(r);
    for (size_t i = 0; r->attribute_names[i] != NULL; i++)
        free(r->attribute_names[i]);
    free(r->attribute_names);
    free(r->values);
    free(r);
}

/* Pages until there is no more, or only the first. */
static bool read_pages(struct reading *r, bool one, bool *more, struct err *err)
{
    const int64_t before = r->count->entries;

    do {
        r->code = LDAP_SUCCESS;
        if (!ask_page(r, err)) {
            /* a first page that was refused, not one that broke off: entries may have come */
            if (r->count->entries != before || !may_reduce(r))
                return false;
            r->count->pages--;
            *more = true;
            continue;
        }
        *more = r->cookie.bv_len > 0;
        if (one)
            return true;
    } while (*more);
    return true;
}

static bool search(struct directory *d, const struct directory_query *query,
                   directory_entry_fn *take, void *context, struct directory_count *count, bool one,
                   bool *more, struct err *err)
{
    struct reading *r = mem_zero(1, sizeof *r);

    r->d = d;
    r->query = query;
    r->take = take;
    r->context = context;
    r->count = count;
    r->attribute_names = split_names(query->attributes);
    bool fine = read_pages(r, one, more, err);
    reading_free(r);
    return fine;
}

bool directory_search(struct directory *d, const struct directory_query *query,
                      directory_entry_fn *take, void *context, struct directory_count *count,
                      struct err *err)
{
    bool more;

    return search(d, query, take, context, count, false, &more, err);
}

bool directory_look(struct directory *d, const struct directory_query *query,
                    directory_entry_fn *take, void *context, struct directory_count *count,
                    bool *more, struct err *err)
{
    return search(d, query, take, context, count, true, more, err);
}
