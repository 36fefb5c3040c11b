/* logfile - see logfile.h; here: the family of a log, and what of it is to be read */
#include "sync/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/clock.h"

/* ---- the family ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/*
 * What may follow the log's name: "", ".3", ".3.gz", "-20261123", ".20261123-180000.gz". *number is
 * what a plain number says, else -1.
 */
static bool is_rotated_suffix(const char *suffix, long *number)
{
    const char *p = suffix + 1;
    bool plain = true;

    *number = -1;
    if ((suffix[0] != '.' && suffix[0] != '-') || !is_digit(*p))
        return false;
    for (; is_digit(*p) || ((*p == '-' || *p == 'T' || *p == ':') && is_digit(p[1])); p++)
        plain = plain && is_digit(*p);
    if (strcmp(p, "") != 0 && strcmp(p, ".gz") != 0)
        return false;
    if (plain && suffix[0] == '.' && p - suffix < 8)
        *number = strtol(suffix + 1, NULL, 10);
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct logfile *x = a, *y = b;

    if (x->current != y->current)
        return x->current ? 1 : -1;
    if (x->modified_us != y->modified_us)
        return x->modified_us < y->modified_us ? -1 : 1;
    return (x->number < y->number) - (x->number > y->number);
}

static void add_file(struct logfile_family *family, const char *path, bool current, long number)
{
    struct stat st;

    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
        return; /* rotated away this moment, or no log */
    family->files = mem_grow(family->files, (family->count + 1) * sizeof *family->files);
    family->files[family->count++] = (struct logfile){
        .path = mem_text(path),
        .current = current,
        .modified_us = st.st_mtim.tv_sec * CLOCK_SECOND + st.st_mtim.tv_nsec / 1000,
        .size = st.st_size,
        .number = number,
    };
}

static bool list_directory(struct logfile_family *family, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);
    STR_AUTO directory =
        slash != NULL ? mem_span(span_of(path, (size_t)(slash - path) + 1)) : mem_text("./");
    DIR *open_directory = opendir(directory);
    const struct dirent *entry;
    long number;

    if (open_directory == NULL)
        return err_set(err, ERR_CONFIG, "%s: %s", directory, strerror(errno));
    while ((entry = readdir(open_directory)) != NULL) {
        bool current = strcmp(entry->d_name, name) == 0;
        number = -1;
        if (!current && (strncmp(entry->d_name, name, len) != 0 ||
                         !is_rotated_suffix(entry->d_name + len, &number)))
            continue;
        STR_AUTO whole = mem_printf("%s%s", directory, entry->d_name);
        add_file(family, whole, current, number);
    }
    closedir(open_directory);
    return true;
}

/* More than can be told apart later are left alone, the oldest first. */
static void drop_oldest(struct logfile_family *family)
{
    size_t surplus =
        family->count > POSITION_FILES_MOST / 2 ? family->count - POSITION_FILES_MOST / 2 : 0;

    for (size_t i = 0; i < surplus; i++)
        free(family->files[i].path);
    memmove(family->files, family->files + surplus,
            (family->count - surplus) * sizeof *family->files);
    family->count -= surplus;
}

bool logfile_family(struct logfile_family *family, const char *path, struct err *err)
{
    *family = (struct logfile_family){0};
    if (!list_directory(family, path, err))
        return false;
    if (family->count == 0)
        return err_set(err, ERR_CONFIG, "%s: there is no such log, nor a rotated one", path);
    qsort(family->files, family->count, sizeof *family->files, by_age);
    drop_oldest(family);
    for (size_t i = 0; i < family->count; i++)
        if (!logfile_read_head(&family->files[i], err)) {
            logfile_family_free(family);
            return false;
        }
    return true;
}

void logfile_family_free(struct logfile_family *family)
{
    for (size_t i = 0; i < family->count; i++)
        free(family->files[i].path);
    free(family->files);
    *family = (struct logfile_family){0};
}

/* ---- what is to be read ---- */

bool logfile_known(const struct logfile *file, const struct position_file *position)
{
    return position->head_len > 0 && position->head_len <= file->head_len &&
           position_hash(span_of(file->head, position->head_len)) == position->head;
}

/* The position with the longest beginning that is this file's. */
static size_t find_known(const struct logfile *file, const struct position_source *source)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < source->file_count; i++)
        if (logfile_known(file, &source->files[i]) &&
            (best == SIZE_MAX || source->files[i].head_len > source->files[best].head_len))
            best = i;
    return best;
}

/* Without a whole line a file has no face yet. */
static bool has_face(const struct logfile *file)
{
    return memchr(file->head, '\n', file->head_len) != NULL || file->head_len == sizeof file->head;
}

static bool is_packed(const struct logfile *file)
{
    size_t len = strlen(file->path);

    return len > 3 && strcmp(file->path + len - 3, ".gz") == 0;
}

/* The same log twice: being copied or compressed just now. */
static bool same_log(const struct logfile *a, const struct logfile *b)
{
    size_t shared = a->head_len < b->head_len ? a->head_len : b->head_len;

    return memcmp(a->head, b->head, shared) == 0;
}

/* Of two that are the same the better one: not compressed, longer, the current one. */
static bool better(const struct logfile *a, const struct logfile *b)
{
    if (is_packed(a) != is_packed(b))
        return is_packed(b);
    return a->size != b->size ? a->size > b->size : a->current;
}

static bool has_better(const struct logfile_family *family, size_t file)
{
    const struct logfile *f = &family->files[file];

    for (size_t i = 0; i < family->count; i++)
        if (i != file && has_face(&family->files[i]) && same_log(f, &family->files[i]) &&
            (better(&family->files[i], f) || (!better(f, &family->files[i]) && i < file)))
            return true;
    return false;
}

size_t logfile_plan(const struct logfile_family *family, const struct position_source *source,
                    bool history, struct logfile_plan *plan)
{
    size_t count = 0;
    bool first = source->run_us == 0, after_known = false;

    for (size_t i = 0; i < family->count; i++) {
        const struct logfile *file = &family->files[i];
        if (!has_face(file) || has_better(family, i))
            continue;
        size_t known = find_known(file, source);
        bool fresh = first ? file->current || history
                           : file->current || after_known || file->modified_us >= source->run_us;
        after_known = after_known || known != SIZE_MAX;
        if (known == SIZE_MAX ? fresh : !source->files[known].ended)
            plan[count++] = (struct logfile_plan){i, known};
    }
    return count;
}
