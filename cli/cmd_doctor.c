/* cmd_doctor - checks a gateway from its settings to Postfix, and says what to put where */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cmd.h"
#include "cli/doctor.h"
#include "cli/mask.h"
#include "lib/str.h"

static const char *const level_names[] = {"ok", "skipped", "warning", "bad"};

static void find(struct doctor *d, enum finding_level level, const char *remedy, const char *format,
                 va_list args)
{
    if (d->count == FINDINGS_MAX)
        return;
    struct finding *f = &d->findings[d->count++];
    f->check = d->check;
    f->level = level;
    vsnprintf(f->text, sizeof f->text, format, args);
    snprintf(f->remedy, sizeof f->remedy, "%s", remedy);
}

#define FIND(level, remedy)                                                                        \
    va_list args;                                                                                  \
    va_start(args, format);                                                                        \
    find(d, level, remedy, format, args);                                                          \
    va_end(args)

void doctor_ok(struct doctor *d, const char *format, ...)
{
    FIND(FINDING_OK, "");
}

void doctor_skip(struct doctor *d, const char *format, ...)
{
    FIND(FINDING_SKIPPED, "");
}

void doctor_warn(struct doctor *d, const char *remedy, const char *format, ...)
{
    FIND(FINDING_WARNING, remedy);
}

void doctor_bad(struct doctor *d, const char *remedy, const char *format, ...)
{
    FIND(FINDING_BAD, remedy);
}

/* conf_load has been through: what is left are secrets that others may read. */
static void check_settings(struct doctor *d)
{
    const struct conf_set *conf = &d->cli->conf;
    const char *file = d->cli->file != NULL ? d->cli->file : CONF_DEFAULT_FILE;
    size_t set = 0;
    struct stat status;
    BUF_AUTO conninfo = {0};

    for (size_t i = 0; i < conf_row_count; i++)
        set += conf->origins[i].text != NULL;
    if (stat(file, &status) != 0) {
        doctor_warn(d, "write one: rollcall config --template > " CONF_DEFAULT_FILE,
                    "%s is not there: every setting has its default", file);
        return;
    }
    doctor_ok(d, "%s, %zu of %zu settings set", file, set, conf_row_count);
    buf_text(&conninfo, conf->value.database);
    if (!mask_password(&conninfo))
        return;
    if ((status.st_mode & S_IROTH) != 0)
        doctor_bad(d, "chmod o= the file, or name a passfile= in the setting database",
                   "%s holds a password and everybody may read it", file);
    else
        doctor_warn(d, "put the password into a file of mode 0600 and name it with passfile=",
                    "the setting database holds a password");
}

static const struct {
    const char *name;
    void (*run)(struct doctor *d);
} checks[] = {
    {"settings", check_settings},
    {"database", check_database},
    {"schema", check_schema},
    {"rights", check_rights},
    {"gateway", check_gateway},
    {"observation", check_observation},
    {"replica", check_replica},
    {"policy socket", check_sockets},
    {"postfix", check_postfix},
    {"policy service", check_policy_service},
    {"permissions", check_permissions},
    {"master.cf", check_services},
    {"parent domains", check_parent_domains},
    {"verification", check_verification},
    {"relay_domains", check_relay_domains},
    {"quarantine", check_quarantine},
    {"filing", check_filing},
    {"release", check_release},
};

static void print_findings(struct doctor *d)
{
    static const char *const columns[] = {"check", "result", "found", NULL};
    static const char *const remedies[] = {"check", "what to do", NULL};
    struct out *out = d->cli->out;
    size_t amiss = 0;

    out_section(out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < d->count; i++) {
        out_text(out, d->findings[i].check);
        out_text(out, level_names[d->findings[i].level]);
        out_text(out, d->findings[i].text);
        amiss += d->findings[i].remedy[0] != '\0';
    }
    out_section(out, NULL, NULL, OUT_TABLE, remedies);
    for (size_t i = 0; amiss > 0 && i < d->count; i++)
        if (d->findings[i].remedy[0] != '\0') {
            out_text(out, d->findings[i].check);
            out_text(out, d->findings[i].remedy);
        }
}

static void write_findings(struct doctor *d)
{
    static const char *const columns[] = {"check", "result", "found", "remedy", NULL};
    struct out *out = d->cli->out;

    out_section(out, NULL, NULL, OUT_TABLE, columns);
    for (size_t i = 0; i < d->count; i++) {
        out_text(out, d->findings[i].check);
        out_text(out, level_names[d->findings[i].level]);
        out_text(out, d->findings[i].text);
        out_text(out, d->findings[i].remedy[0] != '\0' ? d->findings[i].remedy : NULL);
    }
}

bool cmd_doctor(struct cli *cli, struct err *err)
{
    struct doctor *d = mem_zero(1, sizeof *d);

    (void)err;
    d->cli = cli;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        d->check = checks[i].name;
        checks[i].run(d);
    }
    if (cli->json)
        write_findings(d);
    else
        print_findings(d);
    for (size_t i = 0; i < d->count; i++)
        if (d->findings[i].level == FINDING_BAD)
            cli->exit_code = ERR_OTHER;
    buf_free(&d->served);
    spawn_output_free(&d->main_cf);
    spawn_output_free(&d->master_cf);
    free(d);
    return true;
}
