/* report_setting - see report_setting.h */
#include "report_setting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"

enum { DAYS = 7, HOURS = 24 };
static const char *const day_names[DAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

const struct report_setting_row report_setting_rows[] = {
    {"enabled", "yes|no", true, "yes", "whether users get reports"},
    {"users-choose", "yes|no", false, "yes", "whether users may choose for themselves"},
    {"days", "DAYS", true, "all", "on which days, like mon,tue,fri; all"},
    {"hours", "HOURS", true, "7", "at which full hours, like 7,12,17; all"},
    {"zone", "ZONE", true, "", "whose hours, like Europe/Berlin"},
    {"language", "en|de|fr|es", true, "", "of reports and password mails"},
    {"categories", "LIST", true, "spam,bulk,virus,content",
     "of spam, bulk, virus, content: what is reported"},
    {"block-list", "yes|no", true, "yes", "whether with what the block lists caught"},
    {"sender-links", "yes|no", true, "yes", "whether with links to allow and block the sender"},
    {"central-contact", "ADDRESS|none", false, "none", "who gets one report for the whole domain"},
    {"brand-name", "TEXT", false, "none", "what the reports are called"},
    {"brand-colour", "#RRGGBB", false, "#1f4e79", "of their head and links"},
    {"brand-logo", "URL|none", false, "none",
     "a picture in their head: an https address, or one that was uploaded in the panel"},
    {"brand-footer", "TEXT|none", false, "none", "what stands at their end"},
    {"notice-contact", "ADDRESS|none", false, "none",
     "who is told when a directory fails or is held"},
};
const size_t report_setting_count = sizeof report_setting_rows / sizeof report_setting_rows[0];

/* In the order of the table; $1: the row's id. */
static const char *const updates[] = {
    "update report_setting set enabled = $2::boolean where id = $1",
    "update report_setting set users_choose = $2::boolean where id = $1",
    "update report_setting set days = $2::smallint where id = $1",
    "update report_setting set hours = $2::integer where id = $1",
    "update report_setting set zone = $2 where id = $1",
    "update report_setting set language = $2 where id = $1",
    "update report_setting set categories = $2::text[] where id = $1",
    "update report_setting set block_list = $2::boolean where id = $1",
    "update report_setting set sender_links = $2::boolean where id = $1",
    "update report_setting set central_contact = $2 where id = $1",
    "update report_setting set brand_name = $2 where id = $1",
    "update report_setting set brand_colour = lower($2) where id = $1",
    "update report_setting set brand_logo = $2 where id = $1",
    "update report_setting set brand_footer = $2 where id = $1",
    "update report_setting set notice_contact = $2 where id = $1",
};
_Static_assert(sizeof updates / sizeof updates[0] ==
                   sizeof report_setting_rows / sizeof report_setting_rows[0],
               "a statement for each setting");
enum { AT_DAYS = 2, AT_HOURS = 3, AT_CATEGORIES = 6, AT_CONTACT = 9, AT_NOTICE = 14 };

/* ---- values ---- */

static int day_of(struct span word)
{
    for (int i = 0; i < DAYS; i++)
        if (span_equals(word, day_names[i]))
            return i;
    return -1;
}

static int hour_of(struct span word)
{
    int64_t hour;

    return str_int64(word, &hour) && hour >= 0 && hour < HOURS ? (int)hour : -1;
}

/* "mon,fri" and "7,19" as bits. */
static bool parse_bits(const char *value, int (*bit_of)(struct span word), int most, char out[16],
                       struct err *err)
{
    struct span rest = span_text(value), word;
    bool all = strcmp(value, "all") == 0;
    unsigned bits = all ? (1U << most) - 1 : 0;

    while (!all && span_next(&rest, ',', &word)) {
        int bit = bit_of(span_trim(word));
        if (bit < 0)
            return err_set(err, ERR_DATA, "'%.*s' is none; give a list, like %s, or all",
                           (int)word.len, word.at, most == DAYS ? "mon,tue,fri" : "7,12,17");
        bits |= 1U << bit;
    }
    snprintf(out, 16, "%u", bits);
    return true;
}

static void write_bits(struct buf *out, unsigned bits, int most)
{
    buf_text(out, bits == (1U << most) - 1 ? "all" : "");
    for (int i = 0; i < most && bits != (1U << most) - 1; i++) {
        if ((bits >> i & 1) == 0)
            continue;
        buf_text(out, out->len > 0 ? "," : "");
        if (most == DAYS)
            buf_text(out, day_names[i]);
        else
            buf_printf(out, "%d", i);
    }
}

static bool check_contact(const char *value, struct err *err)
{
    struct addr addr;

    return value[0] == '\0' || addr_parse(span_text(value), false, &addr, err);
}

/* The value as the table has it; *set NULL: none. */
static bool take_value(size_t at, const char *value, char room[320], const char **set,
                       struct err *err)
{
    *set = strcmp(value, "default") == 0 ? NULL : value;
    if (*set == NULL)
        return true;
    if (strcmp(value, "none") == 0 && strstr(report_setting_rows[at].value, "none") != NULL)
        *set = "";
    if (at == AT_DAYS || at == AT_HOURS) {
        *set = room;
        return parse_bits(value, at == AT_DAYS ? day_of : hour_of, at == AT_DAYS ? DAYS : HOURS,
                          room, err);
    }
    if (at == AT_CATEGORIES) {
        *set = room;
        snprintf(room, 320, "{%.300s}", value);
    }
    return (at != AT_CONTACT && at != AT_NOTICE) || check_contact(*set, err);
}

static bool find_row(const char *name, size_t *at, struct err *err)
{
    for (*at = 0; *at < report_setting_count; ++*at)
        if (strcmp(report_setting_rows[*at].name, name) == 0)
            return true;
    return err_set(err, ERR_USAGE, "%s: reports have no such setting", name);
}

/* ---- whose ---- */

/* The ids of customer, domain, user; "" where it is none. */
struct whose {
    char customer[16], domain[16], user[24];
};

static bool find_user(struct db *db, const char *address, struct db_result **found, struct err *err)
{
    struct addr exact, folded;

    return addr_parse(span_text(address), false, &exact, err) &&
           addr_parse(span_text(address), true, &folded, err) &&
           db_query(db, found,
                    "select customer_id, null, id from users where id = mail_user($1, $2, $3)",
                    DB_VALUES(exact.local, folded.local, exact.domain), err);
}

static bool find_whose(struct db *db, enum report_of of, const char *name, struct whose *whose,
                       struct err *err)
{
    static const char *const what[] = {"customer", "domain", "user"};
    DB_RESULT_AUTO found = NULL;

    bool fine = of == REPORT_OF_USER ? find_user(db, name, &found, err)
                : of == REPORT_OF_DOMAIN
                    ? db_query(db, &found,
                               "select customer_id, id, null from domain where name = lower($1)"
                               " and state = 'active'",
                               DB_VALUES(name), err)
                    : db_query(db, &found,
                               "select id, null, null from customer where lower(name) = lower($1)",
                               DB_VALUES(name), err);
    if (!fine)
        return false;
    if (db_rows(found) == 0)
        return err_set(err, ERR_DATA, "%s: no such %s", name, what[of]);
    snprintf(whose->customer, sizeof whose->customer, "%s", db_text(found, 0, 0));
    snprintf(whose->domain, sizeof whose->domain, "%s", db_text(found, 0, 1));
    snprintf(whose->user, sizeof whose->user, "%s", db_text(found, 0, 2));
    return true;
}

static const char *or_null(const char *id)
{
    return id[0] != '\0' ? id : NULL;
}

/* ---- setting ---- */

static bool set_one(struct db *db, const char *id, enum report_of of,
                    const struct report_given *given, struct err *err)
{
    char room[320];
    const char *value;
    size_t at;

    if (!find_row(given->name, &at, err))
        return false;
    if (of == REPORT_OF_USER && !report_setting_rows[at].users)
        return err_set(err, ERR_USAGE, "%s: is set for a customer or a domain", given->name);
    if (!take_value(at, given->value, room, &value, err))
        return err_prefix(err, "%s", given->name);
    if (db_exec(db, updates[at], DB_VALUES(id, value), NULL, err))
        return true;
    bool refused = strncmp(db_sqlstate(db), "22", 2) == 0 || strncmp(db_sqlstate(db), "23", 2) == 0;
    return refused ? err_set(err, ERR_DATA, "%s: '%s' is not %s", given->name, given->value,
                             report_setting_rows[at].value)
                   : false;
}

static bool set_all(struct db *db, enum report_of of, const char *name,
                    const struct report_given *given, size_t count, const char *actor,
                    struct err *err)
{
    struct whose whose;
    DB_RESULT_AUTO row = NULL;

    if (!find_whose(db, of, name, &whose, err) ||
        !db_exec(db,
                 "insert into report_setting (customer_id, domain_id, user_id)"
                 " values ($1, $2, $3) on conflict do nothing",
                 DB_VALUES(whose.customer, or_null(whose.domain), or_null(whose.user)), NULL,
                 err) ||
        !db_query(db, &row,
                  "select id from report_setting where customer_id = $1"
                  " and domain_id is not distinct from $2::int"
                  " and user_id is not distinct from $3::bigint",
                  DB_VALUES(whose.customer, or_null(whose.domain), or_null(whose.user)), err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!set_one(db, db_text(row, 0, 0), of, &given[i], err))
            return false;
    return db_exec(db,
                   "insert into audit (actor, program, action, object) values ($1,"
                   " coalesce(nullif(current_setting('application_name'), ''), 'rollcall'),"
                   " 'report set', $2)",
                   DB_VALUES(actor, name), NULL, err);
}

bool report_setting_set(struct db *db, enum report_of of, const char *whose,
                        const struct report_given *given, size_t count, const char *actor,
                        struct err *err)
{
    if (!db_script(db, "begin", err))
        return false;
    if (!set_all(db, of, whose, given, count, actor, err))
        return db_rollback(db);
    return db_script(db, "commit", err);
}

/* ---- showing ---- */

static void show_value(const struct db_result *found, size_t at, report_setting_fn *row,
                       void *context)
{
    BUF_AUTO text = {0};

    if (db_rows(found) == 0 || db_null(found, 0, (int)at)) {
        row(context, &report_setting_rows[at], NULL);
        return;
    }
    if (at == AT_DAYS || at == AT_HOURS)
        write_bits(&text, (unsigned)db_int(found, 0, (int)at), at == AT_DAYS ? DAYS : HOURS);
    else if (strcmp(report_setting_rows[at].value, "yes|no") == 0)
        buf_text(&text, db_bool(found, 0, (int)at) ? "yes" : "no");
    else
        buf_text(&text, db_text(found, 0, (int)at));
    row(context, &report_setting_rows[at], text.at);
}

bool report_setting_show(struct db *db, enum report_of of, const char *name, report_setting_fn *row,
                         void *context, struct err *err)
{
    struct whose whose;
    DB_RESULT_AUTO found = NULL;

    if (!find_whose(db, of, name, &whose, err) ||
        !db_query(db, &found,
                  "select enabled, users_choose, days, hours, zone, language,"
                  " array_to_string(categories, ','), block_list, sender_links, central_contact,"
                  " brand_name, brand_colour, brand_logo, brand_footer, notice_contact"
                  " from report_setting"
                  " where customer_id = $1 and domain_id is not distinct from $2::int"
                  " and user_id is not distinct from $3::bigint",
                  DB_VALUES(whose.customer, or_null(whose.domain), or_null(whose.user)), err))
        return false;
    for (size_t i = 0; i < report_setting_count; i++)
        show_value(found, i, row, context);
    return true;
}
