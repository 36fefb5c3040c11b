/*
 * addr - see addr.h
 *
 * Both tempers share one normalisation, so that what is put on a roll is what Postfix asks for. It
 * is one pass without allocation while all bytes are ASCII; libidn2 and libunistring are used only
 * here, and only when one is not.
 */
#include "addr.h"

#include <idn2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unicase.h>
#include <uninorm.h>

/* Why something is no address. 0 is fine; what is below 0 is a code of libidn2's (idn2_rc). */
enum fault {
    FAULT_NONE,
    FAULT_LONG,
    FAULT_NO_AT,
    FAULT_NOT_UTF8,
    FAULT_CONTROL,
    FAULT_BRACKETS,
    FAULT_LOCAL_EMPTY,
    FAULT_LOCAL_LONG,
    FAULT_LOCAL_CHARACTER,
    FAULT_LOCAL_DOT,
    FAULT_QUOTE_OPEN,
    FAULT_QUOTE_TAIL,
    FAULT_QUOTE_ESCAPE,
    FAULT_DOMAIN_EMPTY,
    FAULT_DOMAIN_LONG,
    FAULT_DOMAIN_LITERAL,
    FAULT_DOMAIN_CHARACTER,
    FAULT_DOMAIN_NUMERIC,
    FAULT_LABEL_EMPTY,
    FAULT_LABEL_LONG,
    FAULT_LABEL_HYPHEN,
    FAULT_LABEL_IDNA,
    FAULTS,
};

static const struct {
    const char *text, *section;
} faults[FAULTS] = {
    [FAULT_LONG] = {"longer than any address", "RFC 5321 section 4.5.3.1"},
    [FAULT_NO_AT] = {"has no '@'", "RFC 5321 section 4.1.2"},
    [FAULT_NOT_UTF8] = {"is not UTF-8", "RFC 6531 section 3.3"},
    [FAULT_CONTROL] = {"holds a control character", "RFC 5321 section 4.1.2"},
    [FAULT_BRACKETS] = {"give the bare address, without a name and '<>'", "RFC 5321 section 4.1.2"},
    [FAULT_LOCAL_EMPTY] = {"nothing in front of '@'", "RFC 5321 section 4.1.2"},
    [FAULT_LOCAL_LONG] = {"more than 64 octets in front of '@'", "RFC 5321 section 4.5.3.1.1"},
    [FAULT_LOCAL_CHARACTER] = {"a character in front of '@' that needs double quotes around all "
                               "of it, like \"a b\"@example.com",
                               "RFC 5321 section 4.1.2"},
    [FAULT_LOCAL_DOT] = {"a dot at the start, at the end or doubled in front of '@' needs double "
                         "quotes around all of it",
                         "RFC 5321 section 4.1.2"},
    [FAULT_QUOTE_OPEN] = {"the double quotes are not closed", "RFC 5321 section 4.1.2"},
    [FAULT_QUOTE_TAIL] = {"'@' must follow the closing double quote", "RFC 5321 section 4.1.2"},
    [FAULT_QUOTE_ESCAPE] = {"a backslash must stand before a printable ASCII character",
                            "RFC 5321 section 4.1.2"},
    [FAULT_DOMAIN_EMPTY] = {"the domain name is empty", "RFC 5321 section 4.1.2"},
    [FAULT_DOMAIN_LONG] = {"the domain name has more than 253 octets", "RFC 1035 section 2.3.4"},
    [FAULT_DOMAIN_LITERAL] = {"an address literal; only domain names have a roll",
                              "RFC 5321 section 4.1.3"},
    [FAULT_DOMAIN_CHARACTER] = {"a character that no domain name has; letters, digits and hyphens "
                                "are allowed",
                                "RFC 5321 section 4.1.2"},
    [FAULT_DOMAIN_NUMERIC] = {"the last label of the domain name is a number",
                              "RFC 1123 section 2.1"},
    [FAULT_LABEL_EMPTY] = {"the domain name starts with a dot or has an empty label",
                           "RFC 1035 section 2.3.1"},
    [FAULT_LABEL_LONG] = {"a label of the domain name has more than 63 octets",
                          "RFC 1035 section 2.3.1"},
    [FAULT_LABEL_HYPHEN] = {"a label of the domain name starts or ends with a hyphen",
                            "RFC 1035 section 2.3.1"},
    [FAULT_LABEL_IDNA] = {"a label of the domain name starts with xn-- but is no A-label",
                          "RFC 5890 section 2.3.2.1"},
};

/* Sets err to what is wrong with `text`. Always returns false. */
static bool complain(struct span text, int fault, struct err *err)
{
    char shown[200];

    str_printable(shown, sizeof shown, text.at, text.len);
    if (fault < 0)
        return err_set(err, ERR_DATA,
                       "'%s': no internationalised domain name: %s (RFC 5891 "
                       "section 4.2)",
                       shown, idn2_strerror(fault));
    return err_set(err, ERR_DATA, "'%s': %s (%s)", shown, faults[fault].text,
                   faults[fault].section);
}

/* As mem_alloc: a program without memory ends rather than answer wrongly. */
static void need_memory(bool there)
{
    if (!there)
        abort();
}

static bool is_ascii(struct span s)
{
    unsigned char seen = 0;

    for (size_t i = 0; i < s.len; i++)
        seen |= (unsigned char)s.at[i];
    return seen < 0x80;
}

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* C0, DEL and C1 (U+0080 to U+009F) in well-formed UTF-8. */
static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (is_control(c) || (c == 0xc2 && i + 1 < s.len && (unsigned char)s.at[i + 1] < 0xa0))
            return true;
    }
    return false;
}

/* The local part. */

static int normal_unicode(struct span in, bool fold_case, char *out, size_t *out_len)
{
    uint8_t room[4 * ADDR_ASKED_MAX];
    size_t len = sizeof room;
    const uint8_t *raw = (const uint8_t *)in.at;

    if (!str_utf8_valid(in))
        return FAULT_NOT_UTF8;
    if (has_control(in))
        return FAULT_CONTROL;
    uint8_t *made = fold_case ? u8_tolower(raw, in.len, NULL, UNINORM_NFC, room, &len)
                              : u8_normalize(UNINORM_NFC, raw, in.len, room, &len);
    need_memory(made != NULL);
    bool fits = len <= ADDR_LOCAL_MAX;
    if (fits) {
        memcpy(out, made, len);
        out[len] = '\0';
        *out_len = len;
    }
    if (made != room)
        free(made);
    return fits ? FAULT_NONE : FAULT_LOCAL_LONG;
}

static int normal_local(struct span in, bool fold_case, char *out, size_t *out_len)
{
    if (in.len == 0)
        return FAULT_LOCAL_EMPTY;
    if (in.len > ADDR_ASKED_MAX)
        return FAULT_LOCAL_LONG;
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.at[i];
        if (c >= 0x80)
            return normal_unicode(in, fold_case, out, out_len);
        if (is_control(c))
            return FAULT_CONTROL;
        if (i < ADDR_LOCAL_MAX)
            out[i] = fold_case ? str_lower(in.at[i]) : in.at[i];
    }
    if (in.len > ADDR_LOCAL_MAX)
        return FAULT_LOCAL_LONG;
    out[in.len] = '\0';
    *out_len = in.len;
    return FAULT_NONE;
}

bool addr_normal_local(struct span local, bool fold_case, char *out, size_t *out_len)
{
    return normal_local(local, fold_case, out, out_len) == FAULT_NONE;
}

/* RFC 5322 section 3.2.3, and any byte of UTF-8 (RFC 6532 section 3.2). */
static bool is_atext(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return (unsigned char)c >= 0x80 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Reads a dot-atom up to '@'; *len is how much of the text it is. */
static int read_dot_atom(struct span text, char *out, size_t *len)
{
    size_t i = 0;

    for (; i < text.len && text.at[i] != '@'; i++) {
        char c = text.at[i];
        if (c == '<' || c == '>')
            return FAULT_BRACKETS;
        if (is_control((unsigned char)c))
            return FAULT_CONTROL;
        if (c == '.' && (i == 0 || text.at[i - 1] == '.'))
            return FAULT_LOCAL_DOT;
        if (c != '.' && !is_atext(c))
            return memchr(text.at + i, '<', text.len - i) != NULL ? FAULT_BRACKETS
                                                                  : FAULT_LOCAL_CHARACTER;
        out[i] = c;
    }
    *len = i;
    if (i == text.len)
        return FAULT_NO_AT;
    return i > 0 && text.at[i - 1] == '.' ? FAULT_LOCAL_DOT : FAULT_NONE;
}

static bool is_printable_ascii(char c)
{
    return c >= ' ' && c <= '~';
}

/* Reads a quoted string that '@' must follow; *used is how much of the text it is, out gets what
 * it means. */
static int read_quoted(struct span text, char *out, size_t *used, size_t *len)
{
    size_t i = 1;

    for (*len = 0; i < text.len && text.at[i] != '"'; i++) {
        if (text.at[i] == '\\' && (++i == text.len || !is_printable_ascii(text.at[i])))
            return FAULT_QUOTE_ESCAPE;
        out[(*len)++] = text.at[i];
    }
    *used = i + 1;
    if (i == text.len)
        return FAULT_QUOTE_OPEN;
    if (*used < text.len && text.at[*used] != '@')
        return memchr(text.at + i, '<', text.len - i) != NULL ? FAULT_BRACKETS : FAULT_QUOTE_TAIL;
    return *used == text.len ? FAULT_NO_AT : FAULT_NONE;
}

/* The domain. */

static bool is_ldh(char lowered)
{
    return (lowered >= 'a' && lowered <= 'z') || (lowered >= '0' && lowered <= '9') ||
           lowered == '-';
}

static int normal_ascii_domain(struct span in, char *out, size_t *out_len)
{
    size_t label = 0; /* octets of the label that the loop is in */

    if (in.len > ADDR_DOMAIN_MAX)
        return FAULT_DOMAIN_LONG;
    for (size_t i = 0; i < in.len; i++) {
        char c = out[i] = str_lower(in.at[i]);
        if (c == '.') {
            if (label == 0)
                return FAULT_LABEL_EMPTY;
            if (out[i - 1] == '-')
                return FAULT_LABEL_HYPHEN;
            label = 0;
            continue;
        }
        if (!is_ldh(c))
            return FAULT_DOMAIN_CHARACTER;
        if (c == '-' && label == 0)
            return FAULT_LABEL_HYPHEN;
        if (++label > ADDR_LABEL_MAX)
            return FAULT_LABEL_LONG;
    }
    if (label == 0)
        return in.len == 0 ? FAULT_DOMAIN_EMPTY : FAULT_LABEL_EMPTY;
    if (out[in.len - 1] == '-')
        return FAULT_LABEL_HYPHEN;
    out[in.len] = '\0';
    *out_len = in.len;
    return FAULT_NONE;
}

/* By IDNA2008 with the mappings of UTS 46, non-transitional: "ß" stays apart from "ss". */
static int idna_lookup(const char *in, uint8_t **out)
{
    int rc = idn2_lookup_u8((const uint8_t *)in, out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);

    need_memory(rc != IDN2_MALLOC);
    switch (rc) {
    case IDN2_TOO_BIG_DOMAIN:
        return FAULT_DOMAIN_LONG;
    case IDN2_TOO_BIG_LABEL:
    case IDN2_PUNYCODE_BIG_OUTPUT:
        return FAULT_LABEL_LONG;
    default:
        return rc;
    }
}

static int normal_unicode_domain(struct span in, char *out, size_t *out_len)
{
    char text[ADDR_ASKED_MAX + 1];
    uint8_t *made = NULL;

    if (in.len > ADDR_ASKED_MAX)
        return FAULT_DOMAIN_LONG;
    if (!str_utf8_valid(in))
        return FAULT_NOT_UTF8;
    if (has_control(in))
        return FAULT_CONTROL;
    memcpy(text, in.at, in.len);
    text[in.len] = '\0';
    int fault = idna_lookup(text, &made);
    if (fault == FAULT_NONE)
        fault = normal_ascii_domain(span_text((char *)made), out, out_len);
    idn2_free(made);
    return fault;
}

static int normal_domain(struct span in, char *out, size_t *out_len)
{
    if (in.len > 0 && in.at[in.len - 1] == '.')
        in.len--; /* "example.com." is the same name */
    if (in.len > 0 && in.at[0] == '[')
        return FAULT_DOMAIN_LITERAL;
    return is_ascii(in) ? normal_ascii_domain(in, out, out_len)
                        : normal_unicode_domain(in, out, out_len);
}

/* Whether every xn-- label stands for a U-label and is the only way to write it. */
static int check_a_labels(const char *domain)
{
    uint8_t *made = NULL;

    if (strncmp(domain, "xn--", 4) != 0 && strstr(domain, ".xn--") == NULL)
        return FAULT_NONE;
    int fault = idna_lookup(domain, &made);
    if (fault != FAULT_NONE || strcmp((char *)made, domain) != 0)
        fault = FAULT_LABEL_IDNA;
    idn2_free(made);
    return fault;
}

/* What Postfix asks for need not pass this: what fails here is on no roll. */
static int strict_domain(struct span in, char *out, size_t *out_len)
{
    int fault = normal_domain(in, out, out_len);

    if (fault != FAULT_NONE)
        return fault;
    const char *dot = strrchr(out, '.'), *last = dot != NULL ? dot + 1 : out;
    if (strspn(last, "0123456789") == strlen(last))
        return FAULT_DOMAIN_NUMERIC;
    return check_a_labels(out);
}

bool addr_parse_domain(struct span text, char *out, size_t *out_len, struct err *err)
{
    int fault = strict_domain(text, out, out_len);

    return fault == FAULT_NONE || complain(text, fault, err);
}

/* The whole address. */

static int parse(struct span text, bool fold_case, struct addr *addr)
{
    char local[ADDR_ASKED_MAX];
    size_t used = 0, len = 0;

    if (text.len > ADDR_ASKED_MAX)
        return FAULT_LONG;
    bool quoted = text.len > 0 && text.at[0] == '"';
    int fault = quoted ? read_quoted(text, local, &used, &len) : read_dot_atom(text, local, &used);
    if (fault == FAULT_NONE)
        fault = normal_local(span_of(local, quoted ? len : used), fold_case, addr->local,
                             &addr->local_len);
    if (fault != FAULT_NONE)
        return fault;
    return strict_domain(span_of(text.at + used + 1, text.len - used - 1), addr->domain,
                         &addr->domain_len);
}

bool addr_parse(struct span text, bool fold_case, struct addr *addr, struct err *err)
{
    *addr = (struct addr){0};
    int fault = parse(text, fold_case, addr);

    return fault == FAULT_NONE || complain(text, fault, err);
}

/* False: no '@', or nothing behind it. */
static bool split(struct span text, struct span *local, struct span *domain)
{
    const char *at = text.len > 0 ? memrchr(text.at, '@', text.len) : NULL;

    if (at == NULL)
        return false;
    *local = span_of(text.at, (size_t)(at - text.at));
    *domain = span_of(at + 1, text.len - local->len - 1);
    return domain->len > 0;
}

bool addr_split_asked(struct span text, struct addr_asked *asked)
{
    struct span domain;

    return split(text, &asked->local, &domain) &&
           normal_domain(domain, asked->domain, &asked->domain_len) == FAULT_NONE;
}

bool addr_split_above(struct span text, struct addr_asked *asked)
{
    const size_t most = ADDR_DOMAIN_MAX + 1; /* with the trailing dot, or the one in front */
    struct span domain;

    if (!split(text, &asked->local, &domain))
        return false;
    if (domain.len > most)
        domain = span_of(domain.at + domain.len - most, most);
    while (addr_parent_domain(domain, &domain))
        if (normal_domain(domain, asked->domain, &asked->domain_len) == FAULT_NONE)
            return true;
    return false;
}

static bool starts_with(struct span s, const char *prefix)
{
    size_t len = strlen(prefix);

    return s.len >= len && strncasecmp(s.at, prefix, len) == 0;
}

static bool ends_with(struct span s, const char *suffix)
{
    size_t len = strlen(suffix);

    return s.len > len && strncasecmp(s.at + s.len - len, suffix, len) == 0;
}

/* As split_addr() of Postfix does, see postconf(5) on recipient_delimiter and
 * owner_request_special.
 */
static bool never_split(struct span local, const char *delimiters)
{
    static const char *const names[] = {"postmaster", "mailer-daemon", "double-bounce"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (local.len == strlen(names[i]) && starts_with(local, names[i]))
            return true;
    return strchr(delimiters, '-') != NULL &&
           (starts_with(local, "owner-") || ends_with(local, "-request"));
}

bool addr_without_tag(struct span local, const char *delimiters, struct span *base)
{
    size_t i = 0;

    while (i < local.len && (local.at[i] == '\0' || strchr(delimiters, local.at[i]) == NULL))
        i++;
    if (i == 0 || i == local.len || never_split(local, delimiters))
        return false;
    *base = span_of(local.at, i);
    return true;
}

static bool is_dot_atom(struct span local)
{
    for (size_t i = 0; i < local.len; i++) {
        bool at_edge = i == 0 || i + 1 == local.len;
        bool dot_is_fine = local.at[i] == '.' && !at_edge && local.at[i - 1] != '.';
        if (!is_atext(local.at[i]) && !dot_is_fine)
            return false;
    }
    return local.len > 0;
}

/* Appends what fits, keeping room for the NUL. */
static void put(char *out, size_t room, size_t *len, const char *bytes, size_t count)
{
    size_t fits = room - 1 - *len;

    memcpy(out + *len, bytes, count < fits ? count : fits);
    *len += count < fits ? count : fits;
}

size_t addr_format_parts(struct span local, struct span domain, char *out, size_t room)
{
    size_t len = 0;

    if (room == 0)
        return 0;
    if (is_dot_atom(local))
        put(out, room, &len, local.at, local.len);
    else {
        put(out, room, &len, "\"", 1);
        for (size_t i = 0; i < local.len; i++) {
            if (local.at[i] == '"' || local.at[i] == '\\')
                put(out, room, &len, "\\", 1);
            put(out, room, &len, local.at + i, 1);
        }
        put(out, room, &len, "\"", 1);
    }
    put(out, room, &len, "@", 1);
    put(out, room, &len, domain.at, domain.len);
    out[len] = '\0';
    return len;
}

size_t addr_format(const struct addr *addr, char *out)
{
    return addr_format_parts(span_of(addr->local, addr->local_len),
                             span_of(addr->domain, addr->domain_len), out, ADDR_TEXT_MAX + 1);
}

bool addr_parent_domain(struct span domain, struct span *parent)
{
    const char *dot = domain.len > 0 ? memchr(domain.at, '.', domain.len) : NULL;

    if (dot == NULL || dot + 1 == domain.at + domain.len)
        return false;
    *parent = span_of(dot + 1, domain.len - (size_t)(dot + 1 - domain.at));
    return true;
}
