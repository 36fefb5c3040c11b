/*
 * filter - which users a command is about: what --domain and --customer name must be there, since
 * an empty list would look like an answer
 */
#ifndef ROLLCALL_FILTER_H
#define ROLLCALL_FILTER_H

#include "cli/cli.h"

/* `name` has ADDR_DOMAIN_MAX + 1 bytes; *domain is it, normalised, or NULL when none was given. */
bool filter_domain(struct cli *cli, char *name, const char **domain, struct err *err) MUST_CHECK;
bool filter_customer(struct cli *cli, struct err *err) MUST_CHECK;

#endif
