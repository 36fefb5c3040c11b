/* collect_setup - see collect.h; here: what the settings say, and printing what is understood */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "sync/collect.h"
#include "sync/logfile.h"
#include "sync/stamp.h"

bool collect_rules(struct collect_rules *r, const char *instances, struct err *err)
{
    char *rest, *name;
    size_t count = 0;

    r->text = rest = mem_text(instances);
    while ((name = strsep(&rest, ", \t")) != NULL) {
        if (*name == '\0')
            continue;
        if (count == sizeof r->names / sizeof r->names[0]) {
            collect_rules_free(r);
            return err_set(err, ERR_CONFIG, "observe_instances: more than %zu names", count);
        }
        r->names[count++] = name;
    }
    r->rules = (struct maillog_rules){r->names, count};
    return true;
}

void collect_rules_free(struct collect_rules *r)
{
    str_free(&r->text);
}

void collect_sources_free(struct collect_options *options)
{
    str_free(&options->text);
}

bool collect_sources(const char *setting, struct collect_options *options, struct err *err)
{
    char *rest, *name;

    options->source_count = 0;
    options->text = rest = mem_text(setting);
    while ((name = strsep(&rest, ",")) != NULL) {
        name += strspn(name, " \t");
        name[strcspn(name, " \t")] = '\0';
        if (*name == '\0')
            continue;
        if (options->source_count == COLLECT_SOURCES_MOST)
            return err_set(err, ERR_CONFIG, "observe_sources: more than %d", COLLECT_SOURCES_MOST);
        options->sources[options->source_count++] = name;
    }
    return options->source_count > 0 || err_set(err, ERR_CONFIG, "observe_sources: names no log");
}

/* ---- for people ---- */

static bool print_lines(struct logfile_reader *reader, const struct maillog_rules *rules,
                        struct stamp_clock *clock, struct err *err)
{
    BUF_AUTO text = {0};
    struct maillog_event event;
    struct span block;

    do {
        if (!logfile_read(reader, &block, err))
            return false;
        struct span rest = block;
        while (maillog_next(rules, &rest, &event)) {
            char time[32] = "-";
            int64_t us;
            if (stamp_time(clock, event.stamp, &us))
                clock_rfc3339(time, sizeof time, us);
            buf_clear(&text);
            maillog_describe(&event, &text);
            printf("%s %s\n", time, text.at);
        }
    } while (block.len > 0);
    return true;
}

bool collect_print(const struct conf *conf, const char *path, int64_t now_us, struct err *err)
{
    struct stamp_clock clock = {.zone = stamp_local, .newest_us = now_us};
    struct position_file start = {0};
    struct logfile file = {.path = (char *)(uintptr_t)path};
    struct logfile_reader *reader = NULL;
    struct collect_rules rules;
    struct stat st;
    bool fine;

    if (stat(path, &st) == 0)
        clock.newest_us = st.st_mtim.tv_sec * CLOCK_SECOND;
    if (!collect_rules(&rules, conf->observe_instances, err))
        return false;
    fine = strcmp(path, "-") == 0 ? logfile_stream(&reader, dup(STDIN_FILENO), &file, err)
                                  : logfile_open(&reader, &file, &start, err);
    fine = fine && print_lines(reader, &rules.rules, &clock, err);
    logfile_close(&reader);
    collect_rules_free(&rules);
    return fine;
}
