/*
 * render_parts - what the text (render.c) and the HTML (render_html.c) of a report share; nobody
 * else includes it
 */
#ifndef ROLLCALL_RENDER_PARTS_H
#define ROLLCALL_RENDER_PARTS_H

#include "link.h"
#include "render.h"

/* What may be done to a message, in the order in which it is offered. */
enum { RENDER_LINKS = 4 };
struct render_link {
    enum link_action action;
    const char *label;
};
extern const struct render_link render_links[RENDER_LINKS];
/* Whether there are links at all. */
bool render_has_links(const struct render_report *report);
/* Whether this one is offered for a message. */
bool render_has_link(const struct render_report *report, const struct render_entry *entry,
                     size_t link);
/* Who may release what its owner may not, in the report's language; NULL: he may, or there are no
 * links. */
const char *render_barred(const struct render_report *report, const struct render_entry *entry);

void render_url(struct buf *out, const struct render_report *report, enum link_action action,
                int64_t recipient);
/* A page of the panel, told the address. */
void render_page(struct buf *out, const struct render_report *report, const char *page);
void render_count(struct buf *out, const struct render_report *report);
/* False: all are listed, nothing is appended. */
bool render_more(struct buf *out, const struct render_report *report);
const char *render_why(const struct render_report *report);
/* "Spam 12.3, your block list" */
void render_reason(struct buf *out, const struct render_report *report,
                   const struct render_entry *entry);
/* A stranger's text on one harmless line, or what to say when there is none. Not escaped. */
void render_stranger(struct buf *out, const struct render_report *report, const char *text,
                     const char *otherwise);

#endif
