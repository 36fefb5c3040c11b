/* password_weak - see password_weak.h */
#include "password_weak.h"

#include <stdio.h>
#include <string.h>

#include "password.h"
#include "password_common.h"
#include "secret.h"
#include "str.h"

enum {
    WORD_ROOM = PASSWORD_MOST + 1,
    PIECE_LEAST = 3, /* characters of a walk that are one stretch of it */
    WALK_LEAST = 6,  /* characters of a core that is a walk */
    LOGIN_LEAST = 3,
};

static bool is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || c >= 0x80;
}

/* ---- words ---- */

static bool is_listed(const char *word)
{
    char between[WORD_ROOM + 2];

    if (word[0] == '\0' || strchr(word, ' ') != NULL)
        return false;
    int len = snprintf(between, sizeof between, " %s ", word);
    bool found = false;
    for (size_t i = 0; i < password_common_count && !found; i++)
        found = strstr(password_common[i], between) != NULL;
    secret_forget(between, (size_t)len);
    return found;
}

/* Letters for the digits and signs that stand for them; '1' and '!' are `one`. */
static void unmask(char *word, char one)
{
    static const char masks[][2] = {{'0', 'o'}, {'3', 'e'}, {'4', 'a'}, {'5', 's'}, {'7', 't'},
                                    {'8', 'b'}, {'9', 'g'}, {'@', 'a'}, {'$', 's'}, {'+', 't'}};

    for (char *c = word; *c != '\0'; c++) {
        if (*c == '1' || *c == '!' || *c == '|')
            *c = one;
        for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++)
            if (*c == masks[i][0])
                *c = masks[i][1];
    }
}

/* Without what stands before the first and behind the last letter. */
static void trim(char *word, bool front)
{
    size_t len = strlen(word), skip = 0;

    while (len > 0 && !is_letter((unsigned char)word[len - 1]))
        word[--len] = '\0';
    while (front && word[skip] != '\0' && !is_letter((unsigned char)word[skip]))
        skip++;
    memmove(word, word + skip, len - skip + 1);
}

/* Signs between letters are no letters: "pass-word". */
static void squeeze(char *word)
{
    char *out = word;

    for (const char *c = word; *c != '\0'; c++)
        if (is_letter((unsigned char)*c) || (*c >= '0' && *c <= '9'))
            *out++ = *c;
    *out = '\0';
}

/* ---- the login ---- */

static bool is_of_login(const char *word, const char *login)
{
    char part[WORD_ROOM], whole[WORD_ROOM];
    struct span rest = span_text(login), piece;

    if (strlen(login) >= sizeof whole)
        return false;
    snprintf(whole, sizeof whole, "%s", login);
    whole[strcspn(whole, "@")] = '\0';
    squeeze(whole);
    if (strlen(whole) >= LOGIN_LEAST && strcmp(word, whole) == 0)
        return true;
    /* the parts of a name, the labels of a domain */
    while (rest.len > 0) {
        size_t len = 0;
        while (len < rest.len && strchr("@.-_+", rest.at[len]) == NULL)
            len++;
        piece = span_of(rest.at, len);
        rest = len < rest.len ? span_of(rest.at + len + 1, rest.len - len - 1) : span_text("");
        snprintf(part, sizeof part, "%.*s", (int)piece.len, piece.at);
        if (len >= LOGIN_LEAST && strcmp(word, part) == 0)
            return true;
    }
    return false;
}

/* ---- forms ---- */

/* Lines of keyboards, and counting; walked either way. */
static const char *const lines[] = {
    "01234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "1234567890-=",
    "1234567890ß",
    "qwertyuiop[]",
    "qwertzuiopü",
    "azertyuiop",
    "asdfghjkl;'",
    "asdfghjklöä",
    "qsdfghjklm",
    "zxcvbnm,./",
    "yxcvbnm,.-",
    "wxcvbn,;:",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik,",
    "9ol.",
    "1qay",
    "6zhn",
    "0p;/",
    "0pö-",
    "qazwsxedcrfvtgbyhnujmikolp",
    "qaywsxedcrfvtgbzhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "1q2w3e4r5t6z7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1a2b3c4d5e6f7g8h9i0j",
    "a1b2c3d4e5f6g7h8i9j0",
    "a1s2d3f4g5h6j7k8l9",
    "qawsedrftgyhujikolp",
    "147258369",
    "741852963",
    "159753",
    "357951",
    "789456123",
    "!\"#$%&'()*+,-./",
    "!@#$%^&*()_+",
    "!\"§$%&/()=?",
};

/* How much of the text, from its begin, is a stretch of that line. */
static size_t along(const char *text, const char *line, bool backward)
{
    size_t best = 0, len = strlen(line);

    for (size_t start = 0; start < len; start++) {
        size_t n = 0;
        while (text[n] != '\0' && (backward ? n <= start : start + n < len) &&
               text[n] == line[backward ? start - n : start + n])
            n++;
        best = n > best ? n : best;
    }
    return best;
}

/* The longest stretch at the begin: along a line, or of one and the same character. */
static size_t stretch(const char *text)
{
    size_t best = 1;

    while (text[best] != '\0' && text[best] == text[0])
        best++;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        for (int backward = 0; backward < 2; backward++) {
            size_t n = along(text, lines[i], backward != 0);
            best = n > best ? n : best;
        }
    return best;
}

/* Nothing but stretches of at least PIECE_LEAST; any shorter cut of one will do as well. */
static bool is_walk(const char *text)
{
    size_t len = strlen(text);
    bool reached[WORD_ROOM] = {true};

    for (size_t at = 0; at < len; at++) {
        if (!reached[at])
            continue;
        size_t most = stretch(text + at);
        for (size_t n = PIECE_LEAST; n <= most; n++)
            reached[at + n] = true;
    }
    return reached[len];
}

/* "abcabcabc", "passwordpassword": a piece again and again, the last one perhaps cut. */
static bool is_repeated(const char *text)
{
    size_t len = strlen(text);

    for (size_t period = 1; period <= len / 2; period++)
        if (memcmp(text, text + period, len - period) == 0)
            return true;
    return false;
}

/* ---- all of it ---- */

static bool is_weak_word(const char *word, const char *login)
{
    return is_listed(word) || is_of_login(word, login);
}

/* The word with its ends off and its letters put back, in each way that they may be meant. */
static bool is_weak_core(const char *lower, const char *login)
{
    static const char ones[] = {'\0', 'i', 'l'};
    char word[WORD_ROOM];
    bool weak = false;

    for (int front = 0; front < 2; front++)
        for (int late = 0; late < 2; late++)
            for (size_t i = 0; i < sizeof ones && !weak; i++) {
                snprintf(word, sizeof word, "%s", lower);
                if (!late)
                    trim(word, front);
                if (ones[i] != '\0')
                    unmask(word, ones[i]);
                trim(word, front);
                weak = is_weak_word(word, login) ||
                       (strlen(word) >= WALK_LEAST && (is_walk(word) || is_repeated(word)));
                squeeze(word);
                weak = weak || is_weak_word(word, login);
            }
    secret_forget(word, sizeof word);
    return weak;
}

bool password_weak(const char *password, const char *login)
{
    char lower[WORD_ROOM], name[WORD_ROOM];

    if (strlen(password) >= sizeof lower)
        return false;
    for (size_t i = 0; i <= strlen(password); i++)
        lower[i] = str_lower(password[i]);
    snprintf(name, sizeof name, "%s", login);
    for (char *c = name; *c != '\0'; c++)
        *c = str_lower(*c);
    bool weak = is_listed(lower) || (name[0] != '\0' && strcmp(lower, name) == 0) ||
                is_walk(lower) || is_repeated(lower) || is_weak_core(lower, name);
    secret_forget(lower, sizeof lower);
    return weak;
}
