/*
 * confine - what rollcall-observe gives up before it reads what strangers wrote (lib/sandbox.h)
 */
#ifndef ROLLCALL_CONFINE_H
#define ROLLCALL_CONFINE_H

#include "lib/daemon.h"
#include "sync/collect.h"

/* Left are the logs of these options, with what they are rotated to, and observe_directory. */
void confine_collect(const struct daemon_options *program, const struct collect_options *options);
/* Left is PostgreSQL. */
void confine_rest(const struct daemon_options *program, const struct conf *conf);

#endif
