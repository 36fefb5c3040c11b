/*
 * link - the links of reports and mails: where they lead, and the signed ones (pure)
 *
 * A signed link says what may be done, to which message of the quarantine, for whom, and until
 * when; nobody without the key (link_key_file) can make or alter one. Opening it shows a page: only
 * the page's form acts, so that whatever follows links in mails does nothing.
 */
#ifndef ROLLCALL_LINK_H
#define ROLLCALL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "secret.h"
#include "str.h"

enum link_action {
    LINK_SHOW = 1,    /* look at a message */
    LINK_RELEASE,     /* release it to this recipient */
    LINK_ALLOW,       /* allow its sender, and release it */
    LINK_BLOCK,       /* block its sender */
    LINK_UNSUBSCRIBE, /* turn reports off (RFC 8058: a POST without a cookie) */
    LINK_LIST,        /* all messages: the user's quarantine */
    LINK_ACTIONS,     /* how many, and one */
};

struct link {
    enum link_action action;
    int64_t recipient; /* quarantine_recipient.id; 0: no single message */
    int64_t user;      /* users.id */
    int64_t expires;   /* seconds since 1970 */
};

enum { LINK_BYTES = 1 + 3 * 8 + SECRET_SIGNATURE, LINK_TEXT = (LINK_BYTES * 4 + 2) / 3 };

/* Makes of what link_key_file has the key of the links, once for the dozens of a report. */
void link_key(uint8_t key[SECRET_KEY]);
void link_sign(const struct link *link, const uint8_t key[SECRET_KEY], char text[LINK_TEXT + 1]);
/* False: not ours, altered, or expired at `now`: all the same to who asks. */
bool link_open(struct span text, int64_t now, const uint8_t key[SECRET_KEY],
               struct link *link) MUST_CHECK;

/* The pages of the panel that mails lead to; the token stands behind "?t=". */
#define LINK_PAGE_MESSAGE     "/message" /* a signed link, all actions but LINK_UNSUBSCRIBE */
#define LINK_PAGE_UNSUBSCRIBE "/unsubscribe"
#define LINK_PAGE_CONFIRM     "/confirm"          /* a token, TOKEN_CONFIRM */
#define LINK_PAGE_PASSWORD    "/set-password"     /* a token, TOKEN_PASSWORD */
#define LINK_PAGE_REQUEST     "/request-password" /* "?address=" */
#define LINK_PAGE_SIGN_IN     "/sign-in"

/* Appends a value for use behind '=' in a URL (RFC 3986 section 2.1). */
void link_escape(struct buf *out, const char *value);

#endif
