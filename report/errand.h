/*
 * errand - what this gateway is asked to do with its messages: releases, raw views, files to drop;
 * and the sweep that mends what is left on one side only
 *
 * One thread with a database connection of its own, woken by NOTIFY, else every few seconds.
 */
#ifndef ROLLCALL_ERRAND_H
#define ROLLCALL_ERRAND_H

#include "lib/conf.h"
#include "report/record.h"
#include "report/store.h"

struct errand_options {
    const struct conf *conf;
    struct store *store;
    struct recorder *recorder;
    const char *gateway, *host;
};

struct errand;

/* False: release_to is no address. */
bool errand_start(struct errand **errand, const struct errand_options *options,
                  struct err *err) MUST_CHECK;
void errand_stop(struct errand **errand);

#endif
