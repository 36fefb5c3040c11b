/*
 * postfix - main.cf and master.cf as postconf prints them (pure)
 *
 * postconf(1) has joined lines and expanded $name; this finds settings, takes lists apart and reads
 * the services.
 */
#ifndef ROLLCALL_POSTFIX_H
#define ROLLCALL_POSTFIX_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

/* The value of a setting in the output of `postconf -x`; at == NULL: not there. */
struct span postfix_value(struct span main_cf, const char *name);

/*
 * Splits the next element off a list: separated by white space and commas, with {…} kept together
 * (postconf(5), "compatible with Postfix < 2.x syntax" lists). False at the end.
 */
bool postfix_next(struct span *rest, struct span *element);
/* Whether a list has that element. */
bool postfix_has(struct span list, const char *element);
/* The inside of {…}, or the element itself. */
struct span postfix_unbraced(struct span element);

/* A `check_policy_service` of a restriction list. */
struct postfix_policy {
    struct span endpoint;                /* "unix:private/rollcall" */
    struct span timeout, default_action; /* at == NULL: not given */
};
/* Reads the element that follows check_policy_service. */
struct postfix_policy postfix_policy(struct span element);

/* A line of `postconf -M`. */
struct postfix_service {
    struct span name, type; /* "smtp", "inet" */
    bool chroot;
    struct span command, arguments;
};
bool postfix_next_service(struct span *master_cf, struct postfix_service *service);
/* The value of -o NAME=… among the arguments; at == NULL: not given. */
struct span postfix_override(const struct postfix_service *service, const char *name);

#endif
