/* disk - see disk.h */
#include "disk.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool disk_look(const char *directory, struct disk *disk, struct err *err)
{
    struct statvfs room;

    if (statvfs(directory, &room) != 0)
        return err_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_DATA : ERR_OTHER, "%s: %s",
                       directory, strerror(errno));
    uint64_t block = room.f_frsize, used = room.f_blocks - room.f_bfree;
    uint64_t inodes_used = room.f_files - room.f_ffree;
    /* what is reserved for root counts as used, as df does it */
    *disk = (struct disk){.bytes = (used + room.f_bavail) * block,
                          .free_bytes = room.f_bavail * block,
                          .inodes = room.f_files > 0 ? inodes_used + room.f_favail : 0,
                          .free_inodes = room.f_files > 0 ? room.f_favail : 0};
    return true;
}

static int percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 100 : (int)((double)part / (double)whole * 100);
}

int disk_percent_bytes(const struct disk *disk)
{
    return percent(disk->free_bytes, disk->bytes);
}

int disk_percent(const struct disk *disk)
{
    int bytes = disk_percent_bytes(disk), inodes = percent(disk->free_inodes, disk->inodes);

    return bytes < inodes ? bytes : inodes;
}

bool disk_write(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.at, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = span_of(bytes.at + n, bytes.len - (size_t)n);
    }
    return true;
}
