/*
 * senders - sender rules in memory
 *
 * Catches: a rule that holds for another recipient or sender, an allow that does not win, a rule
 * lost when the table grows, one that outlives its owner, and memory that grows with a flood of
 * rules.
 */
#include "policyd/senders.h"

#include "table.h"
#include "tap.h"

enum { DOMAIN = 7, MANY = 200000 };

static const char *const words[] = {[SENDER_UNLISTED] = "-",
                                    [SENDER_ALLOWED] = "allowed",
                                    [SENDER_BLOCKED_BY_USER] = "blocked",
                                    [SENDER_BLOCKED_BY_DOMAIN] = "blocked-by-domain"};

static void add_rules(struct senders *senders, char *rules)
{
    char owner[65], action[8], pattern[300];

    for (char *rule; (rule = strsep(&rules, ";")) != NULL;)
        if (sscanf(rule, "%64s %7s %299s", owner, action, pattern) == 3)
            ok(senders_add(senders, DOMAIN, span_text(strcmp(owner, "*") == 0 ? "" : owner),
                           span_text(pattern), strcmp(action, "allow") == 0),
               "there is room");
}

/* rules <tab> recipient <tab> sender <tab> word */
static void check_row(int line, char **field, int fields)
{
    struct senders *senders = senders_new();
    BUF_AUTO sender = {0};

    if (fields != 4) {
        ok(false, "line %d is no row", line);
        return;
    }
    add_rules(senders, field[0]);
    is_text(
        words[senders_word(senders, DOMAIN, span_text(field[1]), table_bytes(field[2], &sender))],
        field[3], "line %d", line);
    is_text(words[senders_word(senders, DOMAIN + 1, span_text(field[1]), span_text(sender.at))],
            "-", "line %d: nothing in another domain", line);
    senders_free(&senders);
}

static struct span local_of(int i, char text[32])
{
    snprintf(text, 32, "user%d", i);
    return span_text(text);
}

static void check_many(void)
{
    struct senders *senders = senders_new();
    char local[32], pattern[64];
    int wrong = 0, forgotten = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(pattern, sizeof pattern, "a%d@example.org", i);
        if (!senders_add(senders, i % 100, local_of(i / 100, local), span_text(pattern), false))
            wrong++;
    }
    is_int((long long)senders_count(senders), MANY, "all are there");
    for (int i = 0; i < MANY; i++) {
        snprintf(pattern, sizeof pattern, "A%d@example.org", i);
        struct span owner = local_of(i / 100, local);
        wrong +=
            senders_word(senders, i % 100, owner, span_text(pattern)) != SENDER_BLOCKED_BY_USER;
        wrong += senders_word(senders, (i + 1) % 100, owner, span_text(pattern)) != SENDER_UNLISTED;
    }
    is_int(wrong, 0, "each where it belongs, after growing");
    for (int i = 0; i < MANY; i += 200)
        forgotten += senders_forget(senders, 0, local_of(i / 100, local)) &&
                     !senders_forget(senders, 0, local_of(i / 100, local));
    is_int(forgotten, MANY / 200, "every second of domain 0 is forgotten, once");
    wrong = 0;
    for (int i = 0; i < MANY; i += 100) {
        snprintf(pattern, sizeof pattern, "a%d@example.org", i);
        enum sender_word word =
            senders_word(senders, 0, local_of(i / 100, local), span_text(pattern));
        wrong += word != (i % 200 == 0 ? SENDER_UNLISTED : SENDER_BLOCKED_BY_USER);
    }
    is_int(wrong, 0, "the others of them still count");
    senders_free(&senders);
}

static void check_most(void)
{
    struct senders *senders = senders_new();
    char pattern[32];
    bool room = true;

    for (int i = 0; i < SENDERS_MOST && room; i++) {
        snprintf(pattern, sizeof pattern, "%d.example", i);
        room = senders_add(senders, DOMAIN, span_text(""), span_text(pattern), false);
    }
    ok(room, "SENDERS_MOST rules fit");
    ok(!senders_add(senders, DOMAIN, span_text(""), span_text("more.example"), false),
       "and not one more");
    senders_free(&senders);
}

int main(void)
{
    tap_rows(TEST_DATA "/policy/senders.txt", check_row);
    check_many();
    check_most();
    return tap_done();
}
