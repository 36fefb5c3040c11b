/* page_report_look - what a report will look like, and one sent to see it in a mailbox */
#include <stdio.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/clock.h"
#include "lib/domain.h"
#include "lib/link.h"
#include "lib/render.h"
#include "panel/model.h"
#include "panel/page.h"
#include "panel/picture.h"
#include "panel/report_values.h"

enum { SAMPLES_MOST = 8, HOUR = 3600 };

/* Messages that nobody got: names below .example belong to nobody (RFC 2606). */
static const struct render_entry samples[] = {
    {.category = "spam",
     .from = "Prize Office <prizes@lottery.example>",
     .subject = "You have won",
     .score = "17.2",
     .reason = "",
     .listed = "",
     .to = "alice"},
    {.category = "bulk",
     .from = "Weekly news <news@shop.example>",
     .subject = "This week's offers",
     .score = "6.1",
     .reason = "",
     .listed = "",
     .to = "bob"},
    {.category = "virus",
     .from = "Billing <billing@pay.example>",
     .subject = "Invoice 4711",
     .score = "",
     .reason = "",
     .listed = "",
     .to = "alice"},
    {.category = "content",
     .from = "Scanner <scan@office.example>",
     .subject = "Scan.exe",
     .score = "",
     .reason = "",
     .listed = "",
     .to = "carol"},
    {.category = "spam",
     .from = "Sales <sales@pushy.example>",
     .subject = "Only today",
     .score = "4.8",
     .reason = "",
     .listed = "domain",
     .to = "bob"},
};

/* The colour goes into a style as it is. */
static bool is_colour(const char *text)
{
    return strlen(text) == 7 && text[0] == '#' && strspn(text + 1, "0123456789abcdefABCDEF") == 6;
}

static size_t take_samples(const struct report_values *values, struct render_entry *entries)
{
    bool listed = strcmp(report_value(values, "block-list"), "no") != 0;
    int64_t now = clock_wall_us() / CLOCK_SECOND;
    size_t count = 0;

    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        if (!report_list_has(report_value(values, "categories"), samples[i].category) ||
            (samples[i].listed[0] != '\0' && !listed))
            continue;
        entries[count] = samples[i];
        entries[count++].local = now - (int64_t)(i + 1) * HOUR;
    }
    return count;
}

/* The samples' links are signed with a key of nobody: they lead nowhere. */
static void render(struct visit *visit, const struct report_values *values, const char *logo,
                   enum conf_release_virus who, bool central)
{
    struct render_entry entries[SAMPLES_MOST];
    uint8_t key[SECRET_KEY];
    const char *colour = report_value(values, "brand-colour");
    bool domain = values->of == REPORT_OF_DOMAIN;
    STR_AUTO whom =
        mem_printf("%s%s", central ? "" : "alice@", domain ? values->name : "example.com");
    struct render_report report = {
        .central = central,
        .subject = whom,
        .brand_name = report_value(values, "brand-name"),
        .brand_colour = is_colour(colour) ? colour : "#1f4e79",
        .brand_logo = logo,
        .brand_footer = report_value(values, "brand-footer"),
        .sender_links = strcmp(report_value(values, "sender-links"), "no") != 0,
        .release_virus = who,
        .panel = visit->panel->conf->panel_url,
        .key = key,
        .entries = entries,
    };

    secret_random(key, sizeof key);
    report.language = text_language_of(report_value(values, "language"),
                                       (enum text_language)visit->panel->conf->report_language);
    report.count = take_samples(values, entries);
    report.total = (int64_t)report.count;
    render_html(&visit->body, &report);
    visit->status = 200;
    visit->sandboxed = visit->styled = true;
}

/* One that is kept here, within the page: nothing is loaded from elsewhere. */
static bool put_logo(struct visit *visit, const char *setting, const char **logo, struct err *err)
{
    static const char prefix[] = "/brand/";
    const struct picture_kind *kind = picture_kind_named(setting);
    BUF_AUTO bytes = {0}, text = {0};
    bool found = false;

    if (kind == NULL || strncmp(setting, prefix, strlen(prefix)) != 0)
        return true;
    if (!model_brand(visit->db, setting + strlen(prefix), &bytes, &found, err))
        return false;
    if (!found)
        return true;
    buf_printf(&text, "data:%s;base64,", kind->type);
    picture_to_base64(span_of(bytes.at, bytes.len), &text);
    *logo = arena_text(visit->arena, span_of(text.at, text.len));
    return true;
}

static bool find_release_virus(struct visit *visit, const struct report_values *values,
                               enum conf_release_virus *who, struct err *err)
{
    enum conf_release_virus preset = (enum conf_release_virus)visit->panel->conf->release_virus;
    char customer[801];
    bool own;

    snprintf(customer, sizeof customer, "%s", values->name);
    return (values->of != REPORT_OF_DOMAIN ||
            model_customer_of(visit->db, values->id, customer, err)) &&
           customer_release_virus(visit->db, customer, preset, who, &own, err);
}

static bool look(struct visit *visit, const struct form *from, struct err *err)
{
    struct report_values values;
    const char *domain = form_value(from, "domain"), *customer = form_value(from, "customer");
    bool of_domain = domain[0] != '\0';

    if (!report_values_read(visit, of_domain ? REPORT_OF_DOMAIN : REPORT_OF_CUSTOMER,
                            visit_number(visit, of_domain ? domain : customer), &values, err))
        return false;
    report_values_take_form(visit, &values);
    const char *logo = "";
    enum conf_release_virus who;
    if (!put_logo(visit, report_value(&values, "brand-logo"), &logo, err) ||
        !find_release_virus(visit, &values, &who, err))
        return false;
    render(visit, &values, logo, who, form_has(&visit->query, "central"));
    return true;
}

bool page_report_look(struct visit *visit, struct err *err)
{
    return look(visit, &visit->query, err);
}

bool do_report_look(struct visit *visit, struct err *err)
{
    return look(visit, &visit->form, err);
}

bool do_report_send(struct visit *visit, struct err *err)
{
    const char *domain = visit_number(visit, visit_id(visit));
    struct span typed = span_trim(span_text(form_value(&visit->form, "address")));
    STR_AUTO address = mem_span(typed);
    struct addr exact, folded;
    struct err why;
    bool is_user = false;

    if (!addr_parse(typed, false, &exact, &why) || !addr_parse(typed, true, &folded, &why))
        visit_complain(visit, "address", why.text);
    else if (!model_report_user(visit->db, domain, &exact, &folded, &is_user, err))
        return false;
    else if (!is_user)
        visit_complain(visit, "address",
                       visit_words(visit, "No active user of this domain has that address."));
    if (visit_has_complaints(visit)) {
        visit_keep_form(visit);
        return page_report_domain(visit, err);
    }
    return model_report_ask(visit->db, domain, address, visit->session.login, err) &&
           visit_go(visit, visit_words(visit, "It is being made, and sent to the user."),
                    "/reports/domain/%s", domain);
}
