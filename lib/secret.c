/* secret - see secret.h */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(crypto_shorthash_KEYBYTES == SECRET_HASH_KEY && crypto_shorthash_BYTES == 8,
               "SipHash-2-4");
_Static_assert(crypto_secretbox_KEYBYTES == SECRET_KEY, "XSalsa20-Poly1305");

enum { SEAL_VERSION = 1, KEY_DIGITS = 2 * SECRET_KEY };
#define CREDENTIAL "rollcall-" /* and the key's file name */

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

void secret_forget(void *at, size_t len)
{
    sodium_memzero(at, len);
}

/* ---- digests ---- */

void secret_digest(const void *data, size_t len, uint8_t *out, size_t out_len)
{
    crypto_generichash(out, out_len, data, len, NULL, 0);
}

struct secret_digesting {
    crypto_generichash_state state;
};

struct secret_digesting *secret_digest_begin(void)
{
    void *memory = NULL;

    if (posix_memalign(&memory, 64, sizeof(struct secret_digesting)) != 0)
        abort();
    struct secret_digesting *digesting = memory;
    crypto_generichash_init(&digesting->state, NULL, 0, SECRET_DIGEST);
    return digesting;
}

void secret_digest_add(struct secret_digesting *digesting, const void *data, size_t len)
{
    crypto_generichash_update(&digesting->state, data, len);
}

void secret_digest_end(struct secret_digesting **digesting, uint8_t out[SECRET_DIGEST])
{
    crypto_generichash_final(&(*digesting)->state, out, SECRET_DIGEST);
    free(*digesting);
    *digesting = NULL;
}

/* ---- the key ---- */

static bool key_make(const char *path, struct err *err)
{
    uint8_t key[SECRET_KEY];
    char text[KEY_DIGITS + 2];
    STR_AUTO fresh = mem_printf("%s.new.%d", path, (int)getpid());

    secret_random(key, sizeof key);
    sodium_bin2hex(text, sizeof text, key, sizeof key);
    text[KEY_DIGITS] = '\n';
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool fine = fd >= 0 && write(fd, text, KEY_DIGITS + 1) == KEY_DIGITS + 1 && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0)
        close(fd);
    /* whoever was faster has made the key */
    if (fine && link(fresh, path) != 0 && errno != EEXIST) {
        why = errno;
        fine = false;
    }
    if (fd >= 0)
        unlink(fresh);
    secret_forget(text, sizeof text);
    secret_forget(key, sizeof key);
    return fine || err_set(err, ERR_CONFIG, "%s: cannot make the key: %s", path, strerror(why));
}

static bool key_read(int fd, const char *path, uint8_t key[SECRET_KEY], struct err *err)
{
    char text[KEY_DIGITS + 2];
    struct stat about;
    size_t made = 0;

    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return err_set(err, ERR_CONFIG, "%s: not a file", path);
    if ((about.st_mode & (S_IWGRP | S_IRWXO)) != 0)
        return err_set(err, ERR_CONFIG, "%s: others may read or change it; 'chmod 600 %s' (or 640)",
                       path, path);
    ssize_t len = read(fd, text, sizeof text);
    bool fine = len >= KEY_DIGITS && (len == KEY_DIGITS || text[KEY_DIGITS] == '\n') &&
                sodium_hex2bin(key, SECRET_KEY, text, KEY_DIGITS, NULL, &made, NULL) == 0 &&
                made == SECRET_KEY;
    secret_forget(text, sizeof text);
    return fine ||
           err_set(err, ERR_CONFIG, "%s: not a key of %d hexadecimal digits", path, KEY_DIGITS);
}

bool secret_key_load(const char *path, bool create, uint8_t key[SECRET_KEY], struct err *err)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    const char *slash = strrchr(path, '/');
    STR_AUTO credential = directory != NULL ? mem_printf("%s/" CREDENTIAL "%s", directory,
                                                         slash != NULL ? slash + 1 : path)
                                            : NULL;
    int fd = credential != NULL ? open(credential, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && create) {
        if (!key_make(path, err))
            return false;
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0)
        return err_set(err, ERR_CONFIG, "%s: cannot read the key: %s", path, strerror(errno));
    bool fine = key_read(fd, path, key, err);
    close(fd);
    return fine;
}

/* ---- signing, and bytes as text ---- */

static void key_for(uint8_t own[SECRET_KEY], const char *context, const uint8_t key[SECRET_KEY])
{
    crypto_generichash(own, SECRET_KEY, (const unsigned char *)context, strlen(context), key,
                       SECRET_KEY);
}

void secret_key_for(uint8_t key[SECRET_KEY], const char *context)
{
    uint8_t own[SECRET_KEY];

    key_for(own, context, key);
    memcpy(key, own, sizeof own);
    secret_forget(own, sizeof own);
}

void secret_sign(const void *data, size_t len, const uint8_t key[SECRET_KEY],
                 uint8_t out[SECRET_SIGNATURE])
{
    crypto_generichash(out, SECRET_SIGNATURE, data, len, key, SECRET_KEY);
}

bool secret_same(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}

void secret_to_text(const void *data, size_t len, char *out, size_t room)
{
    sodium_bin2base64(out, room, data, len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool secret_from_text(struct span text, void *out, size_t len)
{
    char again[128];
    size_t made = 0;

    /* libsodium 1.0.18 takes octets above 127 for '_': only what is written the same way is it */
    if (text.len != (len * 4 + 2) / 3 || text.len >= sizeof again ||
        sodium_base642bin(out, len, text.at, text.len, NULL, &made, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
        made != len)
        return false;
    secret_to_text(out, len, again, sizeof again);
    return memcmp(again, text.at, text.len) == 0;
}

/* ---- sealing: one byte of version, the nonce, the box ---- */

void secret_seal(struct buf *out, struct span plain, const char *context,
                 const uint8_t key[SECRET_KEY])
{
    uint8_t own[SECRET_KEY], nonce[crypto_secretbox_NONCEBYTES];
    const char version = SEAL_VERSION;
    size_t len = plain.len + crypto_secretbox_MACBYTES;
    uint8_t *box = mem_alloc(len);

    key_for(own, context, key);
    secret_random(nonce, sizeof nonce);
    crypto_secretbox_easy(box, (const unsigned char *)plain.at, plain.len, nonce, own);
    buf_append(out, &version, 1);
    buf_append(out, nonce, sizeof nonce);
    buf_append(out, box, len);
    free(box);
    secret_forget(own, sizeof own);
}

bool secret_open(struct buf *out, struct span sealed, const char *context,
                 const uint8_t key[SECRET_KEY])
{
    const size_t head = 1 + crypto_secretbox_NONCEBYTES;
    uint8_t own[SECRET_KEY];

    if (sealed.len < head + crypto_secretbox_MACBYTES || sealed.at[0] != SEAL_VERSION)
        return false;
    const unsigned char *at = (const unsigned char *)sealed.at;
    size_t len = sealed.len - head - crypto_secretbox_MACBYTES;
    uint8_t *plain = mem_alloc(len + 1);
    key_for(own, context, key);
    bool fine = crypto_secretbox_open_easy(plain, at + head, sealed.len - head, at + 1, own) == 0;
    if (fine)
        buf_append(out, plain, len);
    secret_forget(plain, len);
    secret_forget(own, sizeof own);
    free(plain);
    return fine;
}
