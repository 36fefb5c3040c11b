/* ldaprun_tell - see ldaprun_private.h */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "sync/ldaprun_private.h"
#include "sync/records.h"

enum { VALUES_LOGGED = 20 }; /* of a run */

void ldaprun_tell_entry(void *context, const char *dn, enum entry_kind kind,
                        const struct entry *entry, const char *why)
{
    struct run *run = context;
    BUF_AUTO aliases = {0};
    char address[ADDR_TEXT_MAX + 1];

    if (why != NULL) {
        RECORD("left", run->source.name, dn, why);
        return;
    }
    buf_text(&aliases, "");
    for (size_t i = 1; i < entry->address_count; i++) {
        addr_format(&entry->addresses[i], address);
        buf_printf(&aliases, "%s%s", i > 1 ? " " : "", address);
    }
    addr_format(&entry->addresses[0], address);
    BUF_AUTO state = {0};
    buf_text(&state, entry->disabled ? "disabled" : "active");
    if (entry->disabled)
        buf_printf(&state, " (%s)", entry->because->attribute);
    RECORD("user", run->source.name, kind == ENTRY_USER ? "user" : "group", state.at, address,
           aliases.at, entry->name, dn);
}

/* What is wrong with a value is logged for the first few of a run. */
void ldaprun_tell_note(void *context, const char *dn, const struct entry_note *note)
{
    struct run *run = context;
    char value[256];

    str_printable(value, sizeof value, note->value.at, note->value.len);
    if (run->options->records && (run->options->look || note->kind != ENTRY_NOTE_FOREIGN))
        RECORD("note", run->source.name, dn, value, note->reason);
    else if (note->kind != ENTRY_NOTE_FOREIGN && run->logged++ < VALUES_LOGGED)
        log_write(LOG_LDAP_VALUE, "%s: %s: '%s': %s", run->source.name, dn, value, note->reason);
}

void ldaprun_tell_problem(void *context, const struct roll_problem *problem)
{
    struct run *run = context;
    struct spool_entry entry = {0};
    BUF_AUTO text = {0};
    struct err ignored; /* then it is told without its name */

    if (problem->line > 0 && (size_t)problem->line <= spool_count(run->spool)) {
        size_t at = (size_t)problem->line - 1;
        if (!spool_get(run->spool, at, &entry, &ignored))
            entry.dn = span_of("?", 1);
        run->troubled[at / 8] = (uint8_t)(run->troubled[at / 8] | 1 << at % 8);
    }
    STR_AUTO dn = mem_span(entry.dn);
    roll_problem_text(problem, &text);
    if (run->options->records)
        RECORD("problem", run->source.name, roll_problem_names[problem->kind], problem->address, dn,
               text.at);
    else if (run->logged++ < VALUES_LOGGED)
        log_write(LOG_LDAP_VALUE, "%s: %s: %s", run->source.name, dn, text.at);
}

void ldaprun_tell_difference(void *context, const struct roll_difference *difference)
{
    struct run *run = context;
    const char sign[] = {difference->sign, '\0'};

    RECORD("difference", run->source.name, sign, difference->address, difference->before,
           difference->after);
}

void ldaprun_tell_done(const struct run *run)
{
    const struct gather_report *r = &run->report;
    const struct roll_outcome *o = &run->outcome;
    char numbers[13][24];
    const int64_t values[] = {r->read.entries, r->read.pages, r->users,   r->groups,
                              r->left_out,     o->added,      o->removed, o->changed,
                              o->problems,     o->changeset,  o->version, r->more,
                              r->bad_values};

    for (size_t i = 0; i < 13; i++)
        snprintf(numbers[i], sizeof numbers[i], "%" PRId64, values[i]);
    for (size_t i = 0; run->options->records && i < r->foreign_count; i++) {
        char count[24];
        snprintf(count, sizeof count, "%" PRId64, r->foreign[i].count);
        RECORD("foreign", run->source.name, r->foreign[i].domain, count);
    }
    if (run->options->records)
        RECORD("done", run->source.name, run->what, r->server, numbers[0], numbers[1], numbers[2],
               numbers[3], numbers[4], numbers[5], numbers[6], numbers[7], numbers[8], numbers[9],
               numbers[10], numbers[11], numbers[12], o->why);
    if (run->options->look || run->options->dry_run)
        return;
    log_write(strcmp(run->what, "held") == 0 ? LOG_LDAP_HELD : LOG_LDAP_DONE,
              "%s: %s%s%s: +%" PRId64 " -%" PRId64 " ~%" PRId64 ", changeset %" PRId64 "; %" PRId64
              " users and %" PRId64 " groups of %" PRId64 " entries in %" PRId64
              " pages from %s, %" PRId64 " left out, %" PRId64 " values and %" PRId64
              " addresses refused",
              run->source.name, run->what, o->why[0] != '\0' ? ": " : "", o->why, o->added,
              o->removed, o->changed, o->changeset, r->users, r->groups, r->read.entries,
              r->read.pages, r->server, r->left_out, r->bad_values, o->problems);
}

void ldaprun_tell_failed(const struct ldaprun_options *options, const struct err *err)
{
    char class[8];

    snprintf(class, sizeof class, "%d", (int)err->class);
    if (options->records)
        RECORD("failed", options->source, class, err->text);
    if (!options->look && !options->dry_run)
        log_write(LOG_LDAP_FAILED, "%s: %s", options->source, err->text);
}
