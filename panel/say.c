/* say - see say.h */
#include "panel/say.h"

#include <string.h>

#include "panel/template.h"
#include "panel/visit.h"

/*
 * {name} stands for anything, {why…} for what is itself to be looked up here. NULL: the panel says
 * it as lib does. t/unit/panel_say.c holds them against lib.
 */
struct saying {
    const char *lib, *panel;
};

#define SAME(text)                                                                                 \
    {                                                                                              \
        N_(text), NULL                                                                             \
    }

/* clang-format off */
static const struct saying sayings[] = {
    /* addresses, domains */
    SAME("'{text}': {why} ({source})"),
    SAME("{why} (RFC {source})"),
    SAME("longer than any address"),
    SAME("has no '@'"),
    SAME("is not UTF-8"),
    SAME("holds a control character"),
    SAME("give the bare address, without a name and '<>'"),
    SAME("nothing in front of '@'"),
    SAME("more than 64 octets in front of '@'"),
    SAME("a character in front of '@' that needs double quotes around all of it, like \"a b\"@example.com"),
    SAME("a dot at the start, at the end or doubled in front of '@' needs double quotes around all of it"),
    SAME("the double quotes are not closed"),
    SAME("the domain name is empty"),
    SAME("the domain name has more than 253 octets"),
    SAME("a backslash must stand before a printable ASCII character"),
    SAME("an address literal; only domain names have a roll"),
    SAME("a character that no domain name has; letters, digits and hyphens only"),
    SAME("the last label of the domain name is a number"),
    SAME("the domain name starts with a dot or has an empty label"),
    SAME("a label of the domain name has more than 63 octets"),
    SAME("a label of the domain name starts or ends with a hyphen"),
    {"{text}: a rule cannot hold a blank", N_("A rule cannot hold a blank.")},
    /* lists */
    {"{address}: its domain is not served here; {advice}", N_("{address}: its domain is not served here.")},
    SAME("{address}: its domain belongs to another customer than {owner}"),
    SAME("{address} is the primary address of another user"),
    SAME("{address} is an alias of {owner}"),
    SAME("{address} is not on the roll"),
    SAME("{address} is an address of user {owner}, not a group; remove it first"),
    SAME("{address} is a group, not an address of a user; remove it first"),
    SAME("{address} is outside the domains that the list is for"),
    SAME("more than addresses and names in it: '{text}'"),
    SAME("no address in it"),
    SAME("no '@' in it"),
    SAME("this is {why}"),
    SAME("a double quote is opened and not closed"),
    SAME("neither active nor disabled: the state cannot be read"),
    SAME("the value is too long"),
    SAME("an Excel workbook or a ZIP archive: save the sheet as CSV, or unpack it"),
    SAME("an old Excel workbook: save the sheet as CSV"),
    SAME("a PDF document: a list has to be text"),
    SAME("a database, not a list"),
    SAME("near line {line}: binary data, no list of addresses"),
    {"near line {line}: byte {byte}: this is neither UTF-8 nor UTF-16 nor Windows-1252; {advice}",
     N_("Near line {line}: this is neither UTF-8 nor UTF-16 nor Windows-1252; save it as UTF-8.")},
    SAME("the gzip file is damaged"),
    {"the gzip file is damaged: {detail}", N_("the gzip file is damaged")},
    SAME("the gzip file is cut off"),
    {"{domain}: held: would remove {leaving} of {before} addresses (limit {percent} %){more}",
     N_("{domain}: {leaving} of {before} addresses would leave the roll, more than {percent} % of them. It waits until somebody has looked at it.")},
    {"{domain}: held: would remove or disable {leaving} of {before} addresses (limit {percent} %){more}",
     N_("{domain}: {leaving} of {before} addresses would leave the roll or be disabled, more than {percent} % of them. It waits until somebody has looked at it.")},
    {"{domain}: held: the list names nobody there, would {verb} {leaving} of {before} addresses{more}",
     N_("{domain}: the list names nobody there; all {leaving} addresses would leave the roll. It waits until somebody has looked at it.")},
    /* changes */
    {"there is no changeset {id}; {advice}", N_("There is no change {id}.")},
    {"changeset {id} was undone already, by changeset {by}", N_("Change {id} was undone already, by change {by}.")},
    {"changeset {id} cannot be undone: the addresses it changed are not as it left them",
     N_("Change {id} cannot be undone: the addresses it changed are not as it left them.")},
    {"changeset {id} cannot be undone: the same addresses or users were changed since, by changeset{later}; undo {first} first",
     N_("Change {id} cannot be undone: the same addresses or users were changed since. Undo {first} first.")},
    {"changeset {id} cannot be undone: its addresses were in {domain}, which is removed or an alias now",
     N_("Change {id} cannot be undone: its addresses were in {domain}, which is removed or an alias now.")},
    {"changeset {id} cannot be undone: its users are another customer's than {domain} now is",
     N_("Change {id} cannot be undone: {domain} now belongs to another customer than its users.")},
    {"changeset {id} changed domains; set them back with {advice}", N_("Change {id} changed settings of domains: set them back on the domain's page.")},
    {"changeset {id} changed no address: there is nothing to undo", N_("Change {id} changed no address: there is nothing to undo.")},
    {"changeset {id} is {state}, not {wanted}",
     N_("Change {id} is not any more what the page showed: look at it again.")},
    {"changeset {id} cannot be undone: {address} is written with capital letters, which {domain} does not tell apart any more",
     N_("Change {id} cannot be undone: {address} is written with capital letters, which {domain} does not tell apart any more.")},
    {"changeset {id} cannot be approved: {address} is written with capital letters, which {domain} does not tell apart any more",
     N_("Change {id} cannot be approved: {address} is written with capital letters, which {domain} does not tell apart any more. Reject it.")},
    {"changeset {id} cannot be approved: {domain} belongs to another customer now; reject it",
     N_("Change {id} cannot be approved: {domain} belongs to another customer now. Reject it.")},
    /* verdicts */
    SAME("The request is not about one recipient (only RCPT and VRFY decide)."),
    SAME("This gateway has never loaded the roll; nobody can be told from nobody."),
    SAME("The domain is not served here; Postfix's own relay control decides."),
    SAME("The domain is an unserved subdomain of a served one; Postfix might relay it unchecked."),
    SAME("The domain was removed from Rollcall but Postfix still asks; is it left in relay_domains?"),
    SAME("postmaster@ of a served domain is always accepted (RFC 5321 section 4.5.1)."),
    SAME("abuse@ of a served domain is accepted (setting accept_abuse)."),
    SAME("The recipient is on the roll but disabled by a person or the directory."),
    SAME("The domain's relay check is off: every recipient is accepted."),
    SAME("The recipient is on the roll."),
    SAME("The recipient is on the roll and the customer's server accepted it lately."),
    SAME("On the roll, but the customer's server has not accepted it lately: it is asked."),
    SAME("Not on the roll: the customer's server is asked."),
    SAME("The customer's server refused this recipient lately."),
    SAME("The client has asked for too many unknown recipients (harvest_limit): it is put off for a while."),
    SAME("The customer's server is asked for too many unknown recipients in this minute (probe_limit)."),
    SAME("The recipient has blocked the sender (reject_blocked_senders)."),
    SAME("The recipient's domain has blocked the sender (reject_blocked_senders)."),
    SAME("The recipient is not on the roll, and the list is complete and fresh."),
    SAME("The replica could not be read."),
    SAME("The replica was not confirmed by PostgreSQL within the domain's stale limit."),
    SAME("The domain's directory was not synchronised completely within source_stale_limit."),
    {"The domain's list was never loaded; see 'rollcall domain set NAME --loaded'.", N_("The domain's list was never loaded: unknown recipients are put off.")},
    /* customers, domains, accounts */
    {"{name}: no such customer; {advice}", N_("There is no customer “{name}”.")},
    {"{name}: there is such a customer already", N_("There is a customer “{name}” already.")},
    {"{name}: not served here; {advice}", N_("{name} is not served here.")},
    {"{name}: served here already; {advice}", N_("{name} is served here already.")},
    {"{name}: there is such an account already", N_("There is an account “{name}” already.")},
    {"{name}: has recipients: remove them first, or ask for {advice}", N_("{name} has recipients: remove them first.")},
    SAME("nothing to set"),
    SAME("'{text}': a login has no blanks in it"),
    SAME("[host] or [address] expected"),
    SAME("a port behind ':' expected"),
    SAME("an address stands in brackets: [192.0.2.1]:25"),
    SAME("blanks and control characters have no place in it"),
    SAME("'{text}': {why}"),
    SAME("must be up to 8 printable ASCII characters, no blank, no @"),
    /* domains that become aliases, move, lose capital letters */
    {"alias-of: {name} is not served here",
     N_("{name} is not served here.")},
    {"{name} is not served here",
     N_("{name} is not served here.")},
    {"alias-of: {name} is an alias domain itself",
     N_("{name} is an alias domain itself.")},
    {"{name} is an alias domain itself",
     N_("{name} is an alias domain itself.")},
    {"{name}: cannot be an alias of itself",
     N_("{name} cannot be an alias of itself.")},
    {"{name}: other domains are aliases of it",
     N_("{name}: other domains are aliases of it.")},
    {"{name}: has recipients of its own: remove them before it becomes an alias domain",
     N_("{name} has recipients of its own: remove them before it becomes an alias domain.")},
    {"{name}: belongs to another customer than the domain it would be an alias of",
     N_("{name} belongs to another customer than the domain it would be an alias of.")},
    {"{name}: an alias domain has no shadow mode: that of its target counts",
     N_("{name}: an alias domain has no shadow mode: that of its target counts.")},
    {"{name}: tied to a domain of another customer by an alias: name both",
     N_("{name} and a domain of another customer are alias and target: they move only together, by the command line.")},
    {"{name}: its users have addresses in other domains too: name these domains as well",
     N_("The users of {name} have addresses in other domains too: these move only together, by the command line.")},
    {"{name}: its directory feeds other domains too ({advice}): name these as well",
     N_("The directory of {name} feeds other domains too: these move only together, by the command line.")},
    {"{name}: has addresses with capital letters, {address} for one: remove them before case-sensitive=no",
     N_("{name} has addresses with capital letters, {address} for one: remove them before they are no longer told apart.")},
    /* passwords */
    SAME("a password has at least {count} characters"),
    SAME("a password has at most {count} octets"),
    SAME("that password is among the first that are tried"),
    /* directories */
    {"password: is missing; whoever reads as that name needs one ({advice})", N_("It is missing: whoever reads as that name needs one.")},
    {"is missing; whoever reads as that name needs one ({advice})", N_("It is missing: whoever reads as that name needs one.")},
    SAME("another server or protection; give it again"),
    {"{server}: its certificate is signed by '{issuer}', which {known}; give the certificate of who signed it with --ca",
     N_("{server}: its certificate is signed by “{issuer}”, whom nobody here knows: give the certificate of that authority.")},
    {"no certificates in PEM: {detail}", N_("There is no certificate in it: it begins with -----BEGIN CERTIFICATE-----.")},
    SAME("{count} certificates: give the {most} at most that sign the server's"),
    SAME("name at least one"),
    SAME("say where to search"),
    SAME("is needed"),
    SAME("'{text}' is taken; choose another one"),
    SAME("{name}: is an alias domain; name its target"),
};
/* clang-format on */

enum { CAPTURES_MOST = 6, NAME_MOST = 16 };

struct captures {
    struct {
        char name[NAME_MOST];
        struct span text;
    } at[CAPTURES_MOST];
    size_t count;
};

/* What stands before the next brace, or at the end of it all. */
static struct span literal(const char *pattern)
{
    return span_of(pattern, strcspn(pattern, "{"));
}

/* A placeholder takes as little as it can; the last one of a pattern all that is left. */
static bool matches(const char *pattern, struct span text, struct captures *found)
{
    struct span piece = literal(pattern);

    found->count = 0;
    if (piece.len > text.len || memcmp(piece.at, text.at, piece.len) != 0)
        return false;
    text = span_of(text.at + piece.len, text.len - piece.len);
    for (pattern += piece.len; *pattern == '{'; pattern += piece.len) {
        size_t name = strcspn(pattern + 1, "}");
        pattern += 1 + name + 1;
        piece = literal(pattern);
        bool last = pattern[piece.len] == '\0';
        const char *next =
            last ? text.at + text.len - piece.len : memmem(text.at, text.len, piece.at, piece.len);
        if (next == NULL || next < text.at || memcmp(next, piece.at, piece.len) != 0 ||
            found->count == CAPTURES_MOST || name >= NAME_MOST)
            return false;
        memcpy(found->at[found->count].name, pattern - 1 - name, name);
        found->at[found->count].name[name] = '\0';
        found->at[found->count++].text = span_of(text.at, (size_t)(next - text.at));
        text = span_of(next + piece.len, (size_t)(text.at + text.len - next) - piece.len);
    }
    return text.len == 0;
}

/* "…; `rollcall domain list` shows them", "…; use --tls starttls": not for a browser. */
static const char *without_advice(struct arena *arena, const char *text)
{
    const char *end = strrchr(text, ';');

    if (end == NULL || (strstr(end, "rollcall ") == NULL && strstr(end, " --") == NULL))
        return text;
    return arena_text(arena, span_of(text, (size_t)(end - text)));
}

static const char *filled(struct arena *arena, enum text_language language, const char *words,
                          const struct captures *found)
{
    struct data *values = data_map(arena);
    BUF_AUTO out = {0};

    for (size_t i = 0; i < found->count; i++) {
        const char *name = arena_text(arena, span_text(found->at[i].name));
        const char *text = arena_text(arena, found->at[i].text);
        data_text(values, name, strncmp(name, "why", 3) == 0 ? say(arena, language, text) : text);
    }
    template_fill(&out, words, values);
    return arena_text(arena, span_of(out.at, out.len));
}

const char *say(struct arena *arena, enum text_language language, const char *text)
{
    struct captures found;

    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++) {
        const struct saying *saying = &sayings[i];
        if (!matches(saying->lib, span_text(text), &found))
            continue;
        const char *words = saying->panel != NULL ? saying->panel : saying->lib;
        return filled(arena, language, text_get(language, words), &found);
    }
    const char *known = text_get(language, text);
    return known != text ? known : without_advice(arena, text);
}
