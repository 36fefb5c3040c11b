/* visit_file - see visit_file.h, and visit.h for what pages call */
#include "panel/visit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/disk.h"
#include "lib/log.h"
#include "lib/secret.h"

enum { SPOOL_NAME = 32 };

static char *spool_path(const struct visit *visit)
{
    return mem_printf("%s/%s", visit->panel->conf->panel_spool_directory, visit->spool_name);
}

static bool open_spool(struct visit *visit)
{
    uint8_t random[SPOOL_NAME / 2];

    secret_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(visit->spool_name + 2 * i, 3, "%02x", random[i]);
    STR_AUTO path = spool_path(visit);
    visit->spool = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    visit->spool_full = visit->spool < 0;
    if (visit->spool_full)
        log_write(LOG_PANEL_TROUBLE, "%s: %s", path, strerror(errno));
    return !visit->spool_full;
}

bool visit_file_begin(void *context, const struct form *form, struct span name,
                      struct span file_name)
{
    struct visit *visit = context;

    (void)name;
    if (!session_form_token_is(&visit->session, form_value(form, "token")))
        return false;
    snprintf(visit->file_name, sizeof visit->file_name, "%.*s", (int)file_name.len, file_name.at);
    return open_spool(visit);
}

static bool spool_write(struct visit *visit, int fd, struct span bytes)
{
    if (disk_write(fd, bytes))
        return true;
    log_write(LOG_PANEL_TROUBLE, "%s: %s", visit->panel->conf->panel_spool_directory,
              strerror(errno));
    visit->spool_full = true;
    return false;
}

bool visit_file_take(void *context, struct span bytes)
{
    struct visit *visit = context;

    return spool_write(visit, visit->spool, bytes);
}

/* Its name is gone at once, so that nothing is left whatever happens. */
static bool open_answer(struct visit *visit)
{
    if (!open_spool(visit))
        return false;
    STR_AUTO path = spool_path(visit);
    unlink(path);
    visit->body_file = visit->spool;
    visit->spool = -1;
    return true;
}

bool visit_add_file(struct visit *visit, struct span bytes, struct err *err)
{
    return ((visit->body_file >= 0 || open_answer(visit)) &&
            spool_write(visit, visit->body_file, bytes)) ||
           err_set(err, ERR_TEMPORARY, "the message cannot be kept in panel_spool_directory");
}

bool visit_spool(struct visit *visit, struct span text, struct err *err)
{
    return (open_spool(visit) && visit_file_take(visit, text)) ||
           err_set(err, ERR_TEMPORARY, "the list cannot be kept in panel_spool_directory");
}

void visit_file_drop(struct visit *visit)
{
    if (visit->spool < 0)
        return;
    close(visit->spool);
    if (!visit->spool_taken) {
        STR_AUTO path = spool_path(visit);
        unlink(path);
    }
    visit->spool = -1;
}
