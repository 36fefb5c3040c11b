/*
 * list_columns - what the columns of a list hold, by its header or by what was said (pure); see
 * list_private.h
 *
 * Deliberately not known: AccountDisabled, Block credential, Enabled. In Exchange and Microsoft 365
 * the account behind every shared mailbox, room and resource is disabled, and they all get mail; a
 * user who is disabled here is refused. Whoever means it says --columns …,disabled.
 */
#include <stdio.h>
#include <string.h>

#include "list_private.h"

const char *const list_role_names[ROLES] = {"-",    "address", "aliases", "name",    "first",
                                            "last", "kind",    "state",   "disabled"};

size_t list_columns_find(const struct list_columns *columns, enum list_role role)
{
    size_t i = 0;

    while (i < columns->count && columns->role[i] != role)
        i++;
    return i;
}

/* The end of the cell at the start of `s`; quotes hold the delimiter in. */
static size_t cell_end(struct span s, char delimiter)
{
    size_t i = 0;
    bool quoted = false;

    while (i < s.len && s.at[i] == ' ')
        i++;
    quoted = i < s.len && s.at[i] == '"';
    for (i += quoted ? 1 : 0; i < s.len; i++) {
        if (s.at[i] == '"' && quoted)
            quoted = i + 1 < s.len && s.at[i + 1] == '"' ? (i++, true) : false;
        else if (s.at[i] == delimiter && !quoted)
            break;
    }
    return i;
}

static struct span without_quotes(struct span s)
{
    s = span_trim(s);
    return s.len > 1 && s.at[0] == '"' && s.at[s.len - 1] == '"' ? span_of(s.at + 1, s.len - 2) : s;
}

void list_split(struct span line, char delimiter, struct list_cells *cells)
{
    cells->count = 0;
    for (;;) {
        size_t end = cell_end(line, delimiter);
        if (cells->count < LIST_CELLS_MAX)
            cells->at[cells->count++] = without_quotes(span_of(line.at, end));
        if (end == line.len)
            return;
        line = span_of(line.at + end + 1, line.len - end - 1);
    }
}

/*
 * The headers that are known, as header_key writes them. Of several columns with addresses the one
 * with the highest rank is the primary one.
 */
enum { RANK_SIGN_IN = 4, RANK_PROXIES = 1 };
static const struct {
    const char *key;
    enum list_role role;
    int rank;
} headers[] = {
    {"primarysmtpaddress", ROLE_ADDRESS, 9},
    {"primaryemailaddress", ROLE_ADDRESS, 9},
    {"primaryaddress", ROLE_ADDRESS, 9},
    {"primaryemail", ROLE_ADDRESS, 9},
    {"emailaddress", ROLE_ADDRESS, 8},
    {"emailadresse", ROLE_ADDRESS, 8},
    {"mailaddress", ROLE_ADDRESS, 8},
    {"mailadresse", ROLE_ADDRESS, 8},
    {"smtpaddress", ROLE_ADDRESS, 8},
    {"email", ROLE_ADDRESS, 8},
    {"mail", ROLE_ADDRESS, 8},
    {"address", ROLE_ADDRESS, 7},
    {"adresse", ROLE_ADDRESS, 7},
    {"recipient", ROLE_ADDRESS, 6},
    {"mailbox", ROLE_ADDRESS, 6},
    {"smtp", ROLE_ADDRESS, 6},
    {"user", ROLE_ADDRESS, 5},
    {"username", ROLE_ADDRESS, RANK_SIGN_IN},
    {"userprincipalname", ROLE_ADDRESS, 3},
    {"upn", ROLE_ADDRESS, 3},
    {"emailaddresses", ROLE_ALIASES, RANK_PROXIES},
    {"proxyaddresses", ROLE_ALIASES, RANK_PROXIES},
    {"aliases", ROLE_ALIASES, 0},
    {"aliasaddresses", ROLE_ALIASES, 0},
    {"emailaliases", ROLE_ALIASES, 0},
    {"alias", ROLE_ALIASES, 0},
    {"aliasse", ROLE_ALIASES, 0},
    {"secondaryaddresses", ROLE_ALIASES, 0},
    {"otheraddresses", ROLE_ALIASES, 0},
    {"displayname", ROLE_NAME, 9},
    {"anzeigename", ROLE_NAME, 9},
    {"fullname", ROLE_NAME, 8},
    {"name", ROLE_NAME, 7},
    {"cn", ROLE_NAME, 6},
    {"firstname", ROLE_FIRST, 0},
    {"givenname", ROLE_FIRST, 0},
    {"vorname", ROLE_FIRST, 0},
    {"lastname", ROLE_LAST, 0},
    {"surname", ROLE_LAST, 0},
    {"familyname", ROLE_LAST, 0},
    {"nachname", ROLE_LAST, 0},
    {"recipienttype", ROLE_KIND, 0},
    {"recipienttypedetails", ROLE_KIND, 0},
    {"kind", ROLE_KIND, 0},
    {"disabled", ROLE_DISABLED, 0},
};

/* Lower case, without blanks, '-', '_' and '.'. */
static void header_key(struct span cell, char *key, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < cell.len && len + 1 < room; i++)
        if (strchr(" \t-_.*", cell.at[i]) == NULL)
            key[len++] = str_lower(cell.at[i]);
    key[len] = '\0';
}

/* The row of `headers` for a cell, or -1. "alias2" is an alias. */
static int find_header(struct span cell)
{
    char key[40];

    header_key(cell, key, sizeof key);
    if (strncmp(key, "alias", 5) == 0)
        key[5 + strcspn(key + 5, "0123456789")] = '\0';
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        if (strcmp(key, headers[i].key) == 0)
            return (int)i;
    return -1;
}

/* A role that only one column can have goes to the better one. */
static void keep_best(struct list_columns *columns, const int *rank, enum list_role role)
{
    size_t best = LIST_CELLS_MAX;

    for (size_t i = 0; i < columns->count; i++)
        if (columns->role[i] == role && (best == LIST_CELLS_MAX || rank[i] > rank[best]))
            best = i;
    for (size_t i = 0; i < columns->count; i++)
        if (columns->role[i] == role && i != best)
            columns->role[i] = ROLE_NONE;
}

/*
 * Where directories list a user's addresses, the name to sign in with is no source of them: it
 * need not be an address at all.
 */
static void prefer_proxies(struct list_columns *columns, const int *rank)
{
    bool proxies = false;

    for (size_t i = 0; i < columns->count; i++)
        proxies = proxies || (columns->role[i] == ROLE_ALIASES && rank[i] == RANK_PROXIES);
    for (size_t i = 0; i < columns->count; i++)
        if (proxies && columns->role[i] == ROLE_ADDRESS && rank[i] <= RANK_SIGN_IN)
            columns->role[i] = ROLE_NONE;
}

size_t list_columns_header(const struct list_cells *cells, struct list_columns *columns)
{
    static const enum list_role single[] = {ROLE_ADDRESS, ROLE_NAME, ROLE_FIRST, ROLE_LAST,
                                            ROLE_DISABLED};
    int rank[LIST_CELLS_MAX] = {0};
    size_t known = 0;
    bool exchange = false;

    *columns = (struct list_columns){.count = cells->count};
    for (size_t i = 0; i < cells->count; i++) {
        int row = find_header(cells->at[i]);
        if (row < 0)
            continue;
        known++;
        columns->role[i] = headers[row].role;
        rank[i] = headers[row].rank;
        exchange = exchange || strcmp(headers[row].key, "primarysmtpaddress") == 0;
    }
    for (size_t i = 0; i < cells->count && exchange; i++)
        if (cells->at[i].len == 5 && span_starts(cells->at[i], "alias"))
            columns->role[i] = ROLE_NONE; /* Exchange's Alias is a name without a domain */
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        keep_best(columns, rank, single[i]);
    prefer_proxies(columns, rank);
    return known;
}

static bool role_of(struct span name, enum list_role *role)
{
    for (int i = 0; i < ROLES; i++)
        if (span_equals(name, list_role_names[i])) {
            *role = (enum list_role)i;
            return true;
        }
    return false;
}

bool list_columns_parse(const char *text, struct list_columns *columns, struct err *err)
{
    struct span rest = span_text(text), piece;

    *columns = (struct list_columns){0};
    while (span_next(&rest, ',', &piece)) {
        if (columns->count == LIST_CELLS_MAX)
            return err_set(err, ERR_USAGE, "--columns: more than %d columns", LIST_CELLS_MAX);
        piece = span_trim(piece);
        if (!role_of(piece, &columns->role[columns->count++]))
            return err_set(err, ERR_USAGE,
                           "--columns: no such column: '%.*s'; there are address, aliases, name, "
                           "first, last, kind, state, disabled, and - for what is not needed",
                           (int)piece.len, piece.at);
    }
    if (list_columns_find(columns, ROLE_ADDRESS) == columns->count &&
        list_columns_find(columns, ROLE_ALIASES) == columns->count)
        return err_set(err, ERR_USAGE, "--columns: none of them is the address");
    return true;
}

static bool same_text(struct span cell, const char *text)
{
    return cell.len == strlen(text) && span_starts(cell, text);
}

static bool name_column(const char *option, const char *which, enum list_role role,
                        const struct list_cells *header, struct list_columns *columns,
                        struct err *err)
{
    int64_t number = 0;
    size_t place = 0;

    if (which == NULL)
        return true;
    while (place < header->count && !same_text(header->at[place], which))
        place++;
    if (place == header->count) {
        if (!str_int64(span_text(which), &number) || number < 1 || number > LIST_CELLS_MAX)
            return err_set(err, ERR_DATA, "%s: the header has no column '%s'", option, which);
        place = (size_t)number - 1;
    }
    for (size_t i = 0; i < columns->count; i++)
        if (columns->role[i] == role)
            columns->role[i] = ROLE_NONE;
    while (columns->count <= place)
        columns->role[columns->count++] = ROLE_NONE;
    columns->role[place] = role;
    return true;
}

bool list_columns_named(const struct list_options *options, const struct list_cells *header,
                        struct list_columns *columns, struct err *err)
{
    return name_column("--address-column", options->address_column, ROLE_ADDRESS, header, columns,
                       err) &&
           name_column("--alias-column", options->aliases_column, ROLE_ALIASES, header, columns,
                       err) &&
           name_column("--name-column", options->name_column, ROLE_NAME, header, columns, err);
}
