/*
 * settings - what SIGHUP may change, for threads that must not wait for it
 *
 * Each thread keeps a copy and compares one number to learn that there is a newer one.
 */
#ifndef ROLLCALL_SETTINGS_H
#define ROLLCALL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/conf.h"
#include "policyd/limits.h"

enum { SETTINGS_TEXT_MAX = 200 }; /* of the reply texts, as conf_table.c bounds them */

struct settings {
    unsigned number; /* of the publication; 0: none yet */
    int64_t poll_interval_us, gateway_interval_us;
    int64_t idle_limit_us, request_limit_us;
    int64_t stale_limit_us, source_stale_limit_us;
    int64_t verified_for_us, refused_for_us;
    struct limits_rules limits;
    bool accept_abuse, reject_blocked_senders;
    enum conf_log_answers log_answers;
    char unknown_text[SETTINGS_TEXT_MAX + 1];
    char unsure_text[SETTINGS_TEXT_MAX + 1];
    char subdomain_text[SETTINGS_TEXT_MAX + 1];
    char blocked_text[SETTINGS_TEXT_MAX + 1];
};

/* Makes these the settings in force. */
void settings_publish(const struct conf *conf);
/* Brings a thread's copy up to date; cheap when it is. */
void settings_refresh(struct settings *mine);

#endif
