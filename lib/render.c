/* render - see render.h; here: what both forms share, and the text */
#include "render_parts.h"

#include <string.h>

#include "display.h"
#include "when.h"

enum { SHOWN_MOST = 300 }; /* bytes of a stranger's text */

static const char one_new[] = "%lld new message was held back",
                  many_new[] = "%lld new messages were held back";
static const char one_more[] = "%lld more message is not listed here.",
                  many_more[] = "%lld more messages are not listed here.";

const struct render_link render_links[RENDER_LINKS] = {
    {LINK_SHOW, "Look"},
    {LINK_RELEASE, "Release"},
    {LINK_ALLOW, "Allow sender"},
    {LINK_BLOCK, "Block sender"},
};

bool render_has_links(const struct render_report *report)
{
    return report->panel[0] != '\0' && !report->central;
}

/* As the page of the link decides it. */
static bool is_barred(const struct render_report *report, const struct render_entry *entry)
{
    return strcmp(entry->category, "virus") == 0 && report->release_virus != RELEASE_VIRUS_USERS;
}

bool render_has_link(const struct render_report *report, const struct render_entry *entry,
                     size_t link)
{
    enum link_action action = render_links[link].action;
    bool of_sender = action == LINK_ALLOW || action == LINK_BLOCK;
    bool releases = action == LINK_RELEASE || action == LINK_ALLOW;

    return render_has_links(report) && (!of_sender || report->sender_links) &&
           (!releases || !is_barred(report, entry));
}

const char *render_barred(const struct render_report *report, const struct render_entry *entry)
{
    if (!render_has_links(report) || !is_barred(report, entry))
        return NULL;
    return text_get(report->language,
                    report->release_virus == RELEASE_VIRUS_ADMINS
                        ? "Only your administrator may release it."
                        : "Only whoever runs the mail gateway may release it.");
}

void render_url(struct buf *out, const struct render_report *report, enum link_action action,
                int64_t recipient)
{
    char token[LINK_TEXT + 1];
    const struct link link = {action, recipient, report->user, report->expires};

    link_sign(&link, report->key, token);
    buf_printf(out, "%s%s?t=%s", report->panel,
               action == LINK_UNSUBSCRIBE ? LINK_PAGE_UNSUBSCRIBE : LINK_PAGE_MESSAGE, token);
}

void render_page(struct buf *out, const struct render_report *report, const char *page)
{
    buf_printf(out, "%s%s", report->panel, page);
    if (report->central)
        return;
    buf_text(out, "?address=");
    link_escape(out, report->subject);
}

void render_count(struct buf *out, const struct render_report *report)
{
    text_count(out, report->language, one_new, many_new, report->total);
}

bool render_more(struct buf *out, const struct render_report *report)
{
    int64_t more = report->total - (int64_t)report->count;

    if (more > 0)
        text_count(out, report->language, one_more, many_more, more);
    return more > 0;
}

static const char *category_text(const char *category)
{
    static const char *const names[][2] = {
        {"spam", "Spam"}, {"bulk", "Info mail"}, {"virus", "Virus"}, {"content", "Content"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i][0], category) == 0)
            return names[i][1];
    return category;
}

void render_stranger(struct buf *out, const struct render_report *report, const char *text,
                     const char *otherwise)
{
    size_t before = out->len;

    buf_text(out, "");
    display_line(out, span_text(text), SHOWN_MOST);
    if (out->len == before)
        buf_text(out, text_get(report->language, otherwise));
}

void render_reason(struct buf *out, const struct render_report *report,
                   const struct render_entry *entry)
{
    buf_text(out, text_get(report->language, category_text(entry->category)));
    if (entry->score[0] != '\0')
        buf_printf(out, " %s", entry->score);
    if (entry->listed[0] != '\0')
        buf_printf(out, ", %s",
                   text_get(report->language, strcmp(entry->listed, "user") == 0
                                                  ? "your block list"
                                                  : "your administrator's block list"));
}

void render_subject(struct buf *out, const struct render_report *report)
{
    const char *name = report->brand_name[0] != '\0' ? report->brand_name
                                                     : text_get(report->language, "Spam report");

    buf_printf(out, "%s: ", name);
    if (report->central)
        buf_printf(out, "%s: ", report->subject);
    render_count(out, report);
}

void render_unsubscribe(struct buf *out, const struct render_report *report)
{
    buf_text(out, "");
    if (report->panel[0] != '\0' && !report->central)
        render_url(out, report, LINK_UNSUBSCRIBE, 0);
}

/* ---- text ---- */

static void text_line(struct buf *out, const struct render_report *report, const char *label,
                      const char *value, const char *otherwise)
{
    buf_printf(out, "   %s: ", text_get(report->language, label));
    render_stranger(out, report, value, otherwise);
    buf_text(out, "\n");
}

static void text_entry(struct buf *out, const struct render_report *report, size_t number)
{
    const struct render_entry *entry = &report->entries[number];
    const char *barred = render_barred(report, entry);

    buf_printf(out, "\n%zu. ", number + 1);
    when_text(out, report->language, WHEN_MINUTE, (struct when){.local = entry->local});
    buf_text(out, "  ");
    render_reason(out, report, entry);
    buf_text(out, "\n");
    if (report->central)
        text_line(out, report, "To", entry->to, "");
    text_line(out, report, "From", entry->from, "(no sender)");
    text_line(out, report, "Subject", entry->subject, "(no subject)");
    if (barred != NULL)
        buf_printf(out, "   %s\n", barred);
    for (size_t i = 0; i < RENDER_LINKS; i++) {
        if (!render_has_link(report, entry, i))
            continue;
        buf_printf(out, "   %s: ", text_get(report->language, render_links[i].label));
        render_url(out, report, render_links[i].action, entry->recipient);
        buf_text(out, "\n");
    }
}

static void text_page(struct buf *out, const struct render_report *report, const char *label,
                      const char *page)
{
    buf_printf(out, "%s: ", text_get(report->language, label));
    render_page(out, report, page);
    buf_text(out, "\n");
}

/* The request-password link is the last thing in a report: that is where users are told to look. */
static void text_foot(struct buf *out, const struct render_report *report)
{
    if (report->brand_footer[0] != '\0') {
        display_text(out, span_text(report->brand_footer), 4000);
        buf_text(out, "\n\n");
    }
    if (report->panel[0] == '\0' || report->central)
        return;
    buf_printf(out, "%s: ", text_get(report->language, "Show all messages"));
    render_url(out, report, LINK_LIST, 0);
    buf_printf(out, "\n%s: ", text_get(report->language, "Turn these reports off"));
    render_url(out, report, LINK_UNSUBSCRIBE, 0);
    buf_text(out, "\n");
    text_page(out, report, "Sign in", LINK_PAGE_SIGN_IN);
    text_page(out, report, "Request password", LINK_PAGE_REQUEST);
}

const char *render_why(const struct render_report *report)
{
    return text_get(report->language,
                    report->central
                        ? "This report lists what was held back for everybody of this domain."
                        : "They were not delivered because they look unwanted or dangerous.");
}

void render_text(struct buf *out, const struct render_report *report)
{
    render_count(out, report);
    buf_printf(out, "\n%s\n\n%s\n", report->subject, render_why(report));
    if (render_has_links(report))
        buf_printf(out, "%s\n",
                   text_get(report->language,
                            "A link only shows a page; nothing happens before you say so there."));
    for (size_t i = 0; i < report->count; i++)
        text_entry(out, report, i);
    buf_text(out, "\n");
    if (render_more(out, report))
        buf_text(out, "\n");
    buf_text(out, "-- \n");
    text_foot(out, report);
}
