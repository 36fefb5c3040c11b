/*
 * disk - how much room the file system of a directory has for those who are not root; writing whole
 */
#ifndef ROLLCALL_DISK_H
#define ROLLCALL_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "str.h"

struct disk {
    uint64_t bytes, free_bytes;
    uint64_t inodes, free_inodes; /* both 0: this kind of file system does not count them */
};

/* ERR_DATA: there is no such directory; ERR_OTHER: it cannot be told. */
bool disk_look(const char *directory, struct disk *disk, struct err *err) MUST_CHECK;
/* What is free, in percent rounded down: of bytes; of these or inodes, whichever is less. Pure. */
int disk_percent_bytes(const struct disk *disk);
int disk_percent(const struct disk *disk);

/* All of it, however often that takes; false: errno says why. */
bool disk_write(int fd, struct span bytes) MUST_CHECK;

#endif
