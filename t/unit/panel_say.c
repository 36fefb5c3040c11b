/*
 * say: what lib says, in the panel's words. Catches a message of lib that was reworded and is shown
 * in English since, advice of commands in a browser, and a pattern that takes another message's.
 */
#include "panel/say.h"

#include "lib/account.h"
#include "lib/addr.h"
#include "lib/list.h"
#include "lib/password.h"
#include "lib/roll.h"
#include "lib/sender.h"
#include "lib/verdict.h"
#include "tap.h"

static struct arena *arena;

static bool has_advice(const char *text)
{
    return strstr(text, "rollcall ") != NULL || strstr(text, " --") != NULL;
}

/* Each language says it in its own words, none with a command. */
static void translated(const char *text)
{
    for (int language = TEXT_EN; language < TEXT_LANGUAGES; language++) {
        const char *said = say(arena, (enum text_language)language, text);
        ok(!has_advice(said), "no command: %s", said);
        if (language != TEXT_EN)
            ok(strcmp(said, text) != 0 && strchr(said, '{') == NULL, "%s: %s",
               text_languages[language], said);
    }
}

static void check_addresses(void)
{
    static const char *const wrong[] = {
        "nobody",       "@example.com", "a b@example.com", "a@",      "a@.example.com", "a@b..c",
        "a@-b.example", "a@1.2",        "\"a@example.com", "a@b_c.d", ".a@example.com", "<a@b.c>",
    };
    struct addr addr;
    struct err err;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (ok(!addr_parse(span_text(wrong[i]), false, &addr, &err), "%s", wrong[i]))
            translated(err.text);
    is_text(say(arena, TEXT_DE, "'nobody': has no '@' (RFC 5321 section 4.1.2)"),
            "„nobody“: enthält kein „@“ (RFC 5321 section 4.1.2)", "in full");
}

static void check_senders(void)
{
    char out[SENDER_PATTERN_MOST + 1];
    struct err err;

    ok(!sender_pattern_parse(span_text("\"a b\"@example.com"), out, &err), "a blank");
    translated(err.text);
}

static void check_problems(void)
{
    for (int kind = PROBLEM_FOREIGN; kind <= PROBLEM_OUTSIDE; kind++) {
        BUF_AUTO owned = {0}, free = {0};
        struct roll_problem problem = {.kind = (enum roll_problem_kind)kind,
                                       .address = "a@example.com",
                                       .owner = "b@example.com"};
        roll_problem_text(&problem, &owned);
        translated(owned.at);
        problem.owner = "";
        roll_problem_text(&problem, &free);
        translated(free.at);
    }
}

static void check_verdicts(void)
{
    for (int rule = 0; rule < RULES; rule++)
        translated(verdict_rules[rule].meaning);
}

static bool take_entry(void *context, const struct roll_entry *entry, struct err *err)
{
    (void)context;
    (void)entry;
    (void)err;
    return true;
}

static void take_problem(void *context, const struct list_problem *problem)
{
    bool *any = context;

    *any = true;
    translated(problem->why);
}

static bool folds(void *context, struct span domain)
{
    (void)context;
    (void)domain;
    return true;
}

static void check_lists(void)
{
    static const char *const lists[] = {
        "address,name\na@example.com,A\nnobody,B\n\"c@example.com,C\n",
        "PK\003\004 and so on, as a workbook begins, and on, and on",
        "%PDF-1.7 and so on",
        "a@example.com\nsomething else\n",
    };

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        bool any = false;
        struct list_sink sink = {&any, take_entry, take_problem, folds};
        struct list_options options = {.form = LIST_ANY};
        struct list *list;
        struct err err;
        if (!ok(list_open(&list, &options, &sink, &err), "open"))
            continue;
        if (!list_feed(list, lists[i], strlen(lists[i]), &err) || !list_end(list, &err)) {
            any = true;
            translated(err.text);
        }
        ok(any, "list %zu has a fault", i);
        list_free(&list);
    }
}

static void check_passwords(void)
{
    struct err err;

    ok(!password_check_rules(span_text("short"), "anna", &err), "short");
    translated(err.text);
    ok(!password_check_rules(span_text("password123"), "anna", &err), "a common one");
    translated(err.text);
}

/* In full, and in words of its own in each language: t/words.py holds lib's sentences against the
 * rows, here is what comes out. */
static void check_refusals(void)
{
    static const char *const refusals[] = {
        "changeset 7 is rejected, not held",
        "changeset 7 cannot be undone: Anna@a.example is written with capital letters, which "
        "a.example does not tell apart any more",
        "changeset 7 cannot be approved: Anna@a.example is written with capital letters, which "
        "a.example does not tell apart any more",
        "changeset 7 cannot be approved: a.example belongs to another customer now; reject it",
        "a.example: tied to a domain of another customer by an alias: name both",
        "a.example: its directory feeds other domains too ('rollcall ldap list'): name these as "
        "well",
        "b.example is an alias domain itself",
    };

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        translated(refusals[i]);
    is_text(say(arena, TEXT_DE, refusals[2]),
            "Änderung 7 lässt sich nicht freigeben: Anna@a.example ist mit Großbuchstaben "
            "geschrieben, die a.example nicht mehr unterscheidet. Lehnen Sie sie ab.",
            "capital letters");
    is_text(say(arena, TEXT_EN, refusals[5]),
            "The directory of a.example feeds other domains too: these move only together, by the "
            "command line.",
            "the advice of a command is not shown");
}

static void check_the_rest(void)
{
    is_text(say(arena, TEXT_EN, "a.example: not served here; `rollcall domain list` shows what is"),
            "a.example is not served here.", "without the command");
    is_text(
        say(arena, TEXT_EN,
            "a.example: held: would remove 5 of 10 addresses (limit 20 %); see 'rollcall change "
            "show 7', apply with 'rollcall change approve 7'"),
        "a.example: 5 of 10 addresses would leave the roll, more than 20 % of them. It waits "
        "until somebody has looked at it.",
        "what is held");
    is_text(say(arena, TEXT_EN,
                "changeset 7 cannot be undone: its addresses were in a.example, which is removed "
                "or an alias now"),
            "Change 7 cannot be undone: its addresses were in a.example, which is removed or an "
            "alias now.",
            "an undo whose domain is gone");
    is_text(say(arena, TEXT_EN,
                "changeset 7 cannot be undone: its users are another customer's than a.example "
                "now is"),
            "Change 7 cannot be undone: a.example now belongs to another customer than its users.",
            "an undo whose domain is another customer's");
    is_text(say(arena, TEXT_EN, "quite new; `rollcall new` helps"), "quite new",
            "what is not known loses its advice");
    is_text(say(arena, TEXT_EN, "quite new; and fine"), "quite new; and fine", "and nothing else");
    is_text(say(arena, TEXT_EN, ""), "", "nothing stays nothing");
    is_text(say(arena, TEXT_FR, "No more."), "No more.", "what has no translation stays");
}

int main(void)
{
    arena = arena_new();
    check_addresses();
    check_senders();
    check_problems();
    check_verdicts();
    check_lists();
    check_passwords();
    check_refusals();
    check_the_rest();
    arena_free(&arena);
    return tap_done();
}
