/*
 * password: whatever is chosen, judging it stays within its bytes; case does not matter.
 * What follows the first NUL is the login.
 */
#include "lib/password_weak.h"

#include <string.h>

#include "fuzz.h"
#include "lib/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char password[PASSWORD_MOST + 1], other[PASSWORD_MOST + 1], login[PASSWORD_MOST + 300];
    size_t len = strnlen((const char *)data, size),
           rest = size > len ? strnlen((const char *)data + len + 1, size - len - 1) : 0;

    if (len > PASSWORD_MOST || rest >= sizeof login)
        return 0;
    memcpy(password, data, len);
    password[len] = '\0';
    memcpy(login, size > len ? data + len + 1 : data, rest);
    login[rest] = '\0';
    for (size_t i = 0; i <= len; i++)
        other[i] =
            password[i] >= 'a' && password[i] <= 'z' ? (char)(password[i] - 32) : password[i];
    fuzz_must(password_weak(password, login) == password_weak(other, login));
    return 0;
}
