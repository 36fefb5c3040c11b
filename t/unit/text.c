/*
 * text: catalogues answer in their language with the right plural; nothing is left untranslated.
 * Catches a catalogue that is read wrongly, and a sentence that was forgotten in one of them.
 */
#include "lib/text.h"

#include "tap.h"

static const char one[] = "%lld new message was held back",
                  many[] = "%lld new messages were held back";

static void check_count(enum text_language language, int64_t n, const char *want)
{
    BUF_AUTO out = {0};

    text_count(&out, language, one, many, n);
    is_text(out.at, want, "%s %lld", text_languages[language], (long long)n);
}

static void check_number(enum text_language language, int64_t n, const char *want)
{
    BUF_AUTO out = {0};

    text_number(&out, language, n);
    is_text(out.at, want, "%s %lld", text_languages[language], (long long)n);
}

static void check_numbers(void)
{
    check_number(TEXT_EN, 0, "0");
    check_number(TEXT_EN, 999, "999");
    check_number(TEXT_EN, 1234567, "1,234,567");
    check_number(TEXT_EN, -123456, "-123,456");
    check_number(TEXT_DE, 1000, "1.000");
    check_number(TEXT_FR, 10000, "10\u202f000");
    check_number(TEXT_ES, 9999, "9999");
    check_number(TEXT_ES, -9999, "-9999");
    check_number(TEXT_ES, 10000, "10\u202f000");
    check_number(TEXT_DE, INT64_MIN, "-9.223.372.036.854.775.808");
}

int main(void)
{
    enum text_language language;

    ok(text_language_find("fr", &language) && language == TEXT_FR, "French");
    ok(!text_language_find("xx", &language) && language == TEXT_EN, "else English");
    check_count(TEXT_EN, 1, "1 new message was held back");
    check_count(TEXT_EN, 0, "0 new messages were held back");
    check_count(TEXT_DE, 1, "1 neue Nachricht wurde zurückgehalten");
    check_count(TEXT_DE, 7, "7 neue Nachrichten wurden zurückgehalten");
    check_count(TEXT_FR, 0, "0 nouveau message a été retenu");
    check_count(TEXT_FR, 2, "2 nouveaux messages ont été retenus");
    check_count(TEXT_ES, 200, "Se han retenido 200 mensajes nuevos");
    is_text(text_get(TEXT_ES, "Release"), "Liberar", "a word");
    is_text(text_get(TEXT_DE, "no such text"), "no such text", "what is lacking stays English");
    is_text(text_get(TEXT_DE, ""), "", "the catalogue's head is not shown");
    is_text(text_plural(TEXT_DE, "a", "b", 2), "b", "lacking, in its plural");
    check_numbers();
    return tap_done();
}
