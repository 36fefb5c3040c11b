/* doctor_relay - what Postfix must know of the domains: which it relays, how it asks their servers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "lib/clock.h"

void check_parent_domains(struct doctor *d)
{
    struct span list = doctor_main_cf(d, "parent_domain_matches_subdomains"), one;
    BUF_AUTO without = {0};

    if (!d->postfix) {
        doctor_skip(d, "Postfix's configuration could not be read");
        return;
    }
    if (!postfix_has(list, "relay_domains")) {
        doctor_ok(d, "relay_domains does not match subdomains");
        return;
    }
    buf_text(&without, "main.cf: parent_domain_matches_subdomains =");
    while (postfix_next(&list, &one))
        if (!span_equals(one, "relay_domains"))
            buf_printf(&without, " %.*s", SPAN_ARGS(one));
    doctor_bad(d, without.at,
               "parent_domain_matches_subdomains has relay_domains: Postfix relays every subdomain "
               "of a relay domain");
}

/* ---- asking the customer's server ---- */

static void check_reject_code(struct doctor *d)
{
    struct span code = doctor_main_cf(d, "unverified_recipient_reject_code");

    if (span_equals(code, "550"))
        doctor_ok(d, "unverified_recipient_reject_code 550");
    else
        doctor_bad(d, "main.cf: unverified_recipient_reject_code = 550",
                   "unverified_recipient_reject_code %.*s: whom the customer's server refuses is "
                   "tried again for days",
                   SPAN_ARGS(code));
}

static void check_reject_reason(struct doctor *d)
{
    if (doctor_main_cf(d, "unverified_recipient_reject_reason").len > 0)
        doctor_ok(d, "unverified_recipient_reject_reason is set");
    else
        doctor_warn(d, "main.cf: unverified_recipient_reject_reason = User unknown",
                    "unverified_recipient_reject_reason is empty: the customer's server's words, "
                    "with its internal name, go to the world");
}

static void check_verify_cache(struct doctor *d)
{
    struct span map = doctor_main_cf(d, "address_verify_map");

    if (map.len > 0)
        doctor_ok(d, "address_verify_map %.*s", SPAN_ARGS(map));
    else
        doctor_warn(d, "main.cf: address_verify_map = btree:$data_directory/verify_cache",
                    "address_verify_map is empty: each restart asks everything anew");
}

static void check_poll(struct doctor *d)
{
    struct span delay = doctor_main_cf(d, "address_verify_poll_delay");
    struct span count = doctor_main_cf(d, "address_verify_poll_count");
    int64_t delay_us = 0, times = 0;

    if (!conf_parse_time(delay, &delay_us) || delay_us > CLOCK_SECOND)
        doctor_warn(d, "main.cf: address_verify_poll_delay = 1s",
                    "address_verify_poll_delay %.*s: so long waits the first mail to each address",
                    SPAN_ARGS(delay));
    else
        doctor_ok(d, "address_verify_poll_delay %.*s", SPAN_ARGS(delay));
    if (!str_int64(count, &times) || times < 2)
        doctor_warn(d, "main.cf: address_verify_poll_count = 3",
                    "address_verify_poll_count %.*s: the first mail to each address is put off",
                    SPAN_ARGS(count));
    else
        doctor_ok(d, "address_verify_poll_count %.*s", SPAN_ARGS(count));
}

/* verify(8) keeps a yes until it expires, whatever later probes say. */
static void check_positive(struct doctor *d)
{
    static const int64_t most = 7 * 86400 * CLOCK_SECOND;
    struct span life = doctor_main_cf(d, "address_verify_positive_expire_time");
    int64_t life_us = 0;

    if (!conf_parse_time(life, &life_us) || life_us > most)
        doctor_warn(d, "main.cf: address_verify_positive_expire_time = 1d",
                    "address_verify_positive_expire_time %.*s: so long is mail accepted, and "
                    "bounced, for an address that the customer has deleted",
                    SPAN_ARGS(life));
    else
        doctor_ok(d, "address_verify_positive_expire_time %.*s", SPAN_ARGS(life));
}

void check_verification(struct doctor *d)
{
    if (!d->postfix) {
        doctor_skip(d, "Postfix's configuration could not be read");
        return;
    }
    if (d->database && d->asking == 0) {
        doctor_skip(d, "no domain asks the customer's server (relay check smtp or either)");
        return;
    }
    check_reject_code(d);
    check_reject_reason(d);
    check_verify_cache(d);
    check_poll(d);
    check_positive(d);
}

/* ---- relay_domains and the served domains ---- */

/* Names, sorted for look-up. */
struct names {
    char **at;
    size_t count, room;
};

static void names_add(struct names *names, struct span name)
{
    if (name.len == 0)
        return;
    if (names->count == names->room) {
        names->room = names->room > 0 ? names->room * 2 : 64;
        names->at = mem_grow(names->at, names->room * sizeof *names->at);
    }
    char *copy = mem_span(name);
    for (char *c = copy; *c != '\0'; c++)
        *c = str_lower(*c);
    names->at[names->count++] = copy;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->at[i]);
    free(names->at);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *names)
{
    if (names->count > 0)
        qsort(names->at, names->count, sizeof *names->at, compare);
}

static bool names_have(const struct names *names, const char *name)
{
    return names->count > 0 &&
           bsearch(&name, names->at, names->count, sizeof *names->at, compare) != NULL;
}

/* The first field of each line. */
static void take_lines(struct names *names, struct span text, char separator)
{
    struct span line, field;

    while (span_next(&text, '\n', &line))
        if (span_next(&line, separator, &field))
            names_add(names, span_trim(field));
}

/* What relay_domains matches, as far as it can be told. */
struct relay {
    struct names listed; /* named in main.cf, in a file, or as keys of tables */
    struct names found;  /* served names that a table knows when asked */
    char opaque[200];    /* a table whose keys cannot be listed; "" */
};

static bool is_table(struct span element)
{
    return memchr(element.at, ':', element.len) != NULL;
}

static void ask_table(struct doctor *d, const char *table, struct relay *relay)
{
    const char *directory = d->cli->conf.value.postfix_config_directory;
    const char *const query[] = {"postmap", "-c", directory, "-q", "-", table, NULL};
    const char *const keys[] = {"postmap", "-c", directory, "-s", table, NULL};
    struct spawn_output output;
    struct err err;

    if (!spawn_run(query, span_of(d->served.at, d->served.len), &output, &err))
        doctor_warn(d, "postmap -q DOMAIN TABLE", "relay_domains: %s", err.text);
    take_lines(&relay->found, span_of(output.out.at, output.out.len), '\t');
    spawn_output_free(&output);
    if (!spawn_run(keys, span_text(""), &output, &err) || output.code != 0)
        snprintf(relay->opaque, sizeof relay->opaque, "%s", table);
    take_lines(&relay->listed, span_of(output.out.at, output.out.len), '\t');
    spawn_output_free(&output);
}

static void read_patterns(struct doctor *d, const char *path, struct relay *relay)
{
    char line[512];
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        doctor_bad(d, "main.cf: correct relay_domains", "relay_domains: %s cannot be read", path);
        return;
    }
    while (fgets(line, sizeof line, file) != NULL)
        if (line[0] != '#')
            names_add(&relay->listed, span_trim(span_text(line)));
    fclose(file);
}

static void read_relay_domains(struct doctor *d, struct relay *relay)
{
    struct span list = doctor_main_cf(d, "relay_domains"), element;

    while (postfix_next(&list, &element)) {
        STR_AUTO text = mem_span(element);
        if (element.at[0] == '/')
            read_patterns(d, text, relay);
        else if (is_table(element))
            ask_table(d, text, relay);
        else
            names_add(&relay->listed, element);
    }
    names_sort(&relay->listed);
    names_sort(&relay->found);
}

enum { SHOWN = 5 };

/* The first few of those that `names` has and `others` (and `more`) have not. */
static size_t missing_from(const struct names *names, const struct names *others,
                           const struct names *more, struct buf *shown)
{
    size_t count = 0;

    for (size_t i = 0; i < names->count; i++) {
        if (names_have(others, names->at[i]) || names_have(more, names->at[i]))
            continue;
        if (count++ < SHOWN)
            buf_printf(shown, "%s%s", count > 1 ? ", " : "", names->at[i]);
    }
    if (count > SHOWN)
        buf_printf(shown, " and %zu more", count - SHOWN);
    return count;
}

static void compare_both_ways(struct doctor *d, const struct names *served,
                              const struct relay *relay)
{
    static const struct names nobody = {0};
    BUF_AUTO unknown = {0}, foreign = {0};
    size_t lacking = missing_from(served, &relay->listed, &relay->found, &unknown);
    size_t strange = missing_from(&relay->listed, served, &nobody, &foreign);

    if (lacking > 0)
        doctor_bad(d, "main.cf: add them to relay_domains, then postfix reload",
                   "served here, but not in relay_domains, so refused: %s", unknown.at);
    if (strange > 0)
        doctor_warn(d, "main.cf: take them out of relay_domains, or 'rollcall domain add' them",
                    "in relay_domains, but not served here, so everybody in them is accepted: %s",
                    foreign.at);
    if (relay->opaque[0] != '\0')
        doctor_skip(d,
                    "%s cannot be listed: whether it has more than the served domains is not "
                    "known",
                    relay->opaque);
    if (lacking == 0 && strange == 0)
        doctor_ok(d, "relay_domains has what is served here: %zu domain%s", served->count,
                  served->count == 1 ? "" : "s");
}

/* Classes of domains that Postfix would deliver itself instead of relaying. */
static void check_other_classes(struct doctor *d, const struct names *served)
{
    static const char *const classes[] = {"mydestination", "virtual_mailbox_domains",
                                          "virtual_alias_domains"};

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        struct span list = doctor_main_cf(d, classes[i]), element;
        while (postfix_next(&list, &element)) {
            STR_AUTO name = mem_span(element);
            if (names_have(served, name))
                doctor_bad(d, "main.cf: a served domain belongs into relay_domains only",
                           "%s is in %s", name, classes[i]);
        }
    }
}

/* Tables that are asked over a network: when nobody answers, smtpd says 451 to everybody. */
static void check_network_tables(struct doctor *d)
{
    static const char *const settings[] = {"relay_domains", "transport_maps"};
    static const char *const types[] = {
        "pgsql:", "mysql:", "ldap:", "mongodb:", "memcache:", "socketmap:", "tcp:", "nis:"};

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        struct span list = doctor_main_cf(d, settings[i]), element;
        while (postfix_next(&list, &element)) {
            struct span table = element;
            if (table.len > 6 && memcmp(table.at, "proxy:", 6) == 0)
                table = span_of(table.at + 6, table.len - 6);
            for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
                if (table.len > strlen(types[t]) &&
                    memcmp(table.at, types[t], strlen(types[t])) == 0)
                    doctor_bad(d,
                               "cron: rollcall domain export --postfix DIRECTORY; main.cf: the "
                               "tables that it writes",
                               "%s has %.*s: while that does not answer, all mail gets 451",
                               settings[i], SPAN_ARGS(element));
        }
    }
}

void check_relay_domains(struct doctor *d)
{
    struct names served = {0};
    struct relay relay = {0};

    if (!d->postfix || !d->database) {
        doctor_skip(d, "the database or Postfix's configuration could not be read");
        return;
    }
    take_lines(&served, span_of(d->served.at, d->served.len), '\t');
    names_sort(&served);
    read_relay_domains(d, &relay);
    compare_both_ways(d, &served, &relay);
    check_other_classes(d, &served);
    check_network_tables(d);
    if (doctor_main_cf(d, "relay_recipient_maps").len > 0)
        doctor_warn(d, "main.cf: relay_recipient_maps =",
                    "relay_recipient_maps is set: it refuses recipients without asking Rollcall");
    names_free(&served);
    names_free(&relay.listed);
    names_free(&relay.found);
}
