/*
 * addr: whatever the bytes, parsing stays within them, and what it takes for an address keeps its
 * meaning: printed it reads back as itself, asked for as Postfix does it is found, and normalising
 * twice changes nothing. The first byte chooses folding.
 */
#include "lib/addr.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static bool same(const struct addr *a, const struct addr *b)
{
    return a->local_len == b->local_len && a->domain_len == b->domain_len &&
           memcmp(a->local, b->local, a->local_len) == 0 &&
           memcmp(a->domain, b->domain, a->domain_len) == 0;
}

static void check_domain(const char *domain, size_t len)
{
    struct span rest = span_of(domain, len), parent;
    size_t labels = 1;

    fuzz_must(len > 0 && len <= ADDR_DOMAIN_MAX && strlen(domain) == len);
    fuzz_must(strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len);
    for (; addr_parent_domain(rest, &parent); rest = parent)
        labels++;
    fuzz_must(labels <= 127 && memchr(rest.at, '.', rest.len) == NULL);
}

/* As a policy request would bring it: local part without quotes, trailing dot. */
static void check_asked(const struct addr *addr, bool fold)
{
    char text[ADDR_LOCAL_MAX + ADDR_DOMAIN_MAX + 3], local[ADDR_LOCAL_MAX + 1];
    struct addr_asked asked;
    size_t len = addr->local_len;

    memcpy(text, addr->local, len);
    text[len++] = '@';
    memcpy(text + len, addr->domain, addr->domain_len);
    len += addr->domain_len;
    text[len++] = '.';
    fuzz_must(addr_split_asked(span_of(text, len), &asked));
    fuzz_must(asked.domain_len == addr->domain_len && strcmp(asked.domain, addr->domain) == 0);
    fuzz_must(addr_normal_local(asked.local, fold, local, &len));
    fuzz_must(len == addr->local_len && memcmp(local, addr->local, len) == 0);
}

static void check_parse(struct span text, bool fold)
{
    struct addr addr, again;
    struct err err = {0};
    char printed[ADDR_TEXT_MAX + 1];

    if (!addr_parse(text, fold, &addr, &err)) {
        fuzz_must(err.class == ERR_DATA && err.text[0] != '\0');
        fuzz_must(str_utf8_valid(span_text(err.text)));
        return;
    }
    fuzz_must(addr.local_len > 0 && addr.local_len <= ADDR_LOCAL_MAX);
    fuzz_must(str_utf8_valid(span_of(addr.local, addr.local_len)));
    check_domain(addr.domain, addr.domain_len);
    size_t len = addr_format(&addr, printed);
    fuzz_must(len == strlen(printed) && len <= ADDR_TEXT_MAX);
    fuzz_must(addr_parse(span_of(printed, len), fold, &again, &err) && same(&addr, &again));
    check_asked(&addr, fold);
}

static void check_split(struct span text, bool fold)
{
    struct addr_asked asked;
    struct span base;
    char local[ADDR_LOCAL_MAX + 1], again[ADDR_LOCAL_MAX + 1];
    size_t len, again_len;

    if (!addr_split_asked(text, &asked)) {
        if (addr_split_above(text, &asked))
            check_domain(asked.domain, asked.domain_len);
        return;
    }
    check_domain(asked.domain, asked.domain_len);
    fuzz_must(asked.local.at == text.at && asked.local.len < text.len);
    fuzz_must(text.at[asked.local.len] == '@');
    if (addr_without_tag(asked.local, "+-", &base))
        fuzz_must(base.at == text.at && base.len > 0 && strchr("+-", base.at[base.len]) != NULL);
    if (!addr_normal_local(asked.local, fold, local, &len))
        return;
    fuzz_must(addr_normal_local(span_of(local, len), fold, again, &again_len));
    fuzz_must(len == again_len && memcmp(local, again, len) == 0);
}

static void check_name(struct span text)
{
    char domain[ADDR_DOMAIN_MAX + 1], again[ADDR_DOMAIN_MAX + 1];
    size_t len, again_len;
    struct err err;

    if (!addr_parse_domain(text, domain, &len, &err))
        return;
    check_domain(domain, len);
    fuzz_must(addr_parse_domain(span_of(domain, len), again, &again_len, &err));
    fuzz_must(strcmp(domain, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span text = span_of((const char *)data + 1, size - 1);
    check_parse(text, data[0] & 1);
    check_split(text, data[0] & 1);
    check_name(text);
    return 0;
}
