/* confine - see confine.h */
#include "sync/confine.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"

/* Where journald writes, and what its library asks for. */
static const char *const journal_reads[] = {"/var/log/journal", "/run/log/journal",
                                            "/etc/machine-id"};

struct places {
    struct daemon_keeps keeps;
    char *owned[2 * COLLECT_SOURCES_MOST];
    size_t read, owned_count;
};

static void read_place(struct places *p, const char *path)
{
    if (p->read < DAEMON_PATHS)
        p->keeps.read[p->read++] = path;
}

/* The directory that a file's name stands in; takes over `file`. */
static void read_beside(struct places *p, char *file)
{
    char *slash = file != NULL ? strrchr(file, '/') : NULL;

    if (slash == NULL) {
        free(file);
        return;
    }
    slash[slash == file ? 1 : 0] = '\0';
    p->owned[p->owned_count++] = file;
    read_place(p, file);
}

static void read_source(struct places *p, const char *source)
{
    if (strncmp(source, "journal:", 8) == 0)
        read_place(p, source + 8);
    if (strncmp(source, "journal", 7) == 0 && (source[7] == '\0' || source[7] == ':')) {
        for (size_t i = 0; i < sizeof journal_reads / sizeof journal_reads[0]; i++)
            read_place(p, journal_reads[i]);
        return;
    }
    /* where it stands, and where it leads to: the rotated ones lie beside either */
    if (source[0] == '/')
        read_beside(p, mem_text(source));
    if (strcmp(source, "-") != 0)
        read_beside(p, realpath(source, NULL));
}

void confine_collect(const struct daemon_options *program, const struct collect_options *options)
{
    struct places places = {.keeps = {.write = {options->conf->observe_directory}}};

    for (size_t i = 0; i < options->source_count; i++)
        read_source(&places, options->sources[i]);
    daemon_sandbox(program, options->conf, &places.keeps);
    for (size_t i = 0; i < places.owned_count; i++)
        free(places.owned[i]);
}

void confine_rest(const struct daemon_options *program, const struct conf *conf)
{
    daemon_sandbox(program, conf, &(struct daemon_keeps){0});
}
