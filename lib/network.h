/*
 * network - lists of IP networks in CIDR notation (pure)
 */
#ifndef ROLLCALL_NETWORK_H
#define ROLLCALL_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

/* An address as 16 bytes; IPv4 as its mapped form (RFC 4291 section 2.5.5.2). */
struct network_address {
    uint8_t bytes[16];
};
/* "192.0.2.1", "2001:db8::1", also with "IPv6:" in front as in address literals. */
bool network_address_parse(struct span text, struct network_address *address) MUST_CHECK;
bool network_address_same(const struct network_address *a, const struct network_address *b);

struct network {
    struct network_address address;
    unsigned prefix; /* of the 128 bits */
};
enum { NETWORKS_MOST = 64 };
struct network_list {
    struct network at[NETWORKS_MOST];
    size_t count;
};
/* "127.0.0.0/8, ::1, 192.0.2.7", separated by commas or blanks; empty is an empty list. */
bool network_list_parse(struct span text, struct network_list *list, struct err *err) MUST_CHECK;
bool network_list_has(const struct network_list *list, const struct network_address *address);

#endif
