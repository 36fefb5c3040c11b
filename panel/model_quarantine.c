/* model_quarantine - see model.h; here: messages that the filter caught, and whom people trust */
#include <string.h>

#include "panel/model.h"
#include "panel/view.h"

/* Keyset by number: newer messages have higher ones. */
static const char list_sql[] =
    "select r.id, r.received_at as at_received, r.address, m.subject, r.category,"
    " coalesce(nullif(m.from_text, ''), nullif(m.sender, ''), '<>') as sender,"
    " coalesce(round(m.score::numeric, 1)::text, '') as score, r.state, r.listed,"
    " m.lost_at is not null as is_lost"
    " from quarantine_recipient r join quarantine_message m on m.id = r.message_id"
    " where r.state = $1::quarantine_state and ($2 = '' or r.category::text = $2)"
    " and ($3 = '' or strpos(lower(concat_ws(' ', m.subject, m.from_text, m.sender, r.address)),"
    "   lower($3)) > 0)"
    " and ($4::bigint is null or r.id < $4::bigint)"
    " order by r.received_at desc, r.id desc limit 51";

bool model_quarantine(struct db *db, const struct model_quarantine *search, struct data *page,
                      struct err *err)
{
    DB_RESULT_AUTO rows = NULL;
    int64_t number;
    bool later = str_int64(span_text(search->before), &number) && number > 0;

    if (!db_query(db, &rows, list_sql,
                  DB_VALUES(search->state, search->category, search->fragment,
                            later ? search->before : NULL),
                  err))
        return false;
    view_rows(page, "messages", rows);
    if (db_rows(rows) > MODEL_PAGE)
        data_text(page, "next", db_text(rows, MODEL_PAGE - 1, 0));
    return true;
}

static const char one_sql[] =
    "select r.id, r.received_at as at_received, r.address, m.subject, m.from_text, m.sender,"
    " r.category, m.reason, coalesce(round(m.score::numeric, 1)::text, '') as score, r.state,"
    " r.state = 'held' as is_held, r.state_at as at_state, r.state_by, m.size as n_size,"
    " m.headers, m.preview, m.lost_at is not null as is_lost, r.released as n_released,"
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

bool model_quarantine_ask(struct db *db, const char *messages, const char *what, const char *by,
                          struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    return db_query(db, &rows, "select * from quarantine_ask($1::bigint[], $2, $3)",
                    DB_VALUES(messages, what, by), err);
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
