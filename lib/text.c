/* text - see text.h; the form of a catalogue is gettext's .mo file */
#include "text.h"

#include <stdio.h>
#include <string.h>

const char *const text_languages[TEXT_LANGUAGES] = {"en", "de", "fr", "es"};

bool text_language_find(const char *code, enum text_language *language)
{
    *language = TEXT_EN;
    for (int i = 0; i < TEXT_LANGUAGES; i++)
        if (strcmp(text_languages[i], code) == 0) {
            *language = (enum text_language)i;
            return true;
        }
    return false;
}

enum text_language text_language_of(const char *code, enum text_language preset)
{
    enum text_language language;

    return text_language_find(code, &language) ? language : preset;
}

/* ---- catalogues: "GNU gettext", section "The Format of GNU MO Files" ---- */

enum { COUNT_AT = 8, ORIGINALS_AT = 12, TRANSLATIONS_AT = 16 };

/* The build makes them little-endian (msgfmt --endianness). */
static uint32_t word(const struct text_catalogue *c, size_t at)
{
    const unsigned char *b = c->at + at;

    return at + 4 <= c->len
               ? (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24
               : 0;
}

/* The string of a table's row; it ends with NUL within the catalogue, or it is "". */
static const char *string(const struct text_catalogue *c, size_t table, size_t row)
{
    size_t len = word(c, table + 8 * row), at = word(c, table + 8 * row + 4);

    return at < c->len && len < c->len - at && c->at[at + len] == '\0' ? (const char *)c->at + at
                                                                       : "";
}

/* The translation of a key, "" when there is none; originals are sorted. */
static const char *find(const struct text_catalogue *c, const char *key)
{
    size_t low = 0, high = c->at != NULL ? word(c, COUNT_AT) : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(string(c, word(c, ORIGINALS_AT), middle), key);
        if (order == 0)
            return string(c, word(c, TRANSLATIONS_AT), middle);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return "";
}

const char *text_get(enum text_language language, const char *english)
{
    /* the empty key is the catalogue's own head */
    const char *found = english[0] != '\0' ? find(&text_catalogues[language], english) : "";

    return found[0] != '\0' ? found : english;
}

/* Our languages have two forms; French says "0 message". */
static bool is_one(enum text_language language, int64_t n)
{
    return n == 1 || (language == TEXT_FR && n == 0);
}

const char *text_plural(enum text_language language, const char *one, const char *many, int64_t n)
{
    const char *found = find(&text_catalogues[language], one);

    if (found[0] == '\0')
        return n == 1 ? one : many;
    return is_one(language, n) ? found : found + strlen(found) + 1;
}

void text_count(struct buf *out, enum text_language language, const char *one, const char *many,
                int64_t n)
{
    const char *form = text_plural(language, one, many, n), *mark = strstr(form, "%lld");

    if (mark == NULL) {
        buf_text(out, form);
        return;
    }
    buf_append(out, form, (size_t)(mark - form));
    buf_printf(out, "%lld%s", (long long)n, mark + 4);
}

/* Blanks are narrow and do not break. Spanish groups nothing below five digits. */
void text_number(struct buf *out, enum text_language language, int64_t n)
{
    static const char *const separators[] = {
        [TEXT_EN] = ",", [TEXT_DE] = ".", [TEXT_FR] = "\u202f", [TEXT_ES] = "\u202f"};
    char digits[24];

    int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    bool grouped = language != TEXT_ES || len - (n < 0) > 4;
    for (int i = 0; i < len; i++) {
        if (grouped && i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            buf_text(out, separators[language]);
        buf_append(out, digits + i, 1);
    }
}
