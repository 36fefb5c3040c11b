/*
 * network: which addresses a list of networks has. Catches a prefix off by one bit, and an IPv4
 * address that is not the same as its mapped form.
 */
#include "lib/network.h"

#include "tap.h"

static void check(const char *list, const char *address, bool want)
{
    struct network_list networks;
    struct network_address parsed;
    struct err err;

    ok(network_list_parse(span_text(list), &networks, &err) &&
           network_address_parse(span_text(address), &parsed) &&
           network_list_has(&networks, &parsed) == want,
       "%s %s in '%s'", address, want ? "is" : "is not", list);
}

static void refuse(const char *list)
{
    struct network_list networks;
    struct err err;

    ok(!network_list_parse(span_text(list), &networks, &err) && err.class == ERR_CONFIG,
       "'%s' is no list", list);
}

int main(void)
{
    BUF_AUTO many = {0};

    check("127.0.0.0/8, ::1", "127.255.255.255", true);
    check("127.0.0.0/8, ::1", "128.0.0.0", false);
    check("127.0.0.0/8 ::1", "::1", true);
    check("127.0.0.0/8,::1", "::2", false);
    check("192.0.2.1", "192.0.2.1", true);
    check("192.0.2.1", "192.0.2.0", false);
    check("192.0.2.0/25", "192.0.2.127", true);
    check("192.0.2.0/25", "192.0.2.128", false);
    check("192.0.2.0/31", "::ffff:192.0.2.1", true);
    check("0.0.0.0/0", "198.51.100.7", true);
    check("0.0.0.0/0", "2001:db8::1", false);
    check("::/0", "198.51.100.7", true);
    check("2001:db8::/33", "2001:db8:7fff::1", true);
    check("2001:db8::/33", "2001:db8:8000::1", false);
    check("2001:db8::1", "IPv6:2001:DB8:0::1", true);
    check("", "192.0.2.1", false);
    refuse("192.0.2.0/33");
    refuse("2001:db8::/129");
    refuse("192.0.2.0/-1");
    refuse("192.0.2");
    refuse("mail.example.com");
    refuse("192.0.2.0/");
    for (int i = 0; i <= NETWORKS_MOST; i++)
        buf_text(&many, "192.0.2.1 ");
    refuse(many.at);
    return tap_done();
}
