/*
 * requests - what people ask of a directory in the panel, carried out and answered
 *
 * Rows of ldap_request, taken by several threads side by side. Each request is this program once
 * more, for that one source, in a process of its own that tells records (records.h); what it told
 * is the answer.
 */
#ifndef ROLLCALL_REQUESTS_H
#define ROLLCALL_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/conf.h"
#include "lib/err.h"

struct requests_options {
    const struct conf *conf;
    const char *file;             /* settings for the processes; NULL: the default */
    const char *const *overrides; /* NAME=VALUE */
    size_t override_count;
    bool follow; /* goes on until SIGTERM or SIGINT; else ends when none is left */
};

bool requests_serve(const struct requests_options *options, struct err *err) MUST_CHECK;

#endif
