/* changed - see changed.h */
#include "report/changed.h"

#include <stdio.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/link.h"
#include "lib/log.h"
#include "lib/mail.h"
#include "lib/text.h"
#include "lib/when.h"
#include "report/post.h"

static const struct changed_kind {
    const char *name, *subject, *what;
} kinds[] = {
    {"password", "Your password was changed", "The password of this sign-in was changed."},
    {"second-on", "Your second factor was set up",
     "A second factor was set up for this sign-in; one that was there before counts no more."},
    {"second-off", "Your second factor was removed",
     "The second factor of this sign-in was removed: the password alone opens it now."},
};
static const char user_advice[] =
    "If it was you, there is nothing to do. If it was not, somebody else reads your mail or knew "
    "your password: ask for a new password at once, and tell whoever looks after your mail.";
static const char account_advice[] =
    "If it was you, or if you asked for it, there is nothing to do. If not, somebody else may be "
    "able to sign in as you: let an operator of the gateway set a new password at once.";

enum changed_column {
    CHANGED_ID,
    CHANGED_WHAT,
    CHANGED_AT,
    CHANGED_CLIENT,
    CHANGED_CUSTOMER,
    CHANGED_LOGIN, /* NULL: a user */
    CHANGED_LOCAL, /* NULL: an account, or a user who gets no mail any more */
    CHANGED_DOMAIN,
    CHANGED_NAME,
    CHANGED_LANGUAGE,
    CHANGED_BRAND,
    CHANGED_CONTACT, /* of an account's customer */
};

static const char next_sql[] =
    "select c.id, c.what, extract(epoch from c.made_at)::bigint, c.client,"
    " coalesce(v.customer_id, c.customer_id), case when c.account_id is not null then c.login end,"
    " v.local_part, v.domain, coalesce(v.name, ''),"
    " coalesce(v.language, nullif(c.language, ''), s.language, ''),"
    " coalesce(v.brand_name, s.brand_name, ''), coalesce(s.notice_contact, '')"
    " from credential_change c left join report_user v on v.user_id = c.user_id"
    " left join report_setting s on s.customer_id = c.customer_id and s.domain_id is null"
    "   and s.user_id is null"
    " order by c.id limit 1 for update of c skip locked";

struct changed {
    const struct compose *compose;
    const struct db_result *row;
    const struct changed_kind *kind;
    enum text_language language;
    char login[ADDR_TEXT_MAX + 1], to[ADDR_TEXT_MAX + 1];
};

static const struct changed_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return &kinds[0]; /* a newer program's: better told so than not at all */
}

/* ---- to whom ---- */

/* False: nobody can be told. */
static bool find_reader(struct changed *c)
{
    struct addr address;
    struct err none;

    if (db_null(c->row, 0, CHANGED_LOGIN)) {
        if (db_null(c->row, 0, CHANGED_LOCAL))
            return false;
        addr_format_parts(db_span(c->row, 0, CHANGED_LOCAL), db_span(c->row, 0, CHANGED_DOMAIN),
                          c->login, sizeof c->login);
        snprintf(c->to, sizeof c->to, "%s", c->login);
        return true;
    }
    snprintf(c->login, sizeof c->login, "%s", db_text(c->row, 0, CHANGED_LOGIN));
    if (addr_parse(span_text(c->login), false, &address, &none)) {
        addr_format(&address, c->to);
        return true;
    }
    const char *contact = db_text(c->row, 0, CHANGED_CONTACT);
    snprintf(c->to, sizeof c->to, "%s",
             contact[0] != '\0' ? contact : c->compose->conf->notice_contact);
    return c->to[0] != '\0';
}

/* ---- what stands in it ---- */

static void write_text(struct buf *out, const struct changed *c)
{
    BUF_AUTO time = {0};
    struct span client = db_span(c->row, 0, CHANGED_CLIENT);
    bool user = db_null(c->row, 0, CHANGED_LOGIN);
    const char *panel = c->compose->conf->panel_url;

    when_text(&time, c->language, WHEN_MINUTE,
              (struct when){.local = db_int(c->row, 0, CHANGED_AT)});
    buf_text(&time, " GMT");
    buf_printf(out, "%s\n\n", text_get(c->language, c->kind->what));
    post_fact(out, c->language, "Sign-in", span_text(c->login));
    post_fact(out, c->language, "Time", span_of(time.at, time.len));
    post_fact(out, c->language, "From the address",
              client.len > 0
                  ? client
                  : span_text(text_get(c->language, "none: on the gateway itself, in no browser")));
    buf_printf(out, "\n%s\n", text_get(c->language, user ? user_advice : account_advice));
    if (panel[0] != '\0')
        buf_printf(out, "\n   %s%s\n", panel, user ? LINK_PAGE_REQUEST : LINK_PAGE_SIGN_IN);
}

static bool write_mail(struct changed *c, struct err *err)
{
    char name[48], message_id[POST_MESSAGE_ID];
    BUF_AUTO text = {0};
    BUF_AUTO mail = {0};

    snprintf(name, sizeof name, "changed-%s", db_text(c->row, 0, CHANGED_ID));
    post_message_id(message_id, name, c->compose->from);
    write_text(&text, c);
    mail_compose(&mail, &(struct mail){.from_name = db_text(c->row, 0, CHANGED_BRAND),
                                       .from = c->compose->from,
                                       .to_name = db_text(c->row, 0, CHANGED_NAME),
                                       .to = c->to,
                                       .subject = text_get(c->language, c->kind->subject),
                                       .message_id = message_id,
                                       .date = c->compose->now,
                                       .language = text_languages[c->language],
                                       .text = span_of(text.at, text.len)});
    return post_mail(c->compose->db,
                     &(struct post){.kind = "changed",
                                    .customer = db_null(c->row, 0, CHANGED_CUSTOMER)
                                                    ? NULL
                                                    : db_text(c->row, 0, CHANGED_CUSTOMER),
                                    .from = c->compose->from,
                                    .to = c->to,
                                    .message_id = message_id},
                     span_of(mail.at, mail.len), err);
}

/* Whom nobody can tell is said in the log, once. */
static bool tell(struct compose *compose, const void *none, const struct db_result *row,
                 struct err *err)
{
    struct changed c = {.compose = compose,
                        .row = row,
                        .kind = kind_of(db_text(row, 0, CHANGED_WHAT)),
                        .language =
                            text_language_of(db_text(row, 0, CHANGED_LANGUAGE),
                                             (enum text_language)compose->conf->report_language)};

    (void)none;
    if (find_reader(&c))
        return write_mail(&c, err);
    if (c.login[0] != '\0') /* a user who is gone meanwhile needs no word */
        log_write(LOG_MAIL_TROUBLE,
                  "%s of %s was changed: the login is no address, and there is no notice contact to"
                  " tell",
                  db_text(row, 0, CHANGED_WHAT), c.login);
    return true;
}

bool changed_next(struct compose *compose, bool *any, struct err *err)
{
    static const struct post_queue queue = {
        .next = next_sql, .done = "delete from credential_change where id = $1", .write = tell};

    return post_next(compose, &queue, NULL, any, err);
}
