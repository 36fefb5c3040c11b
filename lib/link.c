/* link - see link.h */
#include "link.h"

#include <string.h>

#define CONTEXT "rollcall link 1"

static void put_number(uint8_t *at, int64_t number)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
}

static int64_t get_number(const uint8_t *at)
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | at[i];
    return (int64_t)number;
}

void link_key(uint8_t key[SECRET_KEY])
{
    secret_key_for(key, CONTEXT);
}

void link_sign(const struct link *link, const uint8_t key[SECRET_KEY], char text[LINK_TEXT + 1])
{
    uint8_t bytes[LINK_BYTES];
    const size_t said = LINK_BYTES - SECRET_SIGNATURE;

    bytes[0] = (uint8_t)link->action;
    put_number(bytes + 1, link->recipient);
    put_number(bytes + 9, link->user);
    put_number(bytes + 17, link->expires);
    secret_sign(bytes, said, key, bytes + said);
    secret_to_text(bytes, sizeof bytes, text, LINK_TEXT + 1);
}

bool link_open(struct span text, int64_t now, const uint8_t key[SECRET_KEY], struct link *link)
{
    uint8_t bytes[LINK_BYTES], signature[SECRET_SIGNATURE];
    const size_t said = LINK_BYTES - SECRET_SIGNATURE;

    if (!secret_from_text(text, bytes, sizeof bytes))
        return false;
    secret_sign(bytes, said, key, signature);
    if (!secret_same(signature, bytes + said, sizeof signature))
        return false;
    *link = (struct link){(enum link_action)bytes[0], get_number(bytes + 1), get_number(bytes + 9),
                          get_number(bytes + 17)};
    return link->action >= LINK_SHOW && link->action < LINK_ACTIONS && now < link->expires;
}

void link_escape(struct buf *out, const char *value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    buf_text(out, "");
    for (const unsigned char *c = (const unsigned char *)value; *c != '\0'; c++) {
        if (strchr(plain, *c) != NULL)
            buf_append(out, c, 1);
        else
            buf_printf(out, "%%%02X", *c);
    }
}
