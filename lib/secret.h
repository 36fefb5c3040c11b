/*
 * secret - randomness, keyed hashing, digests, and what is kept sealed; the only user of libsodium
 */
#ifndef ROLLCALL_SECRET_H
#define ROLLCALL_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

enum { SECRET_HASH_KEY = 16, SECRET_KEY = 32, SECRET_DIGEST = 32, SECRET_SIGNATURE = 16 };

/* Must be called once before the others. */
void secret_init(void);
void secret_random(void *out, size_t len);
/* SipHash-2-4: 64 bits that nobody without the key can aim at. */
uint64_t secret_hash64(const void *data, size_t len, const uint8_t key[SECRET_HASH_KEY]);

/* BLAKE2b, 16 to 64 bytes of it. */
void secret_digest(const void *data, size_t len, uint8_t *out, size_t out_len);
/* The same of what comes in pieces: begin, add any number of times, end (SECRET_DIGEST bytes). */
struct secret_digesting;
struct secret_digesting *secret_digest_begin(void);
void secret_digest_add(struct secret_digesting *digesting, const void *data, size_t len);
void secret_digest_end(struct secret_digesting **digesting, uint8_t out[SECRET_DIGEST]);

/* Makes of a key the one of this context: what is signed with it is nothing in another. */
void secret_key_for(uint8_t key[SECRET_KEY], const char *context);
/* 16 bytes that only who has the key, one of secret_key_for, can make for these data. */
void secret_sign(const void *data, size_t len, const uint8_t key[SECRET_KEY],
                 uint8_t out[SECRET_SIGNATURE]);
/* Compares in the same time whatever differs. */
bool secret_same(const void *a, const void *b, size_t len) MUST_CHECK;
/* Base 64 for URLs without padding (RFC 4648 section 5): (len * 4 + 2) / 3 characters and a NUL. */
void secret_to_text(const void *data, size_t len, char *out, size_t room);
/* True when it is `len` bytes, exactly, written as above; at most 90. */
bool secret_from_text(struct span text, void *out, size_t len) MUST_CHECK;

/*
 * A key, as the one that seals passwords: 32 random bytes as hexadecimal digits in a file that only
 * its owner (or, by its group bits, a service's group) may read. With `create` an absent one is
 * made, mode 0600. A key that others may read is refused. Where systemd hands over a credential of
 * the file's name (LoadCredential=rollcall-secret.key:… for …/secret.key), that is the key.
 */
bool secret_key_load(const char *path, bool create, uint8_t key[SECRET_KEY],
                     struct err *err) MUST_CHECK;
/*
 * Seals bytes (XSalsa20-Poly1305) under the key and a context, without which they cannot be opened:
 * what is sealed for one row is nothing in another. Appends to `out`.
 */
void secret_seal(struct buf *out, struct span plain, const char *context,
                 const uint8_t key[SECRET_KEY]);
/* Appends what was sealed. False: other key, other context, or damaged. */
bool secret_open(struct buf *out, struct span sealed, const char *context,
                 const uint8_t key[SECRET_KEY]) MUST_CHECK;
/* Overwrites, so that the compiler does not leave it out. */
void secret_forget(void *at, size_t len);

#endif
