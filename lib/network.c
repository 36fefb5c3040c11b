/* network - see network.h */
#include "network.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool network_address_parse(struct span text, struct network_address *address)
{
    char name[INET6_ADDRSTRLEN];

    if (text.len > 5 && memcmp(text.at, "IPv6:", 5) == 0)
        text = span_of(text.at + 5, text.len - 5);
    if (text.len == 0 || text.len >= sizeof name)
        return false;
    memcpy(name, text.at, text.len);
    name[text.len] = '\0';
    memcpy(address->bytes, mapped, sizeof mapped);
    return inet_pton(AF_INET, name, address->bytes + sizeof mapped) == 1 ||
           inet_pton(AF_INET6, name, address->bytes) == 1;
}

bool network_address_same(const struct network_address *a, const struct network_address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool parse_one(struct span text, struct network *network)
{
    const char *slash = memchr(text.at, '/', text.len);
    struct span address = span_of(text.at, slash != NULL ? (size_t)(slash - text.at) : text.len);
    bool v6 = memchr(address.at, ':', address.len) != NULL;
    int64_t prefix = v6 ? 128 : 32;

    if (!network_address_parse(address, &network->address))
        return false;
    if (slash != NULL && !str_int64(span_of(slash + 1, text.len - address.len - 1), &prefix))
        return false;
    network->prefix = (unsigned)(v6 ? prefix : prefix + 96);
    return prefix >= 0 && prefix <= (v6 ? 128 : 32);
}

/* The next word; false at the end. */
static bool next_word(struct span *rest, struct span *word)
{
    size_t len = 0;

    while (rest->len > 0 && strchr(", \t\n", *rest->at) != NULL && *rest->at != '\0')
        *rest = span_of(rest->at + 1, rest->len - 1);
    while (len < rest->len && (rest->at[len] == '\0' || strchr(", \t\n", rest->at[len]) == NULL))
        len++;
    *word = span_of(rest->at, len);
    *rest = span_of(rest->at + len, rest->len - len);
    return len > 0;
}

bool network_list_parse(struct span text, struct network_list *list, struct err *err)
{
    struct span word;

    list->count = 0;
    while (text.len > 0 && next_word(&text, &word)) {
        if (list->count == NETWORKS_MOST)
            return err_set(err, ERR_CONFIG, "more than %d networks", NETWORKS_MOST);
        if (!parse_one(word, &list->at[list->count++]))
            return err_set(err, ERR_CONFIG,
                           "'%.*s' is no IP address or network like 192.0.2.0/24 or 2001:db8::/32",
                           word.len > 100 ? 100 : (int)word.len, word.at);
    }
    return true;
}

static bool covers(const struct network *network, const struct network_address *address)
{
    size_t whole = network->prefix / 8;
    unsigned rest = network->prefix % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    if (memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || ((network->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

bool network_list_has(const struct network_list *list, const struct network_address *address)
{
    for (size_t i = 0; i < list->count; i++)
        if (covers(&list->at[i], address))
            return true;
    return false;
}
