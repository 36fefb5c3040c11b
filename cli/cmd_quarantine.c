/* cmd_quarantine - what the filter caught: listed, shown, released, deleted, forgotten */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/filter.h"
#include "lib/clock.h"
#include "lib/domain.h"
#include "lib/job_run.h"
#include "lib/raw.h"
#include "lib/str.h"

static const int64_t RELEASE_WAIT = 10 * CLOCK_SECOND, RAW_WAIT = 30 * CLOCK_SECOND;

/* ---- which ---- */

static const char list_sql[] = "select r.id, " SQL_TIME(
    "r.received_at") ", r.address, coalesce(nullif(m.from_text, ''),"
                     " m.sender), m.subject, r.category, m.score, case when m.lost_at is not null "
                     "then 'lost'"
                     " else r.state::text end, r.listed, m.size"
                     " from quarantine_recipient r join quarantine_message m on m.id = r.message_id"
                     " where ($1::text is null or r.domain_id = (select id from "
                     "quarantine_domain($1))"
                     "  and ($2::text is null or r.local_part = $2 or r.user_id = (select "
                     "x.user_id from recipient x"
                     "   where x.domain_id = (select id from quarantine_domain($1)) and "
                     "x.local_part = $2)))"
                     " and ($3::text is null or r.customer_id = (select id from customer where "
                     "lower(name) ="
                     " lower($3))) and ($4::text is null or r.category::text = $4)"
                     " and (case when $5::text is null then r.state in ('held', 'allowed') when $5 "
                     "= 'all' then true"
                     " else r.state::text = $5 end)"
                     " and ($6::text is null or strpos(lower(concat_ws(' ', m.subject, "
                     "m.from_text, m.sender,"
                     " m.reason, m.queue_id, m.message_id)), lower($6)) > 0)"
                     " order by r.received_at desc, r.id desc limit $7::bigint";
static const char *const list_columns[] = {"id",      "received", "recipient", "from",
                                           "subject", "category", "score",     "state",
                                           "listed",  "size",     NULL};

enum { LIST_ID = 0, LIST_SCORE = 6, LIST_SIZE = 9 };

static bool check_word(const struct cli *cli, const char *option, const char *const *words,
                       struct err *err)
{
    const char *given = cli_value(cli, option);
    BUF_AUTO known = {0};

    for (; given != NULL && *words != NULL; words++) {
        if (strcmp(given, *words) == 0)
            return true;
        buf_printf(&known, "%s%s", known.len > 0 ? ", " : "", *words);
    }
    return given == NULL ||
           err_set(err, ERR_USAGE, "--%s %s: not one of %s", option, given, known.at);
}

static const char *const categories[] = {"spam", "bulk", "virus", "content", NULL};

static bool check_options(const struct cli *cli, struct err *err)
{
    static const char *const states[] = {"held", "allowed", "released", "deleted", "all", NULL};

    return check_word(cli, "category", categories, err) && check_word(cli, "state", states, err);
}

static void put_message(struct out *out, const struct db_result *rows, size_t row)
{
    for (int c = 0; list_columns[c] != NULL; c++) {
        if (db_null(rows, row, c))
            out_null(out);
        else if (c == LIST_ID || c == LIST_SIZE)
            out_int(out, db_int(rows, row, c));
        else if (c == LIST_SCORE)
            out_real(out, strtod(db_text(rows, row, c), NULL));
        else
            out_text(out, db_text(rows, row, c));
    }
}

bool cmd_quarantine_list(struct cli *cli, struct err *err)
{
    const char *address = cli_value(cli, "address"), *domain = NULL;
    char domain_name[ADDR_DOMAIN_MAX + 1], limit[24];
    struct addr addr;
    int64_t most = 0;
    DB_RESULT_AUTO rows = NULL;

    if (address != NULL && cli_value(cli, "domain") != NULL)
        return err_set(err, ERR_USAGE, "either --address or --domain");
    if (!check_options(cli, err) || !cli_number(cli, "limit", 1, 1000000, 100, &most, err) ||
        (address != NULL && !addr_parse(span_text(address), true, &addr, err)) ||
        !cli_read(cli, err) || !filter_domain(cli, domain_name, &domain, err) ||
        !filter_customer(cli, err))
        return false;
    snprintf(limit, sizeof limit, "%" PRId64, most);
    if (!db_query(cli->db, &rows, list_sql,
                  DB_VALUES(address != NULL ? addr.domain : domain,
                            address != NULL ? addr.local : NULL, cli_value(cli, "customer"),
                            cli_value(cli, "category"), cli_value(cli, "state"),
                            cli_value(cli, "like"), limit),
                  err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, list_columns);
    for (size_t i = 0; i < db_rows(rows); i++)
        put_message(cli->out, rows, i);
    return true;
}

/* ---- one ---- */

/* The operand of that place as the number of a message in the list. */
static bool number_of(const struct cli *cli, size_t place, struct err *err)
{
    int64_t number;

    return (str_int64(span_text(cli->operands[place]), &number) && number > 0) ||
           err_set(err, ERR_USAGE, "%s: not a number of 'rollcall quarantine list'",
                   cli->operands[place]);
}

static const char show_sql[] = "select r.id, " SQL_TIME(
    "r.received_at") ", r.address, m.sender, m.from_text, m.subject,"
                     " m.message_id, r.category, m.reason, m.score, r.listed,"
                     " case when m.lost_at is not null then 'lost' else r.state::text end,"
                     " " SQL_TIME("r.state_at") ", nullif(r.state_by, ''), r.released, m.size, "
                                                "m.client_address,"
                                                " m.client_name, m.queue_id, m.gateway, m.file,"
                                                " (select q.answer from quarantine_request q where "
                                                "q.recipient_id = r.id and q.action ="
                                                " 'release' order by q.id desc limit 1), "
                                                "m.headers, m.preview"
                                                " from quarantine_recipient r join "
                                                "quarantine_message m on m.id = r.message_id"
                                                " where r.id = $1::bigint";
static const char *const show_columns[] = {
    "id",       "received", "recipient",      "sender",      "from",     "subject", "message_id",
    "category", "reason",   "score",          "listed",      "state",    "since",   "by",
    "released", "size",     "client_address", "client_name", "queue_id", "gateway", "file",
    "answer",   "headers",  "preview",        NULL};
enum {
    SHOW_ID = 0,
    SHOW_SCORE = 9,
    SHOW_RELEASED = 14,
    SHOW_SIZE = 15,
    SHOW_HEADERS = 22,
    SHOW_PREVIEW = 23
};

/* Every line of it printable by itself: a terminal obeys nothing in it. */
static void print_lines(const char *title, const char *text)
{
    struct span rest = span_text(text), line;
    char printable[4096];

    printf("\n%s\n", title);
    while (span_next(&rest, '\n', &line) && (line.len > 0 || rest.at != NULL)) {
        str_printable(printable, sizeof printable, line.at, line.len);
        printf("  %s\n", printable);
    }
}

static bool show_text(struct cli *cli, struct err *err)
{
    static const char *head[SHOW_HEADERS + 1];
    DB_RESULT_AUTO rows = NULL;

    if (!db_query(cli->db, &rows, show_sql, DB_VALUES(cli->operands[0]), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "%s: there is no such message; 'rollcall quarantine list'",
                       cli->operands[0]);
    memcpy(head, show_columns, sizeof head - sizeof head[0]); /* people get the long ones below */
    out_section(cli->out, NULL, NULL, OUT_HEAD, cli->json ? show_columns : head);
    for (int c = 0; c < (cli->json ? SHOW_PREVIEW + 1 : SHOW_HEADERS); c++) {
        if (db_null(rows, 0, c))
            out_null(cli->out);
        else if (c == SHOW_ID || c == SHOW_RELEASED || c == SHOW_SIZE)
            out_int(cli->out, db_int(rows, 0, c));
        else if (c == SHOW_SCORE)
            out_real(cli->out, strtod(db_text(rows, 0, c), NULL));
        else
            out_text(cli->out, db_text(rows, 0, c));
    }
    if (cli->json)
        return true;
    out_end(cli->out);
    print_lines("headers", db_text(rows, 0, SHOW_HEADERS));
    print_lines("text", db_text(rows, 0, SHOW_PREVIEW));
    return true;
}

/* ---- asking, and waiting for the answer ---- */

static const char *const asked_columns[] = {"id", "outcome", "answer", NULL};

static bool ask(struct cli *cli, const char *recipients, const char *what, bool again,
                struct db_result **rows, struct err *err)
{
    BUF_AUTO actor = {0};

    buf_printf(&actor, "%s (rollcall)", cli->actor);
    return db_query(
        cli->db, rows,
        "select recipient_id, outcome, request_id, " SQL_TIME(
            "at") " from quarantine_ask(string_to_array($1, ',')::bigint[], $2, $3, $4::boolean)",
        DB_VALUES(recipients, what, actor.at, again ? "true" : "false"), err);
}

/* Until the request is answered or the time is over; *state "waiting" then. */
static bool wait_answer(struct cli *cli, const char *request, int64_t end_us,
                        struct db_result **rows, struct err *err)
{
    for (;;) {
        db_result_free(rows);
        if (!db_query(cli->db, rows,
                      "select state, answer, gateway from quarantine_request where id = $1::bigint",
                      DB_VALUES(request), err))
            return false;
        if (db_rows(*rows) == 0)
            return err_set(err, ERR_OTHER, "the request was forgotten: the message is gone");
        if (strcmp(db_text(*rows, 0, 0), "waiting") != 0 || clock_elapsed_us() > end_us)
            return true;
        poll(NULL, 0, 50);
    }
}

static bool put_waited(struct cli *cli, const char *id, const char *request, int64_t end_us,
                       struct err *err)
{
    DB_RESULT_AUTO rows = NULL;

    if (!wait_answer(cli, request, end_us, &rows, err))
        return false;
    const char *state = db_text(rows, 0, 0);
    bool done = strcmp(state, "done") == 0, waiting = strcmp(state, "waiting") == 0;
    BUF_AUTO told = {0};
    buf_text(&told, db_text(rows, 0, 1));
    if (waiting)
        buf_printf(&told, "%sasked of gateway %s, which has not done it yet",
                   told.len > 0 ? "; " : "", db_text(rows, 0, 2));
    out_int(cli->out, strtoll(id, NULL, 10));
    out_text(cli->out, done ? "released" : state);
    out_text(cli->out, told.at);
    if (waiting)
        cli->exit_code = ERR_TEMPORARY;
    else if (!done && cli->exit_code == 0)
        cli->exit_code = ERR_OTHER;
    return true;
}

static const char *explanation(const char *outcome)
{
    return strcmp(outcome, "gone") == 0       ? "was deleted before"
           : strcmp(outcome, "lost") == 0     ? "its file is not there any more"
           : strcmp(outcome, "released") == 0 ? "was released before; --again repeats it"
                                              : "";
}

static bool join_operands(const struct cli *cli, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < cli->operand_count; i++) {
        if (!number_of(cli, i, err))
            return false;
        buf_printf(out, "%s%s", i > 0 ? "," : "", cli->operands[i]);
    }
    return true;
}

/* Numbers that stand for nothing are named. */
static bool all_there(const struct cli *cli, const struct db_result *rows, struct err *err)
{
    for (size_t i = 0; i < cli->operand_count; i++) {
        bool found = false;
        for (size_t k = 0; k < db_rows(rows) && !found; k++)
            found = strtoll(cli->operands[i], NULL, 10) == db_int(rows, k, 0);
        if (!found)
            return err_set(err, ERR_DATA,
                           "%s: there is no such message; 'rollcall quarantine list'",
                           cli->operands[i]);
    }
    return true;
}

static bool ask_and_tell(struct cli *cli, const char *what, struct err *err)
{
    BUF_AUTO ids = {0};
    DB_RESULT_AUTO rows = NULL;

    if (!join_operands(cli, &ids, err) || !cli_write(cli, err) ||
        !ask(cli, ids.at, what, cli_flag(cli, "again"), &rows, err))
        return false;
    int64_t end = clock_elapsed_us() + RELEASE_WAIT;
    out_section(cli->out, NULL, NULL, OUT_TABLE, asked_columns);
    for (size_t i = 0; i < db_rows(rows); i++) {
        const char *outcome = db_text(rows, i, 1);
        if (strcmp(outcome, "asked") == 0) {
            if (!put_waited(cli, db_text(rows, i, 0), db_text(rows, i, 2), end, err))
                return false;
            continue;
        }
        out_int(cli->out, db_int(rows, i, 0));
        out_text(cli->out, strcmp(outcome, "released") == 0 ? "not again" : outcome);
        out_text(cli->out, explanation(outcome));
        if (strcmp(outcome, "deleted") != 0 && cli->exit_code == 0)
            cli->exit_code = ERR_DATA;
    }
    return all_there(cli, rows, err);
}

bool cmd_quarantine_release(struct cli *cli, struct err *err)
{
    return ask_and_tell(cli, "release", err);
}

bool cmd_quarantine_delete(struct cli *cli, struct err *err)
{
    return ask_and_tell(cli, "delete", err);
}

/* ---- raw ---- */

static bool print_bytes(void *context, struct span bytes, struct err *err)
{
    (void)context;
    return fwrite(bytes.at, 1, bytes.len, stdout) == bytes.len ||
           err_set(err, ERR_OTHER, "what was read cannot be written");
}

static bool show_raw(struct cli *cli, struct err *err)
{
    DB_RESULT_AUTO asked = NULL;
    DB_RESULT_AUTO answer = NULL;

    if (!ask(cli, cli->operands[0], "raw", false, &asked, err) || !all_there(cli, asked, err))
        return false;
    const char *outcome = db_text(asked, 0, 1), *request = db_text(asked, 0, 2);
    if (strcmp(outcome, "asked") != 0)
        return err_set(err, ERR_DATA, "%s: %s", cli->operands[0], explanation(outcome));
    if (!wait_answer(cli, request, clock_elapsed_us() + RAW_WAIT, &answer, err))
        return false;
    if (strcmp(db_text(answer, 0, 0), "waiting") == 0)
        return err_set(err, ERR_TEMPORARY,
                       "gateway %s holds the message and has not answered; does "
                       "rollcall-quarantine run there?",
                       db_text(answer, 0, 2));
    if (strcmp(db_text(answer, 0, 0), "failed") == 0)
        return err_set(err, ERR_OTHER, "%s: %s", cli->operands[0], db_text(answer, 0, 1));
    return raw_read(cli->db, request, print_bytes, NULL, err);
}

bool cmd_quarantine_show(struct cli *cli, struct err *err)
{
    bool raw = cli_flag(cli, "raw");

    if (raw && cli->json)
        return err_set(err, ERR_USAGE, "either --raw or --json");
    return number_of(cli, 0, err) && (raw ? cli_write(cli, err) : cli_read(cli, err)) &&
           (raw ? show_raw(cli, err) : show_text(cli, err));
}

/* ---- how long ---- */

static const char *days(char out[24], int64_t time_us)
{
    snprintf(out, 24, "%" PRId64, time_us / (24 * 3600 * CLOCK_SECOND));
    return out;
}

bool cmd_quarantine_purge(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"forgotten", NULL};
    const struct conf *conf = &cli->conf.value;
    char spam[24], bulk[24], virus[24], content[24];
    int64_t gone = 0, all = 0;

    if (!cli_write(cli, err))
        return false;
    do {
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(cli->db, &rows,
                      "select quarantine_purge($1::integer, $2::integer, $3::integer, $4::integer,"
                      " 10000)",
                      DB_VALUES(days(spam, conf->keep_spam), days(bulk, conf->keep_bulk),
                                days(virus, conf->keep_virus), days(content, conf->keep_content)),
                      err))
            return false;
        gone = db_int(rows, 0, 0);
        all += gone;
    } while (gone > 0);
    cli_say(cli, "%" PRId64 " forgotten", all);
    if (cli->json) {
        out_section(cli->out, NULL, NULL, OUT_HEAD, columns);
        out_int(cli->out, all);
    }
    return job_run_tell_over(cli->db, conf, JOB_RUN_PURGE, NULL, err);
}

static bool put_kept(struct cli *cli, const char *customer, struct err *err)
{
    static const char *const columns[] = {"category", "days", "from", NULL};
    const struct conf *conf = &cli->conf.value;
    const int64_t fallbacks[] = {conf->keep_spam, conf->keep_bulk, conf->keep_virus,
                                 conf->keep_content};

    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; categories[i] != NULL; i++) {
        DB_RESULT_AUTO rows = NULL;
        if (!db_query(cli->db, &rows,
                      "select k.days from quarantine_retention k join customer c on c.id ="
                      " k.customer_id where lower(c.name) = lower($1) and k.category::text = $2",
                      DB_VALUES(customer, categories[i]), err))
            return false;
        bool own = db_rows(rows) > 0;
        out_text(cli->out, categories[i]);
        out_int(cli->out, own ? db_int(rows, 0, 0) : fallbacks[i] / (24 * 3600 * CLOCK_SECOND));
        out_text(cli->out, own ? "customer" : "setting");
    }
    return true;
}

static bool keep_for(struct cli *cli, const char *customer, const char *given, struct err *err)
{
    bool forget = strcmp(given, "default") == 0;
    int64_t number = 0;
    const char *category = cli_value(cli, "category");

    if (!forget && (!str_int64(span_text(given), &number) || number < 1 || number > 3650))
        return err_set(err, ERR_USAGE, "%s: not a number of days from 1 to 3650, nor 'default'",
                       given);
    return forget
               ? db_exec(cli->db,
                         "delete from quarantine_retention using customer c where c.id ="
                         " customer_id and lower(c.name) = lower($1)"
                         " and ($2::text is null or category::text = $2)",
                         DB_VALUES(customer, category), NULL, err)
               : db_exec(cli->db,
                         "insert into quarantine_retention (customer_id, category, days)"
                         " select c.id, k, $3::integer from customer c,"
                         " unnest(enum_range(null::quarantine_category)) k"
                         " where lower(c.name) = lower($1) and ($2::text is null or k::text = $2)"
                         " on conflict (customer_id, category) do update set days = excluded.days",
                         DB_VALUES(customer, category, given), NULL, err);
}

bool cmd_quarantine_keep(struct cli *cli, struct err *err)
{
    const char *customer = cli->operands[0];
    DB_RESULT_AUTO rows = NULL;

    if (!check_word(cli, "category", categories, err) || !cli_write(cli, err) ||
        !db_query(cli->db, &rows, "select from customer where lower(name) = lower($1)",
                  DB_VALUES(customer), err))
        return false;
    if (db_rows(rows) == 0)
        return err_set(err, ERR_DATA, "there is no customer '%s'; 'rollcall customer list'",
                       customer);
    return (cli->operand_count < 2 || keep_for(cli, customer, cli->operands[1], err)) &&
           put_kept(cli, customer, err);
}

/* ---- whose viruses who may release ---- */

bool cmd_quarantine_viruses(struct cli *cli, struct err *err)
{
    static const char *const columns[] = {"release", "from", NULL};
    const char *customer = cli->operands[0];
    const char *given = cli->operand_count > 1 ? cli->operands[1] : NULL;
    bool forget = given != NULL && strcmp(given, "default") == 0, own;
    enum conf_release_virus who;

    if (!cli_write(cli, err) ||
        (given != NULL &&
         !customer_set_release_virus(cli->db, customer, forget ? NULL : given, cli->actor, err)) ||
        !customer_release_virus(cli->db, customer,
                                (enum conf_release_virus)cli->conf.value.release_virus, &who, &own,
                                err))
        return false;
    out_section(cli->out, NULL, NULL, OUT_TABLE, columns);
    out_text(cli->out, conf_release_virus_words[who]);
    out_text(cli->out, own ? "customer" : "setting");
    return true;
}
