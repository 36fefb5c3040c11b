/*
 * status - the parts of `rollcall status` that are about hosts: jobs, mails on their way, disks
 *
 * Each writes its section and adds to `todo` a line for all that somebody should look at.
 */
#ifndef ROLLCALL_STATUS_H
#define ROLLCALL_STATUS_H

#include "cli/cli.h"
#include "lib/str.h"

/* One line of what somebody should look at, made printable. */
void status_attention(struct buf *todo, const char *format, ...) PRINTF_LIKE(2, 3);

bool status_jobs(struct cli *cli, struct buf *todo, struct err *err) MUST_CHECK;
bool status_outbox(struct cli *cli, struct buf *todo, struct err *err) MUST_CHECK;
bool status_disks(struct cli *cli, struct buf *todo, struct err *err) MUST_CHECK;

#endif
