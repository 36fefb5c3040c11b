/*
 * render - a spam report as text and HTML (pure)
 *
 * For whoever sends reports, and whoever shows what they will look like.
 * Templates: a user's own report, with or without what the block lists caught (whoever gives the
 * entries decides), and the accumulative one of a domain, which has no links to single messages.
 */
#ifndef ROLLCALL_RENDER_H
#define ROLLCALL_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "secret.h"
#include "str.h"
#include "text.h"

struct render_entry {
    int64_t recipient; /* quarantine_recipient.id */
    int64_t local;     /* when it came: seconds since 1970 plus the zone's offset */
    const char *category, *from, *subject, *reason, *score; /* as they stand: nothing is escaped */
    const char *listed; /* "user", "domain": whose block list has the sender; "" */
    const char *to;     /* whose it is; shown in the accumulative report */
};

struct render_report {
    enum text_language language;
    bool central;        /* accumulative */
    const char *subject; /* whom it is about: the user's address, or the domain */
    int64_t user;
    const char *brand_name, *brand_colour, *brand_logo, *brand_footer;
    bool sender_links;
    enum conf_release_virus release_virus; /* what is refused is not offered */
    const char *panel;  /* panel_url; "": no links */
    const uint8_t *key; /* of links, SECRET_KEY bytes */
    int64_t expires;    /* of links */
    const struct render_entry *entries;
    size_t count;
    int64_t total; /* with those that are not among the entries */
};

/* One line, not encoded. */
void render_subject(struct buf *out, const struct render_report *report);
void render_text(struct buf *out, const struct render_report *report);
void render_html(struct buf *out, const struct render_report *report);
/* The URL of RFC 8058; "" without a panel. */
void render_unsubscribe(struct buf *out, const struct render_report *report);

#endif
