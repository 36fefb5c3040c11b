/* gather - see gather.h */
#include "sync/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/clock.h"
#include "sync/members.h"

struct gather {
    const struct gather_options *options;
    const struct ldap_settings *settings;
    struct spool *spool;
    const struct gather_listener *listener;
    struct gather_report *report;
    struct directory *directory;
    struct entry_rules rules;
    struct members *members; /* NULL: everybody */
    struct buf attributes;
    enum entry_kind kind; /* of the running search */
    const char *dn;       /* of the entry at hand */
    struct entry *entry;
};

/* ---- one entry ---- */

static void count_foreign(struct gather_report *report, const char *domain)
{
    size_t at = 0;

    report->foreign_addresses++;
    while (at < report->foreign_count && strcmp(report->foreign[at].domain, domain) != 0)
        at++;
    if (at == GATHER_FOREIGN_MOST)
        return;
    if (at == report->foreign_count) {
        snprintf(report->foreign[at].domain, sizeof report->foreign[at].domain, "%s", domain);
        report->foreign_count++;
    }
    report->foreign[at].count++;
}

static void on_note(void *context, const struct entry_note *note)
{
    struct gather *g = context;

    if (note->kind == ENTRY_NOTE_FOREIGN)
        count_foreign(g->report, note->domain);
    else if (note->kind == ENTRY_NOTE_MANY)
        g->report->many++;
    else
        g->report->bad_values++;
    if (g->listener->note != NULL)
        g->listener->note(g->listener->context, g->dn, note);
}

static const char *count_left_out(struct gather_report *report, enum entry_result result)
{
    switch (result) {
    case ENTRY_NO_IDENTITY:
        report->no_identity++;
        return "has no identity attribute (may the account read it?)";
    case ENTRY_NO_ADDRESS:
        report->no_address++;
        return "has no address";
    case ENTRY_ELSEWHERE:
        report->elsewhere++;
        return "has addresses in other domains only";
    case ENTRY_BAD:
        report->bad++;
        return "none of its values is an address";
    case ENTRY_TAKEN:
        break;
    }
    return NULL;
}

static struct span uid_of(const struct directory_entry *entry)
{
    for (size_t a = 0; a < entry->count; a++)
        if (strcasecmp(entry->attributes[a].name, "uid") == 0 && entry->attributes[a].count > 0)
            return entry->attributes[a].values[0];
    return span_of(NULL, 0);
}

static bool keep(struct gather *g, struct err *err)
{
    struct entry *entry = g->entry;

    g->report->users += g->kind == ENTRY_USER;
    g->report->groups += g->kind == ENTRY_GROUP;
    g->report->disabled += entry->disabled;
    if (g->spool == NULL)
        return true;
    struct spool_entry kept = {.kind = g->kind,
                               .disabled = entry->disabled,
                               .name = span_of(entry->name, entry->name_len),
                               .dn = span_text(g->dn),
                               .addresses = entry->addresses,
                               .address_count = entry->address_count};
    memcpy(kept.identity, entry->identity, ENTRY_IDENTITY);
    return spool_add(g->spool, &kept, err);
}

static bool on_entry(void *context, const struct directory_entry *found, struct err *err)
{
    struct gather *g = context;
    const char *why;

    g->dn = found->dn;
    if (g->members != NULL && g->kind == ENTRY_USER &&
        !members_have(g->members, found->dn, uid_of(found))) {
        g->report->outside++;
        why = "is in none of the groups of member-of";
    } else
        why = count_left_out(g->report, entry_take(&g->rules, found->attributes, found->count,
                                                   g->entry, on_note, g));
    g->report->left_out += why != NULL;
    if (g->listener->entry != NULL)
        g->listener->entry(g->listener->context, found->dn, g->kind, g->entry, why);
    return why != NULL || keep(g, err);
}

/* ---- searches ---- */

static bool search_base(struct gather *g, const char *base, const char *filter, struct err *err)
{
    const struct ldap_settings *s = g->settings;
    struct directory_query query = {.base = base,
                                    .scope = s->scope,
                                    .filter = filter,
                                    .attributes = g->attributes.at,
                                    .page_size = ldap_setting_number(s->page_size),
                                    .entry_limit = ldap_setting_number(s->entry_limit)};
    bool more = false;

    if (!g->options->look)
        return directory_search(g->directory, &query, on_entry, g, &g->report->read, err);
    bool fine = directory_look(g->directory, &query, on_entry, g, &g->report->read, &more, err);
    g->report->more = g->report->more || more;
    return fine;
}

static bool search_all(struct gather *g, enum entry_kind kind, const char *filter, struct err *err)
{
    struct span rest = span_text(g->settings->base), base;

    g->kind = kind;
    while (span_next(&rest, '\n', &base)) {
        STR_AUTO text = mem_span(base);
        if (base.len > 0 && !search_base(g, text, filter, err))
            return false;
    }
    return true;
}

/* Active Directory knows nested membership by itself: LDAP_MATCHING_RULE_IN_CHAIN. */
static void filter_in_chain(const struct ldap_settings *s, struct buf *out)
{
    struct span rest = span_text(s->member_of), group;

    buf_printf(out, "(&%s(|", s->filter);
    while (span_next(&rest, '\n', &group)) {
        if (group.len == 0)
            continue;
        buf_text(out, "(memberOf:1.2.840.113556.1.4.1941:=");
        ldap_filter_value(out, group);
        buf_text(out, ")");
    }
    buf_text(out, "))");
}

/* In chain, a group that is not there has no members, silently: ask for each. */
static bool ignore_entry(void *context, const struct directory_entry *entry, struct err *err)
{
    (void)context, (void)entry, (void)err;
    return true;
}

static bool groups_exist(struct gather *g, struct err *err)
{
    struct span rest = span_text(g->settings->member_of), group;

    while (span_next(&rest, '\n', &group)) {
        STR_AUTO dn = mem_span(group);
        struct directory_query query = {.base = dn,
                                        .scope = "base",
                                        .filter = "(objectClass=*)",
                                        .page_size = 10,
                                        .entry_limit = INT64_MAX};
        struct directory_count count = {0};
        if (group.len > 0 &&
            !directory_search(g->directory, &query, ignore_entry, NULL, &count, err))
            return err_prefix(err, "group %s", dn);
    }
    return true;
}

static bool search_users(struct gather *g, struct err *err)
{
    const struct ldap_settings *s = g->settings;
    enum ldap_preset preset = ldap_settings_preset(s);
    BUF_AUTO filter = {0};

    if (s->member_of[0] == '\0')
        return search_all(g, ENTRY_USER, s->filter, err);
    if (preset == PRESET_AD || preset == PRESET_SAMBA) {
        filter_in_chain(s, &filter);
        return groups_exist(g, err) && search_all(g, ENTRY_USER, filter.at, err);
    }
    struct directory_count walked = {0};
    bool fine = members_read(&g->members, g->directory, s->member_of,
                             ldap_setting_number(s->page_size), &walked, err) &&
                search_all(g, ENTRY_USER, s->filter, err);
    g->report->read.pages += walked.pages;
    return fine;
}

static bool search_everything(struct gather *g, struct err *err)
{
    const struct ldap_settings *s = g->settings;

    return search_users(g, err) &&
           (!ldap_setting_yes(s->groups) || search_all(g, ENTRY_GROUP, s->group_filter, err)) &&
           (!ldap_setting_yes(s->contacts) || search_all(g, ENTRY_GROUP, s->contact_filter, err));
}

bool gather_run(const struct gather_options *options, struct spool *spool,
                const struct gather_listener *listener, struct gather_report *report,
                struct err *err)
{
    static const struct gather_listener deaf;
    const struct ldap_settings *s = &options->source->settings;
    struct gather g = {.options = options,
                       .settings = s,
                       .spool = spool,
                       .listener = listener != NULL ? listener : &deaf,
                       .report = report};
    struct directory_login login = {.settings = s,
                                    .password = options->password,
                                    .denied = options->denied,
                                    .deadline_us =
                                        clock_elapsed_us() + ldap_setting_time_us(s->time_limit)};

    *report = (struct gather_report){0};
    if (!entry_rules_make(&g.rules, s, options->source->domains, options->source->domain_count,
                          options->now_s, err))
        return false;
    entry_rules_attributes(&g.rules, &g.attributes);
    if (s->member_of[0] != '\0')
        buf_text(&g.attributes, "\nuid");
    g.entry = mem_zero(1, sizeof *g.entry);
    bool fine = directory_open(&g.directory, &login, err);
    if (fine)
        snprintf(report->server, sizeof report->server, "%s", directory_server(g.directory));
    fine = fine && search_everything(&g, err);
    directory_close(&g.directory);
    members_free(&g.members);
    entry_rules_free(&g.rules);
    buf_free(&g.attributes);
    free(g.entry);
    return fine;
}
