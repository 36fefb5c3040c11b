/* password - see password.h */
#include "password.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "password_weak.h"
#include "secret.h"

static const char method[] = "$y$";
/* Of no password: what is checked when there is none. */
static const char nobody[] =
    "$y$j9T$Ws8tzPDBY9oD4VYtiWX6f1$N0NDeZr9XkrrWeLJPLC3LXJJzYvRKQUEXBM.z6IqXY4";

bool password_hash(struct span password, char hash[PASSWORD_HASH_ROOM], struct err *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    STR_AUTO text = mem_span(password);
    struct crypt_data *data = mem_zero(1, sizeof *data);

    bool fine = password.len <= PASSWORD_MOST && strlen(text) == password.len &&
                crypt_gensalt_rn(method, 0, NULL, 0, setting, sizeof setting) != NULL &&
                crypt_rn(text, setting, data, sizeof *data) != NULL &&
                strlen(data->output) < PASSWORD_HASH_ROOM;
    if (fine)
        memcpy(hash, data->output, strlen(data->output) + 1);
    secret_forget(text, password.len);
    secret_forget(data, sizeof *data);
    free(data);
    return fine || err_set(err, ERR_OTHER, "the password cannot be hashed");
}

static bool same(const char *a, const char *b)
{
    size_t len = strlen(a);
    unsigned char difference = 0;

    if (strlen(b) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

bool password_fits(struct span password, const char *hash)
{
    bool any = hash[0] != '\0' && password.len > 0 && password.len <= PASSWORD_MOST;
    STR_AUTO text = mem_span(span_of(password.at, any ? password.len : 0));
    struct crypt_data *data = mem_zero(1, sizeof *data);

    const char *made = crypt_rn(text, any ? hash : nobody, data, sizeof *data);
    bool fits = any && strlen(text) == password.len && made != NULL && same(made, hash);
    secret_forget(text, strlen(text));
    secret_forget(data, sizeof *data);
    free(data);
    return fits;
}

/* Up to the salt: method and cost, "$y$j9T$". */
static size_t parameters_length(const char *hash)
{
    size_t len = 0;

    for (int dollars = 0; hash[len] != '\0' && dollars < 3; len++)
        dollars += hash[len] == '$';
    return len;
}

bool password_is_weakly_kept(const char *hash)
{
    char fresh[CRYPT_GENSALT_OUTPUT_SIZE];

    if (hash[0] == '\0' || crypt_gensalt_rn(method, 0, NULL, 0, fresh, sizeof fresh) == NULL)
        return false;
    size_t len = parameters_length(fresh);
    return parameters_length(hash) != len || memcmp(hash, fresh, len) != 0;
}

static size_t characters(struct span text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += ((unsigned char)text.at[i] & 0xc0) != 0x80;
    return count;
}

bool password_check_rules(struct span password, const char *login, struct err *err)
{
    if (password.len > PASSWORD_MOST)
        return err_set(err, ERR_DATA, "a password has at most %d octets", PASSWORD_MOST);
    if (!str_utf8_valid(password) || memchr(password.at, '\0', password.len) != NULL)
        return err_set(err, ERR_DATA, "the password holds what is no text");
    if (characters(password) < PASSWORD_LEAST)
        return err_set(err, ERR_DATA, "a password has at least %d characters", PASSWORD_LEAST);
    STR_AUTO text = mem_span(password);
    bool known = password_weak(text, login);
    secret_forget(text, password.len);
    return !known || err_set(err, ERR_DATA, "that password is among the first that are tried");
}

void password_generate(char out[PASSWORD_GENERATED + 1])
{
    static const char letters[32 + 1] = "abcdefghijkmnpqrstuvwxyz23456789"; /* no l, o, 0, 1 */
    unsigned char random[PASSWORD_GENERATED];

    secret_random(random, sizeof random);
    for (size_t i = 0; i < PASSWORD_GENERATED; i++)
        out[i] = i % 5 == 4 ? '-' : letters[random[i] % 32];
    out[PASSWORD_GENERATED] = '\0';
    secret_forget(random, sizeof random);
}
