/*
 * password: a password fits its own hash only; weak ones are refused with what to do. Catches a
 * hash that everything fits, an answer for nobody that is quicker than one for somebody, and rules
 * that let the first guess pass.
 */
#include "lib/password.h"

#include "lib/clock.h"
#include "lib/password_common.h"
#include "lib/password_weak.h"
#include "lib/secret.h"
#include "tap.h"

static void check_hash(void)
{
    char hash[PASSWORD_HASH_ROOM], again[PASSWORD_HASH_ROOM];
    struct err err;
    struct span right = span_text("correct horse battery");

    ok(password_hash(right, hash, &err) && password_hash(right, again, &err), "hashed");
    ok(strncmp(hash, "$y$", 3) == 0, "by yescrypt");
    ok(strcmp(hash, again) != 0, "each time with another salt");
    ok(password_fits(right, hash), "it fits");
    ok(!password_fits(span_text("correct horse batterz"), hash), "another does not");
    ok(!password_fits(span_text(""), hash), "nor none");
    ok(!password_fits(right, ""), "nobody's hash fits nothing");
    ok(!password_fits(span_text(""), ""), "not even the empty one");
    ok(!password_fits(right, "*"), "nor does a locked one");
    ok(!password_is_weakly_kept(hash) && password_is_weakly_kept("$6$x$y"), "old hashes are told");
    ok(password_is_weakly_kept("$y$j7T$x$y"), "so are cheaper ones of the same method");
    ok(!password_fits(span_of("correct horse battery\0more", 26), hash), "NUL does not end it");
}

static void check_time(void)
{
    char hash[PASSWORD_HASH_ROOM];
    struct err err;
    int64_t known, nobody, begun;

    ok(password_hash(span_text("correct horse battery"), hash, &err), "hashed");
    begun = clock_elapsed_us();
    ok(!password_fits(span_text("wrong"), hash), "wrong");
    known = clock_elapsed_us() - begun;
    begun = clock_elapsed_us();
    ok(!password_fits(span_text("wrong"), ""), "nobody");
    nobody = clock_elapsed_us() - begun;
    ok(nobody > known / 4, "nobody takes work too: %lld and %lld us", (long long)nobody,
       (long long)known);
}

static void check_rules(void)
{
    static const struct {
        const char *text;
        bool fine;
    } rows[] = {
        {"correct horse battery", true},
        {"ein langes Paßwort", true},
        {"kurz", false},
        {"äöüäöüäöü", false}, /* nine characters in eighteen octets */
        {"Password123", false},
        {"1234567890", false},
        {"alice@clinic.example", false}, /* the login */
        {"ALICE@clinic.example", false},
        {"\xff\xfe more than ten octets", false},
        {"", false},
    };
    char generated[PASSWORD_GENERATED + 1], other[PASSWORD_GENERATED + 1];
    struct err err;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ok(password_check_rules(span_text(rows[i].text), "alice@clinic.example", &err) ==
               rows[i].fine,
           "'%s' is %s", rows[i].text, rows[i].fine ? "taken" : err.text);
    password_generate(generated);
    password_generate(other);
    ok(strcmp(generated, other) != 0, "two generated ones differ");
    ok(strlen(generated) == PASSWORD_GENERATED &&
           password_check_rules(span_text(generated), "", &err),
       "a generated one is taken");
}

/* password <tab> yes or no */
static void check_weak(int line, char **field, int fields)
{
    if (fields != 2) {
        ok(false, "line %d has %d fields", line, fields);
        return;
    }
    is_text(password_weak(field[0], "alice.smith@clinic.example") ? "yes" : "no", field[1],
            "line %d: %s", line, field[0]);
}

/* Every word of the list is refused dressed up, those with digits of their own as they stand; none
 * is there twice. */
static void check_list(void)
{
    size_t words = 0, wrong = 0, twice = 0;
    char text[400], between[200];

    for (size_t i = 0; i < password_common_count; i++) {
        struct span rest = span_trim(span_text(password_common[i])), word;
        while (span_next(&rest, ' ', &word)) {
            int len = (int)word.len;
            words++;
            bool digits = memchr("0123456789", word.at[len - 1], 10) != NULL ||
                          memchr("0123456789", word.at[0], 10) != NULL;
            snprintf(text, sizeof text, "%.*s%s", len, word.at, digits ? "" : "2024!");
            snprintf(between, sizeof between, " %.*s ", len, word.at);
            if (!password_weak(text, "")) {
                printf("# '%s' is taken\n", text);
                wrong += 1;
            }
            for (size_t k = i + 1; k < password_common_count; k++)
                twice += strstr(password_common[k], between) != NULL;
        }
    }
    ok(words > 2000, "%zu words are listed", words);
    ok(wrong == 0, "each is refused with a year and a sign behind it");
    ok(twice == 0, "none is listed twice");
}

int main(void)
{
    secret_init();
    check_hash();
    check_time();
    check_rules();
    check_list();
    tap_rows(TEST_DATA "/password.txt", check_weak);
    return tap_done();
}
