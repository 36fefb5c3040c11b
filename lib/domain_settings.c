/*
 * domain_settings - what can be set on a domain: the table, and checking values (pure)
 *
 * A checked value becomes a member of a JSON object with the columns of table `domain`, which the
 * server lays over the row (domain_change.c).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "conf.h"
#include "domain_private.h"

#define MODES "panel|smtp|either|off"

const struct domain_setting_row domain_settings[] = {
    {"relay-check", MODES, "how it is decided whether a recipient exists"},
    {"shadow", MODES "|none", "a relay check that is only logged, to see what it would do"},
    {"next-hop", "NEXTHOP", "the customer's server, as in Postfix's transport table; empty: none"},
    {"delimiter", "CHARACTERS", "what begins a tag in user+tag@; empty: there are no tags"},
    {"case-sensitive", "yes|no", "whether Bob@ and bob@ are two people"},
    {"threshold", "NUMBER", "observation adds whom the server took more clean messages for"},
    {"stale-limit", "TIME|default", "no 550 from a list that was not confirmed for so long"},
    {"source-stale-limit", "TIME|default", "no 550 when its directory was not read for so long"},
    {"guard-percent", "NUMBER|default", "a list that takes away more than that is held"},
    {"follows-directory", "yes|no", "its list comes from a directory, whose age counts"},
    {"alias-of", "DOMAIN|none", "it shares the recipients of that domain"},
    {"customer", "NAME", "whose it is"},
    {"loaded", "yes|no", "whether its list is complete: without, unknown recipients get 450"},
};
const size_t domain_setting_count = sizeof domain_settings / sizeof domain_settings[0];

/* Appends the value as JSON, or says what would be right. */
typedef bool write_fn(const char *value, struct domain_patch *patch, struct err *err);

static bool write_text(const char *value, struct domain_patch *patch)
{
    buf_text(&patch->json, "\"");
    buf_json(&patch->json, span_text(value));
    buf_text(&patch->json, "\"");
    return true;
}

static bool write_null(struct domain_patch *patch)
{
    buf_text(&patch->json, "null");
    return true;
}

static bool write_mode(const char *value, struct domain_patch *patch, struct err *err)
{
    if (relay_check_by_name(span_text(value)) == CHECK_NONE)
        return err_set(err, ERR_DATA, "'%s': must be panel, smtp, either or off", value);
    return write_text(value, patch);
}

static bool write_shadow(const char *value, struct domain_patch *patch, struct err *err)
{
    patch->shadow_given = strcmp(value, "none") != 0;
    if (!patch->shadow_given)
        return write_null(patch);
    if (relay_check_by_name(span_text(value)) == CHECK_NONE)
        return err_set(err, ERR_DATA, "'%s': must be panel, smtp, either, off or none", value);
    return write_text(value, patch);
}

static bool write_next_hop(const char *value, struct domain_patch *patch, struct err *err)
{
    return domain_next_hop_check(value, err) && write_text(value, patch);
}

static bool write_delimiter(const char *value, struct domain_patch *patch, struct err *err)
{
    for (const char *c = value; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || *c == '@' || c - value == 8)
            return err_set(err, ERR_DATA,
                           "'%s': must be up to 8 printable ASCII characters, no blank, no @",
                           value);
    return write_text(value, patch);
}

static bool parse_switch(const char *value, bool *on, struct err *err)
{
    *on = strcmp(value, "yes") == 0;
    return *on || strcmp(value, "no") == 0 ||
           err_set(err, ERR_DATA, "'%s': must be yes or no", value);
}

static bool write_switch(const char *value, struct domain_patch *patch, struct err *err)
{
    bool on;

    if (!parse_switch(value, &on, err))
        return false;
    buf_text(&patch->json, on ? "true" : "false");
    return true;
}

static bool write_case(const char *value, struct domain_patch *patch, struct err *err)
{
    patch->folds_case = strcmp(value, "no") == 0;
    return write_switch(value, patch, err);
}

static bool write_number(const char *value, int64_t most, struct domain_patch *patch,
                         struct err *err)
{
    int64_t number;

    if (!str_int64(span_text(value), &number) || number < 0 || number > most)
        return err_set(err, ERR_DATA, "'%s': must be a number from 0 to %lld", value,
                       (long long)most);
    buf_printf(&patch->json, "%lld", (long long)number);
    return true;
}

static bool write_threshold(const char *value, struct domain_patch *patch, struct err *err)
{
    return write_number(value, 1000000, patch, err);
}

static bool write_percent(const char *value, struct domain_patch *patch, struct err *err)
{
    if (strcmp(value, "default") == 0)
        return write_null(patch);
    return write_number(value, 100, patch, err);
}

static bool write_time(const char *value, int64_t least_s, struct domain_patch *patch,
                       struct err *err)
{
    int64_t us;

    if (strcmp(value, "default") == 0)
        return write_null(patch);
    if (!conf_parse_time(span_text(value), &us) || us % CLOCK_SECOND != 0 ||
        us < least_s * CLOCK_SECOND || us > 365 * 86400 * CLOCK_SECOND)
        return err_set(err, ERR_DATA,
                       "'%s': must be a time from %llds to 365d, like 90s, 15m, 3h or 2d, or "
                       "default",
                       value, (long long)least_s);
    buf_printf(&patch->json, "%lld", (long long)(us / CLOCK_SECOND));
    return true;
}

static bool write_stale(const char *value, struct domain_patch *patch, struct err *err)
{
    return write_time(value, 1, patch, err);
}

static bool write_source_stale(const char *value, struct domain_patch *patch, struct err *err)
{
    return write_time(value, 60, patch, err);
}

/* These three need the database: domain_change.c puts them into the row. */
static bool take_alias(const char *value, struct domain_patch *patch, struct err *err)
{
    size_t len;

    patch->alias_given = true;
    patch->alias_of[0] = '\0';
    return strcmp(value, "none") == 0 ||
           addr_parse_domain(span_text(value), patch->alias_of, &len, err);
}

static bool take_customer(const char *value, struct domain_patch *patch, struct err *err)
{
    (void)err;
    patch->customer = value;
    return true;
}

static bool take_loaded(const char *value, struct domain_patch *patch, struct err *err)
{
    bool on;

    patch->loaded = value;
    return parse_switch(value, &on, err);
}

/* In the order of domain_settings. Without a column: kept in the patch by its function. */
static const struct {
    const char *column;
    write_fn *write;
} writers[] = {
    {"relay_check", write_mode},
    {"shadow", write_shadow},
    {"next_hop", write_next_hop},
    {"recipient_delimiter", write_delimiter},
    {"case_sensitive", write_case},
    {"threshold", write_threshold},
    {"stale_limit", write_stale},
    {"source_stale_limit", write_source_stale},
    {"guard_percent", write_percent},
    {"follows_directory", write_switch},
    {NULL, take_alias},
    {NULL, take_customer},
    {NULL, take_loaded},
};
static_assert(sizeof writers / sizeof writers[0] ==
                  sizeof domain_settings / sizeof domain_settings[0],
              "a writer for each setting");

static bool patch_add(struct domain_patch *patch, const struct domain_setting *setting,
                      struct err *err)
{
    size_t i = 0;

    while (i < domain_setting_count && strcmp(domain_settings[i].name, setting->name) != 0)
        i++;
    if (i == domain_setting_count)
        return err_set(err, ERR_USAGE, "%s: a domain has no such setting", setting->name);
    if (writers[i].column != NULL)
        buf_printf(&patch->json, "%s\"%s\":", patch->json.len > 0 ? "," : "", writers[i].column);
    return writers[i].write(setting->value, patch, err) || err_prefix(err, "%s", setting->name);
}

bool domain_patch_fill(struct domain_patch *patch, const struct domain_setting *settings,
                       size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!patch_add(patch, &settings[i], err))
            return false;
    return true;
}

void domain_patch_free(struct domain_patch *patch)
{
    buf_free(&patch->json);
}

/* ---- next hops ---- */

static bool only(struct span s, const char *allowed)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] == '\0' || strchr(allowed, s.at[i]) == NULL)
            return false;
    return s.len > 0;
}

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_port(struct span s)
{
    int64_t number;

    if (only(s, DIGITS))
        return str_int64(s, &number) && number >= 1 && number <= 65535;
    return s.len <= 32 && only(s, LETTERS DIGITS "-_");
}

static bool is_ipv4(struct span s)
{
    return only(s, DIGITS ".");
}

/* What stands in brackets: a literal, or a name that is not looked up for MX. */
static bool is_bracketed(struct span s)
{
    char name[ADDR_DOMAIN_MAX + 1];
    size_t len;
    struct err ignored;

    if (s.len > 5 && memcmp(s.at, "IPv6:", 5) == 0)
        s = span_of(s.at + 5, s.len - 5);
    if (memchr(s.at, ':', s.len) != NULL)
        return s.len <= 45 && only(s, DIGITS "abcdefABCDEF:.");
    return is_ipv4(s) || addr_parse_domain(s, name, &len, &ignored);
}

static bool check_destination(struct span s, struct err *err)
{
    char name[ADDR_DOMAIN_MAX + 1];
    size_t len;
    struct span host = s, port = span_of(NULL, 0);
    const char *colon;

    if (s.len > 6 && memcmp(s.at, "unix:/", 6) == 0)
        return true;
    if (s.len > 0 && s.at[0] == '[') {
        const char *close = memchr(s.at, ']', s.len);
        size_t inside = close != NULL ? (size_t)(close - s.at) - 1 : 0;
        if (inside == 0 || !is_bracketed(span_of(s.at + 1, inside)))
            return err_set(err, ERR_DATA, "[host] or [address] expected");
        port = span_of(close + 1, s.len - inside - 2);
        if (port.len > 0 && (port.at[0] != ':' || !is_port(span_of(port.at + 1, port.len - 1))))
            return err_set(err, ERR_DATA, "':port' expected behind ']'");
        return true;
    }
    if (s.len > 0 && (colon = memchr(s.at, ':', s.len)) != NULL) {
        host = span_of(s.at, (size_t)(colon - s.at));
        port = span_of(colon + 1, s.len - host.len - 1);
        if (!is_port(port))
            return err_set(err, ERR_DATA, "a port behind ':' expected");
    }
    if (is_ipv4(host))
        return err_set(err, ERR_DATA, "an address stands in brackets: [192.0.2.1]:25");
    return addr_parse_domain(host, name, &len, err);
}

/* transport(5): [transport:]nexthop[, nexthop…] */
static bool check_next_hop(struct span s, struct err *err)
{
    const char *colon = memchr(s.at, ':', s.len);
    struct span hop;

    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= ' ' || s.at[i] > '~')
            return err_set(err, ERR_DATA, "blanks and control characters have no place in it");
    if (colon != NULL) {
        struct span before = span_of(s.at, (size_t)(colon - s.at));
        struct span after = span_of(colon + 1, s.len - before.len - 1);
        bool host_and_port = only(after, DIGITS) || after.len == 0;
        if (!host_and_port && only(before, LETTERS DIGITS "-_") && !span_equals(before, "unix"))
            s = after;
    }
    while (span_next(&s, ',', &hop))
        if (!check_destination(hop, err))
            return false;
    return true;
}

bool domain_next_hop_check(const char *text, struct err *err)
{
    if (text[0] == '\0')
        return true;
    if (strlen(text) > 300)
        return err_set(err, ERR_DATA, "a next hop has at most 300 characters");
    return check_next_hop(span_text(text), err) ||
           err_prefix(err, "'%s' is no next hop of Postfix", text);
}
