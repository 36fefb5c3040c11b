/* notice - see notice.h */
#include "report/notice.h"

#include <stdio.h>
#include <string.h>

#include "lib/display.h"
#include "lib/log.h"
#include "lib/mail.h"
#include "lib/text.h"
#include "lib/when.h"
#include "report/post.h"

enum { SHOWN_MOST = 1000 }; /* bytes of a server's words */

/* What a notice says; `after` NULL: nothing more. */
static const struct notice_kind {
    const char *name, *subject, *what, *after;
    bool changes; /* with a link to what waits */
} kinds[] = {
    {"failed", "The directory cannot be read",
     "The users of your directory cannot be synchronised any more. Nobody was removed: whoever is "
     "on the list stays there, and gets mail as before. People who are new in the directory are "
     "not known yet.",
     "It is tried again at the next turn. You will be told when it works again, and not before.",
     false},
    {"held", "A change of the directory waits for approval",
     "The directory's last answer would take away so many addresses that it was not applied. "
     "Nobody was removed.",
     "If it is right, approve it; if not, mend the directory: the next answer takes its place.",
     true},
    {"recovered", "The directory is read again",
     "The users of your directory are synchronised again.", NULL, false},
};

enum notice_column {
    NOTICE_ID,
    NOTICE_KIND,
    NOTICE_WHY,
    NOTICE_AT,
    NOTICE_CUSTOMER,
    NOTICE_SOURCE,
    NOTICE_CONTACT,
    NOTICE_LANGUAGE,
    NOTICE_BRAND,
};

static const char next_sql[] =
    "select n.id, n.kind, n.why, extract(epoch from n.noticed_at)::bigint, v.customer_id, v.source,"
    " v.contact, coalesce(v.language, ''), v.brand"
    " from ldap_notice n join notice_reader v on v.notice_id = n.id"
    " where n.mailed_at is null order by n.id limit 1 for update of n skip locked";

static const struct notice_kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return &kinds[0]; /* a newer synchronisation's: better told so than not at all */
}

static void write_text(struct buf *out, const struct compose *compose,
                       const struct notice_kind *kind, const struct db_result *n,
                       enum text_language language)
{
    BUF_AUTO time = {0};

    when_text(&time, language, WHEN_MINUTE, (struct when){.local = db_int(n, 0, NOTICE_AT)});
    buf_text(&time, " GMT");
    buf_printf(out, "%s\n\n", text_get(language, kind->what));
    post_fact(out, language, "Directory", db_span(n, 0, NOTICE_SOURCE));
    post_fact(out, language, "Time", span_of(time.at, time.len));
    post_fact(out, language, "Reason", db_span(n, 0, NOTICE_WHY));
    if (kind->after != NULL)
        buf_printf(out, "\n%s\n", text_get(language, kind->after));
    if (kind->changes && compose->conf->panel_url[0] != '\0')
        buf_printf(out, "\n   %s/changes\n", compose->conf->panel_url);
}

/* The mail for one contact, into the outbox. */
static bool write_notice(struct compose *compose, const struct db_result *n, const char *contact,
                         struct err *err)
{
    const struct notice_kind *kind = kind_of(db_text(n, 0, NOTICE_KIND));
    enum text_language language = text_language_of(
        db_text(n, 0, NOTICE_LANGUAGE), (enum text_language)compose->conf->report_language);
    char name[48], message_id[POST_MESSAGE_ID];
    BUF_AUTO text = {0};
    BUF_AUTO subject = {0};
    BUF_AUTO mail = {0};

    snprintf(name, sizeof name, "notice-%s", db_text(n, 0, NOTICE_ID));
    post_message_id(message_id, name, compose->from);
    buf_printf(&subject, "%s: ", text_get(language, kind->subject));
    display_line(&subject, db_span(n, 0, NOTICE_SOURCE), SHOWN_MOST);
    write_text(&text, compose, kind, n, language);
    mail_compose(&mail, &(struct mail){.from_name = db_text(n, 0, NOTICE_BRAND),
                                       .from = compose->from,
                                       .to = contact,
                                       .subject = subject.at,
                                       .message_id = message_id,
                                       .date = compose->now,
                                       .language = text_languages[language],
                                       .text = span_of(text.at, text.len)});
    return post_mail(compose->db,
                     &(struct post){.kind = "notice",
                                    .customer = db_text(n, 0, NOTICE_CUSTOMER),
                                    .from = compose->from,
                                    .to = contact,
                                    .message_id = message_id},
                     span_of(mail.at, mail.len), err);
}

/* Nobody to tell is said in the log, once, and not made good later: by then it is old. */
static bool tell(struct compose *compose, const void *none, const struct db_result *n,
                 struct err *err)
{
    const char *contact = db_null(n, 0, NOTICE_CONTACT) ? compose->conf->notice_contact
                                                        : db_text(n, 0, NOTICE_CONTACT);

    (void)none;
    if (contact[0] != '\0')
        return write_notice(compose, n, contact, err);
    log_write(LOG_MAIL_TROUBLE, "directory %s, %s: %s: there is no notice contact to tell",
              db_text(n, 0, NOTICE_SOURCE), db_text(n, 0, NOTICE_KIND), db_text(n, 0, NOTICE_WHY));
    return true;
}

bool notice_next(struct compose *compose, bool *any, struct err *err)
{
    static const struct post_queue queue = {
        .next = next_sql,
        .done = "update ldap_notice set mailed_at = now() where id = $1",
        .write = tell};

    return post_next(compose, &queue, NULL, any, err);
}
