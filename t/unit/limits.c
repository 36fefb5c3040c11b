/*
 * limits - who may be asked for, and how it is counted
 *
 * Catches: an attack that is passed on to a customer's server, a genuine sender that is put off, a
 * window that never ends, recipients counted twice, a table that grows or forgets a busy attacker.
 */
#include "policyd/limits.h"

#include <stdlib.h>

#include "lib/secret.h"
#include "tap.h"

static const char *const outcomes[] = {"ask", "harvest", "probes"};

/* facts <tab> limits <tab> outcome */
static void check_row(int line, char **field, int fields)
{
    char lately[8], inside[8];
    struct limits_facts facts = {0};
    struct limits_rules rules = {.harvest_window_s = 600};

    if (fields != 3 ||
        sscanf(field[0], "%7s %7s %u %u", lately, inside, &facts.by_client, &facts.of_domain) !=
            4 ||
        sscanf(field[1], "%u %u", &rules.probe_limit, &rules.harvest_limit) != 2) {
        ok(false, "line %d is no row", line);
        return;
    }
    facts.asked_lately = strcmp(lately, "yes") == 0;
    facts.inside = strcmp(inside, "yes") == 0;
    is_text(outcomes[limits_decide(&rules, &facts)], field[2], "line %d", line);
}

static void check_counting(void)
{
    uint32_t count;
    uint64_t word = limits_count(0, 7, 1000, 60, &count);

    is_int(count, 1, "the first");
    word = limits_count(word, 7, 1059, 60, &count);
    is_int(count, 2, "the last second of the window");
    limits_count(word, 7, 1060, 60, &count);
    is_int(count, 1, "the next window");
    limits_count(word, 8, 1059, 60, &count);
    is_int(count, 1, "another's");
    word = limits_count(0, 7, (1 << 24) - 1, 60, &count);
    limits_count(word, 7, (1 << 24) + 1, 60, &count);
    is_int(count, 2, "across the clock's turn");
    word = 0;
    for (int i = 0; i < 70000; i++)
        word = limits_count(word, 7, 1000, 60, &count);
    is_int(count, 65535, "it stops, and does not begin anew");
}

static const struct limits_rules rules = {
    .probe_limit = 10, .harvest_limit = 5, .harvest_window_s = 600};

static enum limits_outcome ask(struct limits *limits, const char *client, int32_t domain, int local,
                               int64_t now_s)
{
    char text[16];

    snprintf(text, sizeof text, "u%d", local);
    return limits_ask(limits, &rules,
                      &(struct limits_question){.client_address = span_text(client),
                                                .domain_id = domain,
                                                .local = span_text(text),
                                                .now_s = now_s});
}

static int asked(struct limits *limits, const char *client, int32_t domain, int from, int count,
                 int64_t now_s)
{
    int times = 0;

    for (int i = from; i < from + count; i++)
        times += ask(limits, client, domain, i, now_s) == LIMITS_ASK;
    return times;
}

static void check_questions(void)
{
    struct network_list inside;
    struct err err;

    if (!network_list_parse(span_text("192.0.2.0/24"), &inside, &err))
        abort();
    struct limits *limits = limits_new(&inside);
    is_int(asked(limits, "198.51.100.1", 1, 0, 20, 1000), 5, "a client may ask for five");
    is_int(asked(limits, "198.51.100.1", 1, 0, 5, 1010), 5, "and for the same again");
    is_int(asked(limits, "198.51.100.2", 1, 0, 5, 1010), 5, "as may others");
    is_int(asked(limits, "198.51.100.1", 2, 0, 5, 1010), 0, "but for no others elsewhere");
    is_int(asked(limits, "198.51.100.2", 1, 100, 20, 1010), 5, "another client for its five");
    is_int(asked(limits, "198.51.100.3", 1, 200, 20, 1010), 0, "then the domain is full");
    is_int(asked(limits, "198.51.100.4", 2, 0, 20, 1010), 5, "another domain is not");
    is_int(asked(limits, "198.51.100.5", 1, 300, 1, 1060), 1, "nor it, a minute later");
    is_int(asked(limits, "198.51.100.1", 3, 0, 5, 1599), 0, "the first client is still held off");
    is_int(asked(limits, "198.51.100.1", 3, 0, 5, 2201), 5, "until its window is over");
    is_int(asked(limits, "192.0.2.1", 4, 0, 20, 1000), 10, "ours only by the domain's limit");
    is_int(asked(limits, "2001:db8::1", 5, 0, 3, 1000) +
               asked(limits, "2001:db8::2", 5, 10, 3, 1000),
           5, "one network of IPv6 is one client");
    is_int(asked(limits, "2001:db8:0:1::1", 5, 20, 3, 1000), 3, "the next is another");
    for (int i = 0; i < 5; i++)
        limits_note_unknown(limits, &rules,
                            &(struct limits_question){.client_address = span_text("203.0.113.1"),
                                                      .domain_id = 6,
                                                      .local = span_text("x"),
                                                      .now_s = 1000});
    is_int(asked(limits, "203.0.113.1", 6, 0, 5, 1000), 0, "those known not to exist count, too");
    limits_free(&limits);
}

/* A million others do not make it forget who asks on. */
static void check_flood(void)
{
    struct network_list nobody = {0};
    struct limits *limits = limits_new(&nobody);
    int passed = 0;

    for (int i = 0; i < 1000000; i++) {
        char client[32];
        snprintf(client, sizeof client, "10.%d.%d.%d", i >> 16 & 255, i >> 8 & 255, i & 255);
        ask(limits, client, 1000 + i % 1000, i, 5000);
        if (i % 100 == 0)
            passed += ask(limits, "198.51.100.9", 1, i, 5000) == LIMITS_ASK;
    }
    ok(passed < 50, "in a flood a busy client asked for %d of 10000", passed);
    limits_free(&limits);
}

int main(void)
{
    secret_init();
    tap_rows(TEST_DATA "/policy/limits.txt", check_row);
    check_counting();
    check_questions();
    check_flood();
    return tap_done();
}
