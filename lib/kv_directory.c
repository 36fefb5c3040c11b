/* kv_directory - see kv.h; here: the files of an environment as files, without Berkeley DB */
#include "kv_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIAL_SIZE = 1 << 20 };

void kv_unlink(const char *path)
{
    if (unlink(path) != 0 && errno != ENOENT)
        fprintf(stderr, "%s: cannot be removed: %s\n", path, strerror(errno));
}

bool kv_has_room(const char *directory)
{
    STR_AUTO path = mem_printf("%s/trial", directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    bool room = fd >= 0 && posix_fallocate(fd, 0, TRIAL_SIZE) == 0;

    if (fd >= 0) {
        close(fd);
        kv_unlink(path);
    }
    return room;
}

/* Removes a directory that holds only files, as an environment's does. */
static void remove_flat_directory(const char *path)
{
    DIR *dir = opendir(path);

    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        STR_AUTO file = mem_printf("%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            kv_unlink(file);
    }
    closedir(dir);
    rmdir(path);
}

/* The directory itself stays, since its parent may not be ours to write. */
bool kv_move_aside(const char *directory, struct err *err)
{
    STR_AUTO aside = mem_printf("%s/damaged", directory);
    DIR *dir = opendir(directory);

    if (dir == NULL)
        return err_set(err, ERR_OTHER, "replica %s: %s", directory, strerror(errno));
    remove_flat_directory(aside);
    bool fine = mkdir(aside, 0750) == 0;
    for (struct dirent *entry; fine && (entry = readdir(dir)) != NULL;) {
        STR_AUTO from = mem_printf("%s/%s", directory, entry->d_name);
        STR_AUTO to = mem_printf("%s/%s", aside, entry->d_name);
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "damaged") != 0 &&
            strcmp(entry->d_name, "lock") != 0)
            fine = rename(from, to) == 0;
    }
    int code = errno;
    closedir(dir);
    return fine || err_set(err, ERR_OTHER, "replica %s: cannot be moved aside: %s", directory,
                           strerror(code));
}
