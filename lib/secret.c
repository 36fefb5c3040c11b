/* secret - see secret.h */
#include "secret.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(crypto_shorthash_KEYBYTES == SECRET_HASH_KEY && crypto_shorthash_BYTES == 8,
               "SipHash-2-4");

void secret_init(void)
{
    if (sodium_init() < 0)
        abort(); /* no randomness: nothing may go on */
}

void secret_random(void *out, size_t len)
{
    randombytes_buf(out, len);
}

uint64_t secret_hash64(const void *data, size_t len, const uint8_t key[SECRET_HASH_KEY])
{
    unsigned char out[8];
    uint64_t hash;

    crypto_shorthash(out, data, len, key);
    memcpy(&hash, out, sizeof hash);
    return hash;
}
