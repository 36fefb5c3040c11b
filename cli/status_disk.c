/* status_disk - see status.h; here: the room on the disks of this host */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/status.h"
#include "lib/disk.h"

enum { DISKS_MOST = 8 };

/* Whose disks were told to be full already: one line for each. */
struct told {
    dev_t disks[DISKS_MOST];
    size_t count;
};

static bool told_before(struct told *told, const char *directory)
{
    struct stat about;

    if (stat(directory, &about) != 0)
        return false;
    for (size_t i = 0; i < told->count; i++)
        if (told->disks[i] == about.st_dev)
            return true;
    if (told->count < DISKS_MOST)
        told->disks[told->count++] = about.st_dev;
    return false;
}

static void judge(const struct cli *cli, const char *what, const char *directory,
                  const struct disk *disk, struct told *told, struct buf *todo)
{
    int least = (int)cli->conf.value.disk_least;

    if (disk_percent(disk) >= least || told_before(told, directory))
        return;
    if (disk_percent_bytes(disk) < least)
        status_attention(todo, "%s: %s: %llu MiB are free, %d %%: make room (disk_least)", what,
                         directory, (unsigned long long)(disk->free_bytes >> 20),
                         disk_percent_bytes(disk));
    else
        status_attention(todo,
                         "%s: %s: only %llu more files fit (inodes, %d %%): remove some "
                         "(disk_least)",
                         what, directory, (unsigned long long)disk->free_inodes,
                         disk_percent(disk));
}

/* A directory that is not on this host belongs to a program that is elsewhere. */
static void put_disk(struct cli *cli, const char *what, const char *directory, struct told *told,
                     struct buf *todo)
{
    struct disk disk;
    struct err trouble;

    if (!disk_look(directory, &disk, &trouble)) {
        if (trouble.class != ERR_DATA)
            status_attention(todo, "%s: %s", what, trouble.text);
        return;
    }
    out_text(cli->out, what);
    out_text(cli->out, directory);
    out_int(cli->out, (int64_t)(disk.free_bytes >> 20));
    out_int(cli->out, disk_percent_bytes(&disk));
    if (disk.inodes > 0)
        out_int(cli->out, (int64_t)disk.free_inodes);
    else
        out_null(cli->out);
    judge(cli, what, directory, &disk, told, todo);
}

/* PostgreSQL's lock on its socket names the directory in its second line, to those who may read it;
 * NULL: no other host's, and nobody else's. */
static char *directory_of_lock(const struct db *db)
{
    char path[512], text[2048];
    struct span rest, line;

    if (!db_socket(db, path, sizeof path - 5))
        return NULL;
    strcat(path, ".lock");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    rest = span_of(text, got > 0 ? (size_t)got : 0);
    bool found = span_next(&rest, '\n', &line) && span_next(&rest, '\n', &line) && line.len > 0;
    return found && line.at[0] == '/' ? mem_span(line) : NULL;
}

bool status_disks(struct cli *cli, struct buf *todo, struct err *err)
{
    static const char *const columns[] = {"disk_of",      "directory",   "free_mib",
                                          "free_percent", "free_inodes", NULL};
    const struct conf *conf = &cli->conf.value;
    const char *const ours[][2] = {{"replica", conf->replica_directory},
                                   {"quarantine", conf->quarantine_directory},
                                   {"observe", conf->observe_directory},
                                   {"panel", conf->panel_spool_directory}};
    struct told told = {0};
    STR_AUTO database = directory_of_lock(cli->db);

    (void)err;
    out_section(cli->out, "disks", "disks of this host", OUT_TABLE, columns);
    if (database != NULL)
        put_disk(cli, "PostgreSQL", database, &told, todo);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        put_disk(cli, ours[i][0], ours[i][1], &told, todo);
    return true;
}
