/*
 * secret - randomness and keyed hashing; the only user of libsodium
 */
#ifndef ROLLCALL_SECRET_H
#define ROLLCALL_SECRET_H

#include <stddef.h>
#include <stdint.h>

enum { SECRET_HASH_KEY = 16 };

/* Must be called once before the others. */
void secret_init(void);
void secret_random(void *out, size_t len);
/* SipHash-2-4: 64 bits that nobody without the key can aim at. */
uint64_t secret_hash64(const void *data, size_t len, const uint8_t key[SECRET_HASH_KEY]);

#endif
