/*
 * feed - what a follower decides about a server's history
 *
 * Catches: following another history (wrong answers after a failover or a restore), reloading where
 * waiting is right (a lagging standby), waiting where reloading is right, missing tombstones that
 * were purged, reading COPY lines wrongly.
 */
#include "policyd/feed.h"

#include <string.h>

#include "lib/clock.h"
#include "tap.h"

enum { OURS = 1, OTHER = 2, UNKNOWN = 0 };

/* uuid: which one the server has at that version; UNKNOWN: no such changeset. */
static const struct decision_case {
    const char *name;
    int64_t version, pending; /* ours */
    bool load;
    int64_t newest, purged; /* the server's */
    bool standby;
    int at_version, at_pending;
    enum feed_decision expected;
} decision_cases[] = {
    {"same version, same uuid", 7, 0, false, 7, 0, false, OURS, UNKNOWN, FEED_CURRENT},
    {"newer, our point known", 7, 0, false, 9, 0, false, OURS, UNKNOWN, FEED_CHANGES},
    {"same version of another history", 7, 0, false, 7, 0, false, OTHER, UNKNOWN, FEED_RELOAD},
    {"newer of another history", 7, 0, false, 9, 0, false, OTHER, UNKNOWN, FEED_RELOAD},
    {"primary that lost our commits", 7, 0, false, 5, 0, false, UNKNOWN, UNKNOWN, FEED_RELOAD},
    {"standby that is behind", 7, 0, false, 5, 0, true, UNKNOWN, UNKNOWN, FEED_BEHIND},
    {"standby of another history", 7, 0, false, 9, 0, true, OTHER, UNKNOWN, FEED_RELOAD},
    {"standby, newer, our point gone", 7, 0, false, 9, 0, true, UNKNOWN, UNKNOWN, FEED_RELOAD},
    {"standby, newer", 7, 0, false, 9, 0, true, OURS, UNKNOWN, FEED_CHANGES},
    {"tombstones we never saw are gone", 7, 0, false, 9, 8, false, OURS, UNKNOWN, FEED_RELOAD},
    {"tombstones we saw are gone", 7, 0, false, 9, 7, false, OURS, UNKNOWN, FEED_CHANGES},
    {"nothing loaded yet", 0, 0, true, 4, 0, false, UNKNOWN, UNKNOWN, FEED_RELOAD},
    {"nothing there yet", 0, 0, true, 0, 0, false, UNKNOWN, UNKNOWN, FEED_EMPTY},
    {"emptied database keeps the old list", 7, 0, false, 0, 0, false, UNKNOWN, UNKNOWN, FEED_EMPTY},
    {"the disk needs a load", 7, 0, true, 7, 0, false, OURS, UNKNOWN, FEED_RELOAD},
    {"broken off batch, its end known", 7, 9, false, 9, 0, false, OURS, OURS, FEED_CHANGES},
    {"broken off batch of a lost history", 7, 9, false, 8, 0, false, OURS, UNKNOWN, FEED_RELOAD},
    {"broken off batch of another history", 7, 9, false, 9, 0, false, OURS, OTHER, FEED_RELOAD},
    {"broken off batch, standby behind it", 7, 9, false, 8, 0, true, OURS, UNKNOWN, FEED_BEHIND},
};

/* How long a reading took, when the next notification came after it, how long to rest. */
static const int64_t rest_cases[][3] = {
    {500, 100000, 0},     /* changes now and then: each is read at once */
    {500, 600, 0},        /* one after the other, each seen before the next is made */
    {20000, 101, 0},      /* slow, yet nothing was waiting */
    {500, 20, 2000},      /* the next one had come before this one was read */
    {30000, 0, 120000},   /* the server is busy: ask less */
    {5000000, 0, 250000}, /* but a change is live within a second */
};

static void test_rest(void)
{
    for (size_t i = 0; i < sizeof rest_cases / sizeof rest_cases[0]; i++) {
        const int64_t *c = rest_cases[i];
        int64_t rest = feed_rest_us(c[0], c[1]);
        ok(rest == c[2], "reading %lld us, waited %lld us: rests %lld us", (long long)c[0],
           (long long)c[1], (long long)rest);
    }
}

/* Wall time ahead of elapsed time at the confirmation, now; what was missed. In seconds. */
static const int64_t missed_cases[][3] = {
    {0, 0, 0},          {1000, 1000, 0},     {1000, 1060, 0},  {1000, 1061, 61},
    {1000, 8200, 7200}, {-5000, 2200, 7200}, {1000, -6200, 0}, {1000, 999, 0},
    {0, 86400, 86400},  {86400, 0, 0},       {7200, 0, 0},
};

static void test_missed(void)
{
    for (size_t i = 0; i < sizeof missed_cases / sizeof missed_cases[0]; i++) {
        const int64_t *c = missed_cases[i];
        int64_t missed = feed_missed_us(c[0] * CLOCK_SECOND, c[1] * CLOCK_SECOND);
        ok(missed == c[2] * CLOCK_SECOND, "clocks %lld s apart, then %lld s: missed %lld us",
           (long long)c[0], (long long)c[1], (long long)missed);
    }
}

static void test_decisions(void)
{
    for (size_t i = 0; i < sizeof decision_cases / sizeof decision_cases[0]; i++) {
        const struct decision_case *c = &decision_cases[i];
        struct replica_from from = {
            .position = {c->version, {OURS}}, .pending = {c->pending, {OURS}}, .load = c->load};
        struct feed_header header = {.newest = {c->newest, {9}},
                                     .purged_version = c->purged,
                                     .standby = c->standby,
                                     .knows_position = c->at_version != UNKNOWN,
                                     .knows_pending = c->at_pending != UNKNOWN,
                                     .position_uuid = {(uint8_t)c->at_version},
                                     .pending_uuid = {(uint8_t)c->at_pending}};
        enum feed_decision got = feed_decide(&from, &header);
        ok(got == c->expected, "%s: %d, expected %d", c->name, (int)got, (int)c->expected);
    }
}

static const struct line_case {
    const char *line;
    bool fine;
    int32_t domain;
    const char *local;
    enum recipient_state state;
    uint32_t verified, refused;
} line_cases[] = {
    {"5\tbob\t0\t\\N\t\\N", true, 5, "bob", STATE_ACTIVE, 0, 0},
    {"5\tbob\t0\t\\N\t\\N\n", true, 5, "bob", STATE_ACTIVE, 0, 0},
    {"2147483647\tb b\t1\t20780\t498734", true, 2147483647, "b b", STATE_DISABLED, 20780, 498734},
    {"1\ta\\\\b\t0\t\\N\t\\N", true, 1, "a\\b", STATE_ACTIVE, 0, 0},
    {"1\t\\\\\\\\\t0\t\\N\t\\N", true, 1, "\\\\", STATE_ACTIVE, 0, 0},
    {"1\ta\\tb\t0\t\\N\t\\N", false, 0, NULL, STATE_ACTIVE, 0, 0},
    {"1\t\t0\t\\N\t\\N", false, 0, NULL, STATE_ACTIVE, 0, 0},
    {"", false, 0, NULL, STATE_ACTIVE, 0, 0},
    {"1\taaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggg\t0\t\\N\t\\N", false, 0,
     NULL, STATE_ACTIVE, 0, 0},
};

static void test_copy_lines(void)
{
    for (size_t i = 0; i < sizeof line_cases / sizeof line_cases[0]; i++) {
        const struct line_case *c = &line_cases[i];
        struct feed_recipient r;
        struct err err;
        bool fine = feed_copy_line(span_text(c->line), &r, &err);
        ok(fine == c->fine, "COPY line %zu is %s", i, c->fine ? "taken" : "refused");
        if (fine && c->fine)
            ok(r.domain_id == c->domain && span_equals(span_of(r.local, r.local_len), c->local) &&
                   r.recipient.state == c->state && r.recipient.verified_day == c->verified &&
                   r.recipient.refused_hour == c->refused,
               "COPY line %zu means what it says", i);
    }
}

static const struct sender_case {
    const char *line;
    bool fine;
    int32_t domain;
    bool allow;
    const char *local, *pattern;
} sender_cases[] = {
    {"5\t\t0\texample.org\n", true, 5, false, "", "example.org"},
    {"5\tbob\t1\t*.example.org", true, 5, true, "bob", "*.example.org"},
    {"5\ta\\\\b\t0\tc\\\\d@example.org", true, 5, false, "a\\b", "c\\d@example.org"},
    {"5\tbob\t0\t", false, 0, false, NULL, NULL},
    {"5\tbob", false, 0, false, NULL, NULL},
    {"5\tb\\nb\t0\texample.org", false, 0, false, NULL, NULL},
    {"5\tbob\t0\tx\\", false, 0, false, NULL, NULL},
    {"5\taaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggg\t0\tx.example", false,
     0, false, NULL, NULL},
    {"", false, 0, false, NULL, NULL},
};

static void test_sender_lines(void)
{
    for (size_t i = 0; i < sizeof sender_cases / sizeof sender_cases[0]; i++) {
        const struct sender_case *c = &sender_cases[i];
        struct feed_sender s;
        struct err err;
        bool fine = feed_sender_line(span_text(c->line), &s, &err);
        ok(fine == c->fine, "sender line %zu is %s", i, c->fine ? "taken" : "refused");
        if (fine && c->fine)
            ok(s.domain_id == c->domain && s.allow == c->allow && span_equals(s.local, c->local) &&
                   span_equals(s.pattern, c->pattern),
               "sender line %zu means what it says", i);
    }
}

int main(void)
{
    test_sender_lines();
    test_decisions();
    test_missed();
    test_rest();
    test_copy_lines();
    return tap_done();
}
