/* letter - see letter.h */
#include "report/letter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/link.h"
#include "lib/log.h"
#include "lib/mail.h"
#include "lib/password.h"
#include "lib/text.h"
#include "lib/token.h"
#include "report/post.h"

enum letter_kind { LETTER_CONFIRM, LETTER_LINK, LETTER_PASSWORD, LETTER_DIRECTORY };

/* In the order of enum letter_kind. `before` stands above the secret or link, `after` below. */
static const struct {
    const char *outbox, *subject, *before, *after;
} letters[] = {
    {"confirm", "Confirm your registration",
     "Open this link and confirm there:", "Then ask for the password on the same page as before."},
    {"password", "Set your password", "Open this link and choose your password there:", NULL},
    {"password", "Your password", "Your password for the quarantine is:",
     "It must be changed at the first sign-in. Sign in here:"},
    {"directory", "Your password is that of your directory",
     "For this address you sign in with the password of your organisation's directory, the one "
     "you use at work. There is no other. Sign in here:",
     NULL},
};

enum asked_column { ASKED_ID, ASKED_KIND, ASKED_ADDRESS };
enum reader_column {
    READER_USER,
    READER_CUSTOMER,
    READER_LOCAL,
    READER_DOMAIN,
    READER_NAME,
    READER_LANGUAGE,
    READER_BRAND,
    READER_DIRECTORY,
    READER_CONFIRMED,
    READER_LATELY, /* tokens made within the hour */
};

struct letter {
    struct compose *compose;
    const uint8_t *seal;
    enum letter_kind kind;
    const struct db_result *reader;
    enum text_language language;
    char to[ADDR_TEXT_MAX + 1], message_id[POST_MESSAGE_ID];
    char secret[TOKEN_TEXT + 1]; /* a token, or a password */
    struct buf text, mail, sealed;
};

static void letter_free(struct letter *l)
{
    struct buf *all[] = {&l->text, &l->mail, &l->sealed};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->at != NULL)
            secret_forget(all[i]->at, all[i]->len);
        buf_free(all[i]);
    }
    secret_forget(l->secret, sizeof l->secret);
}

void letter_context(const char *message_id, char *out, size_t room)
{
    snprintf(out, room, "outbox %s", message_id);
}

/* ---- who asks, and what he gets ---- */

static bool find_reader(struct compose *compose, const char *address, struct db_result **reader,
                        struct err *err)
{
    struct addr exact, folded;

    return addr_parse(span_text(address), false, &exact, err) &&
           addr_parse(span_text(address), true, &folded, err) &&
           db_query(compose->db, reader,
                    "select v.user_id, v.customer_id, v.local_part, v.domain, v.name, v.language,"
                    " v.brand_name, exists (select from ldap_user l where l.user_id = v.user_id),"
                    " exists (select from user_password p where p.user_id = v.user_id"
                    "   and p.confirmed_at is not null),"
                    " (select count(*) from token t where t.subject = v.user_id"
                    "   and t.purpose in ('confirm', 'password')"
                    "   and t.made_at > now() - interval '1 hour')"
                    " from report_user v where v.user_id = mail_user($1, $2, $3)",
                    DB_VALUES(exact.local, folded.local, exact.domain), err);
}

static enum letter_kind kind_of(const struct letter *l, const char *asked)
{
    if (db_bool(l->reader, 0, READER_DIRECTORY))
        return LETTER_DIRECTORY;
    if (strcmp(asked, "confirm") == 0 || !db_bool(l->reader, 0, READER_CONFIRMED))
        return LETTER_CONFIRM;
    return l->compose->conf->password_mail == PASSWORD_MAIL_PASSWORD ? LETTER_PASSWORD
                                                                     : LETTER_LINK;
}

static bool keep_password(struct letter *l, struct err *err)
{
    char hash[PASSWORD_HASH_ROOM];

    return password_hash(span_text(l->secret), hash, err) &&
           db_exec(l->compose->db,
                   "insert into user_password (user_id, confirmed_at, hash, must_change,"
                   " changed_at) values ($1, now(), $2, true, now()) on conflict (user_id)"
                   " do update set hash = excluded.hash, must_change = true, changed_at = now()",
                   DB_VALUES(db_text(l->reader, 0, READER_USER), hash), NULL, err);
}

static bool make_secret(struct letter *l, struct err *err)
{
    _Static_assert((int)PASSWORD_GENERATED <= (int)TOKEN_TEXT, "room for either");

    switch (l->kind) {
    case LETTER_DIRECTORY:
        return true;
    case LETTER_PASSWORD:
        password_generate(l->secret);
        return keep_password(l, err);
    default:
        return token_make(
            l->compose->db, l->kind == LETTER_CONFIRM ? TOKEN_CONFIRM : TOKEN_PASSWORD,
            db_int(l->reader, 0, READER_USER), l->compose->conf->token_life, l->secret, err);
    }
}

/* ---- what stands in it ---- */

static void put_text(struct letter *l, const char *english)
{
    buf_printf(&l->text, "%s\n\n", text_get(l->language, english));
}

static void put_link(struct letter *l, const char *page, bool with_token)
{
    buf_printf(&l->text, "   %s%s", l->compose->conf->panel_url, page);
    if (with_token)
        buf_printf(&l->text, "?t=%s", l->secret);
    buf_text(&l->text, "\n\n");
}

static void write_text(struct letter *l)
{
    static const char *const pages[] = {LINK_PAGE_CONFIRM, LINK_PAGE_PASSWORD, LINK_PAGE_SIGN_IN,
                                        LINK_PAGE_SIGN_IN};
    bool token = l->kind == LETTER_CONFIRM || l->kind == LETTER_LINK;

    if (l->kind != LETTER_DIRECTORY)
        put_text(l, "Somebody, most likely you, has asked for a password for the quarantine of "
                    "this address.");
    put_text(l, letters[l->kind].before);
    if (l->kind == LETTER_PASSWORD) {
        buf_printf(&l->text, "   %s\n\n", l->secret);
        put_text(l, letters[l->kind].after);
    }
    put_link(l, pages[l->kind], token);
    if (l->kind == LETTER_CONFIRM)
        put_text(l, letters[l->kind].after);
    if (token) {
        text_count(&l->text, l->language, "The link works once, within %lld hour.",
                   "The link works once, within %lld hours.",
                   (l->compose->conf->token_life + 3599 * CLOCK_SECOND) / (3600 * CLOCK_SECOND));
        buf_text(&l->text, "\n\n");
    }
    put_text(l, "If it was not you, do nothing: then nothing happens.");
}

static void write_mail(struct letter *l)
{
    const char *brand = db_text(l->reader, 0, READER_BRAND);
    unsigned char random[12];
    char text[20], name[40];

    secret_random(random, sizeof random);
    secret_to_text(random, sizeof random, text, sizeof text);
    snprintf(name, sizeof name, "%s.%s", letters[l->kind].outbox, text);
    post_message_id(l->message_id, name, l->compose->from);
    addr_format_parts(db_span(l->reader, 0, READER_LOCAL), db_span(l->reader, 0, READER_DOMAIN),
                      l->to, sizeof l->to);
    write_text(l);
    mail_compose(&l->mail,
                 &(struct mail){.from_name = brand,
                                .from = l->compose->from,
                                .to_name = db_text(l->reader, 0, READER_NAME),
                                .to = l->to,
                                .subject = text_get(l->language, letters[l->kind].subject),
                                .message_id = l->message_id,
                                .date = l->compose->now,
                                .language = text_languages[l->language],
                                .text = span_of(l->text.at, l->text.len)});
}

static bool put_outbox(struct letter *l, struct err *err)
{
    char context[256];

    letter_context(l->message_id, context, sizeof context);
    secret_seal(&l->sealed, span_of(l->mail.at, l->mail.len), context, l->seal);
    return post_mail(l->compose->db,
                     &(struct post){.kind = letters[l->kind].outbox,
                                    .customer = db_text(l->reader, 0, READER_CUSTOMER),
                                    .from = l->compose->from,
                                    .to = l->to,
                                    .message_id = l->message_id,
                                    .urgent = true,
                                    .sealed = true},
                     span_of(l->sealed.at, l->sealed.len), err);
}

static bool write_letter(struct letter *l, const char *asked, struct err *err)
{
    l->language = text_language_of(db_text(l->reader, 0, READER_LANGUAGE),
                                   (enum text_language)l->compose->conf->report_language);
    l->kind = kind_of(l, asked);
    if (!make_secret(l, err))
        return false;
    write_mail(l);
    return put_outbox(l, err);
}

/* Nobody's address, or one that has had enough: no letter, and nobody hears of it. */
static bool answer(struct compose *compose, const void *seal, const struct db_result *asked,
                   struct err *err)
{
    DB_RESULT_AUTO reader = NULL;
    struct letter l = {.compose = compose, .seal = seal};

    if (compose->conf->panel_url[0] == '\0') {
        log_write(LOG_MAIL_TROUBLE, "a password was asked for, but panel_url is not set");
        return true;
    }
    if (!find_reader(compose, db_text(asked, 0, ASKED_ADDRESS), &reader, err))
        return err->class == ERR_DATA; /* no address after all */
    if (db_rows(reader) == 0 ||
        db_int(reader, 0, READER_LATELY) >= compose->conf->password_requests_address)
        return true;
    l.reader = reader;
    bool fine = write_letter(&l, db_text(asked, 0, ASKED_KIND), err);
    letter_free(&l);
    return fine;
}

bool letter_next(struct compose *compose, const uint8_t seal[SECRET_KEY], bool *any,
                 struct err *err)
{
    static const struct post_queue queue = {
        .next = "select id, kind, address from mail_request where done_at is null order by id"
                " limit 1 for update skip locked",
        .done = "update mail_request set done_at = now() where id = $1",
        .write = answer};

    return post_next(compose, &queue, seal, any, err);
}
