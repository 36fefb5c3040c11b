/*
 * render_html - see render.h; here: the HTML
 *
 * Tables and inline styles, which every mail program understands, Word's engine in Outlook
 * included; what only newer ones do (dark mode, narrow screens) stands in <style>. Nothing is
 * loaded but the customer's logo, if there is one. All text goes through mail_html.
 */
#include <string.h>

#include "mail.h"
#include "render_parts.h"
#include "when.h"

#define FONT "font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif"
#define GREY "color:#5c6570"

static const char head[] =
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta name=\"supported-color-schemes\" content=\"light dark\">\n";
static const char style[] =
    "<style>\n"
    "a{text-decoration:underline}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".b{background:#14181d!important}.c{background:#1d232a!important}\n"
    ".c,.c td,.t{color:#e8ebee!important}.g{color:#a9b3bd!important}\n"
    ".r{border-color:#39424c!important}a{color:#8ec3f5!important}\n"
    "}\n"
    "@media (max-width:480px){.c{width:100%!important}.p{padding:14px!important}\n"
    ".l a{display:inline-block;padding:6px 0}}\n"
    "</style>\n";

static void escaped(struct buf *out, const struct buf *text)
{
    mail_html(out, text->at != NULL ? text->at : "");
}

static void put_anchor(struct buf *out, const struct render_report *report, const struct buf *url,
                       const char *label)
{
    buf_text(out, "<a href=\"");
    escaped(out, url);
    buf_printf(out, "\" style=\"color:%s\">", report->brand_colour);
    mail_html(out, text_get(report->language, label));
    buf_text(out, "</a>");
}

static void put_links(struct buf *out, const struct render_report *report,
                      const struct render_entry *entry)
{
    const char *barred = render_barred(report, entry);

    if (!render_has_links(report))
        return;
    if (barred != NULL) {
        buf_text(out, "<div class=\"g\" style=\"font-size:13px;" GREY "\">");
        mail_html(out, barred);
        buf_text(out, "</div>\n");
    }
    buf_text(out, "<div class=\"l\" style=\"margin-top:4px\">");
    for (size_t i = 0; i < RENDER_LINKS; i++) {
        BUF_AUTO url = {0};
        if (!render_has_link(report, entry, i))
            continue;
        render_url(&url, report, render_links[i].action, entry->recipient);
        if (i > 0)
            buf_text(out, " &nbsp; ");
        put_anchor(out, report, &url, render_links[i].label);
    }
    buf_text(out, "</div>");
}

static void put_stranger(struct buf *out, const struct render_report *report, const char *text,
                         const char *otherwise)
{
    BUF_AUTO line = {0};

    render_stranger(&line, report, text, otherwise);
    escaped(out, &line);
}

static void put_entry(struct buf *out, const struct render_report *report,
                      const struct render_entry *entry)
{
    BUF_AUTO line = {0};

    when_text(&line, report->language, WHEN_MINUTE, (struct when){.local = entry->local});
    buf_text(&line, " \xc2\xb7 ");
    render_reason(&line, report, entry);
    buf_text(out, "<tr><td class=\"r p\" style=\"padding:12px 24px;border-top:1px solid #dfe3e8;"
                  "word-break:break-word\">\n<div class=\"g\" style=\"font-size:13px;" GREY "\">");
    escaped(out, &line);
    buf_text(out, "</div>\n<div><b>");
    put_stranger(out, report, entry->subject, "(no subject)");
    buf_text(out, "</b></div>\n<div>");
    put_stranger(out, report, entry->from, "(no sender)");
    buf_text(out, "</div>\n");
    if (report->central) {
        buf_printf(out, "<div class=\"g\" style=\"font-size:13px;" GREY "\">%s: ",
                   text_get(report->language, "To"));
        put_stranger(out, report, entry->to, "");
        buf_text(out, "</div>\n");
    }
    put_links(out, report, entry);
    buf_text(out, "</td></tr>\n");
}

static void put_head(struct buf *out, const struct render_report *report)
{
    BUF_AUTO count = {0};

    render_count(&count, report);
    buf_printf(out, "<!DOCTYPE html>\n<html lang=\"%s\">\n<head>\n%s<title>",
               text_languages[report->language], head);
    escaped(out, &count);
    buf_printf(out, "</title>\n%s</head>\n", style);
    buf_text(out, "<body class=\"b\" style=\"margin:0;padding:0;background:#eef1f4\">\n"
                  "<table role=\"presentation\" class=\"b\" width=\"100%\" cellpadding=\"0\" "
                  "cellspacing=\"0\" border=\"0\" style=\"background:#eef1f4\"><tr><td "
                  "align=\"center\" style=\"padding:16px 8px\">\n"
                  "<table role=\"presentation\" class=\"c\" width=\"640\" cellpadding=\"0\" "
                  "cellspacing=\"0\" border=\"0\" style=\"max-width:640px;background:#ffffff;" FONT
                  ";font-size:15px;line-height:1.45;color:#1c2024\">\n");
    buf_printf(out,
               "<tr><td style=\"padding:14px 24px;background:%s;color:#ffffff;font-size:17px\">",
               report->brand_colour);
    if (report->brand_logo[0] != '\0') {
        buf_text(out, "<img src=\"");
        if (report->brand_logo[0] == '/') /* kept by the panel */
            mail_html(out, report->panel);
        mail_html(out, report->brand_logo);
        buf_text(out, "\" height=\"32\" alt=\"\" style=\"vertical-align:middle;border:0\"> ");
    }
    mail_html(out, report->brand_name[0] != '\0' ? report->brand_name
                                                 : text_get(report->language, "Spam report"));
    buf_text(out, "</td></tr>\n<tr><td class=\"p\" style=\"padding:20px 24px\"><div class=\"t\" "
                  "style=\"font-size:20px\"><b>");
    escaped(out, &count);
    buf_text(out, "</b></div>\n<div>");
    mail_html(out, report->subject);
    buf_text(out, "</div>\n<div class=\"g\" style=\"margin-top:8px;" GREY "\">");
    mail_html(out, render_why(report));
    if (render_has_links(report)) {
        buf_text(out, " ");
        mail_html(out,
                  text_get(report->language,
                           "A link only shows a page; nothing happens before you say so there."));
    }
    buf_text(out, "</div></td></tr>\n");
}

static void put_page(struct buf *out, const struct render_report *report, const char *label,
                     const char *page)
{
    BUF_AUTO url = {0};

    render_page(&url, report, page);
    put_anchor(out, report, &url, label);
}

static void put_more(struct buf *out, const struct render_report *report)
{
    BUF_AUTO more = {0};

    if (!render_more(&more, report))
        return;
    buf_text(out,
             "<tr><td class=\"r p\" style=\"padding:12px 24px;border-top:1px solid #dfe3e8\">");
    escaped(out, &more);
    buf_text(out, "</td></tr>\n");
}

static void put_signed(struct buf *out, const struct render_report *report, const char *label,
                       enum link_action action)
{
    BUF_AUTO url = {0};

    render_url(&url, report, action, 0);
    put_anchor(out, report, &url, label);
}

static void put_foot(struct buf *out, const struct render_report *report)
{
    buf_text(out, "<tr><td class=\"r p g\" style=\"padding:16px 24px;border-top:1px solid #dfe3e8;"
                  "font-size:13px;" GREY "\">");
    if (report->brand_footer[0] != '\0') {
        buf_text(out, "<div style=\"white-space:pre-line;margin-bottom:10px\">");
        mail_html(out, report->brand_footer);
        buf_text(out, "</div>");
    }
    if (report->panel[0] != '\0' && !report->central) {
        buf_text(out, "<div class=\"l\">");
        put_signed(out, report, "Show all messages", LINK_LIST);
        buf_text(out, " &nbsp; ");
        put_signed(out, report, "Turn these reports off", LINK_UNSUBSCRIBE);
        buf_text(out, " &nbsp; ");
        put_page(out, report, "Sign in", LINK_PAGE_SIGN_IN);
        buf_text(out, "</div>\n<div class=\"l\" style=\"margin-top:10px\">");
        put_page(out, report, "Request password", LINK_PAGE_REQUEST);
        buf_text(out, "</div>");
    }
    buf_text(out, "</td></tr>\n</table>\n</td></tr></table>\n</body>\n</html>\n");
}

void render_html(struct buf *out, const struct render_report *report)
{
    put_head(out, report);
    for (size_t i = 0; i < report->count; i++)
        put_entry(out, report, &report->entries[i]);
    put_more(out, report);
    put_foot(out, report);
}
