/* compose_batch - see compose.h; here: from rows to mails */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mail.h"
#include "lib/render.h"
#include "report/compose_parts.h"
#include "report/zone.h"

void compose_arrays(const struct db_result *runs, struct buf *ids, struct buf *categories,
                    struct buf *block_lists)
{
    for (size_t i = 0; i < db_rows(runs); i++) {
        db_array_add(ids, db_text(runs, i, RUN_ID));
        db_array_add(categories, db_text(runs, i, RUN_CATEGORIES));
        db_array_add(block_lists, db_text(runs, i, RUN_BLOCK_LIST));
    }
    db_array_end(ids);
    db_array_end(categories);
    db_array_end(block_lists);
}

/* ---- one report ---- */

struct work {
    struct compose *compose;
    const struct compose_kind *kind;
    const struct db_result *runs, *entries;
    struct compose_one *one;
    struct render_entry list[COMPOSE_LISTED_MOST];
    struct buf subject, text, html, unsubscribe, mail, row;
    int64_t made;
};

static void work_free(struct work *w)
{
    struct buf *all[] = {&w->subject, &w->text, &w->html, &w->unsubscribe, &w->mail, &w->row};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        buf_free(all[i]);
    free(w);
}

/* A zone that tzdata has no more does not keep the report back. */
static void use_zone(const struct work *w, const char *zone)
{
    struct err err;

    if (!zone_use(zone[0] != '\0' ? zone : w->compose->conf->report_zone, &err) &&
        !zone_use("UTC", &err))
        log_write(LOG_MAIL_TROUBLE, "%s", err.text);
}

/* The entries of a run begin at *at; moves behind them. */
static size_t list_entries(struct work *w, const char *run, size_t *at, int64_t *total)
{
    const struct db_result *e = w->entries;
    size_t count = 0;

    for (; *at < db_rows(e) && strcmp(db_text(e, *at, ENTRY_RUN), run) == 0; ++*at) {
        int64_t received = db_int(e, *at, ENTRY_RECEIVED);
        *total = db_int(e, *at, ENTRY_TOTAL);
        if (count < COMPOSE_LISTED_MOST)
            w->list[count++] = (struct render_entry){
                .recipient = db_int(e, *at, ENTRY_ID),
                .local = received + zone_offset(received),
                .category = db_text(e, *at, ENTRY_CATEGORY),
                .from = db_text(e, *at, ENTRY_FROM),
                .subject = db_text(e, *at, ENTRY_SUBJECT),
                .reason = db_text(e, *at, ENTRY_REASON),
                .score = db_text(e, *at, ENTRY_SCORE),
                .listed = db_text(e, *at, ENTRY_LISTED),
                .to = db_text(e, *at, ENTRY_ADDRESS),
            };
    }
    return count;
}

static void address_of(const struct db_result *runs, size_t run, char out[ADDR_TEXT_MAX + 1])
{
    if (db_null(runs, run, RUN_ADDRESS_LOCAL))
        snprintf(out, ADDR_TEXT_MAX + 1, "%s", db_text(runs, run, RUN_ADDRESS_DOMAIN));
    else
        addr_format_parts(db_span(runs, run, RUN_ADDRESS_LOCAL),
                          db_span(runs, run, RUN_ADDRESS_DOMAIN), out, ADDR_TEXT_MAX + 1);
}

static struct render_report report_of(const struct work *w, size_t run, const char *address,
                                      size_t count, int64_t total)
{
    const struct db_result *r = w->runs;
    const struct conf *conf = w->compose->conf;
    enum conf_release_virus release = (enum conf_release_virus)conf->release_virus;

    conf_release_virus_find(db_text(r, run, RUN_RELEASE_VIRUS), &release);
    return (struct render_report){
        .language = text_language_of(db_text(r, run, RUN_LANGUAGE),
                                     (enum text_language)conf->report_language),
        .central = w->kind->central,
        .subject = w->kind->central ? db_text(r, run, RUN_DOMAIN) : address,
        .user = w->kind->central ? 0 : db_int(r, run, RUN_WHO),
        .brand_name = db_text(r, run, RUN_BRAND_NAME),
        .brand_colour = db_text(r, run, RUN_BRAND_COLOUR),
        .brand_logo = db_text(r, run, RUN_BRAND_LOGO),
        .brand_footer = db_text(r, run, RUN_BRAND_FOOTER),
        .sender_links = db_bool(r, run, RUN_SENDER_LINKS),
        .release_virus = release,
        .panel = conf->panel_url,
        .key = w->compose->key,
        .expires = w->compose->now + conf->link_life / 1000000,
        .entries = w->list,
        .count = count,
        .total = total,
    };
}

static void compose_mail(struct work *w, size_t run, const struct render_report *report,
                         const char *to, const char *message_id)
{
    STR_AUTO list_id = mem_printf("spam-report.%s", db_text(w->runs, run, RUN_DOMAIN));
    const char *name = report->brand_name[0] != '\0' ? report->brand_name
                                                     : text_get(report->language, "Spam report");
    struct buf *all[] = {&w->subject, &w->text, &w->html, &w->unsubscribe, &w->mail};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        buf_clear(all[i]);
    render_subject(&w->subject, report);
    render_text(&w->text, report);
    render_html(&w->html, report);
    render_unsubscribe(&w->unsubscribe, report);
    mail_compose(&w->mail, &(struct mail){.from_name = name,
                                          .from = w->compose->from,
                                          .to_name = db_text(w->runs, run, RUN_NAME),
                                          .to = to,
                                          .subject = w->subject.at,
                                          .message_id = message_id,
                                          .date = w->compose->now,
                                          .language = text_languages[report->language],
                                          .list_name = text_get(report->language, "Spam report"),
                                          .list_id = list_id,
                                          .unsubscribe = w->unsubscribe.at,
                                          .text = span_of(w->text.at, w->text.len),
                                          .html = span_of(w->html.at, w->html.len)});
}

/* ---- into the outbox ---- */

/* COPY's binary format ("File Formats" in PostgreSQL's manual of COPY): nothing of a mail has to be
 * escaped here and put together again there. */
static const char COPY_HEAD[19] = "PGCOPY\n\377\r\n\0"; /* no flags, no extension */
static const char COPY_END[2] = "\377\377";
enum { FIELDS = 8 };

static void put_number(struct buf *row, uint64_t value, size_t octets)
{
    char bytes[8];

    for (size_t i = 0; i < octets; i++)
        bytes[i] = (char)(value >> 8 * (octets - 1 - i));
    buf_append(row, bytes, octets);
}

static void put_field(struct buf *row, struct span value)
{
    put_number(row, value.len, 4);
    buf_append(row, value.at, value.len);
}

static void put_integer(struct buf *row, int64_t value, size_t octets)
{
    put_number(row, octets, 4);
    put_number(row, (uint64_t)value, octets);
}

/* In the order of COPY's columns (all_reports). */
static bool put_row(struct work *w, size_t run, const char *to, const char *message_id,
                    struct err *err)
{
    buf_clear(&w->row);
    put_number(&w->row, FIELDS, 2);
    put_field(&w->row, span_text(w->kind->central ? "central" : "report"));
    put_integer(&w->row, db_int(w->runs, run, RUN_CUSTOMER), 4);
    put_integer(&w->row, db_int(w->runs, run, RUN_ID), 8);
    put_integer(&w->row, w->one != NULL, 1);
    put_field(&w->row, span_text(w->compose->from));
    put_field(&w->row, span_text(to));
    put_field(&w->row, span_text(message_id));
    put_field(&w->row, span_of(w->mail.at, w->mail.len));
    return db_copy_put(w->compose->db, w->row.at, w->row.len, err);
}

static void make_message_id(const struct work *w, const char *run, char *out, size_t room)
{
    unsigned char random[9];
    char text[16];
    const char *at = strrchr(w->compose->from, '@');

    secret_random(random, sizeof random);
    secret_to_text(random, sizeof random, text, sizeof text);
    snprintf(out, room, "report-%s.%s@%s", run, text, at != NULL ? at + 1 : "localhost");
}

static void keep(struct work *w, int64_t total)
{
    struct compose_one *one = w->one;

    buf_append(&one->text, w->text.at, w->text.len);
    buf_append(&one->html, w->html.at, w->html.len);
    buf_append(&one->mail, w->mail.at, w->mail.len);
    one->listed = total;
}

static bool one_report(struct work *w, size_t run, size_t *at, struct err *err)
{
    const char *id = db_text(w->runs, run, RUN_ID);
    char to[ADDR_TEXT_MAX + 1], message_id[200];
    int64_t total = 0;

    use_zone(w, db_text(w->runs, run, RUN_ZONE));
    size_t count = list_entries(w, id, at, &total);
    if (count == 0)
        return true;
    address_of(w->runs, run, to);
    make_message_id(w, id, message_id, sizeof message_id);
    struct render_report report = report_of(w, run, to, count, total);
    compose_mail(w, run, &report, to, message_id);
    w->made++;
    if (w->one != NULL)
        keep(w, total);
    return (w->one != NULL && !w->one->send) || put_row(w, run, to, message_id, err);
}

static bool all_reports(struct work *w, struct err *err)
{
    size_t at = 0;
    bool copies = w->one == NULL || w->one->send;

    if (copies && (!db_copy_in(w->compose->db,
                               "copy outbox (kind, customer_id, report_id, urgent, envelope_from,"
                               " envelope_to, message_id, body) from stdin (format binary)",
                               err) ||
                   !db_copy_put(w->compose->db, COPY_HEAD, sizeof COPY_HEAD, err)))
        return false;
    for (size_t run = 0; run < db_rows(w->runs); run++)
        if (!one_report(w, run, &at, err))
            return false;
    return !copies || (db_copy_put(w->compose->db, COPY_END, sizeof COPY_END, err) &&
                       db_copy_end(w->compose->db, NULL, err));
}

bool compose_batch(struct compose *compose, const struct compose_kind *kind,
                   const struct db_result *runs, const struct db_result *entries,
                   struct compose_one *one, int64_t *made, struct err *err)
{
    struct work *w = mem_zero(1, sizeof *w);

    w->compose = compose;
    w->kind = kind;
    w->runs = runs;
    w->entries = entries;
    w->one = one;
    bool fine = all_reports(w, err);
    *made += fine ? w->made : 0;
    work_free(w);
    return fine;
}
