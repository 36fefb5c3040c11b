/* model_quarantine - see model.h; here: messages that the filter caught, and whom people trust */
#include <stdio.h>
#include <string.h>

#include "panel/model.h"
#include "panel/view.h"

/* What it is sorted by, and the row that the page before ended with. */
#define SENDER_SQL "lower(coalesce(nullif(m.from_text, ''), m.sender))"
#define BEHIND(key, sign)                                                                          \
    " and ($4::bigint is null or (" key ", r.id) " sign " ((select " key                           \
    " from quarantine_recipient r join quarantine_message m on m.id = r.message_id"                \
    " where r.id = $4::bigint), $4::bigint))"
#define BEHIND_TIME(sign)                                                                          \
    " and ($4::bigint is null or (r.received_at, r.id) " sign                                      \
    " ((select r.received_at from quarantine_recipient r where r.id = $4::bigint), $4::bigint))"
static const struct {
    const char *name, *behind, *order;
    bool by_time; /* the rows of a page are found without looking at messages */
} orders[] = {
    {"newest", BEHIND_TIME("<"), "r.received_at desc, r.id desc", true},
    {"oldest", BEHIND_TIME(">"), "r.received_at, r.id", true},
    {"sender", BEHIND(SENDER_SQL, ">"), SENDER_SQL ", r.id", false},
    {"subject", BEHIND("lower(m.subject)", ">"), "lower(m.subject), r.id", false},
    {"score", BEHIND("coalesce(m.score, -1000)", "<"), "coalesce(m.score, -1000) desc, r.id desc",
     false},
};
enum { ORDERS = sizeof orders / sizeof orders[0] };
const char *const model_orders[] = {"newest", "oldest", "sender", "subject", "score", NULL};

static const char shown_sql[] =
    "select r.id, r.received_at as at_received, r.address, m.subject, r.category,"
    " coalesce(nullif(m.from_text, ''), nullif(m.sender, ''), '<>') as sender,"
    " coalesce(round(m.score::numeric, 1)::text, '') as score, r.state, r.listed,"
    " m.lost_at is not null as is_lost from ";
static const char wanted_sql[] = " where r.state = $1::quarantine_state"
                                 " and ($2 = '' or r.category::text = $2)"
                                 " and ($5::date is null or r.received_at >= $5::date)"
                                 " and ($6::date is null or r.received_at < $6::date + 1)";
static const char fragment_sql[] =
    " and ($3 = '' or strpos(lower(concat_ws(' ', m.subject, m.from_text, m.sender, r.address)),"
    "   lower($3)) > 0)";

/* Whose messages they are row-level security says; said again so that the index of a user's or of a
 * customer's messages is used. Their number is $7. */
static const char *const whose_sql[] = {"", " and r.user_id = $7::bigint",
                                        " and r.customer_id = $7::int"};

enum { ASKED_FOR = MODEL_PAGE + 1 }; /* one more tells that there is a next page */

/*
 * A page in the order of time takes its rows first, then their messages: else a message is fetched,
 * and its policy asked, for all that somebody has ever received.
 */
static void write_list(struct buf *sql, size_t order, size_t whose, bool fragment)
{
    bool first = orders[order].by_time && !fragment;

    buf_text(sql, shown_sql);
    if (first)
        buf_printf(sql,
                   "(select r.* from quarantine_recipient r%s and $3 = ''%s%s order by %s limit %d)"
                   " r join quarantine_message m on m.id = r.message_id order by %s",
                   wanted_sql, whose_sql[whose], orders[order].behind, orders[order].order,
                   ASKED_FOR, orders[order].order);
    else
        buf_printf(sql,
                   "quarantine_recipient r join quarantine_message m on m.id = r.message_id%s%s%s%s"
                   " order by %s limit %d",
                   wanted_sql, fragment_sql, whose_sql[whose], orders[order].behind,
                   orders[order].order, ASKED_FOR);
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

bool model_quarantine(struct db *db, const struct model_quarantine *search, struct data *page,
                      struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    BUF_AUTO sql = {0};
    size_t order = 0;
    int64_t number;
    char owner[24];
    bool later = str_int64(span_text(search->before), &number) && number > 0;

    for (size_t i = 0; i < ORDERS; i++)
        if (strcmp(orders[i].name, search->order) == 0)
            order = i;
    size_t whose = search->user != 0 ? 1 : search->customer != 0 ? 2 : 0;
    snprintf(owner, sizeof owner, "%lld",
             whose == 1 ? (long long)search->user : (long long)search->customer);
    write_list(&sql, order, whose, search->fragment[0] != '\0');
    const char *values[] = {search->state,
                            search->category,
                            search->fragment,
                            later ? search->before : NULL,
                            or_null(search->from),
                            or_null(search->to),
                            owner};
    if (!db_query_kept(db, &rows, sql.at, values, whose != 0 ? 7 : 6, err))
        return false;
    view_some(page, "messages", rows, MODEL_PAGE);
    if (db_rows(rows) > MODEL_PAGE)
        data_text(page, "next", db_text(rows, MODEL_PAGE - 1, 0));
    data_flag(page, "is_later", later);
    return true;
}

static const char one_sql[] =
    "select r.id, r.received_at as at_received, r.address, m.subject, m.from_text, m.sender,"
    " r.category, m.reason, coalesce(round(m.score::numeric, 1)::text, '') as score, r.state,"
    " r.state = 'held' as is_held, r.state_at as at_state, r.state_by, m.size as n_size,"
    " m.headers, m.preview, m.preview_html <> '' as is_html, m.lost_at is not null as is_lost, "
    "r.released as n_released,"
    " coalesce((select q.state || case when q.answer <> '' then ': ' || q.answer else '' end"
    "   from quarantine_request q where q.recipient_id = r.id and q.action = 'release'"
    "   order by q.id desc limit 1), '') as answer"
    " from quarantine_recipient r join quarantine_message m on m.id = r.message_id where r.id = $1";

bool model_message(struct db *db, const char *id, struct data *page, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row, one_sql, DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such message.");
    view_row(data_child(page, "message"), row, 0);
    return true;
}

bool model_message_html(struct db *db, const char *id, struct buf *html, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row,
                  "select m.preview_html from quarantine_recipient r"
                  " join quarantine_message m on m.id = r.message_id where r.id = $1",
                  DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such message.");
    buf_text(html, db_text(row, 0, 0));
    return true;
}

bool model_message_raw(struct db *db, const char *id, struct data *raw, struct err *err)
{
    DB_RESULT_AUTO row = NULL;

    if (!db_query(db, &row,
                  "select r.id, m.subject, m.gateway, coalesce(q.id::text, '') as number,"
                  " coalesce(q.state, '') as state, coalesce(q.answer, '') as answer"
                  " from quarantine_recipient r join quarantine_message m on m.id = r.message_id"
                  " left join quarantine_request q on q.recipient_id = r.id and q.action = 'raw'"
                  " where r.id = $1 order by q.id desc nulls last limit 1",
                  DB_VALUES(id), err))
        return false;
    if (db_rows(row) == 0)
        return err_set(err, ERR_DATA, "There is no such message.");
    view_row(raw, row, 0);
    return true;
}

bool model_quarantine_ask(struct db *db, const char *messages, const char *what, const char *by,
                          bool viruses, size_t *done, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows,
                  "select from quarantine_ask(array(select r.id from quarantine_recipient r"
                  "   where r.id = any ($1::bigint[])"
                  "     and ($2 <> 'release' or $4::boolean or r.category <> 'virus')), $2, $3)"
                  " where outcome in ('asked', 'deleted')",
                  DB_VALUES(messages, what, by, viruses ? "true" : "false"), err))
        return false;
    if (done != NULL)
        *done = db_rows(rows);
    return true;
}

/* Rules for the senders of these messages: of the user who has it, or of the domain. */
static const char trust_sql[] =
    "insert into sender_rule (user_id, domain_id, pattern, action, actor)"
    " select distinct r.user_id, case when r.user_id is null then r.domain_id end,"
    "   m.from_address, $2::rule_action, $3"
    " from quarantine_recipient r join quarantine_message m on m.id = r.message_id"
    " where r.id = any ($1::bigint[]) and m.from_address <> ''"
    "   and not exists (select from sender_rule s where s.pattern = m.from_address"
    "     and (s.user_id = r.user_id or r.user_id is null and s.domain_id = r.domain_id))";
static const char change_trust_sql[] =
    "update sender_rule s set action = $2::rule_action, actor = $3, created_at = now()"
    " from quarantine_recipient r join quarantine_message m on m.id = r.message_id"
    " where r.id = any ($1::bigint[]) and s.pattern = m.from_address"
    "   and (s.user_id = r.user_id or r.user_id is null and s.domain_id = r.domain_id)";

bool model_trust(struct db *db, const char *messages, const char *action, const char *by,
                 struct err *err)
{
    return db_exec(db, change_trust_sql, DB_VALUES(messages, action, by), NULL, err) &&
           db_exec(db, trust_sql, DB_VALUES(messages, action, by), NULL, err);
}

static const char senders_sql[] =
    "select s.id, s.pattern, s.action, s.action = 'allow' as is_allowed, s.actor,"
    " s.created_at as at_made, coalesce(d.name, p.local_part || '@' || pd.name) as whose"
    " from sender_rule s left join domain d on d.id = s.domain_id"
    " left join recipient p on p.user_id = s.user_id and p.kind = 'primary'"
    " left join domain pd on pd.id = p.domain_id order by s.pattern limit 1000";

bool model_senders(struct db *db, struct data *page, struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(db, &rows, senders_sql, DB_NO_VALUES, err))
        return false;
    view_rows(page, "senders", rows);
    return true;
}

bool model_sender_add(struct db *db, const char *user, const char *domain, const char *action,
                      const char *pattern, const char *by, struct err *err)
{
    return db_exec(db,
                   "delete from sender_rule where pattern = $3"
                   " and (user_id = $1::bigint or domain_id = $2::int)",
                   DB_VALUES(user, domain, pattern), NULL, err) &&
           db_exec(db,
                   "insert into sender_rule (user_id, domain_id, action, pattern, actor)"
                   " values ($1::bigint, $2::int, $3::rule_action, $4, $5)",
                   DB_VALUES(user, domain, action, pattern, by), NULL, err);
}

bool model_sender_remove(struct db *db, const char *id, struct err *err)
{
    int64_t gone;

    return db_exec(db, "delete from sender_rule where id = $1", DB_VALUES(id), &gone, err) &&
           (gone > 0 || err_set(err, ERR_DATA, "There is no such rule."));
}
